//! Bounds of scripts and of their runs.

use std::time::{Duration, Instant};

/// Bounds of a script and of its run. A script beyond them is refused by [`crate::Script::compile`];
/// a run beyond them ends with [`crate::RunErrorKind::Bound`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Octets of a script: 65,536.
    pub script_octets: usize,
    /// Blocks and tests within each other, in levels: 32 (RFC 5228 2.10.5 asks for 15).
    pub nesting: usize,
    /// Strings of a list: 1,024.
    pub list: usize,
    /// Octets that all the compiled regular expressions of a script may take: 131,072. One that
    /// is made of variables at run time may take an eighth of them.
    pub regex_octets: usize,
    /// Variables of a script: 128, as RFC 5229 6 asks for.
    pub variables: usize,
    /// Octets of the value of a variable: 4,096 (RFC 5229 6 asks for 4,000); beyond, it is cut.
    pub variable_octets: usize,
    /// Octets of all strings that a run makes: 1,048,576.
    pub memory_octets: usize,
    /// Steps of a run: 40,000. A command or a test is one; so are 64 octets that are compared, 32
    /// header fields that are looked through, and 8 octets that meet a regular expression of 1 KiB.
    pub steps: u64,
    /// Wall-clock time of a run: 250 ms. It is for the unforeseen: steps end a run before.
    pub time: Duration,
    /// Copies that a run may redirect: 4.
    pub redirects: usize,
    /// Actions of a run: 32.
    pub actions: usize,
    /// Octets of the body that tests look at, from its beginning: 65,536.
    pub body_octets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            script_octets: 65_536,
            nesting: 32,
            list: 1_024,
            regex_octets: 131_072,
            variables: 128,
            variable_octets: 4_096,
            memory_octets: 1_048_576,
            steps: 40_000,
            time: Duration::from_millis(250),
            redirects: 4,
            actions: 32,
            body_octets: 65_536,
        }
    }
}

/// A bound that a run hit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Bound {
    /// [`Limits::steps`].
    #[error("it takes too many steps")]
    Steps,
    /// [`Limits::time`].
    #[error("it takes too long")]
    Time,
    /// [`Limits::memory_octets`].
    #[error("its strings take too much memory")]
    Memory,
    /// [`Limits::redirects`].
    #[error("it redirects too many copies")]
    Redirects,
    /// [`Limits::actions`].
    #[error("it takes too many actions")]
    Actions,
    /// [`Limits::regex_octets`].
    #[error("a regular expression is too large")]
    Regex,
}

/// Steps, time and memory that a run has left.
pub(crate) struct Fuel {
    steps: u64,
    memory: usize,
    deadline: Instant,
    until_look: u64,
}

/// Steps between two looks at the clock.
const LOOK: u64 = 512;

impl Fuel {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            steps: limits.steps,
            memory: limits.memory_octets,
            deadline: Instant::now() + limits.time,
            until_look: LOOK,
        }
    }

    /// Takes steps away.
    pub(crate) fn spend(&mut self, steps: u64) -> Result<(), Bound> {
        self.steps = self.steps.checked_sub(steps).ok_or(Bound::Steps)?;
        if let Some(left) = self.until_look.checked_sub(steps) {
            self.until_look = left;
            return Ok(());
        }
        self.until_look = LOOK;
        if Instant::now() > self.deadline { Err(Bound::Time) } else { Ok(()) }
    }

    /// Takes memory away, and the steps that it costs to fill it.
    pub(crate) fn hold(&mut self, octets: usize) -> Result<(), Bound> {
        self.memory = self.memory.checked_sub(octets).ok_or(Bound::Memory)?;
        self.spend(octets as u64 / 128)
    }
}
