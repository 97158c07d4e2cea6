//! `Received` (RFC 6857 section 3).

use super::{
    addresses::{a_labels, addresses},
    folding::Folding,
    tokens::{Token, tokens},
    words::as_they_are,
};

/// Domains get A-labels, comments encoded words; a `for` or an `id` that cannot be written is left out.
/// `None`: something else is not ASCII.
pub(super) fn received(value: &[u8], out: &mut Folding<'_>) -> Option<()> {
    let all = tokens(value).collect::<Option<Vec<_>>>()?;
    let parts: Vec<_> = all.chunk_by(|a, b| !splits(a) && !splits(b)).collect();
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        let clause = Clause::of(part);
        let next = || parts[at + 1..].iter().position(|part| !part[0].is_room());
        let Some(word) = (clause != Clause::Other).then(next).flatten().map(|more| at + 1 + more)
        else {
            as_they_are(part, out)?;
            at += 1;
            continue;
        };
        let text: Vec<u8> = parts[word].iter().flat_map(|token| token.raw).copied().collect();
        let new = match clause {
            _ if text.is_ascii() => Some(text),
            Clause::Host => Some(a_labels(&text)?.into_bytes()),
            Clause::For => recipient(&text),
            Clause::Id | Clause::Other => None,
        };
        if let Some(new) = new {
            parts[at..word].iter().try_for_each(|part| as_they_are(part, out))?;
            out.plain(&new);
        }
        at = word + 1;
    }
    Some(())
}

/// A word that says what the next one is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Clause {
    /// `from`, `by`.
    Host,
    For,
    Id,
    Other,
}

impl Clause {
    fn of(part: &[Token<'_>]) -> Self {
        let [Token { raw, .. }] = part else { return Self::Other };
        let is = |word: &str| raw.eq_ignore_ascii_case(word.as_bytes());
        match () {
            () if is("from") || is("by") => Self::Host,
            () if is("for") => Self::For,
            () if is("id") => Self::Id,
            () => Self::Other,
        }
    }
}

/// Whether a token is a part by itself.
fn splits(token: &Token<'_>) -> bool {
    token.is_room() || token.is(b';')
}

/// The address of a `for` with the A-labels of its domain; `None`: it is not ASCII even so.
fn recipient(text: &[u8]) -> Option<Vec<u8>> {
    let mut written = Vec::new();
    let mut field = Folding::new(b"", &mut written);
    addresses(text, &mut field)?;
    field.finish(b"");
    let address = written.get(1..).filter(|it| !it.windows(2).any(|two| two == b"=?"))?;
    Some(address.to_vec())
}
