//! The memory of the `duplicate` test (RFC 7352): what has been seen for whom. In memory only: after a
//! restart all is new.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use relais_sieve::DuplicateQuery;

/// The memory of all users.
pub(super) struct Duplicates {
    /// By user, handle and value; until when.
    seen: Cache<u64, Instant>,
    hasher: RandomState,
}

/// A value of one user that is to be remembered once its message is in the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    user: String,
    query: DuplicateQuery,
}

impl Seen {
    pub(super) fn new(user: &str, query: DuplicateQuery) -> Self {
        Self { user: user.to_ascii_lowercase(), query }
    }
}

impl Default for Duplicates {
    fn default() -> Self {
        Self { seen: Cache::new(MOST), hasher: RandomState::default() }
    }
}

impl Duplicates {
    /// Whether a message of this user with this value was seen a while ago.
    pub(super) fn has(&self, user: &str, query: &DuplicateQuery) -> bool {
        self.seen
            .get(&self.key(&user.to_ascii_lowercase(), query))
            .is_some_and(|until| until > Instant::now())
    }

    /// Remembers values of messages that are in the queue.
    pub(super) fn remember(&self, all: &[Seen]) {
        for Seen { user, query } in all {
            let key = self.key(user, query);
            let is_known = self.seen.get(&key).is_some_and(|until| until > Instant::now());
            if is_known && !query.is_last {
                continue;
            }
            let time = query.seconds.map_or(USUAL, Duration::from_secs).min(LONGEST);
            self.seen.insert(key, Instant::now() + time);
        }
    }

    fn key(&self, user: &str, query: &DuplicateQuery) -> u64 {
        self.hasher.hash_one((user, &query.handle, &query.id))
    }
}

/// Values that are remembered; of more those go that nobody asked for.
const MOST: usize = 100_000;
/// Where a script says nothing.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3_600);
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_memory_of_its_own_that_ends() {
        let query = |handle: &str, id: &str, seconds| DuplicateQuery {
            handle: handle.into(),
            id: id.into(),
            seconds,
            is_last: false,
        };
        let memory = Duplicates::default();
        memory.remember(&[
            Seen::new("Ann@a.test", query("", "1@x", None)),
            Seen::new("ann@a.test", query("", "2@x", Some(0))),
        ]);
        // user, handle, id, seen
        let rows = [
            ("ann@a.test", "", "1@x", true),
            ("ann@A.TEST", "", "1@x", true),
            ("bob@a.test", "", "1@x", false),
            ("ann@a.test", "h", "1@x", false),
            ("ann@a.test", "", "2@x", false),
        ];
        for (user, handle, id, want) in rows {
            assert_eq!(memory.has(user, &query(handle, id, None)), want, "{user} {handle} {id}");
        }
    }
}
