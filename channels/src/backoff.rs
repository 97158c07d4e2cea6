//! Pauses between attempts: each twice as long as the one before, up to a longest. What costs much,
//! or bothers somebody, is not tried again at a fixed rate.

use std::time::Duration;

/// The pause after the next failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// The first pause, and the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// An attempt failed: how long to wait for the next one.
    pub fn fail(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// How long to wait after the next failure.
    pub const fn pause(&self) -> Duration {
        self.next
    }
}
