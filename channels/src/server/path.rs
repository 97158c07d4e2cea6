//! The arguments of MAIL and RCPT: where the address ends and the parameters begin.

use crate::mail::AddressError;

/// Why an argument holds no address.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// No `<`, no `>`, or something stuck to the `>`.
    #[error("the address must stand between < and >")]
    Brackets,
    /// Octets above 127, where the client did not ask for SMTPUTF8.
    #[error("the address holds characters beyond ASCII, and SMTPUTF8 was not asked for")]
    NotAscii,
    /// Octets above 127 that are no characters.
    #[error("the address is not UTF-8")]
    NotUtf8,
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
        let path = std::str::from_utf8(path).map_err(|_| PathError::NotUtf8)?;
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

/// The command with `*` for each octet above 127 in the local part of its path, as the original reads
/// such addresses where SMTPUTF8 was not agreed on; `None`: there is none, or MAIL agrees on it.
/// Domains are left alone.
pub(super) fn starred(line: &[u8]) -> Option<Vec<u8>> {
    let is_path = [b"MAIL ".as_slice(), b"RCPT "]
        .iter()
        .any(|verb| line.get(..verb.len()).is_some_and(|its| its.eq_ignore_ascii_case(verb)));
    if line.is_ascii() || !is_path {
        return None;
    }
    let start = line.iter().position(|c| *c == b':')? + 1;
    let start = start + (line[start..].len() - line[start..].trim_ascii_start().len());
    let (start, ends) =
        if line.get(start) == Some(&b'<') { (start + 1, b'>') } else { (start, b' ') };
    let rest = &line[start..];
    let (path, parameters) = rest.split_at(end_of_path(rest, ends).unwrap_or(rest.len()));
    if parameters.split(|c| *c == b' ').any(|word| word.eq_ignore_ascii_case(SMTPUTF8)) {
        return None;
    }
    let local = path.iter().rposition(|c| *c == b'@').unwrap_or(path.len());
    let mut line = line.to_vec();
    for octet in line[start..start + local].iter_mut().filter(|octet| !octet.is_ascii()) {
        *octet = b'*';
    }
    Some(line)
}

/// The parameter of MAIL (RFC 6531 section 3.4).
pub(super) const SMTPUTF8: &[u8] = b"SMTPUTF8";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_above_127_become_asterisks_in_local_parts_alone() {
        let rows: &[(&[u8], Option<&[u8]>)] = &[
            (b"RCPT TO:<jos\xe9@siroe.com>", Some(b"RCPT TO:<jos*@siroe.com>")),
            (
                b"rcpt to: <jos\xc3\xa9@siroe.com> X=\xc3",
                Some(b"rcpt to: <jos**@siroe.com> X=\xc3"),
            ),
            (b"MAIL FROM:\xe9@a", Some(b"MAIL FROM:*@a")),
            (b"MAIL FROM:<\"\xe9>\"@a\xe9>", Some(b"MAIL FROM:<\"*>\"@a\xe9>")),
            (b"RCPT TO:<\xe9>", Some(b"RCPT TO:<*>")),
            (b"RCPT TO:<jose@siroe.com>", None),
            (b"EHLO \xe9", None),
            (b"RCPT \xe9", None),
            (b"MAIL FROM:<\xc3\xa9@a> BODY=8BITMIME smtputf8", None),
            (b"MAIL FROM:<\xe9@a> XSMTPUTF8", Some(b"MAIL FROM:<*@a> XSMTPUTF8")),
        ];
        for (line, want) in rows {
            assert_eq!(starred(line).as_deref(), *want, "{}", line.escape_ascii());
        }
    }
}
