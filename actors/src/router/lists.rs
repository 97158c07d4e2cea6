//! Long lists, and what they came to: every sub-address of a list leads to the same ways, and they
//! are found once and held once.
//!
//! A list is known by its members, not by its name. What it came to is kept as long as somebody else
//! holds it, and believed for a few seconds.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::routes::Route;

/// Lists that were expanded a moment ago.
#[derive(Debug, Default)]
pub(super) struct Lists {
    known: Mutex<KnownLists>,
    /// Two, so that nobody can make a list that is taken for another one.
    hashers: [RandomState; 2],
}

/// The ways of lists, and when they were found.
type KnownLists = HashMap<Fingerprint, (Weak<[Route]>, Instant)>;

/// The members of a list, and how they are looked at.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Fingerprint([u64; 2]);

impl Lists {
    pub(super) fn fingerprint(&self, list: &impl Hash) -> Fingerprint {
        Fingerprint([self.hashers[0].hash_one(list), self.hashers[1].hash_one(list)])
    }

    pub(super) fn find(&self, list: Fingerprint) -> Option<Arc<[Route]>> {
        let known = self.lock();
        let (routes, _) = known.get(&list).filter(|(_, found)| found.elapsed() < LIFE)?;
        routes.upgrade()
    }

    pub(super) fn keep(&self, list: Fingerprint, routes: &Arc<[Route]>) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.retain(|_, (routes, found)| routes.strong_count() > 0 && found.elapsed() < LIFE);
        }
        if known.len() < MOST {
            known.insert(list, (Arc::downgrade(routes), Instant::now()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, KnownLists> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Members from which on a list is long.
pub(super) const LONG: usize = 16;
/// A member that is added or removed is heeded after this, at the latest.
const LIFE: Duration = Duration::from_secs(10);
/// Lists at once.
const MOST: usize = 1_024;
