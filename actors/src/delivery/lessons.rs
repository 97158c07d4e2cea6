//! Destinations whose servers have shown that they do not bear what they offer, so that it is left for a
//! while.
//!
//! With PIPELINING some do not bear the commands of a message behind the content of the one before (RFC
//! 2920 section 3.1): Courier and chasquid drop them without a word, Haraka refuses them. With CHUNKING
//! some may refuse BDAT, or answer it oddly; and it does not pay where no recipient of a message is taken.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use relais_channels::{
    client::{ChunkReplies, Transacted},
    mail::Outcome,
};
use tokio::time::Instant;

use crate::{ids::Destination, metrics::ChunkResult};

/// The destinations that have shown it of late, and until when that counts.
#[derive(Debug, Default)]
pub struct Lessons(Mutex<HashMap<Destination, Instant>>);

/// The lessons of all destinations.
#[derive(Debug, Default)]
pub struct AllLessons {
    /// No message is announced there behind another.
    pub(super) unannounced: Lessons,
    /// No content goes there in one chunk with its commands.
    pub(super) unchunked: Lessons,
}

impl AllLessons {
    /// Learns from a message whose content went in one chunk with its commands: where nobody is taken, the
    /// next ones go by DATA, and where its replies were odd, for long: each time may be a copy. Returns what
    /// came of it.
    pub(super) fn learn(
        &self,
        destination: &Destination,
        transacted: &Transacted,
    ) -> Option<ChunkResult> {
        let Transacted { attempt, chunk: Some(replies), .. } = transacted else { return None };
        let is_taken = |outcome: &Outcome| matches!(outcome, Outcome::Delivered(_));
        let is_lost = attempt.peer.as_ref().is_some_and(|peer| peer.unsure);
        let result = match attempt.outcomes.iter().any(is_taken) {
            true => ChunkResult::Taken,
            false if is_lost => ChunkResult::Lost,
            false => ChunkResult::Refused,
        };
        match (replies, result) {
            (ChunkReplies::Odd, _) => self.unchunked.note(destination, UNBORNE),
            (ChunkReplies::InStep, ChunkResult::Taken) => {}
            (ChunkReplies::InStep, _) => self.unchunked.note(destination, UNPAID),
        }
        Some(result)
    }
}

impl Lessons {
    /// A server there has just shown it; it counts for so long.
    pub(super) fn note(&self, destination: &Destination, time: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, until| *until > Instant::now());
        }
        if known.len() < MOST {
            let until = Instant::now() + time;
            let its = known.entry(destination.clone()).or_insert(until);
            *its = until.max(*its);
        }
    }

    /// Whether one has shown it of late.
    pub(super) fn has(&self, destination: &Destination) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(destination).is_some_and(|until| *until > Instant::now())
    }
}

/// For what a server does not bear. It costs a round trip for each message to be wrong, and a few seconds now
/// and then to try again.
pub(super) const UNBORNE: Duration = Duration::from_secs(6 * 3_600);
/// For what does not pay at the moment.
pub(super) const UNPAID: Duration = Duration::from_secs(10 * 60);
/// Destinations that are remembered.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Attempt, Enhanced, Peer, Reply};

    use super::*;
    use crate::ids::ChannelId;

    #[tokio::test(start_paused = true)]
    async fn a_destination_is_remembered_for_a_while_and_there_are_not_too_many() {
        let to = |n: usize| Destination { channel: ChannelId(0), host: format!("h{n}").into() };
        let known = Lessons::default();
        assert!(!known.has(&to(0)));
        for n in 0..MOST + 10 {
            known.note(&to(n), UNBORNE);
        }
        assert!(known.has(&to(0)) && !known.has(&to(MOST)));
        // A lesson that counts for longer is not cut short.
        known.note(&to(0), UNPAID);
        tokio::time::advance(UNPAID).await;
        assert!(known.has(&to(0)));
        tokio::time::advance(UNBORNE).await;
        assert!(!known.has(&to(0)));
        known.note(&to(MOST), UNBORNE);
        assert!(known.has(&to(MOST)));
        assert_eq!(known.0.lock().unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn odd_replies_to_a_chunk_count_for_long() {
        let to = Destination { channel: ChannelId(0), host: "h".into() };
        let reply = |code| Reply::new(code, Enhanced(4, 0, 0), "said");
        let taken = Outcome::Delivered(reply(250));
        let (waits, refused) = (Outcome::Deferred(reply(451)), Outcome::Failed(reply(550)));
        // replies, outcome, doubt, result, remembered now and for longer than what does not pay
        let rows = [
            (ChunkReplies::InStep, &taken, false, ChunkResult::Taken, [false, false]),
            (ChunkReplies::InStep, &refused, false, ChunkResult::Refused, [true, false]),
            (ChunkReplies::Odd, &taken, false, ChunkResult::Taken, [true, true]),
            (ChunkReplies::Odd, &waits, false, ChunkResult::Refused, [true, true]),
            (ChunkReplies::Odd, &waits, true, ChunkResult::Lost, [true, true]),
        ];
        for (replies, outcome, unsure, result, remembered) in rows {
            let peer = Peer { host: "h".into(), notifies: false, answered: 0.into(), unsure };
            let attempt = Attempt { peer: Some(peer), ..Attempt::all(1, outcome) };
            let transacted = Transacted {
                attempt,
                left: 0.into(),
                unfiled: 0.into(),
                converted: None,
                stressed: false,
                chunk: Some(replies),
            };
            let lessons = AllLessons::default();
            assert_eq!(lessons.learn(&to, &transacted), Some(result));
            let now = lessons.unchunked.has(&to);
            tokio::time::advance(UNPAID).await;
            assert_eq!([now, lessons.unchunked.has(&to)], remembered, "{replies:?} {outcome:?}");
            assert_eq!(lessons.learn(&to, &Transacted { chunk: None, ..transacted }), None);
        }
    }
}
