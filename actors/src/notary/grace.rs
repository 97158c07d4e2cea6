//! The grace after an absence: the engine was down, the machine was asleep, or the wall clock was
//! set ahead. A message that became too old in the absence gets as long for one more attempt, up to
//! [`GRACE`], before it is returned. Pure.

use std::time::{Duration, Instant};

/// The last sign of life, and how long nothing is returned.
#[derive(Debug)]
pub(super) struct Grace {
    alive: (Instant, u64),
    returns_from: u64,
}

impl Grace {
    /// The engine starts. It was alive at `alive` and would return nothing before `returns_from`,
    /// both in milliseconds since 1970.
    pub(super) fn resume(alive: u64, returns_from: u64) -> Self {
        Self { alive: (Instant::now(), alive), returns_from }
    }

    /// A sign of life. The answer is the grace, if one begins now.
    pub(super) fn note_alive(&mut self, at: Instant, now: u64) -> Option<Duration> {
        let (before, alive) = std::mem::replace(&mut self.alive, (at, now));
        let passed = Duration::from_millis(now.saturating_sub(alive));
        let absence = passed.saturating_sub(at.saturating_duration_since(before));
        // The rest of an earlier grace. A short absence only interrupts it: an engine that is
        // started again and again must come to its end.
        let left = Duration::from_millis(self.returns_from.saturating_sub(alive));
        if absence < ABSENCE {
            // The clock may have been set back.
            self.returns_from = self.returns_from.min(after(now, GRACE));
            return None;
        }
        let is_interrupted = absence < GRACE && !left.is_zero();
        let grace = if is_interrupted { left } else { absence }.min(GRACE);
        self.returns_from = after(now, grace);
        Some(grace)
    }

    /// Before this, in milliseconds since 1970, nothing is returned.
    pub(super) fn returns_from(&self) -> u64 {
        self.returns_from
    }

    /// The last sign of life, in milliseconds since 1970.
    pub(super) fn alive(&self) -> u64 {
        self.alive.1
    }
}

/// `time` after `at`, in milliseconds since 1970.
pub(super) fn after(at: u64, time: Duration) -> u64 {
    at.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// The shortest absence that is worth a grace: more than a start takes, and more than lies between
/// two signs of life.
const ABSENCE: Duration = Duration::from_secs(2 * 60);
/// The longest grace. Every host that is up is tried in it.
pub(super) const GRACE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000_000;
    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn what_became_too_old_in_an_absence_is_returned_a_little_later() {
        let began = Instant::now();
        let at = |secs| began + Duration::from_secs(secs);
        // name, seconds of the engine since the last sign of life, of the wall clock, the grace
        let rows = [
            ("as time goes by", 60, 60, 0),
            ("a clock that drifts", 60, 61, 0),
            ("a clock that is set back", 60, -DAY, 0),
            ("a plain restart", 0, 100, 0),
            ("a nap", 10, 10 + 180, 180),
            ("down for days, or a clock that is set ahead", 10, 5 * DAY, 60 * 60),
        ];
        for (name, engine, wall, grace) in rows {
            let mut state = Grace { alive: (began, NOON), returns_from: 0 };
            let now = NOON.saturating_add_signed(wall * 1_000);
            let begins = state.note_alive(at(engine), now);
            assert_eq!(begins.map_or(0, |grace| grace.as_secs()), grace, "{name}");
            let from = state.returns_from();
            assert_eq!(from.saturating_sub(now), grace * 1_000, "{name}");
            assert_eq!(
                state.note_alive(at(engine + 60), now + 60_000),
                None,
                "{name}: no second one"
            );
            assert_eq!(state.returns_from(), from, "{name}");
        }
    }

    #[test]
    fn an_engine_that_is_started_again_and_again_returns_mail_in_the_end() {
        // Minutes down, then minutes up, and that again and again; starts before a return.
        let rows = [(1, 3, 0), (10, 3, 3), (10, 8, 1), (30, 40, 0), (59, 7, 8)];
        for (down, up, want) in rows {
            let (mut now, mut returns_from) = (NOON, 0);
            let starts = (0..100).position(|_| {
                let mut state = Grace::resume(now, returns_from);
                state.note_alive(Instant::now(), now + down * 60_000);
                returns_from = state.returns_from();
                now += (down + up) * 60_000;
                returns_from < now
            });
            assert_eq!(starts, Some(want), "{down} {up}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_grace_longer_than_the_longest() {
        let mut state = Grace { alive: (Instant::now(), NOON), returns_from: NOON + 9 };
        let before = NOON - 5 * 86_400_000;
        state.note_alive(Instant::now(), before);
        assert_eq!(state.returns_from(), before + 3_600_000);
    }
}
