//! When a deferred entry is tried again. Pure.

use std::{borrow::Cow, hash::Hasher, time::Duration};

use relais_channels::mail::{MessageId, Priority};
use relais_config::{
    Channel,
    channel::{NONURGENT_BACKOFF_MINUTES, NORMAL_BACKOFF_MINUTES, URGENT_BACKOFF_MINUTES},
};

use super::entry::Tracked;
use crate::channel_table::joined_recipients;

/// The waits of a channel for messages of this priority: its own series for these, else its
/// `backoff`, else the original's.
pub fn series(channel: &Channel, priority: Priority) -> Cow<'_, [Duration]> {
    let (own, minutes) = match priority {
        Priority::Urgent => (&channel.urgentbackoff, URGENT_BACKOFF_MINUTES),
        Priority::Normal => (&channel.normalbackoff, NORMAL_BACKOFF_MINUTES),
        Priority::Nonurgent | Priority::SecondClass => {
            (&channel.nonurgentbackoff, NONURGENT_BACKOFF_MINUTES)
        }
    };
    let given = own.as_deref().or(channel.backoff.as_deref()).filter(|given| !given.is_empty());
    let built_in = || minutes.map(|minutes| Duration::from_secs(60 * minutes)).to_vec();
    given.map_or_else(|| Cow::Owned(built_in()), Cow::Borrowed)
}

/// The wait before attempt `attempts + 1`, after `attempts` failures (from 1): the series, whose
/// last value repeats, plus up to a tenth, so that a host that comes back is not hit by
/// everything at once. Never earlier than the series says.
pub fn delay(series: &[Duration], attempts: u16, seed: u64) -> Duration {
    let index = usize::from(attempts.max(1) - 1).min(series.len().saturating_sub(1));
    let base = series.get(index).copied().unwrap_or_default();
    base + (base / 10).mul_f64(fraction(seed, attempts))
}

/// The longest wait that there is for messages of this priority: of the series, or the minute for
/// which some are tried again without it; and the tenth that comes to it.
pub fn longest(channel: &Channel, priority: Priority) -> Duration {
    let longest = series(channel, priority).iter().max().copied().unwrap_or_default();
    let longest = longest.max(Duration::from_secs(60));
    longest + longest / 10
}

/// A mailbox that is busy now is free soon: 1 to 60 seconds (sun-mta-addressing 5.5).
pub fn mailbox_busy(seed: u64, attempts: u16) -> Duration {
    Duration::from_secs(1) + Duration::from_secs(59).mul_f64(fraction(seed, attempts))
}

/// The seed that makes the waits of one entry differ from those of others; not of those that it leaves
/// together with.
pub fn seed(channel: &Channel, id: MessageId, entry: u16) -> u64 {
    if joined_recipients(channel) > 0 { id.0 } else { id.0 ^ u64::from(entry) }
}

/// Whether an entry's last attempt ended between `since` and `now`, in milliseconds since 1970, as
/// its next one tells. Of one that waits for a busy mailbox, or for its host, this may be said by mistake,
/// within the minute before it is tried again.
pub fn tried_between(channel: &Channel, entry: &Tracked, since: u64, now: u64) -> bool {
    let Tracked { attempts, due, .. } = *entry;
    if attempts == 0 || due == 0 {
        return false;
    }
    let seed = seed(channel, entry.id, entry.entry);
    let usual = delay(&series(channel, entry.priority), attempts, seed);
    let soon = mailbox_busy(seed, attempts);
    let ended = |wait: Duration| due.checked_sub(u64::try_from(wait.as_millis()).ok()?);
    let ended = [usual, soon].into_iter().filter_map(ended);
    ended.into_iter().any(|at| (since..=now).contains(&at))
}

/// A number from 0 to 1 that differs between entries and attempts and is the same when asked
/// again: nothing to store, and tests need no luck.
fn fraction(seed: u64, attempts: u16) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write_u16(attempts);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// Busy answers in a row that are retried fast; then the series applies.
pub const FAST_RETRIES: u16 = 10;

#[cfg(test)]
mod tests {
    use relais_config::channel::Program;

    use super::*;
    use relais_storage::Place;

    #[test]
    fn the_series_with_its_jitter() {
        let secs = |given: &[u64]| Some(given.iter().map(|s| Duration::from_secs(*s)).collect());
        let plain = Channel::new("c", "c-daemon", Program::Lmtp);
        let own = Channel { backoff: secs(&[10, 20]), urgentbackoff: secs(&[1]), ..plain.clone() };
        // channel, priority, failures so far, wait in seconds
        let rows = [
            (&plain, Priority::Urgent, 1, 1_800),
            (&plain, Priority::Normal, 1, 3_600),
            (&plain, Priority::Normal, 2, 7_200),
            (&plain, Priority::Normal, 7, 28_800),
            (&plain, Priority::Normal, 1_000, 28_800),
            (&plain, Priority::Nonurgent, 7, 57_600),
            (&plain, Priority::SecondClass, 1, 7_200),
            (&own, Priority::Normal, 1, 10),
            (&own, Priority::Nonurgent, u16::MAX, 20),
            (&own, Priority::Urgent, 2, 1),
        ];
        for (channel, priority, failures, secs) in rows {
            for seed in 0..200 {
                let wait = delay(&series(channel, priority), failures, seed);
                assert!(wait <= longest(channel, priority));
                let wait = wait.as_secs_f64();
                let secs = f64::from(secs);
                assert!((secs..secs * 1.1).contains(&wait), "{priority:?} {failures}: {wait}");
            }
        }
    }

    #[test]
    fn entries_that_failed_together_do_not_return_together() {
        let series = [Duration::from_secs(3_600)];
        let mut waits: Vec<_> = (0..100).map(|seed| delay(&series, 1, seed)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 95, "{}", waits.len());
    }

    #[test]
    fn the_next_attempt_tells_when_the_last_one_was() {
        let channel = Channel::new("c", "c-daemon", Program::Lmtp);
        let fast = Channel { mailbox_busy_fast_retry: true, ..channel.clone() };
        let ended = 1_000_000_000;
        let (id, entry) = (MessageId(7), 1);
        let usual = |attempts| {
            delay(&series(&channel, Priority::Normal), attempts, seed(&channel, id, entry))
        };
        let busy = |attempts| mailbox_busy(seed(&channel, id, entry), attempts);
        // name, channel, attempts, wait, tried since then
        let rows = [
            ("the usual wait", &channel, 3, usual(3), true),
            ("a busy mailbox", &fast, 3, busy(3), true),
            ("of another attempt", &channel, 3, usual(1), false),
            ("never tried", &channel, 0, usual(1), false),
        ];
        for (name, channel, attempts, wait, want) in rows {
            let entry = Tracked {
                id,
                entry,
                place: Place { segment: 1, offset: 0, length: 10 },
                open: 1,
                attempts,
                due: ended + wait.as_millis() as u64,
                priority: Priority::Normal,
                size: 1,
            };
            let since = |since| tried_between(channel, &entry, since, ended + 10);
            assert_eq!((since(ended), since(ended + 1)), (want, false), "{name}");
            assert!(!tried_between(channel, &Tracked { due: 0, ..entry }, 0, u64::MAX), "{name}");
        }
    }

    #[test]
    fn a_busy_mailbox_is_asked_again_within_a_minute() {
        for seed in 0..200 {
            let wait = mailbox_busy(seed, 1).as_secs();
            assert!((1..=60).contains(&wait), "{wait}");
        }
    }
}
