//! Results of a probe, and the calls of a template.

/// The result that a table made of an input.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mapped {
    /// Flags that the templates set.
    pub flags: MappingFlags,
    /// The text that was left over.
    pub text: String,
}

/// Flags of a result: `$Y`, `$N`, `$F`, `$T`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MappingFlags(pub(crate) u32);

/// The step after an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// `$E`, or nothing said.
    End,
    /// `$C`.
    Continue,
    /// `$L`.
    Loop,
    /// `$R`.
    Restart,
}

/// Tables and keys that the templates of a table ask for.
#[derive(Default)]
pub(crate) struct Calls {
    /// Other tables.
    pub(crate) tables: Vec<String>,
    /// Keys of the general database; `None`: one that the input decides.
    pub(crate) keys: Vec<Option<String>>,
}

/// The probe did more than it may; it counts as refused.
pub(crate) struct Overrun;

impl MappingFlags {
    /// Whether `$letter` was set; case does not matter.
    pub fn has(self, letter: char) -> bool {
        self.0 & Self::bit(letter) != 0
    }

    pub(crate) fn set(&mut self, letter: char) {
        self.0 |= Self::bit(letter);
    }

    fn bit(letter: char) -> u32 {
        match letter.to_ascii_uppercase() {
            letter @ 'A'..='Z' => 1 << (u32::from(letter) - u32::from('A')),
            _ => 0,
        }
    }
}

/// Octets of a text that a template makes.
pub const MAX_TEXT: usize = 8_192;
