//! The arguments of MAIL and RCPT: where the address ends and the parameters begin.

use crate::mail::AddressError;

/// Why an argument holds no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// No `<`, no `>`, or something stuck to the `>`.
    #[error("the address must stand between < and >")]
    Brackets,
    /// Octets above 127: SMTPUTF8 is not offered.
    #[error("the address holds characters beyond ASCII")]
    NotAscii,
    /// Between the brackets.
    #[error(transparent)]
    Address(#[from] AddressError),
}

/// An address, as it stood, and the parameters after it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Argument<'a> {
    pub(super) path: &'a str,
    pub(super) bracketed: bool,
    pub(super) parameters: &'a [u8],
}

impl<'a> Argument<'a> {
    /// Takes apart what follows `FROM:` or `TO:`. Blanks before the address pass; `bare` lets
    /// one without brackets pass too, as the original's LMTP prints it and real clients do. A
    /// parameter in its place is no address.
    pub(super) fn split(rest: &'a [u8], bare: bool) -> Result<Self, PathError> {
        let rest = rest.trim_ascii_start();
        let (path, parameters, bracketed) = match rest.strip_prefix(b"<") {
            Some(inner) => {
                let end = end_of_path(inner, b'>').ok_or(PathError::Brackets)?;
                (&inner[..end], &inner[end + 1..], true)
            }
            None if bare => {
                let (path, after) = rest.split_at(end_of_path(rest, b' ').unwrap_or(rest.len()));
                if path.contains(&b'=') && !path.contains(&b'@') {
                    return Err(PathError::Brackets);
                }
                (path, after, false)
            }
            None => return Err(PathError::Brackets),
        };
        if !parameters.is_empty() && parameters[0] != b' ' {
            return Err(PathError::Brackets);
        }
        if !path.is_ascii() {
            return Err(PathError::NotAscii);
        }
        // ASCII is UTF-8.
        let path = std::str::from_utf8(path).map_err(|_| PathError::NotAscii)?;
        Ok(Self { path, bracketed, parameters })
    }

    /// Parameters as name and value.
    pub(super) fn parameters(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> {
        let words = self.parameters.split(|c| *c == b' ').filter(|word| !word.is_empty());
        words.map(|word| match word.iter().position(|c| *c == b'=') {
            Some(at) => (&word[..at], Some(&word[at + 1..])),
            None => (word, None),
        })
    }
}

/// Where `end` stands, quoted strings aside.
fn end_of_path(text: &[u8], end: u8) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    text.iter().position(|c| {
        let ends = *c == end && !quoted;
        quoted ^= *c == b'"' && !escaped;
        escaped = *c == b'\\' && quoted && !escaped;
        ends
    })
}
