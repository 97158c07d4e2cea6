//! The last check before content leaves: CR and LF only as CRLF, and no line too long.
//!
//! Everything that came in by our own servers has been checked there. This one stands between
//! what came into the spool by other ways and a next hop that would see the end of the data,
//! and a second message, where none was meant.

use memchr::{memchr_iter, memchr2_iter, memrchr};

/// Follows content that comes in pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineEnds {
    /// The last octet was a CR.
    cr: bool,
    /// Octets of the current line in the pieces before.
    column: usize,
    /// Octets of a line, its CRLF included.
    limit: usize,
    /// A line was longer.
    is_long: bool,
}

/// Looks at content that is all there.
pub(crate) fn check_whole(octets: &[u8], limit: usize) -> Result<(), Unsendable> {
    if is_plain(octets, limit) {
        return Ok(());
    }
    let mut line_ends = LineEnds::new(limit);
    line_ends.check(octets)?;
    line_ends.end()
}

/// Whether content has nothing but CRLF at its end and between lines of the usual length. Counting
/// costs a tenth of visiting every line.
fn is_plain(octets: &[u8], limit: usize) -> bool {
    let count = |wanted: u8| memchr_iter(wanted, octets).count();
    let ends = line_ends(octets);
    if !octets.ends_with(b"\r\n") || count(b'\r') != ends || count(b'\n') != ends {
        return false;
    }
    let mut rest = octets;
    while rest.len() > limit {
        match memrchr(b'\n', &rest[..limit]) {
            Some(at) => rest = &rest[at + 1..],
            None => return false,
        }
    }
    true
}

/// How many CRLF there are; in pieces whose sums fit an octet, so that the compiler takes many
/// octets at once.
fn line_ends(octets: &[u8]) -> usize {
    let is_end = |(cr, lf): (&u8, &u8)| u8::from(*cr == b'\r') & u8::from(*lf == b'\n');
    let after = octets.get(1..).unwrap_or_default();
    let pieces = octets.chunks(128).zip(after.chunks(128));
    pieces.map(|(cr, lf)| usize::from(cr.iter().zip(lf).map(is_end).sum::<u8>())).sum()
}

/// Why content is not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unsendable {
    /// A CR without LF or an LF without CR.
    #[error("the content holds a bare CR or LF")]
    Bare,
    /// A line is longer than this.
    #[error("a line of the message is longer than the {0} octets of max_line")]
    LongLine(usize),
}

impl LineEnds {
    /// `limit`: octets of a line, its CRLF included.
    pub(crate) fn new(limit: usize) -> Self {
        Self { cr: false, column: 0, limit, is_long: false }
    }

    /// Looks at the next piece. Lines that are too long are told of at the end.
    pub(crate) fn check(&mut self, piece: &[u8]) -> Result<(), Unsendable> {
        // Where the LF of the CR seen last has to stand.
        let mut expected = self.cr.then_some(0);
        let (mut start, mut before) = (0, self.column);
        for at in memchr2_iter(b'\r', b'\n', piece) {
            expected = match (piece[at], expected) {
                (b'\r', None) => Some(at + 1),
                (b'\n', Some(lf)) if lf == at => {
                    self.measure(before + at + 1 - start);
                    (start, before) = (at + 1, 0);
                    None
                }
                _ => return Err(Unsendable::Bare),
            };
        }
        self.cr = expected.is_some();
        self.column = before + piece.len() - start;
        self.measure(self.column);
        if expected.is_none_or(|lf| lf == piece.len()) { Ok(()) } else { Err(Unsendable::Bare) }
    }

    /// The content is complete.
    pub(crate) fn end(mut self) -> Result<(), Unsendable> {
        if self.cr {
            return Err(Unsendable::Bare);
        }
        // The last line gets the CRLF that it lacks.
        self.measure(if self.column > 0 { self.column + CRLF } else { 0 });
        if self.is_long { Err(Unsendable::LongLine(self.limit)) } else { Ok(()) }
    }

    fn measure(&mut self, line: usize) {
        self.is_long |= line > self.limit;
    }
}

const CRLF: usize = 2;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pieces: &[&[u8]]) -> bool {
        let mut line_ends = LineEnds::new(usize::MAX);
        pieces.iter().all(|piece| line_ends.check(piece).is_ok()) && line_ends.end().is_ok()
    }

    #[test]
    fn only_whole_line_ends_pass() {
        for content in [&b""[..], b"a", b"a\r\n", b"\r\n\r\n", b"a\r\nb"] {
            assert!(check(&[content]), "{content:?}");
        }
        for content in [&b"\n"[..], b"\r", b"a\nb", b"a\rb\r\n", b"a\r", b"\r\r\n", b"\r\n\n"] {
            assert!(!check(&[content]), "{content:?}");
        }
    }

    #[test]
    fn a_line_is_as_long_as_it_is_in_all_pieces_together() {
        let rows = [
            ("at the limit", "abc\r\nabc\r\n", true),
            ("one past it", "abc\r\nabcd\r\n", false),
            ("the first", "abcd\r\n", false),
            ("at the limit with the CRLF that is added", "abc", true),
            ("one past it with the CRLF that is added", "abcd", false),
            ("far past it", "abcdefghijklm", false),
        ];
        for (name, content, want) in rows {
            for piece in 1..=content.len() {
                let mut line_ends = LineEnds::new(5);
                let mut pieces = content.as_bytes().chunks(piece);
                let checked = pieces.try_for_each(|piece| line_ends.check(piece));
                let got = checked.and_then(|()| line_ends.end());
                let want = if want { Ok(()) } else { Err(Unsendable::LongLine(5)) };
                assert_eq!(got, want, "{name} by {piece}");
            }
        }
    }

    const PIECES: &[&[u8]] =
        &[b"\r\n", b"\r\n", b"\r\n", b"abc\r\n", b"\r", b"\n", b"ab", b"abcdefgh"];

    proptest! {
        #[test]
        fn all_at_once_is_checked_as_in_pieces(
            pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12),
            limit in 2usize..20,
        ) {
            let content = pieces.concat();
            let mut line_ends = LineEnds::new(limit);
            let want = line_ends.check(&content).and_then(|()| line_ends.end());
            prop_assert_eq!(check_whole(&content, limit), want);
        }

        #[test]
        fn cuts_make_no_difference(
            content in prop::collection::vec(prop::sample::select(&b"\r\n\r\nab"[..]), 0..12),
            cuts in (0usize..12, 0usize..12),
        ) {
            let bare = |c: &[u8]| {
                let rest = String::from_utf8_lossy(c).replace("\r\n", "");
                rest.contains(['\r', '\n'])
            };
            let (one, rest) = content.split_at(cuts.0.min(content.len()));
            let (two, three) = rest.split_at(cuts.1.min(rest.len()));
            prop_assert_eq!(check(&[one, two, three]), !bare(&content));
        }
    }
}
