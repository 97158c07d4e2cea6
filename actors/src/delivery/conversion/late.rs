//! Programs that have hung several times in a row are left alone for a while: mail that needs none of them
//! goes on meanwhile, and does not wait behind one run after the other.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The late runs of programs, by label in lower case.
#[derive(Debug, Default)]
pub(in crate::delivery) struct LateRuns(Mutex<HashMap<String, InARow>>);

/// Runs of one program that took too long, without one between that ended in time.
#[derive(Debug)]
struct InARow {
    count: u32,
    /// Until when it is left alone.
    until: Instant,
}

impl LateRuns {
    /// How long it is left alone; `None`: it may be run. After its time one run is let through, and the
    /// others wait until that has ended, at most for `limit`, its time limit.
    pub(super) fn left_alone(
        &self,
        label: &str,
        limit: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let its = all.get_mut(&label.to_ascii_lowercase()).filter(|its| its.count >= MOST)?;
        if its.until > now {
            return Some(its.until - now);
        }
        its.until = now + limit;
        None
    }

    /// A run has ended by itself.
    pub(super) fn ended(&self, label: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&label.to_ascii_lowercase());
    }

    /// A run took longer than `limit`.
    pub(super) fn was_late(&self, label: &str, limit: Duration, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let its = all.entry(label.to_ascii_lowercase()).or_insert(InARow { count: 0, until: now });
        its.count = its.count.saturating_add(1);
        its.until = now + (limit * PAUSE).min(LONGEST_PAUSE);
        if its.count == MOST {
            let pause = its.until - now;
            tracing::warn!(
                program = label,
                "took longer than {limit:?} {MOST} times in a row: it is left alone for {pause:?}, \
                 and mail that needs it waits"
            );
        }
    }
}

/// Late runs in a row that are borne.
const MOST: u32 = 3;
/// A program is left alone for so many times its limit: one that hangs for ever costs a quarter of the time
/// of one worker.
const PAUSE: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_program_that_hangs_is_tried_by_one_now_and_then() {
        let (runs, begin) = (LateRuns::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let alone =
            |label, seconds| runs.left_alone(label, LIMIT, at(seconds)).map(|left| left.as_secs());
        runs.was_late("scan", LIMIT, at(10));
        runs.was_late("Scan", LIMIT, at(20));
        assert_eq!(alone("scan", 21), None);
        runs.was_late("scan", LIMIT, at(30));
        assert_eq!(alone("scan", 31), Some(29));
        assert_eq!(alone("other", 31), None);
        assert_eq!(alone("SCAN", 60), None, "one is let through");
        assert_eq!(alone("scan", 61), Some(9), "the others wait for it");
        runs.was_late("scan", LIMIT, at(70));
        assert_eq!(alone("scan", 71), Some(29));
        assert_eq!(alone("scan", 100), None);
        runs.ended("scan");
        assert_eq!(alone("scan", 101), None);
        runs.was_late("scan", LIMIT, at(110));
        assert_eq!(alone("scan", 111), None, "it is counted anew");
    }

    #[test]
    fn the_pause_after_a_patient_limit_is_bounded() {
        let (runs, now) = (LateRuns::default(), Instant::now());
        let limit = Duration::from_secs(3_600);
        for _ in 0..9 {
            runs.was_late("scan", limit, now);
        }
        assert_eq!(runs.left_alone("scan", limit, now), Some(LONGEST_PAUSE));
    }
}
