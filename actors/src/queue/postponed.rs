//! Entries that an operator returns and whose sender cannot be told now: the sender's own mailbox is
//! closed for a time, or the disk is full. They are held, and returned once more after a while,
//! until an operator orders something else.

use std::{collections::HashMap, time::Duration};

use relais_channels::backoff::Backoff;
use tokio::time::Instant;

use super::{entry::Key, requests::Reason};

/// The returns that are to be tried again.
#[derive(Debug, Default)]
pub(super) struct Postponed(HashMap<Key, Again>);

/// A return, and when it is tried.
#[derive(Debug)]
pub(super) struct Again {
    /// `None`: the notary has it.
    at: Option<Instant>,
    backoff: Backoff,
    pub(super) reason: Reason,
}

impl Postponed {
    /// Its sender cannot be told now.
    pub(super) fn postpone(&mut self, key: Key, reason: Reason) {
        let again = self.0.entry(key).or_insert(Again { at: None, backoff: BACKOFF, reason });
        again.at = Some(Instant::now() + again.backoff.fail());
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// It has been told, or something else was ordered.
    pub(super) fn forget(&mut self, key: Key) {
        self.0.remove(&key);
    }

    /// Takes a return out while it is tried.
    pub(super) fn take(&mut self, key: Key) -> Option<Again> {
        self.0.remove(&key)
    }

    /// Puts it back: the notary has it, and says whether it is to be tried once more.
    pub(super) fn keep(&mut self, key: Key, again: Again) {
        self.0.insert(key, Again { at: None, ..again });
    }

    /// Takes the returns whose time has come, in the hands of the notary from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Key> {
        let mut due = Vec::new();
        for (key, again) in &mut self.0 {
            if due.len() < MOST_AT_ONCE && again.at.is_some_and(|at| at <= now) {
                again.at = None;
                due.push(*key);
            }
        }
        due
    }
}

/// Read and returned at once.
const MOST_AT_ONCE: usize = 1_000;
/// Before a return is tried again, at first and at most.
#[cfg(not(test))]
const PAUSE: Duration = Duration::from_secs(60);
#[cfg(test)]
const PAUSE: Duration = Duration::from_millis(100);
const BACKOFF: Backoff = Backoff::new(PAUSE, Duration::from_secs(15 * 60));

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_return_is_tried_again_later_each_time_until_it_is_forgotten() {
        let key = (MessageId(7), 0);
        let mut postponed = Postponed::default();
        for times in [1, 2, 4, 8] {
            postponed.postpone(key, "as the test wants it".into());
            assert_eq!(postponed.take_due(Instant::now()), []);
            tokio::time::advance(PAUSE * times).await;
            assert_eq!(postponed.take_due(Instant::now()), [key]);
            assert_eq!(postponed.take_due(Instant::now()), [], "the notary has it");
        }
        postponed.forget(key);
        assert_eq!(postponed.len(), 0);
    }
}
