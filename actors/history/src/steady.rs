//! The wall clock, as far as it is to be believed: a machine that wakes up in another year, or begins there
//! until it has asked its time server, must not cost the records of the last week.

use std::time::{Duration, Instant};

/// Tells whether the wall clock has gone on evenly for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SteadyClock {
    since: Instant,
    /// Milliseconds since 1970 at that moment.
    wall: u64,
}

impl SteadyClock {
    pub(crate) fn new(now: Instant, wall: u64) -> Self {
        Self { since: now, wall }
    }

    /// Whether it has gone on evenly for so long, and what it shows now may be acted upon.
    pub(crate) fn is_steady(&mut self, now: Instant, wall: u64, least: Duration) -> bool {
        let passed = now.saturating_duration_since(self.since);
        let expected =
            self.wall.saturating_add(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX));
        if expected.abs_diff(wall) > JUMP {
            *self = Self::new(now, wall);
            return false;
        }
        passed >= least
    }
}

/// Milliseconds by which a clock may be corrected.
const JUMP: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_believed_after_a_while_without_a_jump() {
        let start = Instant::now();
        let mut clock = SteadyClock::new(start, 1_000_000);
        // Seconds that have passed, seconds that the wall clock shows; whether it is believed.
        for (passed, shown, want) in [
            (1, 1, false),
            (900, 930, true),
            (901, 2_592_901, false),
            (902, 2_592_902, false),
            (911, 911, false),
            (1_800, 1_800, false),
            (1_811, 1_811, true),
        ] {
            let at = start + Duration::from_secs(passed);
            let is_steady =
                clock.is_steady(at, 1_000_000 + shown * 1_000, Duration::from_secs(900));
            assert_eq!(is_steady, want, "{passed} {shown}");
        }
    }
}
