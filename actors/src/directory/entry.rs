//! Directory entries, as an LDAP server or an LDIF file gives them.

use std::{collections::HashMap, sync::Arc};

/// One entry. Attribute names are compared without regard to case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Entry {
    /// The distinguished name, as it came.
    pub dn: String,
    /// Values by attribute name, in lower case.
    attributes: HashMap<Box<str>, Vec<String>>,
}

/// A domain of ours.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its canonical name, in lower case.
    pub name: String,
    /// The suffix of its users' and groups' names, normalized by [`normalize_dn`].
    pub base: String,
    /// The organization's entry.
    pub entry: Arc<Entry>,
}

/// The kind of user or group that an entry stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One person.
    User,
    /// Several.
    Group,
}

impl Entry {
    /// An entry without attributes.
    pub fn new(dn: impl Into<String>) -> Self {
        Self { dn: dn.into(), attributes: HashMap::new() }
    }

    /// Adds a value.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.attributes.entry(name.to_ascii_lowercase().into()).or_default().push(value.into());
    }

    /// Takes an object class away.
    pub(super) fn remove_class(&mut self, class: &str) {
        if let Some(classes) = self.attributes.get_mut("objectclass") {
            classes.retain(|value| !value.eq_ignore_ascii_case(class));
        }
    }

    /// The values of an attribute, whose name is given in lower case.
    pub fn all(&self, name: &str) -> &[String] {
        self.attributes.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first value of an attribute, whose name is given in lower case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    /// Whether the entry is a mail user or a mail group.
    pub fn is_mail(&self) -> bool {
        Kind::of(self).is_some()
    }

    /// Whether the entry is a mail group.
    pub fn is_group(&self) -> bool {
        Kind::of(self) == Some(Kind::Group)
    }

    /// Whether an object class is among the entry's.
    pub fn has_class(&self, class: &str) -> bool {
        self.all("objectclass").iter().any(|value| value.eq_ignore_ascii_case(class))
    }
}

impl Kind {
    /// By object classes. The original wants `inetLocalMailRecipient` as well, which says nothing
    /// about what an entry is, and which hand-written directories forget.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        match (entry.has_class("inetMailUser"), entry.has_class("inetMailGroup")) {
            (true, _) => Some(Self::User),
            (_, true) => Some(Self::Group),
            _ => None,
        }
    }
}

/// A distinguished name in lower case and without blanks around its commas and equals signs.
/// Escapes are left as they are: two spellings of an escape count as two names.
pub fn normalize_dn(dn: &str) -> String {
    let part = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        format!("{}={}", name.trim(), value.trim()).to_ascii_lowercase()
    };
    dn.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// Whether a normalized name is `base` or lies below it.
pub(super) fn is_below(dn: &str, base: &str) -> bool {
    dn.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with(','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_by_their_parts() {
        let base = normalize_dn("O=Sesta.com , dc=siroe,dc=com");
        let rows = [
            ("uid=jdoe,ou=People,o=sesta.com,dc=siroe,dc=com", true),
            ("o=sesta.com,dc=siroe,dc=com", true),
            ("o=notsesta.com,dc=siroe,dc=com", false),
            ("dc=siroe,dc=com", false),
        ];
        for (dn, below) in rows {
            assert_eq!(is_below(&normalize_dn(dn), &base), below, "{dn}");
        }
    }
}
