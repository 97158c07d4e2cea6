//! Words that would be said again and again are said once an hour.

use std::time::{Duration, Instant};

/// When something was said last.
#[derive(Debug, Default)]
pub(crate) struct Hourly(Option<Instant>);

impl Hourly {
    /// Whether it is to be said now; it counts as said from then on.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() >= HOUR);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
