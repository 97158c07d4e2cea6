//! Mistakes in scripts, each at its place.

use std::fmt;

/// A place in a script, from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

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
