//! Pauses between attempts: each twice as long as the one before, up to a longest. An attempt that
//! copies a segment or rebuilds the index costs too much to be made at a fixed rate.

use std::time::Duration;

/// The pause after the next failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first pause, and the longest.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// An attempt failed: how long to wait for the next one.
    pub(crate) fn fail(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}
