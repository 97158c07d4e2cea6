//! State of a compilation: what is required, which variables there are, which mistakes.

use std::{borrow::Cow, fmt::Arguments};

use crate::{
    capability::{Capabilities, Capability},
    limits::Limits,
    mistake::{MOST_MISTAKES, Mistake, MistakeKind, Place},
    syntax::Strings,
    text::{Piece, Reference, Text, decode_characters, is_name, next_reference},
};

pub(crate) struct Context<'c> {
    pub(super) limits: &'c Limits,
    pub(super) capabilities: Capabilities,
    /// Lower-case names; the number of a variable is its place.
    pub(super) variables: Vec<String>,
    /// Left for regular expressions.
    pub(super) regex_octets: usize,
    /// Whether `ihave` asked for something that is not there.
    pub(super) is_uncertain: bool,
    pub(super) uses_body: bool,
    pub(super) mistakes: Vec<Mistake>,
}

impl<'c> Context<'c> {
    pub(super) fn new(limits: &'c Limits, mistakes: Vec<Mistake>) -> Self {
        let mut capabilities = Capabilities::default();
        capabilities.add(Capability::CompareCasemap);
        capabilities.add(Capability::CompareOctet);
        Self {
            limits,
            capabilities,
            variables: Vec::new(),
            regex_octets: limits.regex_octets,
            is_uncertain: false,
            uses_body: false,
            mistakes,
        }
    }

    pub(super) fn tell(&mut self, place: Place, kind: MistakeKind) {
        if self.mistakes.len() < MOST_MISTAKES {
            self.mistakes.push(Mistake { line: place.line, column: place.column, kind });
        }
    }

    /// Tells a mistake when a capability was not required.
    pub(super) fn needs(&mut self, place: Place, what: Arguments<'_>, capability: Capability) {
        if !self.capabilities.has(capability) {
            let what = what.to_string();
            self.tell(place, MistakeKind::Unrequired { what, capability: capability.name() });
        }
    }

    /// A string with its encoded characters and its variables.
    pub(super) fn text(&mut self, place: Place, text: Cow<'_, str>) -> Text {
        let text = if self.capabilities.has(Capability::EncodedCharacter) && text.contains("${") {
            let decoded = decode_characters(&text).unwrap_or_else(|value| {
                self.tell(place, MistakeKind::Value { value, what: "character" });
                String::new()
            });
            Cow::Owned(decoded)
        } else {
            text
        };
        if !self.capabilities.has(Capability::Variables) || !text.contains("${") {
            return Text::Fixed(text.into());
        }
        let (mut pieces, mut at) = (Vec::new(), 0);
        while let Some((start, end, reference)) = next_reference(&text, at) {
            if start > at {
                pieces.push(Piece::Fixed(text[at..start].into()));
            }
            at = end;
            match reference {
                Reference::Match(number) => pieces.push(Piece::Match(number)),
                Reference::Name(name) => {
                    pieces.extend(self.variable(place, name).map(Piece::Variable));
                }
                Reference::Space => {
                    let value = text[start + 2..end - 1].to_owned();
                    self.tell(place, MistakeKind::Value { value, what: "variable" });
                }
            }
        }
        if pieces.is_empty() && at == 0 {
            return Text::Fixed(text.into());
        }
        if at < text.len() {
            pieces.push(Piece::Fixed(text[at..].into()));
        }
        Text::Open(pieces.into_boxed_slice())
    }

    pub(super) fn texts(&mut self, strings: Strings<'_>) -> Box<[Text]> {
        strings.all.into_iter().map(|(place, text)| self.text(place, text)).collect()
    }

    /// The number of a variable.
    pub(super) fn variable(&mut self, place: Place, name: &str) -> Option<u16> {
        if !is_name(name) {
            let value = name.to_owned();
            self.tell(place, MistakeKind::Value { value, what: "name of a variable" });
            return None;
        }
        let name = name.to_ascii_lowercase();
        if let Some(number) = self.variables.iter().position(|it| *it == name) {
            return u16::try_from(number).ok();
        }
        if self.variables.len() >= self.limits.variables {
            self.tell(place, MistakeKind::Variables(self.limits.variables));
            return None;
        }
        self.variables.push(name);
        u16::try_from(self.variables.len() - 1).ok()
    }
}
