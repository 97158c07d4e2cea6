//! Parts of a body: RFC 2045, RFC 2046, and RFC 5173 for what of them a test sees.

use std::sync::OnceLock;

use super::{
    coding,
    field::{Field, fields},
};
use crate::matching::Value;

/// A part, or what stands around the parts of a multipart.
#[derive(Debug)]
pub(super) struct MimePart {
    /// `type/subtype`, in lower case.
    pub(super) kind: String,
    /// Decoded.
    pub(super) text: Value<'static>,
    /// Its text without markup, when it is a text.
    plain: OnceLock<Option<Value<'static>>>,
}

/// Where a part stands.
#[derive(Clone, Copy)]
struct PartPlace {
    depth: usize,
    /// The type of a part that names none.
    default: &'static str,
}

/// Multiparts within each other.
const NESTING: usize = 8;
/// Parts of a message.
const MOST: usize = 256;

/// The parts of a body whose header has these fields.
pub(super) fn parts(header: &[Field<'_>], body: &[u8]) -> Vec<MimePart> {
    let mut found = Vec::new();
    walk(header, body, PartPlace { depth: 0, default: "text/plain" }, &mut found);
    found
}

impl MimePart {
    fn new(kind: &str, text: String) -> Self {
        Self { kind: kind.to_owned(), text: Value::new(text), plain: OnceLock::new() }
    }

    /// The words of a text; nothing when it is none.
    pub(super) fn plain(&self) -> Option<&Value<'static>> {
        if !["text/html", "application/xhtml+xml"].contains(&self.kind.as_str()) {
            return self.kind.starts_with("text/").then_some(&self.text);
        }
        let strip =
            || Some(Value::new(mail_parser::decoders::html::html_to_text(self.text.text())));
        self.plain.get_or_init(strip).as_ref()
    }
}

fn walk(header: &[Field<'_>], body: &[u8], place: PartPlace, found: &mut Vec<MimePart>) {
    if found.len() >= MOST {
        return;
    }
    let field = |name: &str| header.iter().find(|it| it.name.eq_ignore_ascii_case(name));
    let content_type = field("content-type").map(|it| it.unfolded().into_owned());
    let content_type = content_type.as_deref().unwrap_or(place.default);
    let kind = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    // A type that is none is plain text (RFC 2045 5.2), but not one that goes on behind its subtype.
    let kind = match kind.bytes().filter(|c| *c == b'/').count() {
        0 => "text/plain".to_owned(),
        1 => kind,
        _ => "application/octet-stream".to_owned(),
    };
    let is_deeper = place.depth < NESTING;
    let mut inside = PartPlace { depth: place.depth + 1, default: "text/plain" };
    if kind.starts_with("multipart/") && is_deeper {
        let boundary = parameter(content_type, "boundary").unwrap_or_default();
        if !boundary.is_empty() {
            // RFC 2046 5.1.5.
            if kind == "multipart/digest" {
                inside.default = "message/rfc822";
            }
            found.push(MimePart::new(&kind, String::new()));
            let at = found.len() - 1;
            let around = multipart(body, &boundary, inside, found);
            found[at].text = Value::new(around);
            return;
        }
    }
    let encoding = field("content-transfer-encoding").map(|it| it.unfolded().to_ascii_lowercase());
    let decoded = match encoding.as_deref() {
        Some("base64") => coding::base64(body),
        Some("quoted-printable") => coding::quoted_printable(body, false),
        None | Some("7bit" | "8bit" | "binary") => body.to_vec(),
        // Octets that nobody can read: RFC 2045 6.4.
        Some(_) => return,
    };
    if kind == "message/rfc822" && is_deeper {
        let (header, body) = split(&decoded);
        found.push(MimePart::new(&kind, String::from_utf8_lossy(header).into_owned()));
        return walk(&fields(header), body, inside, found);
    }
    let charset = parameter(content_type, "charset").unwrap_or_default();
    let is_text = kind.starts_with("text/");
    let text = is_text.then(|| coding::decode_charset(&decoded, &charset)).flatten();
    let text = text.unwrap_or_else(|| String::from_utf8_lossy(&decoded).into_owned());
    found.push(MimePart::new(&kind, text));
}

/// Parts between the lines of a boundary; what stands before and behind them is given back.
fn multipart(body: &[u8], boundary: &str, place: PartPlace, found: &mut Vec<MimePart>) -> String {
    let mut around = String::new();
    let mut inside: Option<usize> = None;
    let (mut at, mut outside) = (0, 0);
    let mut is_ended = false;
    while at < body.len() && !is_ended {
        let end = memchr::memchr(b'\n', &body[at..]).map_or(body.len(), |end| at + end + 1);
        if let Some(is_last) = delimiter(&body[at..end], boundary) {
            match inside {
                Some(start) => part(&body[start..at], place, found),
                None => around.push_str(&String::from_utf8_lossy(&body[outside..at])),
            }
            inside = (!is_last).then_some(end);
            outside = end;
            is_ended = is_last;
        }
        at = end;
    }
    match inside {
        Some(start) => part(&body[start..], place, found),
        None => around.push_str(&String::from_utf8_lossy(&body[outside..])),
    }
    around
}

fn part(octets: &[u8], place: PartPlace, found: &mut Vec<MimePart>) {
    // The line end before a delimiter is the delimiter's: RFC 2046 5.1.1.
    let octets = octets.strip_suffix(b"\n").unwrap_or(octets);
    let octets = octets.strip_suffix(b"\r").unwrap_or(octets);
    let (header, body) = split(octets);
    walk(&fields(header), body, place, found);
}

/// Whether a line is a delimiter; then, whether it is the last one.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let behind = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?.trim_ascii_end();
    match behind {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

/// A header, with its empty line, and the body behind it.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while at < message.len() {
        let end = memchr::memchr(b'\n', &message[at..]).map_or(message.len(), |end| at + end + 1);
        if matches!(&message[at..end], b"\r\n" | b"\n") {
            return (&message[..at], &message[end..]);
        }
        at = end;
    }
    (message, b"")
}

/// A parameter of a content type, without quotes.
fn parameter(content_type: &str, name: &str) -> Option<String> {
    let mut rest = content_type.split_once(';')?.1;
    loop {
        let (found, behind) = rest.split_once('=')?;
        let found = found.rsplit(';').next().unwrap_or(found).trim();
        let behind = behind.trim_start();
        let (value, next) = if let Some(quoted) = behind.strip_prefix('"') {
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => value.extend(characters.next().map(|(_, c)| c)),
                    other => value.push(other),
                }
            }
            (value, &quoted[end..])
        } else {
            let end = behind.find([';', ' ', '\t']).unwrap_or(behind.len());
            (behind[..end].to_owned(), &behind[end..])
        };
        if found.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}
