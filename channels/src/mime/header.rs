//! The header of a message or a part: what it says of its body, and the same with another encoding.

use crate::mail::{fields, named};

/// How a body is encoded, as its header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Encoding {
    /// Its octets are what it is: `7bit`, `8bit`, `binary`, or nothing was said.
    Identity,
    QuotedPrintable,
    Base64,
    /// Another one, or several that contradict each other.
    Other,
}

impl Encoding {
    pub(super) fn of(header: &[u8]) -> Self {
        let mut found = None;
        for (_, value) in fields(header).filter_map(named).filter(|(name, _)| is_encoding(name)) {
            let word = value.split(|c| *c == b';' || *c == b'(').next().unwrap_or_default();
            let word = word.trim_ascii();
            let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
            let encoding = match () {
                () if ["7bit", "8bit", "binary", ""].into_iter().any(is) => Self::Identity,
                () if is("quoted-printable") => Self::QuotedPrintable,
                () if is("base64") => Self::Base64,
                () => Self::Other,
            };
            if *found.get_or_insert(encoding) != encoding {
                return Self::Other;
            }
        }
        found.unwrap_or(Self::Identity)
    }
}

/// Whether the header names an encoding that a 7-bit way does not know.
pub(super) fn names_more_than_seven_bit(header: &[u8]) -> bool {
    let mut fields = fields(header).filter_map(named);
    fields
        .any(|(name, value)| is_encoding(name) && !value.trim_ascii().eq_ignore_ascii_case(b"7bit"))
}

/// Whether its type forbids every encoding, though it is no message to go into (RFC 2046 sections
/// 5.2.2 and 5.2.3).
pub(super) fn forbids_encoding(header: &[u8]) -> bool {
    let mut fields = fields(header).filter_map(named);
    let own = fields.find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
    own.is_some_and(|(_, value)| {
        let kind = value.split(|c| *c == b';').next().unwrap_or_default().trim_ascii();
        let is = |other: &str| kind.eq_ignore_ascii_case(other.as_bytes());
        let multipart = kind.get(..10).is_some_and(|it| it.eq_ignore_ascii_case(b"multipart/"));
        multipart || ["message/partial", "message/external-body"].into_iter().any(is)
    })
}

/// The header, its blank line included, with this encoding in the place of every other. `is_message`: it
/// is that of a message and not of a part, and needs a `MIME-Version`.
pub(super) fn with_encoding(header: &[u8], encoding: &str, is_message: bool) -> Vec<u8> {
    let mut new = Vec::with_capacity(header.len() + 64);
    let (mut has_version, mut is_written, mut length) = (false, false, 0);
    let mut write = |new: &mut Vec<u8>| {
        if !std::mem::replace(&mut is_written, true) {
            new.extend_from_slice(b"Content-Transfer-Encoding: ");
            new.extend_from_slice(encoding.as_bytes());
            new.extend_from_slice(b"\r\n");
        }
    };
    for field in fields(header) {
        length += field.len();
        match named(field) {
            Some((name, _)) if is_encoding(name) => {
                write(&mut new);
                continue;
            }
            Some((name, _)) => has_version |= name.eq_ignore_ascii_case(b"mime-version"),
            None => {}
        }
        new.extend_from_slice(field);
    }
    if is_message && !has_version {
        new.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    write(&mut new);
    new.extend_from_slice(header.get(length..).unwrap_or_default());
    new
}

/// Whether it announces a message whose header may hold UTF-8 (RFC 6532 section 3.7).
pub(super) fn is_global(header: &[u8]) -> bool {
    let mut fields = fields(header).filter_map(named);
    let own = fields.find(|(name, _)| is_type(name));
    own.is_some_and(|(_, value)| global_at(value).is_some())
}

/// The header with `message/rfc822` in the place of `message/global`.
pub(super) fn without_global(header: &[u8]) -> Vec<u8> {
    let mut new = Vec::with_capacity(header.len());
    let mut rest = header;
    for field in fields(header) {
        rest = &rest[field.len()..];
        let value = named(field).filter(|(name, _)| is_type(name)).map(|(_, value)| value);
        match value.and_then(|value| Some(field.len() - value.len() + global_at(value)?)) {
            Some(at) => {
                new.extend_from_slice(&field[..at]);
                new.extend_from_slice(b"message/rfc822");
                new.extend_from_slice(&field[at + GLOBAL.len()..]);
            }
            None => new.extend_from_slice(field),
        }
    }
    new.extend_from_slice(rest);
    new
}

/// Where `message/global` stands in the value of a `Content-Type`.
fn global_at(value: &[u8]) -> Option<usize> {
    let kind = value.split(|c| *c == b';').next().unwrap_or_default();
    let is_it = kind.trim_ascii().eq_ignore_ascii_case(GLOBAL);
    is_it.then(|| kind.len() - kind.trim_ascii_start().len())
}

fn is_type(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-type")
}

const GLOBAL: &[u8] = b"message/global";

fn is_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-transfer-encoding")
}
