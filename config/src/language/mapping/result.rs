//! Results of a probe, and the calls of a template.

use std::fmt;

/// The result that a table made of an input.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mapped {
    /// Flags that the templates set.
    pub flags: MappingFlags,
    /// The text that was left over.
    pub text: String,
    /// The last entry that applied, counted from 0.
    pub entry: usize,
}

/// Flags of a result, `$Y`, `$N` and so on: the calling table decides what each means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct MappingFlags(u32);

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

/// Tables, keys and URLs that the templates of a table ask for.
#[derive(Default)]
pub(crate) struct Calls {
    /// Other tables.
    pub(crate) tables: Vec<String>,
    /// Keys of the general database; `None`: one that the input decides.
    pub(crate) keys: Vec<Option<String>>,
    /// URLs that are looked up; true: by what only servers know.
    pub(crate) urls: Vec<bool>,
}

/// The probe did more than it may; it counts as refused.
pub(crate) struct Overrun;

impl MappingFlags {
    /// The flags of a text: `"YN"`.
    pub fn of(flags: &str) -> Self {
        let mut all = Self::default();
        flags.chars().for_each(|flag| all.set(flag));
        all
    }

    /// The same of a text that may hold something else.
    pub fn parse(flags: &str) -> Option<Self> {
        let is_flag = |flag: char| FLAGS.contains(flag.to_ascii_uppercase());
        flags.chars().all(is_flag).then(|| Self::of(flags))
    }

    /// Whether `$letter` was set; case does not matter.
    pub fn has(self, letter: char) -> bool {
        self.0 & Self::bit(letter) != 0
    }

    pub(crate) fn set(&mut self, letter: char) {
        self.0 |= Self::bit(letter);
    }

    /// The flags of either.
    pub(crate) fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    fn bit(letter: char) -> u32 {
        let letter = letter.to_ascii_uppercase();
        FLAGS.find(letter).map_or(0, |n| 1 << n)
    }
}

/// `$Y$<`; nothing when none is set.
impl fmt::Display for MappingFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FLAGS.chars().filter(|flag| self.has(*flag)).try_for_each(|flag| write!(f, "${flag}"))
    }
}

/// Flags that a template may set, but for `$C $E $L $R`, which say what comes next.
pub(super) const FLAGS: &str = "ABDFGHIJKMNOPQSTUVWXYZ<>";
/// Octets of a text that a template makes.
pub const MAX_TEXT: usize = 8_192;
