//! Regular expressions: linear, and bounded in size.

use regex::bytes::{Regex, RegexBuilder};

use super::ere;

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(super) regex: Regex,
    /// Steps for 8 octets of a text: about the KiB of the compiled expression.
    pub(super) weight: u64,
}

/// Reasons why an expression is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PatternError {
    /// In words.
    Syntax(String),
    TooLarge,
}

impl Pattern {
    /// Compiles an expression that takes at most `octets`; takes what it needs from them.
    pub(super) fn new(
        text: &str,
        is_folded: bool,
        octets: &mut usize,
    ) -> Result<Self, PatternError> {
        let translated = ere::translate(text, is_folded).map_err(PatternError::Syntax)?;
        // The crate tells no size: the least bound that lets it pass is close enough.
        for size in [1_024, 4_096, 16_384, 65_536] {
            if size > *octets {
                break;
            }
            let mut builder = RegexBuilder::new(&translated);
            builder.unicode(false);
            match builder.size_limit(size).dfa_size_limit(65_536).nest_limit(64).build() {
                Ok(regex) => {
                    *octets -= size;
                    return Ok(Self { regex, weight: size as u64 / 1_024 });
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(PatternError::Syntax(last_line(&error.to_string()))),
            }
        }
        Err(PatternError::TooLarge)
    }
}

/// The crate draws the expression above its reason.
fn last_line(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}
