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
    /// `mailSieveRuleSource` of a user; groups have none. Several values are pieces of one script (Sun
    /// Java Communications Suite 5 Schema Reference, `mailSieveRuleSource`).
    pub fn of(entry: &Entry) -> Option<Self> {
        let values = entry.all(SOURCE);
        if values.is_empty() || Kind::of(entry) != Some(Kind::User) {
            return None;
        }
        let text: Arc<str> = match in_order(values)[..] {
            [] => return None,
            [only] => only.into(),
            ref pieces => relais_sieve::join(pieces).into(),
        };
        let mail = entry.first("mail").map(Into::into);
        let addresses = ADDRESSES.iter().flat_map(|name| entry.all(name));
        let addresses = addresses.map(|address| address.as_str().into()).collect();
        Some(Self { owner: entry.dn.as_str().into(), mail, addresses, texts: [text].into() })
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

const SOURCE: &str = "mailsieverulesource";

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut entry = Entry::new("uid=jdoe");
            entry.add("objectClass", class);
            for value in values {
                entry.add("mailSieveRuleSource", *value);
            }
            let scripts = SieveScripts::of(&entry);
            let text = scripts.as_ref().map(|its| its.texts.concat());
            assert_eq!(text.as_deref(), want, "{class} {values:?}");
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
}
