//! The rules for a message beyond those for its lines: how large its header may be, how many fields
//! the header may have, and whether a NUL may be anywhere.
//!
//! Follows content in whatever pieces it comes, keeps none of it, and remembers the first fault.
//! The header ends at the first empty line, or at the end of a message without one.

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
    #[default]
    LineStart,
    /// Behind a CR at the start of a line.
    Cr,
    Inside,
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
            let is_over = header.feed(piece);
            let HeaderCount { octets, fields, .. } = *header;
            let ContentLimits { header_size, header_fields, .. } = self.limits;
            if octets > header_size {
                self.fault.get_or_insert(ContentFault::LargeHeader(header_size));
            } else if fields > header_fields {
                self.fault.get_or_insert(ContentFault::ManyFields(header_fields));
            }
            if is_over {
                self.header = None;
            }
        }
    }

    /// The first fault so far.
    pub fn fault(&self) -> Option<ContentFault> {
        self.fault
    }
}

impl HeaderCount {
    /// Follows a piece to its end, or to the end of the header; whether that was there.
    fn feed(&mut self, mut piece: &[u8]) -> bool {
        while let Some(first) = piece.first() {
            match (self.at, first) {
                (Column::LineStart, b'\r') => {
                    (self.at, piece) = (Column::Cr, &piece[1..]);
                    continue;
                }
                (Column::Cr, b'\n') => return true,
                (Column::LineStart, c) => self.fields += usize::from(!matches!(c, b' ' | b'\t')),
                (Column::Cr | Column::Inside, _) => {}
            }
            let line = memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
            self.octets += line as u64;
            self.at =
                if piece[..line].ends_with(b"\n") { Column::LineStart } else { Column::Inside };
            piece = &piece[line..];
        }
        false
    }
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
            ("one past it, without an end", "A: 3456789012345678901", size),
            ("a header and a body", "A: b\r\n\r\nlong long long long\r\nC:\r\nD:\r\nE:\r\n", None),
            ("a body alone", "\r\nlong long long long long\r\n", None),
            ("three fields", "A:\r\nB:\r\nC:\r\n\r\n", None),
            ("four", "A:\r\nB:\r\nC:\r\nD:\r\n\r\n", many),
            ("folded ones count once", "A:\r\n b\r\n\tc\r\n d\r\n", None),
            ("a NUL in the header", "A: \0\r\n\r\n", Some(ContentFault::Nul)),
            ("a NUL in the body", "\r\n\0", Some(ContentFault::Nul)),
        ];
        let limits = ContentLimits { header_size: 20, header_fields: 3, forbid_nul: true };
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
}
