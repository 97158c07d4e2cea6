//! Texts as patterns compare them.

use unicode_normalization::{IsNormalized, char::canonical_combining_class, is_nfc_quick};

use crate::grammar::composed;

/// A text that is matched, and what it is compared by.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    text: &'a str,
    folded: Option<&'a Folded>,
}

/// A text beyond ASCII in lower case and composed, and where each octet of that comes from.
pub(super) struct Folded {
    text: String,
    origin: Vec<usize>,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a str, folded: Option<&'a Folded>) -> Self {
        Self { text, folded }
    }

    /// The octets that patterns are compared with; letters of ASCII may be in any case.
    pub(super) fn octets(&self) -> &'a [u8] {
        self.folded.map_or(self.text, |folded| &folded.text).as_bytes()
    }

    /// The octets as written, for a span of these.
    pub(super) fn written(&self, (start, end): (usize, usize)) -> &'a [u8] {
        let place = |at: usize| match self.folded {
            None => at,
            Some(folded) => folded.origin.get(at).copied().unwrap_or(self.text.len()),
        };
        &self.text.as_bytes()[place(start)..place(end)]
    }
}

impl Folded {
    /// `None`: the text is ASCII, and compared as it stands.
    pub(super) fn of(text: &str) -> Option<Self> {
        if text.is_ascii() {
            return None;
        }
        let mut folded = Self {
            text: String::with_capacity(text.len()),
            origin: Vec::with_capacity(text.len()),
        };
        let starts = text.char_indices().filter(|(_, c)| stands_alone(*c)).map(|(at, _)| at);
        let mut from = 0;
        for to in starts.chain([text.len()]).filter(|to| *to > 0) {
            folded.push(from, &text[from..to]);
            from = to;
        }
        Some(folded)
    }

    /// A piece that begins at an octet of what was written: nothing in it composes with what is around it.
    fn push(&mut self, start: usize, piece: &str) {
        // The small sigma at the end of a word is the same letter as the others.
        let lower = piece.chars().flat_map(char::to_lowercase);
        let lower: String = lower.map(|c| if c == 'ς' { 'σ' } else { c }).collect();
        let before = self.text.len();
        self.text.push_str(&composed(&lower));
        let octets = 0..self.text.len() - before;
        self.origin.extend(octets.map(|n| start + n.min(piece.len())));
    }
}

/// A literal of a pattern, as inputs are compared with it.
pub(super) fn folded(text: &str) -> String {
    Folded::of(text).map_or_else(|| text.to_ascii_lowercase(), |folded| folded.text)
}

/// Whether nothing before a character can change what it composes to.
fn stands_alone(c: char) -> bool {
    let composes = || is_nfc_quick(std::iter::once(c)) != IsNormalized::Yes;
    c.is_ascii() || canonical_combining_class(c) == 0 && !composes()
}
