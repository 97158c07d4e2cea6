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
    when_full: WhenFull,
}

/// The fate of one subject more than are remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFull {
    /// Nothing is told of it until a period of another one is over.
    Wait,
    /// It is told of, and so may be those once more that were longest ago.
    ForgetOldest,
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
        Self::new(AGAIN, MOST, WhenFull::Wait)
    }
}

impl Seldom {
    /// Tells of a subject once in each period.
    pub fn new(period: Duration, most: usize, when_full: WhenFull) -> Self {
        let (told, hasher) = (Mutex::default(), RandomState::default());
        Self { told, hasher, period, most, when_full }
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
                match self.when_full {
                    WhenFull::Wait => return None,
                    WhenFull::ForgetOldest => forget_older_half(&mut told),
                }
            }
        }
        told.insert(subject, LastTold { at: now, kept_back: 0 });
        Some(times)
    }
}

/// Half of them go at once, so that not each new one looks through all.
fn forget_older_half(told: &mut HashMap<u64, LastTold>) {
    let mut times: Vec<Instant> = told.values().map(|known| known.at).collect();
    let half = times.len() / 2;
    let (_, middle, _) = times.select_nth_unstable(half);
    let middle = *middle;
    told.retain(|_, known| known.at > middle);
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
    fn a_full_memory_forgets_the_oldest_where_nobody_is_to_wait() {
        let (seldom, begin) = (Seldom::new(AGAIN, 8, WhenFull::ForgetOldest), Instant::now());
        let is_due = |n: u64| seldom.times_at(&n, begin + Duration::from_secs(n)).is_some();
        assert!((0..100).all(is_due), "each is new");
        assert!(seldom.told.lock().unwrap().len() <= 8);
        let late = begin + Duration::from_secs(100);
        assert!(seldom.times_at(&99_u64, late).is_none(), "it was just told of");
        assert!(seldom.times_at(&0_u64, late).is_some(), "it is forgotten");
        // Subjects of one moment go together.
        let seldom = Seldom::new(AGAIN, 4, WhenFull::ForgetOldest);
        assert!((0..100).all(|n| seldom.times_at(&n, begin).is_some()));
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
