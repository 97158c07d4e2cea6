//! Attributes with several names: a server gives their values under the first, whichever it was
//! asked by (RFC 4512 section 2.5; `OpenLDAP` does so for `localityName`, which comes back as `l`).

use std::collections::HashMap;

/// The names of a server's attributes: all others by the first, in lower case.
#[derive(Debug, Default)]
pub(super) struct SchemaNames(HashMap<String, Vec<String>>);

impl SchemaNames {
    /// From `attributeTypes` of the server's subschema (RFC 4512 section 4.1.2).
    pub(super) fn of(attribute_types: &[String]) -> Self {
        let mut names = HashMap::new();
        for description in attribute_types {
            let mut all = names_in(description).into_iter().map(str::to_ascii_lowercase);
            let Some(first) = all.next() else { continue };
            let others: Vec<_> = all.collect();
            if !others.is_empty() {
                names.insert(first, others);
            }
        }
        Self(names)
    }

    /// Attributes among these that an `OpenLDAP` server compares with nothing, by its subschema: a
    /// search for a value of one finds nobody, and is no error. `msuser.schema` that comes with 2.5
    /// has 929 of them.
    pub(super) fn uncompared<'a>(attribute_types: &[String], names: &'a [String]) -> Vec<&'a str> {
        let compared = |description: &&String| {
            description.contains(" EQUALITY ") || description.contains(" SUP ")
        };
        let of = |name: &str| {
            attribute_types.iter().find(|description| {
                names_in(description).iter().any(|its| its.eq_ignore_ascii_case(name))
            })
        };
        let lacks = |name: &&String| of(name).is_some_and(|description| !compared(&description));
        names.iter().filter(lacks).map(String::as_str).collect()
    }

    /// The other names of an attribute whose first name this is, in lower case.
    pub(super) fn others(&self, first: &str) -> &[String] {
        self.0.get(first).map_or(&[], Vec::as_slice)
    }
}

/// `( 2.5.4.7 NAME ( 'l' 'localityName' ) SUP name )`, or one name without parentheses.
fn names_in(description: &str) -> Vec<&str> {
    let Some((_, rest)) = description.split_once(" NAME ") else { return Vec::new() };
    let rest = rest.trim_start();
    let list = match rest.strip_prefix('(') {
        Some(list) => list.split(')').next().unwrap_or_default(),
        None => return rest.split('\'').nth(1).into_iter().collect(),
    };
    list.split('\'').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_stands_for_the_others() {
        let types = [
            "( 2.5.4.7 NAME ( 'l' 'localityName' ) DESC 'a (place)' SUP name )",
            "( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) SYNTAX 1.3 )",
            "( 2.5.4.0 NAME 'objectClass' DESC 'it''s a class' SYNTAX 1.3 )",
            "( 2.5.4.99 )",
            "( 1 NAME (",
            "",
        ];
        let names = SchemaNames::of(&types.map(str::to_owned));
        assert_eq!(names.others("l"), ["localityname"]);
        assert_eq!(names.others("mail"), ["rfc822mailbox"]);
        assert!(names.others("objectclass").is_empty() && names.others("x").is_empty());
        let asked = ["localityName", "MAIL", "unknown"].map(str::to_owned);
        assert_eq!(SchemaNames::uncompared(&types.map(str::to_owned), &asked), ["MAIL"]);
    }
}
