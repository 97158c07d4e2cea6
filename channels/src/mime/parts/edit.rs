//! The header of what comes in the place of a part.

use std::fmt::Write as _;

use super::super::header::with_encoding;
use crate::mail::{fields, named};

/// Changes of the header of a part. Everything else stays.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PartEdit {
    /// `type/subtype` and parameters, as [`PartEdit::of`] makes them; `None`: they stay.
    pub content_type: Option<String>,
    /// The disposition and its parameters; `None`: it stays.
    pub disposition: Option<String>,
    /// `Content-Transfer-Encoding`; `None`: it stays.
    pub encoding: Option<&'static str>,
}

impl PartEdit {
    /// The value of a field: a word, and parameters as RFC 2231 has them.
    pub fn of<'p>(word: &str, parameters: impl Iterator<Item = (&'p str, &'p str)>) -> String {
        let mut field = word.to_owned();
        for (name, value) in parameters.filter(|(name, _)| is_token(name)) {
            // Nothing that is written here may fail: it is a text in memory.
            let _ = if value.is_ascii() && !value.contains(char::is_control) {
                let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                write!(field, ";\r\n {name}=\"{quoted}\"")
            } else {
                write!(field, ";\r\n {name}*=utf-8''{}", percent(value))
            };
        }
        field
    }

    /// The header, its blank line included, with these changes. `is_message`: it is that of a message.
    pub fn apply(&self, header: &[u8], is_message: bool) -> Vec<u8> {
        let Self { content_type, disposition, encoding } = self;
        let edits = [("Content-Type", content_type), ("Content-Disposition", disposition)];
        let mut new = Vec::with_capacity(header.len() + 128);
        let (mut length, mut written) = (0, [false; 2]);
        let write = |new: &mut Vec<u8>, name: &str, value: &str| {
            new.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        };
        for field in fields(header) {
            length += field.len();
            let name = named(field).map_or(&b""[..], |(name, _)| name);
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            // Of the body that was there.
            if encoding.is_some() && OF_BODY.into_iter().any(is) {
                continue;
            }
            let place = edits.iter().position(|(name, value)| value.is_some() && is(name));
            match place.map(|place| (place, edits[place])) {
                Some((place, (name, Some(value)))) => {
                    if !std::mem::replace(&mut written[place], true) {
                        write(&mut new, name, value);
                    }
                }
                _ => new.extend_from_slice(field),
            }
        }
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.extend_from_slice(b"\r\n");
        }
        for ((name, value), is_written) in edits.into_iter().zip(written) {
            if let Some(value) = value.as_ref().filter(|_| !is_written) {
                write(&mut new, name, value);
            }
        }
        let blank = header.get(length..).filter(|blank| !blank.is_empty()).unwrap_or(b"\r\n");
        new.extend_from_slice(blank);
        match encoding {
            Some(encoding) => with_encoding(&new, encoding, is_message),
            None => new,
        }
    }
}

fn is_token(name: &str) -> bool {
    let fits = |c: u8| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=*'%".contains(&c);
    !name.is_empty() && name.bytes().all(fits)
}

fn percent(value: &str) -> String {
    let mut out = String::new();
    for octet in value.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._".contains(&octet) {
            out.push(octet.into());
        } else {
            let _ = write!(out, "%{octet:02X}");
        }
    }
    out
}

/// Fields that say something of the octets of a body.
const OF_BODY: [&str; 2] = ["content-md5", "content-length"];
