//! Due times against a wall clock that was wrong: one that was ahead leaves entries on the disk
//! that wait for days that nobody meant.
//!
//! A due time is part of the key that the index has of an entry. So whatever is brought forward is
//! written down: else its end would not take it out of the index.

use relais_channels::mail::Priority;
use relais_config::Channel;
use tokio::time::Instant;

use super::backoff;

/// A wall clock, watched by one that only goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    at: Instant,
    /// The wall clock's time then, in milliseconds since 1970.
    wall: u64,
}

impl WallClock {
    pub(super) fn new(at: Instant, wall: u64) -> Self {
        Self { at, wall }
    }

    /// Whether the wall clock was set back since it was right; told once.
    pub(super) fn fell_back(&mut self, at: Instant, wall: u64) -> bool {
        let passed = u64::try_from((at - self.at).as_millis()).unwrap_or(u64::MAX);
        let expected = self.wall.saturating_add(passed);
        if wall.abs_diff(expected) <= STEP_MS {
            return false;
        }
        *self = Self { at, wall };
        wall < expected
    }
}

/// When an entry is due at the latest: after the longest wait of its channel.
pub(super) fn latest_due(channel: &Channel, priority: Priority, now: u64) -> u64 {
    let longest = backoff::longest(channel, priority);
    now.saturating_add(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX))
}

/// Milliseconds that the clock may be off without any notice.
const STEP_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_noticed_once() {
        let start = Instant::now();
        let mut clock = WallClock::new(start, 1_000_000);
        // seconds that passed, what the clock shows, whether it fell back
        for (passed, wall, fell_back) in [
            (10, 1_010_000, false),
            (20, 961_000, false),
            (30, 9_000_000, false),
            (40, 9_010_000, false),
            (50, 8_900_000, true),
            (51, 8_901_000, false),
            (7_251, 16_101_000, false),
        ] {
            let at = start + Duration::from_secs(passed);
            assert_eq!(clock.fell_back(at, wall), fell_back, "after {passed} s");
        }
    }
}
