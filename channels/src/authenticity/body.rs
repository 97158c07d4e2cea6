//! The hash of a body in one of the two forms of RFC 6376 section 3.4, piece by piece.

use mail_auth::dkim::Canonicalization;
use memchr::{memchr, memchr3};
use ring::digest::{Algorithm, Context, Digest};

/// A hash of a body that is under way. Its pieces may end anywhere.
pub(super) struct BodyHash {
    form: Canonicalization,
    hash: Context,
    /// Line ends that count only when something follows them.
    line_ends: u64,
    /// Blanks that count only when something follows them in their line.
    has_blanks: bool,
    /// The last piece ended in a CR, which may be one half of a line end.
    has_cr: bool,
    /// Something but line ends and trailing blanks has come.
    is_filled: bool,
}

impl BodyHash {
    pub(super) fn new(form: Canonicalization, algorithm: &'static Algorithm) -> Self {
        let hash = Context::new(algorithm);
        Self { form, hash, line_ends: 0, has_blanks: false, has_cr: false, is_filled: false }
    }

    /// Takes in a piece.
    pub(super) fn feed(&mut self, mut piece: &[u8]) {
        if self.has_cr && !piece.is_empty() {
            self.has_cr = false;
            match piece.strip_prefix(b"\n") {
                Some(rest) => {
                    self.end_line();
                    piece = rest;
                }
                None => self.fill(b"\r"),
            }
        }
        while !piece.is_empty() {
            let stop = match self.form {
                Canonicalization::Relaxed => memchr3(b' ', b'\t', b'\r', piece),
                Canonicalization::Simple => memchr(b'\r', piece),
            };
            let (run, rest) = piece.split_at(stop.unwrap_or(piece.len()));
            if !run.is_empty() {
                self.fill(run);
            }
            piece = match rest {
                [b'\r', b'\n', rest @ ..] => {
                    self.end_line();
                    rest
                }
                [b'\r'] => {
                    self.has_cr = true;
                    &[]
                }
                [b'\r', rest @ ..] => {
                    self.fill(b"\r");
                    rest
                }
                [_, rest @ ..] => {
                    self.has_blanks = true;
                    rest
                }
                [] => &[],
            };
        }
    }

    /// The hash of all of it.
    pub(super) fn finish(mut self) -> Digest {
        if self.has_cr {
            self.fill(b"\r");
        }
        if self.is_filled || self.form == Canonicalization::Simple {
            self.hash.update(b"\r\n");
        }
        self.hash.finish()
    }

    fn end_line(&mut self) {
        self.line_ends += 1;
        self.has_blanks = false;
    }

    fn fill(&mut self, octets: &[u8]) {
        while self.line_ends > 0 {
            let some = self.line_ends.min(LINE_ENDS.len() as u64 / 2);
            self.hash.update(&LINE_ENDS[..2 * some as usize]);
            self.line_ends -= some;
        }
        if self.has_blanks {
            self.hash.update(b" ");
            self.has_blanks = false;
        }
        self.hash.update(octets);
        self.is_filled = true;
    }
}

const LINE_ENDS: &[u8] = b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";

#[cfg(test)]
mod tests {
    use mail_auth::dkim::Canonicalization::{Relaxed, Simple};
    use ring::digest::{SHA256, digest};

    use super::*;

    #[test]
    fn a_body_is_hashed_in_its_form_wherever_its_pieces_end() {
        // body, its relaxed form, its simple form
        let rows = [
            ("", "", "\r\n"),
            ("\r\n", "", "\r\n"),
            ("\r\n\r\n", "", "\r\n"),
            (" \r\n", "", " \r\n"),
            ("hello", "hello\r\n", "hello\r\n"),
            ("hello\r\n", "hello\r\n", "hello\r\n"),
            ("hello\r\n\r\n\r\n", "hello\r\n", "hello\r\n"),
            ("hello\r\n \r\n", "hello\r\n", "hello\r\n \r\n"),
            ("a\r\n\t\r\n  \r\n\r\n", "a\r\n", "a\r\n\t\r\n  \r\n"),
            ("a \t b\t\r\n c\r\n", "a b\r\n c\r\n", "a \t b\t\r\n c\r\n"),
            ("a\r\n\r\n\r\nb", "a\r\n\r\n\r\nb\r\n", "a\r\n\r\n\r\nb\r\n"),
            (" a\r\n", " a\r\n", " a\r\n"),
            ("a\rb\nc\r", "a\rb\nc\r\r\n", "a\rb\nc\r\r\n"),
            ("a\r\r\n", "a\r\r\n", "a\r\r\n"),
        ];
        for (body, relaxed, simple) in rows {
            for (form, want) in [(Relaxed, relaxed), (Simple, simple)] {
                for size in 1..=body.len().max(1) {
                    let mut hash = BodyHash::new(form, &SHA256);
                    body.as_bytes().chunks(size).for_each(|piece| hash.feed(piece));
                    let want = digest(&SHA256, want.as_bytes());
                    assert_eq!(hash.finish().as_ref(), want.as_ref(), "{body:?} {form:?} {size}");
                }
            }
        }
    }
}
