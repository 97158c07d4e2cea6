//! Foreign text, made fit for a line of log.

use std::{borrow::Cow, fmt};

use relais_config::grammar::is_unprintable;

/// Shows text that a peer chose: control characters, line separators, characters that turn the
/// direction of writing and unseen ones as `?`, and what is longer than [`MAX_CHARS`] cut off with `…`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

/// The same for text, which nearly always is as it may be.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.len() < MAX_CHARS && is_plain(text) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(Printable(text).to_string())
    }
}

impl<T: fmt::Display> fmt::Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut filter = Filter { inner: f, room: MAX_CHARS };
        fmt::write(&mut filter, format_args!("{}", self.0))
    }
}

struct Filter<'a, 'f> {
    inner: &'a mut fmt::Formatter<'f>,
    room: usize,
}

impl fmt::Write for Filter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly all text is short and plain; it goes through in one piece.
        if text.len() < self.room && is_plain(text) {
            self.room -= text.len();
            return self.inner.write_str(text);
        }
        for c in text.chars() {
            match self.room {
                0 => return Ok(()),
                1 => self.inner.write_char('…')?,
                _ => self.inner.write_char(if is_unprintable(c) { '?' } else { c })?,
            }
            self.room -= 1;
        }
        Ok(())
    }
}

/// Looks at all octets without a branch, which is faster than stopping early.
fn is_plain(text: &str) -> bool {
    let odd = |c: u8| !(b' '..=b'~').contains(&c);
    !text.bytes().fold(false, |found, c| found | odd(c))
}

/// Longer than any reply line and any address that is accepted.
pub const MAX_CHARS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_keeps_to_its_line() {
        let rows = [
            ("plain text", "550 5.1.1 no such user", "550 5.1.1 no such user"),
            ("an end of line", "a\r\nb", "a??b"),
            ("an escape sequence", "\u{1b}[2J", "?[2J"),
            ("a change of direction", "a\u{202e}b", "a?b"),
            ("what is not seen", "a\u{ad}b\u{200d}c\u{e0041}", "a?b?c?"),
            ("letters of other scripts", "Grüße", "Grüße"),
            ("nothing", "", ""),
        ];
        for (name, text, want) in rows {
            assert_eq!(Printable(text).to_string(), want, "{name}");
            assert_eq!(printable(text), want, "{name}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let fits = "x".repeat(MAX_CHARS - 1);
        assert_eq!((Printable(&fits).to_string(), &*printable(&fits)), (fits.clone(), &*fits));
        assert_eq!(printable(&"x".repeat(MAX_CHARS)), Printable("x".repeat(MAX_CHARS)).to_string());
        let cut = Printable("x".repeat(MAX_CHARS)).to_string();
        assert_eq!(cut.chars().count(), MAX_CHARS);
        assert!(cut.ends_with('…'));
        assert_eq!(Printable("é".repeat(1 << 20)).to_string().chars().count(), MAX_CHARS);
    }
}
