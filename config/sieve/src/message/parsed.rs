//! A message, its header parsed, its body when a test asks for it.

use std::{borrow::Cow, sync::OnceLock};

use super::{
    body::{MimePart, parts},
    field::{Field, fields},
};
use crate::{limits::Limits, matching::Value};

/// Octets of a header as usual messages have it.
const USUAL_HEADER: usize = 65_536;

/// A message, for all its recipients.
#[derive(Debug)]
pub struct Message<'a> {
    pub(crate) fields: Vec<Field<'a>>,
    /// In octets.
    pub(crate) size: u64,
    /// Whether to read the addresses of the header costs more than a little.
    pub(crate) has_large_header: bool,
    body: &'a [u8],
    has_body: bool,
    raw: OnceLock<Value<'static>>,
    parts: OnceLock<Vec<MimePart>>,
}

impl<'a> Message<'a> {
    /// Parses the octets of a header and of a body, as far as they are there, of a message of `size`
    /// octets. Of the header the first 4,096 fields are read, of the body what `limits` say. A header
    /// without its empty line and an empty body: the message has no body.
    pub fn of(header: &'a [u8], body: &'a [u8], size: u64, limits: &Limits) -> Self {
        Self {
            fields: fields(header),
            size,
            has_large_header: header.len() > USUAL_HEADER,
            body: &body[..body.len().min(limits.body_octets)],
            has_body: !body.is_empty() || header.ends_with(b"\n\r\n") || header.ends_with(b"\n\n"),
            raw: OnceLock::new(),
            parts: OnceLock::new(),
        }
    }

    /// The body as it stands; nothing when the message ends within its header.
    pub(crate) fn raw_body(&self) -> Option<&Value<'static>> {
        let raw = || Value::new(String::from_utf8_lossy(self.body).into_owned());
        self.has_body.then(|| self.raw.get_or_init(raw))
    }

    /// The texts of the body, without markup.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &Value<'static>> {
        self.parts().iter().filter_map(MimePart::plain)
    }

    /// The parts of these types: RFC 5173 5.2.
    pub(crate) fn parts_of<'s>(
        &'s self,
        types: &'s [Cow<'s, str>],
    ) -> impl Iterator<Item = &'s Value<'static>> {
        let wanted = move |part: &&'s MimePart| types.iter().any(|it| is_of_type(&part.kind, it));
        self.parts().iter().filter(wanted).map(|part| &part.text)
    }

    /// Octets of the body that tests look at.
    pub(crate) fn body_octets(&self) -> usize {
        self.body.len()
    }

    fn parts(&self) -> &[MimePart] {
        let parts = || if self.has_body { parts(&self.fields, self.body) } else { Vec::new() };
        self.parts.get_or_init(parts)
    }
}

/// Whether `kind`, in lower case, is of a type: empty is any, without a slash any of its kind.
fn is_of_type(kind: &str, wanted: &str) -> bool {
    let slashes = wanted.bytes().filter(|c| *c == b'/').count();
    match slashes {
        // A slash at an end, or a second one, names no type.
        1 if wanted.starts_with('/') || wanted.ends_with('/') => false,
        1 => kind.eq_ignore_ascii_case(wanted),
        0 if wanted.is_empty() => true,
        0 => kind.split('/').next().is_some_and(|main| main.eq_ignore_ascii_case(wanted)),
        _ => false,
    }
}
