//! Mistakes in scripts, each at its place.

use std::{borrow::Cow, fmt};

/// A place in a script, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// Mistakes that are told of one script: behind them it is not looked at.
pub const MOST_MISTAKES: usize = 100;

/// A mistake in a script.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The mistake itself.
    pub kind: MistakeKind,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.kind)
    }
}

impl Mistake {
    /// The same without words of the script, for readers who may not be let to see it.
    pub fn without_words(&self) -> String {
        format!("line {}, column {}: {}", self.line, self.column, self.kind.without_words())
    }
}

/// Kinds of mistakes.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MistakeKind {
    /// A script larger than its bound, in octets.
    #[error("the script has more than {0} octets")]
    TooLong(usize),
    /// Octets that are no UTF-8, or a NUL.
    #[error("these octets are no UTF-8 text")]
    NotText,
    /// A comment, a string or a text without an end.
    #[error("{0} has no end")]
    Unended(&'static str),
    /// A character that begins nothing.
    #[error("{0:?} begins nothing")]
    Stray(char),
    /// A number beyond 2^63 - 1.
    #[error("the number is too large")]
    Number,
    /// Something else than the grammar wants.
    #[error("{wanted} is expected here, not {found}")]
    Expected {
        /// In words.
        wanted: &'static str,
        /// In words.
        found: String,
    },
    /// Blocks or tests within each other beyond the bound, in levels.
    #[error("more than {0} levels of nesting")]
    Nesting(usize),
    /// A list beyond the bound, in strings.
    #[error("the list has more than {0} strings")]
    List(usize),
    /// `require` behind another command.
    #[error("\"require\" must stand before all other commands")]
    LateRequire,
    /// A capability that is not there.
    #[error("there is no extension {0:?}")]
    UnknownCapability(String),
    /// Something that needs a capability.
    #[error("{what} needs require {capability:?}")]
    Unrequired {
        /// In words.
        what: String,
        /// By its name.
        capability: &'static str,
    },
    /// A command that is not there.
    #[error("there is no command {0:?}")]
    UnknownCommand(String),
    /// A test that is not there.
    #[error("there is no test {0:?}")]
    UnknownTest(String),
    /// A tag that its command or test does not have.
    #[error("{of} has no argument \":{tag}\"")]
    UnknownTag {
        /// The command or test.
        of: String,
        /// Without its colon.
        tag: String,
    },
    /// A tag that stands twice, or beside one that excludes it.
    #[error("\":{0}\" stands beside another argument that excludes it")]
    Excluded(String),
    /// An argument that is missing.
    #[error("{of} lacks {what}")]
    Missing {
        /// The command or test.
        of: String,
        /// In words.
        what: &'static str,
    },
    /// An argument, test or block too many.
    #[error("{of} takes no {what} here")]
    Superfluous {
        /// The command or test.
        of: String,
        /// In words.
        what: &'static str,
    },
    /// `elsif` or `else` without an `if`.
    #[error("{0:?} stands behind no \"if\"")]
    NoIf(String),
    /// A value that is none of those that are there.
    #[error("{value:?} is no {what}")]
    Value {
        /// As in the script.
        value: String,
        /// In words.
        what: &'static str,
    },
    /// A comparator that cannot compare in this way.
    #[error("the comparator {comparator} cannot compare with \":{kind}\"")]
    Comparator {
        /// By its name.
        comparator: &'static str,
        /// Without its colon.
        kind: &'static str,
    },
    /// A regular expression that is none; the reason is in words.
    #[error("no regular expression: {0}")]
    Regex(String),
    /// More variables than the bound.
    #[error("more than {0} variables")]
    Variables(usize),
}

impl MistakeKind {
    /// The same without words of the script.
    fn without_words(&self) -> Cow<'static, str> {
        match self {
            Self::TooLong(_)
            | Self::NotText
            | Self::Unended(_)
            | Self::Number
            | Self::Nesting(_)
            | Self::List(_)
            | Self::LateRequire
            | Self::Comparator { .. }
            | Self::Variables(_) => self.to_string().into(),
            Self::Stray(_) => "this character begins nothing".into(),
            Self::Expected { wanted, .. } => format!("{wanted} is expected here").into(),
            Self::UnknownCapability(_) => "there is no such extension".into(),
            Self::Unrequired { capability, .. } => {
                format!("it needs require {capability:?}").into()
            }
            Self::UnknownCommand(_) => "there is no such command".into(),
            Self::UnknownTest(_) => "there is no such test".into(),
            Self::UnknownTag { .. } => "there is no such argument here".into(),
            Self::Excluded(_) => "an argument stands beside another one that excludes it".into(),
            Self::Missing { what, .. } => format!("{what} is missing").into(),
            Self::Superfluous { what, .. } => format!("no {what} is taken here").into(),
            Self::NoIf(_) => "it stands behind no \"if\"".into(),
            Self::Value { what, .. } => format!("the value is no {what}").into(),
            Self::Regex(_) => "no regular expression".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Limits, Mistake, Script};

    #[test]
    fn mistakes_are_told_without_words_of_the_script() {
        let rows = [
            ("root:secret:0:0:", "line 1, column 16: this character begins nothing"),
            ("secret;", "line 1, column 1: there is no such command"),
            ("if secret {}", "line 1, column 4: there is no such test"),
            ("keep secret;", "line 1, column 6: "),
            ("require \"secret\";", "line 1, column 9: there is no such extension"),
            ("keep :secret;", "line 1, column 6: there is no such argument here"),
            ("keep \"secret\";", "line 1, column 6: no "),
            ("redirect \"secret\";", "line 1, column 10: the value is no "),
            ("require \"regex\"; if header :regex \"a\" \"(secret\" {}", "line 1, column "),
            ("/* secret", "line 1, column 1: the comment has no end"),
        ];
        for (text, want) in rows {
            let mistakes = Script::compile(text.as_bytes(), &Limits::default()).unwrap_err();
            let told: Vec<String> = mistakes.iter().map(Mistake::without_words).collect();
            assert!(told.iter().any(|its| its.starts_with(want)), "{text}: {told:?}");
            assert!(!told.concat().contains("secret"), "{text}: {told:?}");
        }
    }
}
