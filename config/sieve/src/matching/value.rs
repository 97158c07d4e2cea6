//! A value that tests compare, with its lower case beside it once somebody asked for it.

use std::{borrow::Cow, sync::OnceLock};

/// A value of a message, of the envelope or of a script.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value<'a> {
    text: Cow<'a, str>,
    folded: OnceLock<Option<Box<str>>>,
}

impl<'a> Value<'a> {
    pub(crate) fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), folded: OnceLock::new() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// In ASCII lower case; its octets stand where they stand in the text.
    pub(crate) fn folded(&self) -> &str {
        let fold = || {
            let has_upper = self.text.bytes().any(|c| c.is_ascii_uppercase());
            has_upper.then(|| self.text.to_ascii_lowercase().into_boxed_str())
        };
        self.folded.get_or_init(fold).as_deref().unwrap_or(&self.text)
    }
}
