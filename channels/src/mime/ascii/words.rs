//! Text of a header, word by word: words of ASCII stay, the others become encoded words. Blanks between
//! two encoded words mean nothing (RFC 2047 section 6.2), so those that mean something are encoded, too.

use super::{
    folding::Folding,
    tokens::{Token, TokenKind, is_blank, unfolded, unquoted},
};

/// Words that follow each other.
#[derive(Debug, Default)]
pub(super) struct TextRun {
    /// Text of the encoded words at hand.
    encoded: Vec<u8>,
    /// The word before was an encoded word already.
    follows_encoded: bool,
}

impl TextRun {
    /// A word with the blanks before it; `raw` is how it stands there and `text` is what it means.
    pub(super) fn word(&mut self, gap: &[u8], raw: &[u8], text: &[u8], out: &mut Folding<'_>) {
        if !raw.is_ascii() {
            let is_open = !self.encoded.is_empty();
            if is_open || self.follows_encoded {
                self.encoded.extend(unfolded_blanks(gap));
            }
            if !is_open {
                out.blanks(gap);
            }
            self.encoded.extend_from_slice(text);
            self.follows_encoded = false;
            return;
        }
        let is_open = !self.encoded.is_empty();
        self.follows_encoded = raw.starts_with(b"=?") && raw.ends_with(b"?=");
        if is_open && self.follows_encoded {
            self.encoded.extend(unfolded_blanks(gap));
        }
        self.end(out);
        out.blanks(gap);
        out.plain(raw);
    }

    /// No word follows; whether the last one is an encoded word.
    pub(super) fn end(&mut self, out: &mut Folding<'_>) -> bool {
        let encoded = std::mem::take(&mut self.encoded);
        if encoded.is_empty() {
            return self.follows_encoded;
        }
        out.encoded(&encoded);
        true
    }
}

/// A value without structure.
pub(super) fn unstructured(value: &[u8], out: &mut Folding<'_>) {
    let mut run = TextRun::default();
    let mut rest = value;
    while !rest.is_empty() {
        let (gap, behind) = rest.split_at(rest.iter().take_while(|c| is_blank(**c)).count());
        let (word, behind) = behind.split_at(behind.iter().take_while(|c| !is_blank(**c)).count());
        rest = behind;
        if word.is_empty() {
            run.end(out);
            out.blanks(gap);
        } else {
            run.word(gap, word, word, out);
        }
    }
    run.end(out);
}

/// Words, quoted strings and comments, as in a display name; whether an encoded word ends it.
pub(super) fn phrase(tokens: &[Token<'_>], out: &mut Folding<'_>) -> bool {
    let mut run = TextRun::default();
    let mut gap: &[u8] = b"";
    for part in tokens.chunk_by(|a, b| !a.is_room() && !b.is_room()) {
        match part {
            [Token { kind: TokenKind::Blank, raw }] => gap = raw,
            [Token { kind: TokenKind::Comment, raw }] => {
                if run.end(out) && gap.is_empty() {
                    out.space();
                }
                run = TextRun::default();
                out.blanks(gap);
                gap = b"";
                comment(raw, out);
            }
            word => {
                let raw: Vec<u8> = word.iter().flat_map(|token| token.raw).copied().collect();
                if !raw.is_ascii() && gap.is_empty() {
                    out.space();
                }
                run.word(gap, &raw, &meaning(word), out);
                gap = b"";
            }
        }
    }
    let is_encoded = run.end(out);
    out.blanks(gap);
    is_encoded
}

/// A comment with its parentheses.
pub(super) fn comment(raw: &[u8], out: &mut Folding<'_>) {
    let mut run = TextRun::default();
    let (mut gap, mut word, mut text) = (Vec::new(), Vec::new(), Vec::new());
    let mut octets = raw.iter().copied();
    while let Some(octet) = octets.next() {
        let is_bound = is_blank(octet) || matches!(octet, b'(' | b')');
        if !is_bound {
            let meant = if octet == b'\\' { octets.next() } else { None };
            // Behind the backslash is a fold: it means nothing, and line ends are made anew.
            if matches!(meant, Some(b'\r' | b'\n')) {
                continue;
            }
            word.push(octet);
            word.extend(meant);
            text.push(meant.unwrap_or(octet));
            continue;
        }
        if !word.is_empty() {
            run.word(&gap, &word, &text, out);
            (gap, word, text) = (Vec::new(), Vec::new(), Vec::new());
        }
        if is_blank(octet) {
            gap.push(octet);
        } else {
            run.end(out);
            run = TextRun::default();
            out.blanks(&std::mem::take(&mut gap));
            out.plain(&[octet]);
        }
    }
}

/// Tokens that stay as they are, but for comments; `None`: one of them is not ASCII.
pub(super) fn as_they_are(tokens: &[Token<'_>], out: &mut Folding<'_>) -> Option<()> {
    for token in tokens {
        match token.kind {
            TokenKind::Blank => out.blanks(token.raw),
            TokenKind::Comment => comment(token.raw, out),
            _ if token.raw.is_ascii() => out.plain(token.raw),
            _ => return None,
        }
    }
    Some(())
}

/// The text of tokens without the quotes.
fn meaning(tokens: &[Token<'_>]) -> Vec<u8> {
    let text = |token: &Token<'_>| match token.kind {
        TokenKind::Quoted => unquoted(token.raw),
        _ => token.raw.to_vec(),
    };
    tokens.iter().flat_map(text).collect()
}

/// The raw text of tokens, unfolded.
pub(super) fn raw_text(tokens: &[Token<'_>]) -> Vec<u8> {
    unfolded(&tokens.iter().flat_map(|token| token.raw).copied().collect::<Vec<_>>())
}

fn unfolded_blanks(gap: &[u8]) -> impl Iterator<Item = u8> {
    gap.iter().copied().filter(|c| !matches!(c, b'\r' | b'\n'))
}
