//! Fields of a header.

use std::{borrow::Cow, sync::OnceLock};

use super::{
    address::{Mailbox, mailboxes},
    words,
};
use crate::matching::Value;

/// A field of a header.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// As it stands.
    pub(crate) name: Cow<'a, str>,
    raw: Cow<'a, [u8]>,
    /// Owned, so that a field outlives none of its borrowers.
    value: OnceLock<Value<'static>>,
    mailboxes: OnceLock<Box<[Mailbox]>>,
}

impl<'a> Field<'a> {
    pub(crate) fn new(name: impl Into<Cow<'a, str>>, raw: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            name: name.into(),
            raw: raw.into(),
            value: OnceLock::new(),
            mailboxes: OnceLock::new(),
        }
    }

    /// The value, unfolded and decoded.
    pub(crate) fn value(&self) -> &Value<'static> {
        self.value.get_or_init(|| Value::new(words::decode(words::unfold(&self.raw)).into_owned()))
    }

    /// The value, unfolded and not decoded.
    pub(crate) fn unfolded(&self) -> Cow<'_, str> {
        words::unfold(&self.raw)
    }

    /// The addresses of the field.
    pub(crate) fn mailboxes(&self) -> &[Mailbox] {
        self.mailboxes.get_or_init(|| mailboxes(&self.unfolded()).into_boxed_slice())
    }

    /// Octets whose addresses nobody has read yet.
    pub(crate) fn unread(&self) -> u64 {
        if self.mailboxes.get().is_some() { 0 } else { self.octets() }
    }

    /// Octets of the field, with its name and its line ends.
    pub(crate) fn octets(&self) -> u64 {
        (self.name.len() + 1 + self.raw.len()) as u64
    }
}

/// Fields that are read of a header. A field takes many times the octets of the shortest one.
const MOST: usize = 4_096;

/// The fields of a header, the first 4,096; lines that are none are skipped. The header ends with an empty
/// line or with its octets.
pub(crate) fn fields(header: &[u8]) -> Vec<Field<'_>> {
    let mut found = Vec::with_capacity(24);
    let mut at = 0;
    while at < header.len() && found.len() < MOST {
        let start = at;
        at = line_end(header, at);
        if matches!(&header[start..at], b"\r\n" | b"\n") {
            break;
        }
        while header.get(at).is_some_and(|c| matches!(c, b' ' | b'\t')) {
            at = line_end(header, at);
        }
        let field = &header[start..at];
        let Some(colon) = memchr::memchr(b':', field) else { continue };
        let name = field[..colon].trim_ascii_end();
        let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
        if let Some(name) = is_name.then(|| std::str::from_utf8(name).ok()).flatten() {
            found.push(Field::new(name, &field[colon + 1..]));
        }
    }
    found
}

/// Behind the line that begins here.
fn line_end(header: &[u8], from: usize) -> usize {
    memchr::memchr(b'\n', &header[from..]).map_or(header.len(), |end| from + end + 1)
}
