//! Whether a partition is slow: more than half of the commits of the last ten seconds took too long.

use std::time::{Duration, Instant};

/// The commits of the last ten seconds, counted for each second.
#[derive(Debug)]
pub(super) struct CommitTimes {
    limit: Duration,
    began: Instant,
    /// The second that each slot holds, and its commits: all of them, and the slow ones.
    slots: [(u64, u32, u32); SECONDS],
}

impl CommitTimes {
    /// For commits that are slow beyond `limit`.
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { limit, began: now, slots: [(0, 0, 0); SECONDS] }
    }

    /// One has ended that took so long.
    pub(super) fn add(&mut self, now: Instant, took: Duration) {
        let second = self.second(now);
        let slot = &mut self.slots[second as usize % SECONDS];
        if slot.0 != second {
            *slot = (second, 0, 0);
        }
        slot.1 += 1;
        slot.2 += u32::from(took > self.limit);
    }

    /// Whether the median of the last ten seconds is beyond the limit.
    pub(super) fn is_stressed(&self, now: Instant) -> bool {
        let oldest = (self.second(now) + 1).saturating_sub(SECONDS as u64);
        let counted = self.slots.iter().filter(|slot| slot.0 >= oldest);
        let (all, slow) = counted.fold((0, 0), |(all, slow), slot| (all + slot.1, slow + slot.2));
        slow * 2 > all
    }

    /// From 1 on: no slot is of second 0.
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs() + 1
    }
}

const SECONDS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_beyond_the_limit_is_stress_for_ten_seconds() {
        // Commits as (second, milliseconds), and when it is looked.
        type Row = (&'static str, &'static [(u64, u64)], u64, bool);
        let rows: [Row; 8] = [
            ("nothing yet", &[], 0, false),
            ("one slow", &[(0, 1_500)], 0, true),
            ("at the limit", &[(0, 1_000)], 0, false),
            ("half of them", &[(0, 1_500), (1, 10)], 1, false),
            ("more than half", &[(0, 1_500), (1, 10), (2, 1_200)], 2, true),
            ("at the end of the window", &[(0, 1_500)], 9, true),
            ("long ago", &[(0, 1_500)], 10, false),
            ("the quick ones are gone", &[(0, 1), (0, 1), (5, 2_000)], 11, true),
        ];
        for (name, commits, at, want) in rows {
            let began = Instant::now();
            let later = |seconds| began + Duration::from_secs(seconds);
            let mut times = CommitTimes::new(Duration::from_secs(1), began);
            for (second, took) in commits {
                times.add(later(*second), Duration::from_millis(*took));
            }
            assert_eq!(times.is_stressed(later(at)), want, "{name}");
        }
    }
}
