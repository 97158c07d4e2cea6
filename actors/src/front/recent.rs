//! Recipients that were taken a moment ago, until somebody writes them down.
//!
//! Sessions wait for nothing here: where two of them come at once, or more come than are fetched, some
//! are left out.

use std::sync::{Arc, Mutex, PoisonError};

use relais_channels::clock;

/// Recipients that wait to be fetched.
#[derive(Debug, Default)]
pub struct RecentRecipients {
    /// `None`: nobody fetches them.
    waiting: Option<Mutex<Vec<RecentRecipient>>>,
}

/// A recipient that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecentRecipient {
    /// Seconds since 1970.
    pub at: u64,
    /// The channel that the mail came in by.
    pub channel: Arc<str>,
    /// As the client wrote it.
    pub address: Arc<str>,
    /// The client may send to domains that are not ours.
    pub is_vouched_for: bool,
}

impl RecentRecipients {
    /// For somebody who fetches them.
    pub fn kept() -> Self {
        Self { waiting: Some(Mutex::default()) }
    }

    /// One more was taken.
    pub fn note(&self, address: &Arc<str>, channel: &Arc<str>, is_vouched_for: bool) {
        let Some(Ok(mut waiting)) = self.waiting.as_ref().map(Mutex::try_lock) else { return };
        if waiting.len() < MOST {
            waiting.push(RecentRecipient {
                at: clock::now().as_secs(),
                channel: Arc::clone(channel),
                address: Arc::clone(address),
                is_vouched_for,
            });
        }
    }

    /// All that came since the last time.
    pub fn fetch(&self) -> Vec<RecentRecipient> {
        let waiting = self.waiting.as_ref();
        waiting.map_or_else(Vec::new, |waiting| {
            std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner))
        })
    }
}

/// Recipients that wait at most; a few MiB.
const MOST: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_and_fetched_once() {
        let (address, channel) = ("a@b.example".into(), "tcp_local".into());
        let (kept, unkept) = (RecentRecipients::kept(), RecentRecipients::default());
        for _ in 0..=MOST {
            kept.note(&address, &channel, true);
            unkept.note(&address, &channel, true);
        }
        assert_eq!([kept.fetch().len(), kept.fetch().len(), unkept.fetch().len()], [MOST, 0, 0]);
    }
}
