//! How urgent a message is: which of two that wait goes first, and how long each waits in vain.

use serde::{Deserialize, Serialize};

/// From the header, then lowered by size (sun-mta-engine 3.7). Smaller is served first.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub enum Priority {
    /// `Priority: urgent`, `Importance: high`.
    Urgent,
    /// A message without a word about its priority.
    #[default]
    Normal,
    /// `Priority: non-urgent`, `Importance: low`.
    Nonurgent,
    /// Below non-urgent: reached by size only.
    SecondClass,
}

impl Priority {
    /// From the first to be served to the last.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::Normal, Self::Nonurgent, Self::SecondClass];

    /// The priority that the value of a `Priority:` or `Importance:` line asks for (RFC 2156 section 5.3.6,
    /// RFC 4021 section 2.1.54). Nothing that a sender writes leads below `Nonurgent`.
    pub fn from_header(value: &[u8]) -> Option<Self> {
        let value = value.trim_ascii();
        let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
        if is(b"urgent") || is(b"high") {
            Some(Self::Urgent)
        } else if is(b"normal") {
            Some(Self::Normal)
        } else if is(b"non-urgent") || is(b"nonurgent") || is(b"low") {
            Some(Self::Nonurgent)
        } else {
            None
        }
    }

    /// The next one down.
    #[must_use]
    pub fn lowered(self) -> Self {
        match self {
            Self::Urgent => Self::Normal,
            Self::Normal => Self::Nonurgent,
            Self::Nonurgent | Self::SecondClass => Self::SecondClass,
        }
    }

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Nonurgent => "nonurgent",
            Self::SecondClass => "second class",
        }
    }
}
