//! Texts that may tell of operators.

use std::{fmt, ops::Deref};

use serde::{Deserialize, Serialize};

/// A text as operators read it, and as all others do. Whoever makes one says which of it tells of an operator.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "String", into = "String")]
pub struct GuardedText {
    text: String,
    /// `None`: all of it.
    for_all: Option<String>,
}

impl GuardedText {
    /// A text of the engine, which all may read.
    pub fn of_engine(text: impl Into<String>) -> Self {
        Self { text: text.into(), for_all: None }
    }

    /// A text with an operator's name or reason in it, and what others read in its place.
    pub fn of_operator(text: impl Into<String>, for_all: impl Into<String>) -> Self {
        Self { text: text.into(), for_all: Some(for_all.into()) }
    }

    /// Appends what all may read.
    pub fn push(&mut self, more: &str) {
        self.text.push_str(more);
        if let Some(for_all) = &mut self.for_all {
            for_all.push_str(more);
        }
    }

    /// Leaves what all may read.
    pub fn hide(&mut self) {
        if let Some(for_all) = self.for_all.take() {
            self.text = for_all;
        }
    }
}

impl Deref for GuardedText {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for GuardedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// As an engine sent it, which has left out what its reader may not know.
impl From<String> for GuardedText {
    fn from(text: String) -> Self {
        Self::of_engine(text)
    }
}

impl From<GuardedText> for String {
    fn from(guarded: GuardedText) -> Self {
        guarded.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_what_is_for_all_and_what_was_appended() {
        let mut text = GuardedText::of_operator("held by bob: x", "held by an operator");
        text.push("; tried twice");
        let json = |text: &GuardedText| serde_json::to_string(text).unwrap();
        assert_eq!(json(&text), "\"held by bob: x; tried twice\"");
        text.hide();
        assert_eq!(json(&text), "\"held by an operator; tried twice\"");
        text.hide();
        assert_eq!(&*text, "held by an operator; tried twice");
        let mut own = GuardedText::of_engine("accepted");
        own.hide();
        assert_eq!(&*own, "accepted");
    }
}
