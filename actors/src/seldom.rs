//! Log lines that would say the same with every message are written once an hour.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Subjects that were told of a while ago. Bounded: with too many of them the newest wait.
#[derive(Debug, Default)]
pub struct Seldom {
    told: Mutex<HashMap<u64, Instant>>,
    hasher: RandomState,
}

impl Seldom {
    /// Whether this subject is to be told of now; it counts as told from then on.
    pub fn is_due(&self, subject: &impl Hash) -> bool {
        self.is_due_at(subject, Instant::now())
    }

    fn is_due_at(&self, subject: &impl Hash, now: Instant) -> bool {
        let subject = self.hasher.hash_one(subject);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |at: &Instant| now.saturating_duration_since(*at) >= AGAIN;
        if told.get(&subject).is_some_and(|at| !is_over(at)) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, at| !is_over(at));
        }
        if told.len() >= MOST {
            return false;
        }
        told.insert(subject, now);
        true
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
            ("a", 0, true),
            ("a", 1, false),
            ("b", 1, true),
            ("a", 3_599, false),
            ("a", 3_600, true),
            ("a", 3_601, false),
            ("b", 3_601, true),
        ];
        for (subject, seconds, want) in rows {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(seldom.is_due_at(&subject, now), want, "{subject} {seconds}");
        }
    }

    #[test]
    fn many_subjects_need_a_bounded_memory() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let told = (0..2 * MOST).filter(|n| seldom.is_due_at(n, begin)).count();
        assert_eq!((told, seldom.told.lock().unwrap().len()), (MOST, MOST));
        assert!(seldom.is_due_at(&"new", begin + AGAIN), "those of an hour ago make room");
        assert_eq!(seldom.told.lock().unwrap().len(), 1);
    }
}
