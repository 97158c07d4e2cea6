//! Destinations whose servers do not bear the commands of a message behind the content of the one before,
//! though they offer PIPELINING (RFC 2920 section 3.1): Courier and chasquid drop them without a word,
//! Haraka refuses them. For a while nothing is announced there.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::ids::Destination;

/// The destinations that have shown it of late.
#[derive(Debug, Default)]
pub struct Unannounced(Mutex<HashMap<Destination, Instant>>);

impl Unannounced {
    /// A server there has just shown it.
    pub(super) fn note(&self, destination: &Destination) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, since| since.elapsed() < REMEMBERED);
        }
        if known.len() < MOST {
            known.insert(destination.clone(), Instant::now());
        }
    }

    /// Whether one has shown it of late.
    pub(super) fn has(&self, destination: &Destination) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(destination).is_some_and(|since| since.elapsed() < REMEMBERED)
    }
}

/// It costs a round trip for each message to be wrong, and a few seconds now and then to try again.
const REMEMBERED: Duration = Duration::from_secs(6 * 3_600);
/// Destinations that are remembered.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[tokio::test(start_paused = true)]
    async fn a_destination_is_remembered_for_a_while_and_there_are_not_too_many() {
        let to = |n: usize| Destination { channel: ChannelId(0), host: format!("h{n}").into() };
        let known = Unannounced::default();
        assert!(!known.has(&to(0)));
        for n in 0..MOST + 10 {
            known.note(&to(n));
        }
        assert!(known.has(&to(0)) && !known.has(&to(MOST)));
        tokio::time::advance(REMEMBERED).await;
        assert!(!known.has(&to(0)));
        known.note(&to(MOST));
        assert!(known.has(&to(MOST)));
        assert_eq!(known.0.lock().unwrap().len(), 1);
    }
}
