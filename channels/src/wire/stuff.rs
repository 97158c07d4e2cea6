//! Dot-stuffing for the sending side (RFC 5321 section 4.5.2).
//!
//! Content goes out as slices of what was given, with single dots between them; nothing is
//! copied. Content must be lines ended by CRLF, as everything the server side accepted is: a
//! bare CR or LF would go out as it stands.

use memchr::memmem;

use super::text::At;

/// Stuffs one message.
#[derive(Debug, Default)]
pub struct Stuffer {
    at: At,
}

/// The slices to write for some content, in order.
#[derive(Debug)]
pub struct Stuffed<'a, 'b> {
    stuffer: &'b mut Stuffer,
    rest: &'a [u8],
}

impl Stuffer {
    /// For one message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of content. The iterator is to be run to its end.
    pub fn feed<'a, 'b>(&'b mut self, content: &'a [u8]) -> Stuffed<'a, 'b> {
        Stuffed { stuffer: self, rest: content }
    }

    /// The end of the data: the dot, and before it a CRLF when the content lacks one.
    pub fn finish(self) -> &'static [u8] {
        match self.at {
            At::LineStart => b".\r\n",
            At::Inside => b"\r\n.\r\n",
            At::Cr => b"\n.\r\n",
        }
    }
}

impl<'a> Iterator for Stuffed<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let first = *self.rest.first()?;
        if self.stuffer.at == At::LineStart && first == b'.' {
            self.stuffer.at = At::Inside;
            return Some(b".");
        }
        let dot = self.next_dot();
        let (slice, rest) = self.rest.split_at(dot.unwrap_or(self.rest.len()));
        self.stuffer.at = match slice {
            [.., b'\r', b'\n'] => At::LineStart,
            [b'\n'] if self.stuffer.at == At::Cr => At::LineStart,
            [.., b'\r'] => At::Cr,
            _ => At::Inside,
        };
        self.rest = rest;
        Some(slice)
    }
}

impl Stuffed<'_, '_> {
    /// Where the next line starts that begins with a dot; never 0.
    fn next_dot(&self) -> Option<usize> {
        if self.stuffer.at == At::Cr && self.rest.starts_with(b"\n.") {
            return Some(1);
        }
        memmem::find(self.rest, b"\r\n.").map(|at| at + 2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::dot::Unstuffer;

    fn stuff(content: &[u8], pieces: &[usize]) -> Vec<u8> {
        let (mut stuffer, mut out, mut rest) = (Stuffer::new(), Vec::new(), content);
        let mut sizes = pieces.iter().cycle();
        while !rest.is_empty() {
            let piece = sizes.next().copied().unwrap_or(usize::MAX).clamp(1, rest.len());
            for slice in stuffer.feed(&rest[..piece]) {
                out.extend_from_slice(slice);
            }
            rest = &rest[piece..];
        }
        out.extend_from_slice(stuffer.finish());
        out
    }

    fn unstuff(mut octets: &[u8]) -> Option<Vec<u8>> {
        let (mut unstuffer, mut content) = (Unstuffer::new(usize::MAX), Vec::new());
        while !octets.is_empty() {
            let fed = unstuffer.feed(octets);
            content.extend_from_slice(fed.content);
            octets = &octets[fed.consumed..];
            if fed.ended {
                return octets.is_empty().then_some(content);
            }
        }
        None
    }

    #[test]
    fn what_goes_out() {
        let rows = [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".", "..\r\n.\r\n"),
            (".\r\n.\r\n", "..\r\n..\r\n.\r\n"),
            ("..a\r\nb.\r\n", "...a\r\nb.\r\n.\r\n"),
            ("a\r\n\r\n.a", "a\r\n\r\n..a\r\n.\r\n"),
        ];
        for (content, want) in rows {
            for piece in 1..=content.len().max(1) {
                let got = stuff(content.as_bytes(), &[piece]);
                assert_eq!(String::from_utf8_lossy(&got), want, "{content:?} by {piece}");
            }
        }
    }

    #[test]
    fn content_without_dots_is_one_slice() {
        let content = b"a line\r\nand.another\r\n".repeat(1_000);
        assert_eq!(Stuffer::new().feed(&content).count(), 1);
    }

    proptest! {
        #[test]
        fn unstuffing_undoes_it(
            lines in prop::collection::vec("[.a]{0,3}", 0..30),
            pieces in prop::collection::vec(1usize..9, 0..20),
        ) {
            let content = lines.join("\r\n") + "\r\n";
            let stuffed = stuff(content.as_bytes(), &pieces);
            prop_assert_eq!(unstuff(&stuffed), Some(content.into_bytes()));
        }

        #[test]
        fn whatever_goes_in_ends_where_it_ends(
            content in prop::collection::vec(prop::sample::select(b"\r\n.a".to_vec()), 0..60),
            pieces in prop::collection::vec(1usize..9, 0..20),
        ) {
            let mut want = content.clone();
            if !content.is_empty() && !content.ends_with(b"\r\n") {
                want.extend_from_slice(if content.ends_with(b"\r") { b"\n" } else { b"\r\n" });
            }
            prop_assert_eq!(unstuff(&stuff(&content, &pieces)), Some(want));
        }
    }
}
