//! Words that would be the same with every message are said once in a while: log lines once an hour.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Subjects that were told of a while ago; so many at once.
#[derive(Debug)]
pub struct Seldom {
    told: Mutex<HashMap<u64, LastTold>>,
    hasher: RandomState,
    period: Duration,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct LastTold {
    at: Instant,
    /// How often it was not told since.
    kept_back: u64,
}

/// For log lines: once an hour, 4,096 subjects at once.
impl Default for Seldom {
    fn default() -> Self {
        Self::new(AGAIN, MOST)
    }
}

impl Seldom {
    /// Tells of a subject once in each period. Nothing is told of one more than `most` until a period of
    /// another one is over.
    pub fn new(period: Duration, most: usize) -> Self {
        Self { told: Mutex::default(), hasher: RandomState::default(), period, most }
    }

    /// Whether new subjects are not told of now.
    pub fn is_full(&self) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).len() >= self.most
    }

    /// Whether this subject is to be told of now; it counts as told from then on.
    pub fn is_due(&self, subject: &impl Hash) -> bool {
        self.times(subject).is_some()
    }

    /// The same, and how often it happened since it was told last, now included.
    pub fn times(&self, subject: &impl Hash) -> Option<u64> {
        self.times_at(subject, Instant::now())
    }

    fn times_at(&self, subject: &impl Hash, now: Instant) -> Option<u64> {
        let subject = self.hasher.hash_one(subject);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |told: &LastTold| now.saturating_duration_since(told.at) >= self.period;
        let mut times = 1;
        if let Some(known) = told.get_mut(&subject) {
            if !is_over(known) {
                known.kept_back += 1;
                return None;
            }
            times += known.kept_back;
        } else if told.len() >= self.most {
            told.retain(|_, known| !is_over(known));
            if told.len() >= self.most {
                return None;
            }
        }
        told.insert(subject, LastTold { at: now, kept_back: 0 });
        Some(times)
    }
}

const AGAIN: Duration = Duration::from_secs(3_600);
/// Subjects at once.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_told_of_once_an_hour() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let rows = [
            ("a", 0, Some(1)),
            ("a", 1, None),
            ("b", 1, Some(1)),
            ("a", 3_599, None),
            ("a", 3_600, Some(3)),
            ("a", 3_601, None),
            ("b", 3_601, Some(1)),
        ];
        for (subject, seconds, want) in rows {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(seldom.times_at(&subject, now), want, "{subject} {seconds}");
        }
    }

    #[test]
    fn many_subjects_need_a_bounded_memory() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let told = (0..2 * MOST).filter(|n| seldom.times_at(n, begin).is_some()).count();
        assert_eq!((told, seldom.told.lock().unwrap().len()), (MOST, MOST));
        assert!(seldom.times_at(&"new", begin + AGAIN).is_some(), "those of an hour ago make room");
        assert_eq!(seldom.told.lock().unwrap().len(), 1);
    }
}
