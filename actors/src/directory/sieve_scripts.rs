//! The Sieve scripts that an entry has.

use std::sync::Arc;

use super::{
    entry::{Entry, Kind},
    known::ADDRESSES,
};

/// Scripts of a user, each a whole one, in the order in which they are carried out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SieveScripts {
    /// The name of the user's entry, by which the user is told of a script that is broken.
    pub owner: Box<str>,
    /// The user's address, where there is one.
    pub mail: Option<Box<str>>,
    /// All addresses of the user.
    pub addresses: Box<[Box<str>]>,
    /// At least one.
    pub texts: Box<[Arc<str>]>,
}

impl SieveScripts {
    /// `mailSieveRuleSource` of a user; groups have none.
    pub fn of(entry: &Entry) -> Option<Self> {
        let values = entry.all(SOURCE);
        if values.is_empty() || Kind::of(entry) != Some(Kind::User) {
            return None;
        }
        let texts: Box<[Arc<str>]> = values
            .iter()
            .filter(|text| !text.trim().is_empty())
            .map(|text| text.as_str().into())
            .collect();
        if texts.is_empty() {
            return None;
        }
        let mail = entry.first("mail").map(Into::into);
        let addresses = ADDRESSES.iter().flat_map(|name| entry.all(name));
        let addresses = addresses.map(|address| address.as_str().into()).collect();
        Some(Self { owner: entry.dn.as_str().into(), mail, addresses, texts })
    }
}

const SOURCE: &str = "mailsieverulesource";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_of_an_entry() {
        // object class, values, scripts
        let rows: [(&str, &[&str], &[&str]); 4] = [
            ("inetMailUser", &["keep;", "discard;"], &["keep;", "discard;"]),
            ("inetMailUser", &[" ", "keep;"], &["keep;"]),
            ("inetMailUser", &[], &[]),
            ("inetMailGroup", &["keep;"], &[]),
        ];
        for (class, values, want) in rows {
            let mut entry = Entry::new("uid=jdoe");
            entry.add("objectClass", class);
            for value in values {
                entry.add("mailSieveRuleSource", *value);
            }
            let scripts = SieveScripts::of(&entry);
            let texts = scripts.as_ref().map_or(&[][..], |its| &its.texts);
            assert!(
                texts.iter().map(|text| &**text).eq(want.iter().copied()),
                "{class} {values:?}"
            );
        }
    }
}
