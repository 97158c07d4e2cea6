//! A header for a server without SMTPUTF8: its fields in ASCII (RFC 6857, RFC 2047, RFC 2231).
//!
//! A field of ASCII stays as it is to the octet. Of another one the words stay that are ASCII, and its
//! lines are folded anew. Octets that are not UTF-8 are told to be of an unknown character set
//! (RFC 1428), so nothing of them is lost; only a `for` and an `id` of `Received` are left out, as
//! RFC 6857 has it, and a parameter that stands there encoded as well.

mod addresses;
mod folding;
mod parameters;
mod tokens;
mod trace;
mod words;

use addresses::{addresses, phrases};
use folding::{Folding, LONGEST};
pub(super) use parameters::TypeAndParameters;
use parameters::parameters;
use tokens::{tokens, unfolded};
use words::{as_they_are, unstructured};

use crate::mail::{fields, named};

/// The header, its blank line included, with every field in ASCII.
pub(crate) fn ascii_header(header: &[u8]) -> Vec<u8> {
    let (header, blank_line) = header.split_at(blank_line(header));
    let mut new = Vec::with_capacity(header.len() + header.len() / 4);
    for field in fields(header) {
        if field.is_ascii() {
            new.extend_from_slice(field);
        } else {
            ascii_field(field, &mut new);
        }
    }
    new.extend_from_slice(blank_line);
    new
}

fn ascii_field(field: &[u8], out: &mut Vec<u8>) {
    let line = field.strip_suffix(b"\n").unwrap_or(field);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = &field[line.len()..];
    let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let Some((name, value)) = named(line).filter(|(name, _)| is_name(name)) else {
        return encapsulated("Line", line, end, out);
    };
    let start = out.len();
    let mut written = Folding::new(name, out);
    if !value.starts_with(b" ") && !value.starts_with(b"\t") {
        written.space();
    }
    let done = match Grammar::of(name) {
        Grammar::Unstructured => {
            unstructured(value, &mut written);
            Some(())
        }
        Grammar::Addresses => addresses(value, &mut written),
        Grammar::Phrases => phrases(value, &mut written),
        Grammar::Parameters => parameters(value, &mut written),
        Grammar::Received => trace::received(value, &mut written),
        Grammar::Comments => tokens(value)
            .try_for_each(|token| token.and_then(|token| as_they_are(&[token], &mut written))),
    };
    written.finish(end);
    // A-labels are longer than the names they stand for, and there may be no place to fold.
    if done.is_none() || longest_line(&out[start..]) > LONGEST.max(longest_line(field)) {
        out.truncate(start);
        encapsulated(&String::from_utf8_lossy(name), value, end, out);
    }
}

/// The value of a field that has no other form, under another name (RFC 6857 section 3).
fn encapsulated(name: &str, value: &[u8], end: &[u8], out: &mut Vec<u8>) {
    let mut written = Folding::new(format!("Downgraded-{name}").as_bytes(), out);
    written.space();
    written.encoded(&unfolded(value));
    written.finish(end);
}

/// Octets of the longest line, its end left out.
fn longest_line(octets: &[u8]) -> usize {
    let lines = octets.split(|c| *c == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line).len());
    lines.max().unwrap_or_default()
}

/// The structure of a field's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Grammar {
    Unstructured,
    Addresses,
    Phrases,
    Parameters,
    Received,
    /// Nothing but its comments may be anything but ASCII.
    Comments,
}

impl Grammar {
    fn of(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let resent = name.strip_prefix("resent-").unwrap_or(&name);
        match resent {
            "from" | "sender" | "to" | "cc" | "bcc" | "reply-to" => Self::Addresses,
            "message-id" | "date" => Self::Comments,
            _ if ADDRESSES.contains(&&*name) => Self::Addresses,
            _ if COMMENTS.contains(&&*name) => Self::Comments,
            _ if name == "keywords" => Self::Phrases,
            _ if name == "received" => Self::Received,
            "content-type" | "content-disposition" => Self::Parameters,
            _ => Self::Unstructured,
        }
    }
}

/// Where the blank line begins that ends a header, be it of blanks.
fn blank_line(header: &[u8]) -> usize {
    let before = header.strip_suffix(b"\n").unwrap_or(header);
    let start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    if header[start..].trim_ascii().is_empty() { start } else { header.len() }
}

const ADDRESSES: [&str; 7] = [
    "return-path",
    "disposition-notification-to",
    "return-receipt-to",
    "errors-to",
    "mail-followup-to",
    "mail-reply-to",
    "list-id",
];
const COMMENTS: [&str; 8] = [
    "in-reply-to",
    "references",
    "mime-version",
    "content-id",
    "content-transfer-encoding",
    "content-language",
    "accept-language",
    "auto-submitted",
];

#[cfg(test)]
mod tests;
