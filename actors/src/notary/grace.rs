//! Time in which nobody looked, by the clock on the wall: the engine was down, the machine was
//! asleep, or the clock was set ahead. What became too old in it gets as long for one more
//! attempt, up to [`GRACE`], before it is returned. Pure.

use std::time::{Duration, Instant};

/// When somebody looked last, and how long nothing is returned.
#[derive(Debug)]
pub(super) struct Unseen {
    seen: (Instant, u64),
    returns_from: u64,
}

impl Unseen {
    /// The engine starts. It was alive at `alive` and would return nothing before `returns_from`,
    /// both in milliseconds since 1970.
    pub(super) fn since(alive: u64, returns_from: u64) -> Self {
        Self { seen: (Instant::now(), alive), returns_from }
    }

    /// Somebody looks. The grace, if one begins now.
    pub(super) fn look(&mut self, at: Instant, now: u64) -> Option<Duration> {
        let (before, seen) = std::mem::replace(&mut self.seen, (at, now));
        let passed = Duration::from_millis(now.saturating_sub(seen));
        let unseen = passed.saturating_sub(at.saturating_duration_since(before));
        // What was left of an earlier grace then. A short absence only interrupts it: an engine
        // that is started again and again must come to its end.
        let left = Duration::from_millis(self.returns_from.saturating_sub(seen));
        if unseen < UNSEEN {
            // The clock may have been set back.
            self.returns_from = self.returns_from.min(after(now, GRACE));
            return None;
        }
        let is_interrupted = unseen < GRACE && !left.is_zero();
        let grace = if is_interrupted { left } else { unseen }.min(GRACE);
        self.returns_from = after(now, grace);
        Some(grace)
    }

    /// Before this, in milliseconds since 1970, nothing is returned.
    pub(super) fn returns_from(&self) -> u64 {
        self.returns_from
    }

    /// When somebody looked last.
    pub(super) fn seen(&self) -> u64 {
        self.seen.1
    }
}

/// `time` after `at`, in milliseconds since 1970.
pub(super) fn after(at: u64, time: Duration) -> u64 {
    at.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Time in which nobody looked that is worth a grace: more than a start takes, and more than lies
/// between two looks.
const UNSEEN: Duration = Duration::from_secs(2 * 60);
/// The longest grace. Every host that is up is tried in it.
pub(super) const GRACE: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000_000;
    const DAY: i64 = 24 * 60 * 60;

    #[test]
    fn what_became_too_old_unseen_is_returned_a_little_later() {
        let began = Instant::now();
        let at = |secs| began + Duration::from_secs(secs);
        // name, seconds of the engine since the last look, of the clock on the wall, the grace
        let rows = [
            ("as time goes by", 60, 60, 0),
            ("a clock that drifts", 60, 61, 0),
            ("a clock that is set back", 60, -DAY, 0),
            ("a plain restart", 0, 100, 0),
            ("a nap", 10, 10 + 180, 180),
            ("down for days, or a clock that is set ahead", 10, 5 * DAY, 60 * 60),
        ];
        for (name, engine, wall, grace) in rows {
            let mut unseen = Unseen { seen: (began, NOON), returns_from: 0 };
            let now = NOON.saturating_add_signed(wall * 1_000);
            let begins = unseen.look(at(engine), now);
            assert_eq!(begins.map_or(0, |grace| grace.as_secs()), grace, "{name}");
            let from = unseen.returns_from();
            assert_eq!(from.saturating_sub(now), grace * 1_000, "{name}");
            assert_eq!(unseen.look(at(engine + 60), now + 60_000), None, "{name}: no second one");
            assert_eq!(unseen.returns_from(), from, "{name}");
        }
    }

    #[test]
    fn an_engine_that_is_started_again_and_again_returns_mail_in_the_end() {
        // Minutes down, then minutes up, and that again and again; starts before a return.
        let rows = [(1, 3, 0), (10, 3, 3), (10, 8, 1), (30, 40, 0), (59, 7, 8)];
        for (down, up, want) in rows {
            let (mut now, mut returns_from) = (NOON, 0);
            let starts = (0..100).position(|_| {
                let mut unseen = Unseen::since(now, returns_from);
                unseen.look(Instant::now(), now + down * 60_000);
                returns_from = unseen.returns_from();
                now += (down + up) * 60_000;
                returns_from < now
            });
            assert_eq!(starts, Some(want), "{down} {up}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_no_grace_longer_than_the_longest() {
        let mut unseen = Unseen { seen: (Instant::now(), NOON), returns_from: NOON + 9 };
        let before = NOON - 5 * 86_400_000;
        unseen.look(Instant::now(), before);
        assert_eq!(unseen.returns_from(), before + 3_600_000);
    }
}
