//! The memory of the `duplicate` test (RFC 7352): what has been seen for whom. In memory only: after a
//! restart all is new.
//!
//! Anybody can write to a user as often as he likes, and so each user has a share: one who gets much
//! mail forgets sooner, and makes nobody else forget.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use relais_sieve::DuplicateQuery;

/// The memory of all users.
#[derive(Default)]
pub(super) struct Duplicates {
    users: Mutex<UserMemories>,
    hasher: RandomState,
}

#[derive(Default)]
struct UserMemories {
    by_user: HashMap<u64, UserMemory>,
    /// Values of all of them.
    values: usize,
}

/// Values of one user, the oldest first.
type UserMemory = VecDeque<SeenValue>;

#[derive(Clone, Copy)]
struct SeenValue {
    /// Of handle and value.
    key: u64,
    until: Instant,
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

impl Duplicates {
    /// Whether a message of this user with this value was seen a while ago.
    pub(super) fn has(&self, user: &str, query: &DuplicateQuery) -> bool {
        let (user, key) = self.keys(&user.to_ascii_lowercase(), query);
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = users.by_user.get(&user);
        let now = Instant::now();
        memory.is_some_and(|its| its.iter().any(|seen| seen.key == key && seen.until > now))
    }

    /// Remembers values of messages that are in the queue.
    pub(super) fn remember(&self, all: &[Seen]) {
        for Seen { user, query } in all {
            let (user, key) = self.keys(user, query);
            let now = Instant::now();
            let time = query.seconds.map_or(USUAL, Duration::from_secs).min(LONGEST);
            let seen = SeenValue { key, until: now + time };
            let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
            users.note(user, (seen, query.is_last), now);
        }
    }

    fn keys(&self, user: &str, query: &DuplicateQuery) -> (u64, u64) {
        (self.hasher.hash_one(user), self.hasher.hash_one((&query.handle, &query.id)))
    }
}

impl UserMemories {
    /// Notes a value; one that is known begins its time anew only when that is wanted.
    fn note(&mut self, user: u64, (seen, begins_anew): (SeenValue, bool), now: Instant) {
        let memory = self.by_user.entry(user).or_default();
        let before = memory.len();
        let is_known = memory.iter().any(|its| its.key == seen.key && its.until > now);
        if is_known && !begins_anew {
            return;
        }
        memory.retain(|its| its.key != seen.key && its.until > now);
        if memory.len() >= MOST_OF_USER {
            memory.pop_front();
        }
        memory.push_back(seen);
        self.values = self.values + memory.len() - before;
        if self.values > MOST {
            self.make_room(now);
        }
    }

    /// Takes out what is over, and the oldest of those users who have most.
    fn make_room(&mut self, now: Instant) {
        let wanted = MOST / 10 * 9;
        let mut share = MOST_OF_USER;
        while share > 0 {
            for memory in self.by_user.values_mut() {
                memory.retain(|its| its.until > now);
                memory.drain(..memory.len().saturating_sub(share));
                memory.shrink_to_fit();
            }
            self.values = self.by_user.values().map(VecDeque::len).sum();
            if self.values <= wanted {
                break;
            }
            share /= 2;
        }
        self.by_user.retain(|_, memory| !memory.is_empty());
    }
}

/// Values of one user, and of all.
const MOST_OF_USER: usize = 1_000;
const MOST: usize = 500_000;
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
        assert_eq!(memory.users.lock().unwrap().values, MOST_OF_USER + 1);
    }

    #[test]
    fn of_too_many_values_those_who_have_most_lose_first() {
        let now = Instant::now();
        let value = |key, seconds| SeenValue { key, until: now + Duration::from_secs(seconds) };
        let mut users = UserMemories::default();
        users.by_user.insert(1, (0..10).map(|key| value(key, 60)).collect());
        for user in 2..2 + MOST as u64 / 1_000 {
            users.by_user.insert(user, (0..1_000).map(|key| value(key, 60)).collect());
        }
        users.by_user.insert(0, [value(0, 0)].into());
        users.make_room(now);
        assert_eq!(users.by_user[&1].len(), 10);
        assert_eq!(users.by_user[&2].front().map(|its| its.key), Some(500));
        assert!(!users.by_user.contains_key(&0), "its time is over");
        assert_eq!(users.values, MOST / 2 + 10);
        users.note(3, (value(7, 60), false), now);
        assert_eq!(users.values, MOST / 2 + 11);
    }
}
