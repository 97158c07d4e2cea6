//! How a value is compared with a key: RFC 5228 2.7, RFC 5231, draft-ietf-sieve-regex.

mod ere;
mod glob;
mod matcher;
mod numeric;
mod pattern;
mod value;

pub(crate) use matcher::{Captures, Comparator, Kind, Matcher, Prepared, Relation};
pub(crate) use pattern::PatternError;
pub(crate) use value::Value;
