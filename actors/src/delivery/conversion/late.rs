//! Programs that have hung several times in a row are left alone for a while: mail that needs none of them
//! goes on meanwhile, and does not wait behind one run after the other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use relais_channels::mail::MessageId;

/// The late runs of programs, by label in lower case.
#[derive(Debug, Default)]
pub(in crate::delivery) struct LateRuns(Mutex<HashMap<String, InARow>>);

/// Runs of one program that took too long, without one between that ended in time.
#[derive(Debug)]
struct InARow {
    count: u32,
    /// Until when it is left alone.
    until: Instant,
    /// The messages over which it did so, the last [`MOST_MESSAGES`].
    messages: VecDeque<MessageId>,
}

impl LateRuns {
    /// How long it is left alone by this message; `None`: it may be run. After its time one run is let
    /// through, and the others wait until that has ended, at most for `limit`, its time limit. Messages over
    /// which it has hung let others go before them.
    pub(super) fn left_alone(
        &self,
        (label, message): (&str, MessageId),
        limit: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let its = all.get_mut(&label.to_ascii_lowercase()).filter(|its| its.count >= MOST)?;
        let comes_last = its.messages.contains(&message);
        let until = if comes_last { its.until + pause(limit) } else { its.until };
        if until > now {
            return Some(until - now);
        }
        its.until = now + limit;
        None
    }

    /// A run has ended by itself.
    pub(super) fn ended(&self, label: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&label.to_ascii_lowercase());
    }

    /// A run took longer than `limit`. Of one message it counts once.
    pub(super) fn was_late(
        &self,
        (label, message): (&str, MessageId),
        limit: Duration,
        now: Instant,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let none = || InARow { count: 0, until: now, messages: VecDeque::new() };
        let its = all.entry(label.to_ascii_lowercase()).or_insert_with(none);
        its.until = now + pause(limit);
        if its.messages.contains(&message) {
            return;
        }
        its.messages.push_back(message);
        if its.messages.len() > MOST_MESSAGES {
            its.messages.pop_front();
        }
        its.count = its.count.saturating_add(1);
        if its.count == MOST {
            let pause = its.until - now;
            tracing::warn!(
                program = label,
                "took longer than {limit:?} over {MOST} messages in a row: it is left alone for \
                 {pause:?}, and mail that needs it waits"
            );
        }
    }
}

/// The time for which a program with this limit is left alone.
fn pause(limit: Duration) -> Duration {
    (limit * PAUSE).min(LONGEST_PAUSE)
}

/// Messages that are remembered of a program.
const MOST_MESSAGES: usize = 1_000;
/// Messages in a row over which it may hang.
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
        let alone = |label, message, seconds| {
            let left = runs.left_alone((label, MessageId(message)), LIMIT, at(seconds));
            left.map(|left| left.as_secs())
        };
        let late = |label, message, seconds| {
            runs.was_late((label, MessageId(message)), LIMIT, at(seconds));
        };
        late("scan", 1, 10);
        late("scan", 1, 15);
        late("Scan", 2, 20);
        assert_eq!(alone("scan", 9, 21), None);
        late("scan", 3, 30);
        assert_eq!(alone("scan", 9, 31), Some(29));
        assert_eq!(alone("other", 9, 31), None);
        assert_eq!(alone("SCAN", 1, 60), Some(30), "others go before it");
        assert_eq!(alone("SCAN", 9, 60), None, "one is let through");
        assert_eq!(alone("scan", 8, 61), Some(9), "the others wait for it");
        late("scan", 9, 70);
        assert_eq!(alone("scan", 8, 71), Some(29));
        assert_eq!(alone("scan", 1, 130), None, "none of the others came");
        runs.ended("scan");
        assert_eq!(alone("scan", 8, 131), None);
        late("scan", 1, 140);
        assert_eq!(alone("scan", 8, 141), None, "it is counted anew");
    }

    #[test]
    fn the_pause_after_a_patient_limit_is_bounded() {
        let (runs, now) = (LateRuns::default(), Instant::now());
        let limit = Duration::from_secs(3_600);
        for message in 0..5_000 {
            runs.was_late(("scan", MessageId(message)), limit, now);
        }
        let left = |message| runs.left_alone(("scan", MessageId(message)), limit, now);
        assert_eq!(left(9_999), Some(LONGEST_PAUSE));
        assert_eq!(left(0), Some(LONGEST_PAUSE), "it is forgotten");
        assert_eq!(left(4_999), Some(2 * LONGEST_PAUSE));
    }
}
