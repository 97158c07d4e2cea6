//! The last check before content leaves: CR and LF only as CRLF.
//!
//! Everything that came in by our own servers has been checked there. This one stands between
//! what came into the spool by other ways and a next hop that would see the end of the data,
//! and a second message, where none was meant.

use memchr::memchr2_iter;

/// Follows content that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineEnds {
    /// The last octet was a CR.
    cr: bool,
}

/// Looks at content that is all there.
pub(crate) fn check_whole(octets: &[u8]) -> Result<(), BareLineEnd> {
    let mut line_ends = LineEnds::default();
    line_ends.check(octets)?;
    line_ends.end()
}

/// A CR without LF or an LF without CR.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the content holds a bare CR or LF")]
pub(crate) struct BareLineEnd;

impl LineEnds {
    /// Looks at the next piece.
    pub(crate) fn check(&mut self, piece: &[u8]) -> Result<(), BareLineEnd> {
        // Where the LF of the CR seen last has to stand.
        let mut expected = self.cr.then_some(0);
        for at in memchr2_iter(b'\r', b'\n', piece) {
            expected = match (piece[at], expected) {
                (b'\r', None) => Some(at + 1),
                (b'\n', Some(lf)) if lf == at => None,
                _ => return Err(BareLineEnd),
            };
        }
        self.cr = expected.is_some();
        if expected.is_none_or(|lf| lf == piece.len()) { Ok(()) } else { Err(BareLineEnd) }
    }

    /// The content is complete.
    pub(crate) fn end(self) -> Result<(), BareLineEnd> {
        if self.cr { Err(BareLineEnd) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(pieces: &[&[u8]]) -> bool {
        let mut line_ends = LineEnds::default();
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

    proptest! {
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
