//! The number of replies of each user within an hour. The engine forgets it when it ends: a user may
//! then have twice as many in the hour of a restart.

use std::collections::HashMap;

use ring::digest::{SHA256, digest};

/// A user, as a digest.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct UserDigest([u8; 16]);

/// Replies by user, in the hour that began with the first of them.
#[derive(Debug, Default)]
pub(super) struct HourlyReplies(HashMap<UserDigest, HourOfUser>);

#[derive(Clone, Copy, Debug)]
struct HourOfUser {
    /// Milliseconds since 1970.
    begun: u64,
    replies: usize,
}

impl UserDigest {
    /// Of a user's name, whatever its case.
    pub(super) fn of(user: &str) -> Self {
        Self(short_digest(user))
    }
}

/// Of a text, whatever its case.
pub(super) fn short_digest(text: &str) -> [u8; 16] {
    let whole = digest(&SHA256, text.to_ascii_lowercase().as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&whole.as_ref()[..16]);
    short
}

impl HourlyReplies {
    /// Counts a reply that is about to be sent; `false`: the user has had `most` in this hour.
    pub(super) fn take(&mut self, user: UserDigest, most: usize, now: u64) -> bool {
        // A clock that was set back makes nobody wait for longer.
        let is_over = |hour: &HourOfUser| now.checked_sub(hour.begun).is_none_or(|its| its >= HOUR);
        if self.0.len() >= MOST && !self.0.contains_key(&user) {
            self.0.retain(|_, hour| !is_over(hour));
            if self.0.len() >= MOST {
                self.0.clear();
            }
        }
        let hour = self.0.entry(user).or_insert(HourOfUser { begun: now, replies: 0 });
        if is_over(hour) {
            *hour = HourOfUser { begun: now, replies: 0 };
        }
        if hour.replies >= most {
            return false;
        }
        hour.replies += 1;
        true
    }

    /// The reply was not sent after all.
    pub(super) fn give_back(&mut self, user: UserDigest) {
        if let Some(hour) = self.0.get_mut(&user) {
            hour.replies = hour.replies.saturating_sub(1);
        }
    }
}

const HOUR: u64 = 3_600_000;
/// Users at once.
const MOST: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_replies_in_an_hour() {
        let mut hourly = HourlyReplies::default();
        let (ann, bob) = (UserDigest::of("uid=ann"), UserDigest::of("uid=bob"));
        let begin = 10 * HOUR;
        let rows = [
            (ann, 0, true),
            (ann, 1, true),
            (bob, 1, true),
            (ann, 2, false),
            (ann, HOUR - 1, false),
            (bob, HOUR - 1, true),
            (ann, HOUR, true),
            (ann, HOUR, true),
            (ann, 2 * HOUR - 1, false),
        ];
        for (n, (user, after, want)) in rows.into_iter().enumerate() {
            assert_eq!(hourly.take(user, 2, begin + after), want, "row {n}");
        }
        hourly.give_back(ann);
        assert!(hourly.take(ann, 2, begin + 2 * HOUR - 1));
        assert!(!hourly.take(ann, 2, begin + 2 * HOUR - 1));
        assert!(hourly.take(ann, 2, 1), "the clock was set back");
        hourly.give_back(UserDigest::of("nobody"));
    }

    #[test]
    fn many_users_need_a_bounded_memory() {
        let mut hourly = HourlyReplies::default();
        for n in 0..MOST + 10 {
            assert!(hourly.take(UserDigest::of(&n.to_string()), 1, HOUR));
            assert!(hourly.0.len() <= MOST);
        }
    }
}
