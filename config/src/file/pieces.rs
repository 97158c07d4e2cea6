//! RON taken apart one level at a time, every piece a slice of the file.
//!
//! The `ron` crate does the parsing. What lies between a field's colon and its comma comes back as
//! raw text, so that a mistake inside it hides no other, and its place is not lost.

use std::fmt;

use ron::value::RawValue;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};

/// `(name: value, ...)`: names and raw values in file order.
pub(crate) fn fields(text: &str) -> ron::error::SpannedResult<Vec<(&str, &str)>> {
    ron::from_str(text).map(|FieldTexts(fields)| fields)
}

/// The value that the whole file is, without what stands around it. A file that begins with
/// attributes is taken as it is.
pub(crate) fn whole(text: &str) -> &str {
    RawValue::from_ron(text).map_or(text, bare)
}

/// `{key: value, ...}`: raw keys and raw values in file order.
pub(crate) fn entries(text: &str) -> ron::error::SpannedResult<Vec<(&str, &str)>> {
    ron::from_str(text).map(|Entries(entries)| entries)
}

/// `[value, ...]`.
pub(crate) fn items(text: &str) -> ron::error::SpannedResult<Vec<&str>> {
    let items = ron::from_str::<Vec<&RawValue>>(text)?;
    Ok(items.into_iter().map(bare).collect())
}

/// `(first, second)`.
pub(crate) fn pair(text: &str) -> ron::error::SpannedResult<(&str, &str)> {
    let (first, second) = ron::from_str::<(&RawValue, &RawValue)>(text)?;
    Ok((bare(first), bare(second)))
}

/// `None`, `Some(value)`, or just a value.
pub(crate) fn option(text: &str) -> Option<&str> {
    match text {
        "None" => None,
        _ => match variant(text) {
            // Only `Some(x)` with nothing after it is longer than its name.
            Some(("Some", inner)) if !inner.is_empty() => {
                Some(ron::from_str::<Option<&RawValue>>(text).ok().flatten().map_or(text, bare))
            }
            _ => Some(text),
        },
    }
}

/// `Name` or `Name(...)`: the name, and what follows it.
pub(crate) fn variant(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !rest.starts_with('"');
    named.then(|| (name, rest.trim_start()))
}

/// A value without the blanks and comments around it.
fn bare(value: &RawValue) -> &str {
    value.trim().get_ron()
}

struct FieldTexts<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for FieldTexts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachField;
        impl<'de> Visitor<'de> for EachField {
            type Value = FieldTexts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("fields in parentheses")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(Identifier(name)) = map.next_key()? {
                    fields.push((name, bare(map.next_value()?)));
                }
                Ok(FieldTexts(fields))
            }
        }
        deserializer.deserialize_struct("", &[], EachField)
    }
}

struct Entries<'a>(Vec<(&'a str, &'a str)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EachEntry;
        impl<'de> Visitor<'de> for EachEntry {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map in braces")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key()? {
                    entries.push((bare(key), bare(map.next_value()?)));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EachEntry)
    }
}

struct Identifier<'a>(&'a str);

impl<'de> Deserialize<'de> for Identifier<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl<'de> Visitor<'de> for Name {
            type Value = Identifier<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Identifier(name))
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_comes_apart_into_slices_of_the_text() {
        let text = "// head\n( /* a */ a: 1, // one\n b :\"x,)\" /*y*/ , c: Ldap(servers: [ ], d: (1,2)),\n r#d: { 'x' : () } )\n";
        let fields = fields(text).unwrap();
        let want = [
            ("a", "1"),
            ("b", "\"x,)\""),
            ("c", "Ldap(servers: [ ], d: (1,2))"),
            ("d", "{ 'x' : () }"),
        ];
        assert_eq!(fields, want);
        let inside = text.as_bytes().as_ptr_range();
        assert!(fields.iter().all(|(_, value)| inside.contains(&value.as_ptr())));
    }

    #[test]
    fn every_shape_comes_apart() {
        assert_eq!(items("[1, // x\n (a: 2), Smtp,]").unwrap(), ["1", "(a: 2)", "Smtp"]);
        assert_eq!(entries("{\"a\" : 1, /* k */ b: [2]}").unwrap(), [("\"a\"", "1"), ("b", "[2]")]);
        assert_eq!(pair("( \"a\",\n\"b\", )").unwrap(), ("\"a\"", "\"b\""));
        assert!(pair("(1, 2, 3)").is_err() && pair("(1)").is_err() && pair("[1, 2]").is_err());
        assert_eq!(fields("()").unwrap(), []);
        for (text, want) in [
            ("None", None),
            ("Some(1)", Some("1")),
            ("Some ( /* x */ 1 , )", Some("1")),
            ("1", Some("1")),
            ("Something(1)", Some("Something(1)")),
        ] {
            assert_eq!(option(text), want, "{text}");
        }
        assert_eq!(variant("Ldif"), Some(("Ldif", "")));
        assert_eq!(variant("Ldif (file: 1)"), Some(("Ldif", "(file: 1)")));
        for text in ["1", "\"a\"", "r\"a\"", "(a: 1)", "[]"] {
            assert_eq!(variant(text), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        assert!(fields(&format!("(a: {}{})", "[".repeat(100_000), "]".repeat(100_000))).is_err());
    }
}
