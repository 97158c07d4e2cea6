//! Transfer encodings of bodies that come in pieces.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{super::quoted::QuotedPrintable, BodyEncoding};

/// Undoes a transfer encoding. What may not stand in one is skipped, or stays as it is.
#[derive(Clone, Debug)]
pub enum BodyDecoder {
    /// There is none, or nobody knows it.
    Identity,
    /// Quoted-printable: blanks that may end a line, or an `=` with what follows it.
    Quoted(Vec<u8>),
    /// Base64: the bits that make no octet yet, and how many they are.
    Base64(u32, u8),
}

impl BodyDecoder {
    /// For a body that is encoded so.
    pub fn of(encoding: BodyEncoding) -> Self {
        match encoding {
            BodyEncoding::QuotedPrintable => Self::Quoted(Vec::new()),
            BodyEncoding::Base64 => Self::Base64(0, 0),
            BodyEncoding::Identity | BodyEncoding::Unknown => Self::Identity,
        }
    }

    /// Whether line ends are octets of the body.
    pub(super) fn has_lines(&self) -> bool {
        !matches!(self, Self::Base64(..))
    }

    /// Takes a piece; appends what it stands for.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Identity => out.extend_from_slice(octets),
            Self::Quoted(open) => octets.iter().for_each(|octet| unquote(*octet, open, out)),
            Self::Base64(bits, count) => {
                for octet in octets {
                    let Some(sextet) = sextet(*octet) else {
                        // Behind it another text may begin.
                        if *octet == b'=' {
                            *count = 0;
                        }
                        continue;
                    };
                    *bits = *bits << 6 | sextet;
                    *count += 6;
                    if *count >= 8 {
                        *count -= 8;
                        // The upper bits have been given.
                        out.push((*bits >> *count & 0xff) as u8);
                    }
                }
            }
        }
    }

    /// The body is complete.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self {
            // Blanks at the end of the text are none of it (RFC 2045 section 6.7, rule 3).
            Self::Quoted(open) if open.starts_with(b"=") => out.extend(open),
            _ => {}
        }
    }
}

/// Takes an octet of quoted-printable text. `open` is bounded by a line of 1,000 blanks.
fn unquote(octet: u8, open: &mut Vec<u8>, out: &mut Vec<u8>) {
    if open.first() == Some(&b'=') {
        open.push(octet);
        let is_hex = |octet: &u8| octet.is_ascii_hexdigit();
        match &open[1..] {
            [b'\n'] | [b'\r', b'\n'] => open.clear(),
            // A soft break may have blanks before its end.
            [blanks @ .., b'\n'] if blanks.iter().all(|c| b" \t\r".contains(c)) => open.clear(),
            rest if rest.len() < MOST_BLANKS && rest.iter().all(|c| b" \t\r".contains(c)) => {}
            [high] if is_hex(high) => {}
            [high, low] if is_hex(high) && is_hex(low) => {
                let digit = |octet: u8| (octet as char).to_digit(16).unwrap_or_default();
                out.push((digit(*high) << 4 | digit(*low)) as u8);
                open.clear();
            }
            _ => {
                open.pop();
                out.append(open);
                unquote(octet, open, out);
            }
        }
        return;
    }
    match octet {
        b' ' | b'\t' if open.len() < MOST_BLANKS => open.push(octet),
        b'\r' | b'\n' => {
            if open.last() != Some(&b'\r') {
                open.clear();
            }
            out.push(octet);
        }
        b'=' => {
            out.append(open);
            open.push(octet);
        }
        _ => {
            out.append(open);
            out.push(octet);
        }
    }
}

fn sextet(octet: u8) -> Option<u32> {
    let digit = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(digit.into())
}

/// Makes a transfer encoding: quoted-printable of text, base64 of all else.
#[derive(Debug)]
pub enum BodyEncoder {
    /// A text; whether the octet before was a CR.
    Text(TextEncoder),
    /// Octets that make no whole line of base64 yet, and whether a line stands before them.
    Octets(Vec<u8>, bool),
}

/// A text on its way into quoted-printable. Its lines end in CRLF, whatever they ended in.
#[derive(Debug)]
pub struct TextEncoder {
    quoted: QuotedPrintable,
    after_cr: bool,
}

impl BodyEncoder {
    /// For a body of this type.
    pub fn of(kind: &str) -> Self {
        if kind.eq_ignore_ascii_case("text") {
            Self::Text(TextEncoder { quoted: QuotedPrintable::new(), after_cr: false })
        } else {
            Self::Octets(Vec::new(), false)
        }
    }

    /// The name of the encoding.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text(_) => "quoted-printable",
            Self::Octets(..) => "base64",
        }
    }

    /// Takes a piece; appends what is sent for it.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text(TextEncoder { quoted, after_cr }) => {
                for octet in octets {
                    if *octet == b'\n' && !*after_cr {
                        quoted.feed(b"\r", out);
                    }
                    quoted.feed(&[*octet], out);
                    *after_cr = *octet == b'\r';
                }
            }
            Self::Octets(open, is_begun) => {
                open.extend_from_slice(octets);
                let whole = open.len() / LINE * LINE;
                for line in open[..whole].chunks(LINE) {
                    push_line(line, is_begun, out);
                }
                open.drain(..whole);
            }
        }
    }

    /// The body is complete. Its last line has no end.
    pub fn finish(self, out: &mut Vec<u8>) {
        match self {
            Self::Text(TextEncoder { quoted, .. }) => quoted.finish(out),
            Self::Octets(open, _) if open.is_empty() => {}
            Self::Octets(open, mut is_begun) => push_line(&open, &mut is_begun, out),
        }
    }
}

fn push_line(line: &[u8], is_begun: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(is_begun, true) {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(STANDARD.encode(line).as_bytes());
}

/// Octets that make a line of 76.
const LINE: usize = 57;
/// Blanks that may end a line.
const MOST_BLANKS: usize = 1_000;
