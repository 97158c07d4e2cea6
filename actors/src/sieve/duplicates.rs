//! The memory of the `duplicate` test (RFC 7352): what has been seen for whom. In memory only: after a
//! restart all is new.
//!
//! Anybody can write to a user as often as he likes, and so each user has a share: one who gets much
//! mail forgets sooner, and makes nobody else forget.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::{Weighter, unsync::Cache};
use relais_sieve::DuplicateQuery;

/// The memory of all users. Of too many values those users lose theirs for whom nothing comes.
pub(super) struct Duplicates {
    users: Mutex<Cache<u64, UserMemory, ByCount>>,
    hasher: RandomState,
}

/// Values of one user, the oldest first.
#[derive(Default)]
struct UserMemory(VecDeque<SeenValue>);

#[derive(Clone, Copy)]
struct SeenValue {
    /// Of handle and value.
    key: u64,
    until: Instant,
}

#[derive(Clone)]
struct ByCount;

impl Weighter<u64, UserMemory> for ByCount {
    fn weight(&self, _: &u64, memory: &UserMemory) -> u64 {
        memory.0.len().max(1) as u64
    }
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
        let users = Mutex::new(Cache::with_weighter(USERS, MOST, ByCount));
        Self { users, hasher: RandomState::new() }
    }
}

impl Duplicates {
    /// Whether a message of this user with this value was seen a while ago.
    pub(super) fn has(&self, user: &str, query: &DuplicateQuery) -> bool {
        let (user, key) = self.keys(&user.to_ascii_lowercase(), query);
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.get(&user).is_some_and(|memory| memory.has(key, Instant::now()))
    }

    /// Remembers values of messages that are in the queue.
    pub(super) fn remember(&self, all: &[Seen]) {
        for Seen { user, query } in all {
            let (user, key) = self.keys(user, query);
            let now = Instant::now();
            let time = query.seconds.map_or(USUAL, Duration::from_secs).min(LONGEST);
            let seen = SeenValue { key, until: now + time };
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(mut memory) = users.get_mut(&user) {
                memory.note(seen, query.is_last, now);
                continue;
            }
            users.insert(user, UserMemory([seen].into()));
        }
    }

    fn keys(&self, user: &str, query: &DuplicateQuery) -> (u64, u64) {
        (self.hasher.hash_one(user), self.hasher.hash_one((&query.handle, &query.id)))
    }
}

impl UserMemory {
    fn has(&self, key: u64, now: Instant) -> bool {
        self.0.iter().any(|seen| seen.key == key && seen.until > now)
    }

    /// Notes a value; one that is known begins its time anew only when that is wanted.
    fn note(&mut self, seen: SeenValue, begins_anew: bool, now: Instant) {
        if self.has(seen.key, now) && !begins_anew {
            return;
        }
        self.0.retain(|its| its.key != seen.key && its.until > now);
        if self.0.len() >= MOST_OF_USER {
            self.0.pop_front();
        }
        self.0.push_back(seen);
    }
}

/// Values of one user, and of all.
const MOST_OF_USER: usize = 1_000;
const MOST: u64 = 500_000;
/// Users that are expected.
const USERS: usize = 10_000;
/// Where a script says nothing.
const USUAL: Duration = Duration::from_secs(7 * 24 * 3_600);
const LONGEST: Duration = Duration::from_secs(90 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn query(handle: &str, id: &str, seconds: Option<u64>) -> DuplicateQuery {
        DuplicateQuery { handle: handle.into(), id: id.into(), seconds, is_last: false }
    }

    #[test]
    fn each_user_has_a_memory_of_its_own_that_ends() {
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

    #[test]
    fn one_user_pushes_out_nobody_else() {
        let memory = Duplicates::default();
        let of = |user: &str, id: usize| Seen::new(user, query("", &id.to_string(), None));
        let has = |user: &str, id: usize| memory.has(user, &query("", &id.to_string(), None));
        memory.remember(&[of("bob@a.test", 0)]);
        for id in 0..3 * MOST_OF_USER {
            memory.remember(&[of("ann@a.test", id)]);
        }
        assert!(has("bob@a.test", 0));
        assert!(has("ann@a.test", 3 * MOST_OF_USER - 1) && has("ann@a.test", 2 * MOST_OF_USER));
        assert!(!has("ann@a.test", 2 * MOST_OF_USER - 1));
        assert_eq!(memory.users.lock().unwrap().weight(), MOST_OF_USER as u64 + 1);
    }

    #[test]
    fn of_too_many_values_those_go_that_nothing_comes_for_and_each_costs_the_same() {
        let memory = Duplicates::default();
        let of = |user: &str| Seen::new(user, query("", "1", None));
        let has = |user: &str| memory.has(user, &query("", "1", None));
        memory.remember(&[of("bob@a.test")]);
        let begun = Instant::now();
        for user in 0..2 * MOST {
            memory.remember(&[of(&user.to_string())]);
            assert!(user % 1_000 > 0 || has("bob@a.test"), "{user}");
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert!(memory.users.lock().unwrap().weight() <= MOST);
    }
}
