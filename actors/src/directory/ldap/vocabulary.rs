//! Words of a directory and ours: an ordinary tree calls things by other names than the schema that
//! relais was made for.

use std::collections::{BTreeMap, HashMap};

use ldap3::{ResultEntry, SearchEntry};
use relais_config::directory::Ldap;

use super::schema_names::SchemaNames;
use crate::directory::{
    entry::Entry,
    known::{ADDRESSES, KNOWN},
};

/// The names that a directory has for what relais knows.
#[derive(Debug)]
pub(super) struct Vocabulary {
    /// Attributes to ask for, as the directory calls them.
    asked: Vec<String>,
    /// Our names by the directory's, in lower case.
    ours: HashMap<String, String>,
    /// Attributes with addresses that are none of ours, in lower case.
    addresses: Vec<String>,
    users: Vec<Vec<String>>,
    groups: Vec<Vec<String>>,
}

impl Vocabulary {
    /// As the configuration has it, with attributes beside those that relais knows.
    pub(super) fn of(ldap: &Ldap, spare: &[String]) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase();
        let theirs: BTreeMap<_, _> =
            ldap.attributes.iter().map(|(ours, theirs)| (lower(ours), theirs.clone())).collect();
        let mut asked = vec!["objectClass".to_owned()];
        let mut ours = HashMap::new();
        let spare: Vec<_> = spare.iter().map(|name| lower(name)).collect();
        let more = spare.iter().map(String::as_str).filter(|name| !KNOWN.contains(name));
        for name in KNOWN.iter().copied().chain(more) {
            let theirs = theirs.get(name).cloned().unwrap_or_else(|| name.to_owned());
            ours.insert(lower(&theirs), name.to_owned());
            asked.push(theirs);
        }
        let others = ldap.address_attributes.iter().filter(|name| !ours.contains_key(&lower(name)));
        let addresses: Vec<_> = others.map(|name| lower(name)).collect();
        asked.extend(addresses.iter().cloned());
        let classes = |classes: &[String]| {
            let one = |all: &String| all.split('+').map(str::to_owned).collect();
            classes.iter().map(one).collect()
        };
        Self {
            asked,
            ours,
            addresses,
            users: classes(&ldap.user_classes),
            groups: classes(&ldap.group_classes),
        }
    }

    /// Whether the directory's names are all those that relais knows.
    pub(super) fn is_ours(&self) -> bool {
        self.addresses.is_empty() && self.ours.iter().all(|(theirs, ours)| theirs == ours)
    }

    /// Attributes to ask for.
    pub(super) fn asked(&self) -> &[String] {
        &self.asked
    }

    /// The directory's name of an attribute of ours.
    pub(super) fn theirs<'a>(&'a self, ours: &'a str) -> &'a str {
        let mut pairs = self.ours.iter();
        pairs.find(|(_, its)| *its == ours).map_or(ours, |(theirs, _)| theirs)
    }

    /// Whether an attribute, in lower case, holds addresses and is none of ours.
    pub(super) fn has_addresses(&self, name: &str) -> bool {
        self.addresses.iter().any(|its| its == name)
    }

    /// An entry in our words.
    pub(super) fn entry(&self, found: ResultEntry, names: &SchemaNames) -> Entry {
        let SearchEntry { dn, attrs, bin_attrs } = SearchEntry::construct(found);
        let mut entry = Entry::new(dn);
        for (name, values) in attrs {
            self.add(&mut entry, &self.asked_name(&name, names), values);
        }
        // One value that is no text takes the others of its attribute along.
        for (name, values) in bin_attrs {
            let texts = values.into_iter().filter_map(|value| String::from_utf8(value).ok());
            self.add(&mut entry, &self.asked_name(&name, names), texts);
        }
        self.add_classes(&mut entry);
        entry
    }

    /// The name by which an attribute was asked for, in lower case.
    fn asked_name(&self, given: &str, names: &SchemaNames) -> String {
        let given = given.to_ascii_lowercase();
        let is_asked =
            |name: &&String| self.ours.contains_key(*name) || self.addresses.contains(*name);
        match names.others(&given).iter().find(is_asked) {
            Some(other) if !is_asked(&&given) => other.clone(),
            _ => given,
        }
    }

    fn add(&self, entry: &mut Entry, name: &str, values: impl IntoIterator<Item = String>) {
        if self.addresses.iter().any(|its| its == name) {
            for value in values {
                // Active Directory names the kind of address: `smtp:x@y`, `SMTP:x@y`, `X500:...`.
                match value.split_once(':') {
                    None => entry.add(ADDRESSES[1], value),
                    Some((kind, address)) if kind.eq_ignore_ascii_case("smtp") => {
                        entry.add(ADDRESSES[1], address);
                    }
                    Some(_) => {}
                }
            }
            return;
        }
        let ours = self.ours.get(name).map_or(name, String::as_str);
        for value in values {
            entry.add(ours, value);
        }
    }

    /// An entry with the classes of users is a user, whatever they are called.
    fn add_classes(&self, entry: &mut Entry) {
        let has = |any: &[Vec<String>]| {
            any.iter().any(|all| all.iter().all(|class| entry.has_class(class)))
        };
        let (is_user, is_group) = (has(&self.users), has(&self.groups));
        entry.remove_class("inetMailUser");
        entry.remove_class("inetMailGroup");
        for (is, class) in [(is_user, "inetMailUser"), (is_group, "inetMailGroup")] {
            if is {
                entry.add("objectclass", class);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ldap3::asn1::{PL, StructureTag, TagClass};

    use super::*;

    fn tag(id: u64, payload: PL) -> StructureTag {
        let class = if id == 4 && matches!(payload, PL::C(_)) {
            TagClass::Application
        } else {
            TagClass::Universal
        };
        StructureTag { class, id, payload }
    }

    fn text(octets: &[u8]) -> StructureTag {
        tag(4, PL::P(octets.to_vec()))
    }

    /// The library gives all values of such an attribute as octets.
    #[test]
    fn a_value_that_is_no_text_takes_no_other_with_it() {
        let values = [&b"jane@siroe.com"[..], b"j\xffne@siroe.com", b"jd@siroe.com"].map(text);
        let values = tag(17, PL::C(values.to_vec()));
        let attribute = tag(16, PL::C(vec![text(b"mailAlternateAddress"), values]));
        let entry = tag(4, PL::C(vec![text(b"uid=jdoe"), tag(16, PL::C(vec![attribute]))]));
        let file = format!("{}/../config/examples/relay.ron", env!("CARGO_MANIFEST_DIR"));
        let sample = std::fs::read_to_string(&file).unwrap();
        let (config, _) = relais_config::Config::parse(&file, &sample).unwrap();
        let Some(relais_config::Directory::Ldap(ldap)) = config.directory else { panic!() };
        let entry =
            Vocabulary::of(&ldap, &[]).entry(ResultEntry::new(entry), &SchemaNames::default());
        let mut found = entry.all("mailalternateaddress").to_vec();
        found.sort_unstable();
        assert_eq!(found, ["jane@siroe.com", "jd@siroe.com"]);
    }
}
