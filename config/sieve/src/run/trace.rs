//! Steps of a run, as they are shown.

/// A step of a run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceStep {
    /// The place of the script among those of the run, from 0.
    pub script: usize,
    /// From 1.
    pub line: u32,
    /// The step itself.
    pub what: Traced,
}

/// Kinds of steps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Traced {
    /// A test and its result.
    Test {
        /// By its name in the language.
        name: &'static str,
        /// Whether it holds.
        holds: bool,
    },
    /// A command and its outcome, in words.
    Command {
        /// By its name in the language.
        name: &'static str,
        /// Its object, and what came of it.
        outcome: String,
    },
}
