//! The rules for a message beyond those for its lines: how large its header may be, how many fields
//! the header may have, whether it must be written as one, and whether a NUL may be anywhere.
//!
//! Follows content in whatever pieces it comes, keeps none of it, and remembers the first fault.
//! The header ends at the first empty line, before the first line that is no part of a header, or at
//! the end of a message that has neither.

use memchr::memchr;

/// The bounds on one message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ContentLimits {
    /// Octets of the header, CRLF of every line included.
    pub header_size: u64,
    /// Fields of the header; a folded one counts once.
    pub header_fields: usize,
    /// A message with a NUL is refused (RFC 5322 section 4.1 calls NUL obsolete).
    pub forbid_nul: bool,
    /// A message is refused whose header does not end with a blank line, or with the message.
    pub header_form: bool,
}

/// Follows one message.
#[derive(Debug)]
pub struct ContentCheck {
    limits: ContentLimits,
    /// `None` behind the header.
    header: Option<HeaderCount>,
    fault: Option<ContentFault>,
}

/// The header so far.
#[derive(Debug, Default)]
struct HeaderCount {
    octets: u64,
    fields: usize,
    at: Column,
}

/// Where in the header the next octet stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Column {
    /// At the start of the first line, which continues none.
    #[default]
    First,
    LineStart,
    /// Behind a CR at the start of a line.
    Cr,
    /// In the name of a field in the first line, or in another one.
    Name {
        first: bool,
    },
    /// In the white space that may stand behind the name (RFC 5322 section 4.5.8).
    NameEnd {
        first: bool,
    },
    Inside,
}

/// How a header ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum HeaderEnd {
    /// With a blank line.
    Blank,
    /// With a line that is no part of one: the first of the message, or another one.
    Odd { first: bool },
}

/// The first thing wrong with a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ContentFault {
    /// More octets of header than [`ContentLimits::header_size`].
    #[error("the header is larger than {0} octets")]
    LargeHeader(u64),
    /// More fields than [`ContentLimits::header_fields`].
    #[error("the header has more than {0} fields")]
    ManyFields(usize),
    /// An octet with the value zero.
    #[error("a NUL in the message")]
    Nul,
    /// The first line is neither a field nor blank.
    #[error("the first line is no header field")]
    BadHeader,
    /// A line of the header is neither a field nor blank.
    #[error("no blank line stands behind the header")]
    NoBlankLine,
}

impl ContentCheck {
    /// For one message.
    pub fn new(limits: ContentLimits) -> Self {
        Self { limits, header: Some(HeaderCount::default()), fault: None }
    }

    /// Follows the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if self.limits.forbid_nul && memchr(0, piece).is_some() {
            self.fault = Some(ContentFault::Nul);
        }
        if let Some(header) = &mut self.header {
            let end = header.feed(piece);
            let HeaderCount { octets, fields, .. } = *header;
            let ContentLimits { header_size, header_fields, .. } = self.limits;
            if octets > header_size {
                self.fault.get_or_insert(ContentFault::LargeHeader(header_size));
            } else if fields > header_fields {
                self.fault.get_or_insert(ContentFault::ManyFields(header_fields));
            }
            if let Some(end) = end {
                self.header = None;
                if let (HeaderEnd::Odd { first }, true) = (end, self.limits.header_form) {
                    let fault =
                        if first { ContentFault::BadHeader } else { ContentFault::NoBlankLine };
                    self.fault.get_or_insert(fault);
                }
            }
        }
    }

    /// The first fault so far.
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }
}

impl HeaderCount {
    /// Follows a piece to its end, or to the end of the header, which is returned.
    fn feed(&mut self, mut piece: &[u8]) -> Option<HeaderEnd> {
        while let Some(first) = piece.first() {
            let taken = match (self.at, first) {
                (Column::First | Column::LineStart, b'\r') => {
                    // The blank line is behind the header.
                    (self.at, piece) = (Column::Cr, &piece[1..]);
                    continue;
                }
                (Column::Cr, b'\n') => return Some(HeaderEnd::Blank),
                (Column::LineStart, b' ' | b'\t') => {
                    self.at = Column::Inside;
                    continue;
                }
                (Column::First | Column::LineStart, c) if is_name(*c) => {
                    self.at = Column::Name { first: self.at == Column::First };
                    continue;
                }
                (Column::Name { first: is_first }, _) => {
                    let name = piece.iter().position(|c| !is_name(*c)).unwrap_or(piece.len());
                    if name < piece.len() {
                        self.at = Column::NameEnd { first: is_first };
                    }
                    name
                }
                (Column::NameEnd { .. }, b' ' | b'\t') => 1,
                (Column::NameEnd { .. }, b':') => {
                    self.fields += 1;
                    self.at = Column::Inside;
                    1
                }
                (Column::Inside, _) => {
                    let line = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
                    if piece[..line].ends_with(b"\n") {
                        self.at = Column::LineStart;
                    }
                    line
                }
                (Column::First, _) => return Some(HeaderEnd::Odd { first: true }),
                (Column::NameEnd { first }, _) => return Some(HeaderEnd::Odd { first }),
                (Column::LineStart | Column::Cr, _) => {
                    return Some(HeaderEnd::Odd { first: false });
                }
            };
            self.octets += taken as u64;
            piece = &piece[taken..];
        }
        None
    }
}

/// Whether an octet may be in the name of a field (RFC 5322 section 2.2).
fn is_name(octet: u8) -> bool {
    octet.is_ascii_graphic() && octet != b':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_messages() {
        let size = Some(ContentFault::LargeHeader(20));
        let many = Some(ContentFault::ManyFields(3));
        let rows = [
            ("nothing", "", None),
            ("a header alone, at the limit of size", "A: 345678\r\nB: 5678\r\n", None),
            ("one past it", "A: 345678\r\nB: 56789\r\n", size),
            ("at the limit, and its end", "A: 345678\r\nB: 5678\r\n\r\nbody\r\n", None),
            ("one past it, without an end", "A: 3456789012345678901", size),
            ("a header and a body", "A: b\r\n\r\nlong long long long\r\nC:\r\nD:\r\nE:\r\n", None),
            ("a body alone", "\r\nlong long long long long\r\n", None),
            ("three fields", "A:\r\nB:\r\nC:\r\n\r\n", None),
            ("four", "A:\r\nB:\r\nC:\r\nD:\r\n\r\n", many),
            ("folded ones count once", "A:\r\n b\r\n\tc\r\n d\r\n", None),
            ("a NUL in the header", "A: \0\r\n\r\n", Some(ContentFault::Nul)),
            ("a NUL in the body", "\r\n\0", Some(ContentFault::Nul)),
        ];
        let limits = ContentLimits {
            header_size: 20,
            header_fields: 3,
            forbid_nul: true,
            header_form: false,
        };
        for (name, octets, want) in rows {
            for piece in 1..=octets.len().max(1) {
                let mut check = ContentCheck::new(limits);
                octets.as_bytes().chunks(piece).for_each(|piece| check.feed(piece));
                assert_eq!(check.fault(), want, "{name}, by {piece}");
            }
        }
        let mut check = ContentCheck::new(ContentLimits { forbid_nul: false, ..limits });
        check.feed(b"A: \0\r\n\r\n\0");
        assert_eq!(check.fault(), None, "where NUL may be");
    }

    #[test]
    fn forms_of_headers() {
        let bad = Some(ContentFault::BadHeader);
        let none = Some(ContentFault::NoBlankLine);
        let rows = [
            ("nothing", "", None),
            ("a header and a body", "A: b\r\nC-d:e\r\n\r\nno field\r\n", None),
            ("a header alone", "A: b\r\n", None),
            ("folded lines", "A:\r\n b\r\n\tc: d\r\n\r\n", None),
            ("a body alone", "\r\nno field\r\n", None),
            ("white space behind a name", "A : b\r\nB\t :c\r\n\r\n", None),
            ("no field at first", "no field\r\nA: b\r\n\r\n", bad),
            ("a name alone", "A\r\n\r\n", bad),
            ("a continuation of nothing", " A: b\r\n\r\n", bad),
            ("no name", ": b\r\n\r\n", bad),
            ("an mbox's line", "From a@b.example Mon Nov 30 00:00:00 2026\r\nA: b\r\n\r\n", bad),
            ("letters beyond ASCII in a name", "\u{c4}: b\r\n\r\n", bad),
            ("text behind the header", "A: b\r\nno field\r\n\r\n", none),
            ("a single dot", "A: b\r\n.\r\n", none),
            ("a colon later on", "A: b\r\nHello Bob: how are you\r\n", none),
            ("no name behind the header", "A: b\r\n:c\r\n", none),
        ];
        let limits = ContentLimits {
            header_size: 1_000,
            header_fields: 2,
            forbid_nul: true,
            header_form: true,
        };
        for (name, octets, want) in rows {
            for piece in 1..=octets.len().max(1) {
                for (header_form, want) in [(true, want), (false, None)] {
                    let mut check = ContentCheck::new(ContentLimits { header_form, ..limits });
                    octets.as_bytes().chunks(piece).for_each(|piece| check.feed(piece));
                    assert_eq!(check.fault(), want, "{name}, by {piece}");
                }
            }
        }
    }
}
