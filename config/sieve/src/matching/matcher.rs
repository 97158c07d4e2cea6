//! Match types and comparators.

use std::cmp::Ordering;

use memchr::memmem;

use super::{
    glob::{Glob, Places},
    numeric,
    pattern::{Pattern, PatternError},
    value::Value,
};
use crate::limits::{Bound, Fuel};

/// Match types.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Is,
    Contains,
    Matches,
    Regex,
    Value(Relation),
    Count(Relation),
}

/// Relations of RFC 5231 4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Relation {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

/// Comparators.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparator {
    Octet,
    Casemap,
    Numeric,
}

/// The way in which values are compared with keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matcher {
    pub(crate) kind: Kind,
    pub(crate) comparator: Comparator,
    /// Whether the script can see what wildcards stand for.
    pub(crate) has_captures: bool,
}

/// A key, as the matcher wants it.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// In lower case when the comparator looks at no case.
    Plain(Box<str>),
    Glob(Glob),
    Pattern(Box<Pattern>),
}

/// `${0}` to `${9}`.
pub(crate) type Captures = Vec<String>;

/// Match variables that are there: RFC 5229 3.2.
const CAPTURES: usize = 10;

impl Matcher {
    /// Makes a key ready; a regular expression takes its size from `octets`.
    pub(crate) fn prepare(self, key: &str, octets: &mut usize) -> Result<Prepared, PatternError> {
        let is_folded = self.comparator == Comparator::Casemap;
        if self.kind == Kind::Regex {
            let pattern = Pattern::new(key, is_folded, octets)?;
            return Ok(Prepared::Pattern(Box::new(pattern)));
        }
        let key = if is_folded { key.to_ascii_lowercase() } else { key.to_owned() };
        Ok(match self.kind {
            Kind::Matches => Prepared::Glob(Glob::new(&key)),
            _ => Prepared::Plain(key.into_boxed_str()),
        })
    }

    /// Whether a value matches a key; what the wildcards stand for goes to `captures`.
    pub(crate) fn matches(
        self,
        value: &Value<'_>,
        key: &Prepared,
        fuel: &mut Fuel,
        captures: &mut Captures,
    ) -> Result<bool, Bound> {
        let text = if self.comparator == Comparator::Casemap && self.kind != Kind::Regex {
            value.folded()
        } else {
            value.text()
        };
        match key {
            Prepared::Plain(key) => {
                fuel.spend(1 + text.len() as u64 / 64)?;
                Ok(self.compares(text, key))
            }
            Prepared::Glob(glob) => {
                fuel.spend(1)?;
                let Some(places) = glob.find(text.as_bytes(), fuel)? else { return Ok(false) };
                if self.has_captures {
                    capture(value.text(), &places, captures);
                    fuel.hold(captures.iter().map(String::len).sum())?;
                }
                Ok(true)
            }
            Prepared::Pattern(pattern) => {
                fuel.spend(1 + text.len() as u64 * pattern.weight / 8)?;
                if !self.has_captures {
                    return Ok(pattern.regex.is_match(text.as_bytes()));
                }
                let Some(found) = pattern.regex.captures(text.as_bytes()) else { return Ok(false) };
                let group = |group: Option<regex::bytes::Match<'_>>| {
                    let group = group.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned());
                    group.unwrap_or_default()
                };
                *captures = found.iter().take(CAPTURES).map(group).collect();
                fuel.hold(captures.iter().map(String::len).sum())?;
                Ok(true)
            }
        }
    }

    fn compares(self, text: &str, key: &str) -> bool {
        let order = || match self.comparator {
            Comparator::Numeric => numeric::compare(text, key),
            Comparator::Octet | Comparator::Casemap => text.cmp(key),
        };
        match self.kind {
            Kind::Contains => memmem::find(text.as_bytes(), key.as_bytes()).is_some(),
            Kind::Value(relation) | Kind::Count(relation) => relation.holds(order()),
            Kind::Is | Kind::Matches | Kind::Regex => order() == Ordering::Equal,
        }
    }
}

impl Relation {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            _ => return None,
        })
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
        }
    }
}

fn capture(text: &str, places: &Places, captures: &mut Captures) {
    captures.clear();
    captures.push(text.to_owned());
    let of_wildcards = places.iter().take(CAPTURES - 1);
    let octets = |place: &std::ops::Range<usize>| &text.as_bytes()[place.clone()];
    captures.extend(of_wildcards.map(|it| String::from_utf8_lossy(octets(it)).into_owned()));
}
