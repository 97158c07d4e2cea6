//! The tokens of a field (RFC 5322 section 3.2), read with tolerance.

use crate::mail::{comment_end, quoted_end};

/// A piece of a field's value; all of them together are the value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Token<'v> {
    pub(super) kind: TokenKind,
    pub(super) raw: &'v [u8],
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum TokenKind {
    /// Blanks and line ends.
    Blank,
    Comment,
    Quoted,
    /// A domain literal.
    Literal,
    /// One of `<>,;:@`.
    Special(u8),
    /// Anything else.
    Atom,
}

/// The tokens of a value; `None` in the place of a comment or a quoted string that does not end.
pub(super) fn tokens(value: &[u8]) -> impl Iterator<Item = Option<Token<'_>>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let first = *value.get(at)?;
        let (kind, end) = match first {
            b'(' => (TokenKind::Comment, comment_end(value, at)),
            b'"' => (TokenKind::Quoted, quoted_end(value, at)),
            b' ' | b'\t' | b'\r' | b'\n' => {
                (TokenKind::Blank, Some(run_end(value, at, |c| !is_blank(c))))
            }
            b'<' | b'>' | b',' | b';' | b':' | b'@' => (TokenKind::Special(first), Some(at + 1)),
            b'[' => match literal_end(value, at) {
                Some(end) => (TokenKind::Literal, Some(end)),
                None => (TokenKind::Atom, Some(run_end(value, at + 1, ends_atom))),
            },
            _ => (TokenKind::Atom, Some(run_end(value, at + 1, ends_atom))),
        };
        let Some(end) = end else {
            at = value.len();
            return Some(None);
        };
        let raw = &value[at..end];
        at = end;
        Some(Some(Token { kind, raw }))
    })
}

impl Token<'_> {
    /// Whether it is no more than room between others.
    pub(super) fn is_room(self) -> bool {
        matches!(self.kind, TokenKind::Blank | TokenKind::Comment)
    }

    pub(super) fn is(self, special: u8) -> bool {
        self.kind == TokenKind::Special(special)
    }
}

/// The text of a quoted string, or of the inside of one.
pub(super) fn unquoted(raw: &[u8]) -> Vec<u8> {
    let raw = raw.strip_prefix(b"\"").unwrap_or(raw);
    let raw = raw.strip_suffix(b"\"").unwrap_or(raw);
    let mut is_escaped = false;
    let is_text = |c: &u8| {
        is_escaped = !is_escaped && *c == b'\\';
        !is_escaped && !matches!(c, b'\r' | b'\n')
    };
    raw.iter().copied().filter(is_text).collect()
}

/// Without line ends, and without blanks around it.
pub(super) fn unfolded(raw: &[u8]) -> Vec<u8> {
    let raw = raw.trim_ascii().iter().copied();
    raw.filter(|c| !matches!(c, b'\r' | b'\n')).collect()
}

pub(super) fn is_blank(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\r' | b'\n')
}

fn ends_atom(c: u8) -> bool {
    is_blank(c) || b"(\"<>,;:@[".contains(&c)
}

fn run_end(value: &[u8], from: usize, ends: impl Fn(u8) -> bool) -> usize {
    value[from..].iter().position(|c| ends(*c)).map_or(value.len(), |more| from + more)
}

/// Behind the domain literal that begins at `at`; nothing in it may part words.
fn literal_end(value: &[u8], at: usize) -> Option<usize> {
    let stops = |c: &u8| is_blank(*c) || b"]<>,;(\"[".contains(c);
    let end = at + 1 + value[at + 1..].iter().position(stops)?;
    (value[end] == b']').then_some(end + 1)
}
