//! Command lines, cut out of octets as they arrive.
//!
//! A line ends with CRLF and nothing else (RFC 5321 section 2.3.8). No octet is kept here: what
//! is not yet a line stays with the caller, at most `limit` octets of it; a longer line is
//! swallowed as it comes and reported when it ends.

use memchr::memchr;

/// Cuts lines; one value serves one connection.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    /// Inside a line that is already longer than the limit.
    swallowing: bool,
    /// A bare LF came, and no CRLF since.
    tainted: bool,
}

/// Why a line was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LineError {
    /// Longer than the limit.
    #[error("the line is longer than {0} octets")]
    TooLong(usize),
    /// A CR without LF or an LF without CR: in the line, or between it and the last CRLF.
    #[error("the line holds a CR or an LF of its own, lines end with CRLF")]
    Bare,
}

impl Lines {
    /// `limit` is in octets, CRLF included.
    pub fn new(limit: usize) -> Self {
        Self { limit, swallowing: false, tainted: false }
    }

    /// Another limit holds for the lines to come.
    pub fn allow(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Looks for a line at the start of `octets`; says how many of them are done with, and what
    /// the line was, without its CRLF. `None`: more octets are needed.
    ///
    /// A bare LF is reported at once, so that a person who types gets an answer. What follows it
    /// up to the next CRLF is refused too: it may be something that a careless peer took for
    /// part of an argument, and must not run as a command.
    pub fn cut<'a>(&mut self, octets: &'a [u8]) -> (usize, Option<Result<&'a [u8], LineError>>) {
        let Some(lf) = memchr(b'\n', octets) else {
            self.swallowing |= octets.len() >= self.limit;
            // The last octet stays: it may be the CR before the LF to come.
            let swallowed = if self.swallowing { octets.len().saturating_sub(1) } else { 0 };
            return (swallowed, None);
        };
        (lf + 1, Some(self.judge(&octets[..lf])))
    }

    /// Whether what ended with an LF is a line.
    fn judge<'a>(&mut self, before_lf: &'a [u8]) -> Result<&'a [u8], LineError> {
        let too_long = self.swallowing || before_lf.len() >= self.limit;
        let line = before_lf.strip_suffix(b"\r");
        let tainted = self.tainted;
        self.swallowing = false;
        self.tainted = line.is_none();
        match line {
            _ if too_long => Err(LineError::TooLong(self.limit)),
            Some(line) if !tainted && memchr(b'\r', line).is_none() => Ok(line),
            _ => Err(LineError::Bare),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every line in `octets`, given in pieces of `piece` octets.
    fn cut(limit: usize, octets: &[u8], piece: usize) -> Vec<Result<Vec<u8>, LineError>> {
        let (mut lines, mut held, mut cut) = (Lines::new(limit), Vec::new(), Vec::new());
        for piece in octets.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                let (used, line) = lines.cut(&held);
                cut.extend(line.map(|line| line.map(<[u8]>::to_vec)));
                let done = line.is_none();
                held.drain(..used);
                if done {
                    break;
                }
            }
            assert!(held.len() < limit.max(2), "kept {} octets", held.len());
        }
        cut
    }

    #[test]
    fn what_is_a_line() {
        let ok = |line: &str| Ok(line.as_bytes().to_vec());
        let (bare, long) = (Err(LineError::Bare), Err(LineError::TooLong(10)));
        let rows = [
            ("one", "NOOP\r\n", vec![ok("NOOP")]),
            ("an empty one", "\r\n", vec![ok("")]),
            ("two and a piece", "NOOP\r\nQUIT\r\nRS", vec![ok("NOOP"), ok("QUIT")]),
            ("at the limit", "12345678\r\n", vec![ok("12345678")]),
            ("one past it", "123456789\r\nNOOP\r\n", vec![long.clone(), ok("NOOP")]),
            ("far past it", "1234567890123456789012345\r\nNOOP\r\n", vec![long, ok("NOOP")]),
            ("a bare LF is told at once", "NOOP\n", vec![bare.clone()]),
            (
                "nothing behind a bare LF runs",
                "a\nb\r\nc\r\n",
                vec![bare.clone(), bare.clone(), ok("c")],
            ),
            ("a bare CR", "a\rb\r\nc\r\n", vec![bare.clone(), ok("c")]),
            ("CR CR LF", "a\r\r\nc\r\n", vec![bare, ok("c")]),
        ];
        for (name, octets, want) in rows {
            for piece in 1..=octets.len() {
                assert_eq!(cut(10, octets.as_bytes(), piece), want, "{name}, by {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            octets in prop::collection::vec(prop::sample::select(b"\r\na ".to_vec()), 0..60),
            piece in 1usize..20,
        ) {
            prop_assert_eq!(cut(8, &octets, piece), cut(8, &octets, octets.len().max(1)));
        }
    }
}
