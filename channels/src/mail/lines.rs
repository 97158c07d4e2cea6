//! Lines of content that comes in pieces, as far as they may be delimiters of multiparts or end a header.

use std::borrow::Cow;

/// Puts lines together again that pieces have cut. Keeps [`LONGEST_LINE`] octets and a piece.
#[derive(Debug, Default)]
pub(crate) struct LineAssembly {
    /// The beginning of the line at hand.
    line: Vec<u8>,
    /// The line is longer than what is kept of it, and that has been given.
    is_long: bool,
}

/// The front of a piece of content.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum LinePiece<'p> {
    /// A whole line with its end.
    Whole(Cow<'p, [u8]>),
    /// Octets of a line that is too long for a delimiter.
    Part(Cow<'p, [u8]>),
}

impl LineAssembly {
    /// Takes a line, or as much of one as there is, from the front of a piece; `None`: more has to come
    /// first.
    pub(crate) fn take<'p>(&mut self, piece: &mut &'p [u8]) -> Option<LinePiece<'p>> {
        let end = memchr::memchr(b'\n', piece).map_or(piece.len(), |at| at + 1);
        let (now, rest) = piece.split_at(end);
        *piece = rest;
        let ends = now.ends_with(b"\n");
        if self.is_long {
            self.is_long = !ends;
            return Some(LinePiece::Part(Cow::Borrowed(now)));
        }
        if self.line.is_empty() && ends && now.len() <= LONGEST_LINE {
            return Some(LinePiece::Whole(Cow::Borrowed(now)));
        }
        self.line.extend_from_slice(now);
        if !ends && self.line.len() <= LONGEST_LINE {
            return None;
        }
        let line = std::mem::take(&mut self.line);
        self.is_long = !ends;
        Some(if line.len() <= LONGEST_LINE {
            LinePiece::Whole(Cow::Owned(line))
        } else {
            LinePiece::Part(Cow::Owned(line))
        })
    }

    /// The last line, which has no end; empty if there is none.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.line)
    }
}

/// The first of these multiparts whose delimiter a line is, by its depth, and whether the line ends it.
pub(crate) fn delimited<'m>(
    line: &[u8],
    mut delimiters: impl Iterator<Item = (usize, &'m [u8])>,
) -> Option<(usize, bool)> {
    if !line.starts_with(b"--") {
        return None;
    }
    let line = line.trim_ascii_end();
    delimiters.find_map(|(depth, delimiter)| {
        let rest = line.strip_prefix(delimiter)?;
        (rest.is_empty() || rest == b"--").then_some((depth, !rest.is_empty()))
    })
}

/// Multiparts within each other that are looked into.
pub(crate) const MAX_DEPTH: usize = 20;
/// Octets of a line that may be a delimiter or end a header.
pub(crate) const LONGEST_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_delimiter_is_that_of_the_first_that_it_fits() {
        let open: [&[u8]; 3] = [b"--a", b"--b", b"--a--"];
        let rows: [(&[u8], _, _); 6] = [
            (b"--b\r\n", Some((1, false)), Some((1, false))),
            (b"--b-- \t\r\n", Some((1, true)), Some((1, true))),
            (b"--a--\r\n", Some((0, true)), Some((2, false))),
            (b"--b-\r\n", None, None),
            (b" --b\r\n", None, None),
            (b"--\r\n", None, None),
        ];
        for (line, outermost, innermost) in rows {
            let all = || open.iter().copied().enumerate();
            assert_eq!(delimited(line, all()), outermost, "{line:?}");
            assert_eq!(delimited(line, all().rev()), innermost, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            lengths in prop::collection::vec(0..LONGEST_LINE + 9, 0..9),
            size in 1..400usize,
        ) {
            let content: Vec<u8> =
                lengths.iter().flat_map(|length| [vec![b'x'; *length], b"\r\n".to_vec()].concat()).collect();
            let (mut lines, mut whole, mut all) = (LineAssembly::default(), Vec::new(), Vec::new());
            for mut piece in content.chunks(size) {
                while !piece.is_empty() {
                    match lines.take(&mut piece) {
                        Some(LinePiece::Whole(line)) => {
                            whole.push(line.len() - 2);
                            all.extend_from_slice(&line);
                        }
                        Some(LinePiece::Part(part)) => all.extend_from_slice(&part),
                        None => prop_assert!(lines.line.len() <= LONGEST_LINE),
                    }
                }
            }
            all.extend(lines.rest());
            prop_assert_eq!(all, content, "nothing is lost");
            let short = lengths.into_iter().filter(|length| length + 2 <= LONGEST_LINE);
            prop_assert_eq!(whole, short.collect::<Vec<_>>());
        }
    }
}
