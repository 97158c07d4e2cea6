//! The Sieve scripts that an entry has.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use relais_channels::mail::Address;
use relais_config::{
    Config,
    grammar::{folded, table_key},
    user_file::{FileValue, UserFile},
};

use super::{
    allowance::IgnoredValue,
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
    /// Scripts of the entry.
    pub texts: Box<[Arc<str>]>,
    /// The place of one more behind these, whether it is there or not.
    pub file: Option<Box<Path>>,
}

/// Files of users' scripts: `sieve.files`.
#[derive(Clone, Debug)]
pub struct ScriptFiles {
    data: PathBuf,
    template: UserFile,
}

impl ScriptFiles {
    /// The files that the configuration has users' scripts in.
    pub fn of(config: &Config) -> Option<Self> {
        let template = config.sieve.files.clone().filter(|_| config.sieve.users)?;
        Some(Self { data: config.data.clone(), template })
    }

    /// The file of a user. `None`: the user has no such name, or one that no file could have.
    fn of_user(&self, entry: &Entry) -> Option<Box<Path>> {
        let address = entry.first("mail").and_then(|mail| Address::parse(mail.trim()).ok());
        let local = address.as_ref().map(|address| folded(&address.unquoted_local()));
        let domain = address.as_ref().and_then(Address::domain);
        let domain = domain.map(|domain| table_key(&format!("@{domain}")));
        let domain = domain.as_deref().map(|it| it.trim_start_matches('@').trim_end_matches('.'));
        let uid = entry.first("uid").map(folded);
        let path = self.template.of(|value| match value {
            FileValue::Local => local.as_deref(),
            FileValue::Domain => domain,
            FileValue::Uid => uid.as_deref(),
        })?;
        Some(self.data.join(path).into())
    }
}

impl SieveScripts {
    /// `mailSieveRuleSource` of a user, and the file that `files` has for the user; groups have none. Several
    /// values are pieces of one script (Sun Java Communications Suite 5 Schema Reference,
    /// `mailSieveRuleSource`).
    pub fn of(entry: &Entry, files: Option<&ScriptFiles>) -> Option<Self> {
        let values = entry.all(SOURCE);
        if values.is_empty() && files.is_none() || Kind::of(entry) != Some(Kind::User) {
            return None;
        }
        let text: Option<Arc<str>> = match in_order(values)[..] {
            [] => None,
            [only] => Some(only.into()),
            ref pieces => Some(relais_sieve::join(pieces).into()),
        };
        let texts: Box<[Arc<str>]> = text.into_iter().collect();
        let file = files.and_then(|files| files.of_user(entry));
        if texts.is_empty() && file.is_none() {
            return None;
        }
        let mail = entry.first("mail").map(Into::into);
        let addresses = addresses_of(entry);
        Some(Self { owner: entry.dn.as_str().into(), mail, addresses, texts, file })
    }
}

/// Values in the order that comments in them give, `# $Rule Info: Order=3`: those that give none, or a
/// negative one, come last, as the directory has them. A value of order 0 is switched off.
fn in_order(values: &[String]) -> Vec<&str> {
    let mut pieces: Vec<(u64, &str)> = values
        .iter()
        .filter(|text| !text.trim().is_empty())
        .map(|text| (order_of(text).unwrap_or(u64::MAX), text.as_str()))
        .filter(|(order, _)| *order != 0)
        .collect();
    pieces.sort_by_key(|(order, _)| *order);
    pieces.into_iter().map(|(_, text)| text).collect()
}

fn order_of(text: &str) -> Option<u64> {
    let order = |line: &str| {
        let comment = line.trim_start().strip_prefix('#')?.to_ascii_lowercase();
        let (_, info) = comment.split_once("rule info:")?;
        let (_, order) = info.split_once("order=")?;
        let digits = order.find(|c: char| !c.is_ascii_digit()).unwrap_or(order.len());
        order[..digits].parse().ok()
    };
    text.lines().find_map(order)
}

/// All addresses of a user.
pub(crate) fn addresses_of(entry: &Entry) -> Box<[Box<str>]> {
    let addresses = ADDRESSES.iter().flat_map(|name| entry.all(name));
    addresses.map(|address| address.as_str().into()).collect()
}

/// Scripts of an entry that nobody carries out: those of a group, those of a domain, and those that stand
/// somewhere else.
pub(crate) fn ignored_scripts(entry: &Entry) -> Vec<IgnoredValue> {
    let is_group = Kind::of(entry) == Some(Kind::Group);
    let own = is_group.then_some(("mailSieveRuleSource", SOURCE, OF_LIST));
    let all = own.into_iter().chain(ELSEWHERE);
    let said = all.filter_map(|(attribute, name, wanted)| {
        let text = entry.first(name).filter(|text| !text.trim().is_empty())?;
        Some(IgnoredValue::new(attribute, text, wanted))
    });
    said.collect()
}

const ELSEWHERE: [(&str, &str, &str); 2] = [
    (
        "mailDomainSieveRuleSource",
        "maildomainsieverulesource",
        "no script of a domain (`sieve.after` has one of all)",
    ),
    ("mailSieveRuleRef", "mailsieveruleref", "the script itself, in mailSieveRuleSource"),
];
const SOURCE: &str = "mailsieverulesource";
const OF_LIST: &str = "no script of a list";

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(class: &str, values: &[(&str, &str)]) -> Entry {
        let mut entry = Entry::new("uid=jdoe");
        entry.add("objectClass", class);
        for (name, value) in values {
            entry.add(name, *value);
        }
        entry
    }

    #[test]
    fn scripts_that_nobody_carries_out_are_named() {
        let rows = [
            ("inetMailGroup", "mailSieveRuleSource", true),
            ("inetMailUser", "mailSieveRuleSource", false),
            ("sunManagedOrganization", "mailDomainSieveRuleSource", true),
            ("inetMailUser", "mailSieveRuleRef", true),
        ];
        for (class, attribute, is_ignored) in rows {
            let told = ignored_scripts(&entry(class, &[(attribute, "keep;")]));
            assert_eq!(
                told.iter().any(|its| its.attribute == attribute),
                is_ignored,
                "{attribute}"
            );
            assert_eq!(ignored_scripts(&entry(class, &[(attribute, " ")])), []);
        }
    }

    #[test]
    fn scripts_of_an_entry() {
        // object class, values, the script
        let rows: [(&str, &[&str], Option<&str>); 8] = [
            ("inetMailUser", &["keep;"], Some("keep;")),
            ("inetMailUser", &["keep;", "discard;"], Some("keep;\ndiscard;\n")),
            ("inetMailUser", &[" ", "keep;"], Some("keep;")),
            ("inetMailUser", &[], None),
            ("inetMailUser", &[" "], None),
            ("inetMailGroup", &["keep;"], None),
            ("inetMailUser", &["# $Rule Info: Order=0\nkeep;"], None),
            (
                "inetMailUser",
                &[
                    "keep;",
                    "require \"copy\";\n# Rule Info: $Order=10\nstop;",
                    "#RULE INFO: order=2\nif true {}",
                ],
                Some(
                    "require \"copy\";\n#RULE INFO: order=2\nif true {}\n\n# Rule Info: $Order=10\nstop;\nkeep;\n",
                ),
            ),
        ];
        for (class, values, want) in rows {
            let values: Vec<_> =
                values.iter().map(|value| ("mailSieveRuleSource", *value)).collect();
            let entry = entry(class, &values);
            let scripts = SieveScripts::of(&entry, None);
            let text = scripts.as_ref().map(|its| its.texts.concat());
            assert_eq!(text.as_deref(), want, "{class} {values:?}");
            let is_told = class == "inetMailGroup";
            assert_eq!(!ignored_scripts(&entry).is_empty(), is_told, "{class}");
        }
    }

    #[test]
    fn the_order_of_a_piece_stands_in_a_comment() {
        let rows = [
            ("# $Rule Info: Order=3 Template=(x) Name=(y)\nkeep;", Some(3)),
            ("require \"copy\";\r\n  # Rule Info: $Order=12\r\nkeep;", Some(12)),
            ("# Rule Info: Order=-1", None),
            ("# Rule Info: Name=(Order)", None),
            ("# Order=3", None),
            ("keep; # Rule Info: Order=3", None),
            ("# Rule Info: Order=99999999999999999999", None),
        ];
        for (text, want) in rows {
            assert_eq!(order_of(text), want, "{text}");
        }
    }

    #[test]
    fn a_user_has_the_file_of_the_address_and_of_no_other_name() {
        let files = |template: &str| ScriptFiles {
            data: "/d".into(),
            template: UserFile::parse(template).unwrap(),
        };
        let both = files("s/$D/$U.sieve");
        let rows = [
            ("JDoe@A.Example", Some("/d/s/a.example/jdoe.sieve")),
            ("\"j doe\"@a.example", Some("/d/s/a.example/j doe.sieve")),
            ("jos\u{e9}@b\u{fc}cher.example", Some("/d/s/xn--bcher-kva.example/jos\u{e9}.sieve")),
            ("\"../x\"@a.example", None),
            ("\"..\"@a.example", None),
            ("a/b@a.example", None),
            ("jdoe", None),
            ("@a.example", None),
            ("", None),
        ];
        for (mail, want) in rows {
            let entry = entry("inetMailUser", &[("mail", mail)]);
            let scripts = SieveScripts::of(&entry, Some(&both));
            let file = scripts.and_then(|its| its.file);
            assert_eq!(file.as_deref(), want.map(Path::new), "{mail}");
        }
        let uid = files("/h/$M/.sieve");
        let user = entry("inetMailUser", &[("mail", "j@a.example"), ("uid", "JDoe")]);
        let file = SieveScripts::of(&user, Some(&uid)).and_then(|its| its.file);
        assert_eq!(file.as_deref(), Some(Path::new("/h/jdoe/.sieve")));
        let nameless = entry("inetMailUser", &[("uid", "JDoe")]);
        let file = SieveScripts::of(&nameless, Some(&uid)).and_then(|its| its.file);
        assert_eq!(file.as_deref(), Some(Path::new("/h/jdoe/.sieve")), "it needs no address");
        assert_eq!(SieveScripts::of(&nameless, Some(&both)), None);
        let group = entry("inetMailGroup", &[("mail", "j@a.example")]);
        assert_eq!(SieveScripts::of(&group, Some(&both)), None);
    }
}
