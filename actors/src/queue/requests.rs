//! What the queue is told and asked by those who deliver, and what it hands them.

use std::collections::HashSet;

use actix::Message;
use relais_channels::mail::{Attempt, Outcome};
use tokio::sync::oneshot;

use super::tracker::Tracked;
use crate::{
    ids::{ChannelId, ConnectionId, Destination},
    spool::Stored,
    timestamp::now_ms,
};

/// The spool has made these safe; their senders have their 250.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Committed(pub Vec<Stored>);

/// A thread is done with its last entry, if it had one, and wants the next.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Pull {
    /// Who asks.
    pub thread: ConnectionId,
    /// What it is connected to.
    pub destination: Destination,
    /// What became of the entry it had.
    pub settled: Option<Settled>,
    /// It still has one in hand and asks ahead: an answer now, or none.
    pub ahead: bool,
    /// Where to send the next. Kept while there is none; dropped when there will be none.
    pub reply: oneshot::Sender<Work>,
}

/// A thread reports its last entry and asks for nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle {
    /// Who reports.
    pub thread: ConnectionId,
    /// What it was connected to.
    pub destination: Destination,
    /// What became of the entry it had.
    pub settled: Settled,
}

/// A pool says that a thread is gone, by whatever way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ThreadEnded {
    /// Which.
    pub thread: ConnectionId,
    /// What it was for.
    pub destination: Destination,
    /// It ended by a bug, maybe because of what it had in hand.
    pub panicked: bool,
}

/// One entry to deliver.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Which entry, and which of its recipients are open.
    pub entry: Tracked,
    /// Others wait for the same destination: it pays to ask ahead.
    pub more: bool,
}

impl Work {
    /// Whether this is an attempt of the message's own. It is none, and costs the message nothing,
    /// when the message was taken before its time to see whether its host is back, and the host
    /// is not.
    pub fn counts(&self, attempt: &Attempt) -> bool {
        let is_deferred = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(_));
        let in_vain = attempt.trouble.is_some()
            && attempt.peer.is_none()
            && attempt.outcomes.iter().all(is_deferred);
        !in_vain || self.entry.due <= now_ms()
    }
}

/// What became of one entry in one attempt.
#[derive(Debug)]
pub struct Settled {
    /// As it was handed out.
    pub entry: Tracked,
    /// One outcome for each open recipient, in order.
    pub attempt: Attempt,
    /// It is an attempt of the message's own; see [`Work::counts`].
    pub counts: bool,
    /// Recipients that were reached and whose sender asked to be told, a bit each.
    pub good_news: u64,
}

/// The channels whose threads end when they have nothing to do, because others wait for their
/// place.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Contend(pub HashSet<ChannelId>);

/// Changes `max_messages`, 8 to 100,000,000, until the engine stops. The answer is what it was.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct SetMaxMessages(pub usize);

/// Hand out nothing more; answer when no job has anything in hand.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainQueue;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Enhanced, MessageId, Peer, Priority, Reply, SiteTrouble};

    use super::*;
    use crate::spool::Place;

    #[test]
    fn a_probe_that_nobody_answers_is_no_attempt() {
        let reply = Reply::new(451, Enhanced(4, 4, 1), "nobody answers");
        let trouble = || Some(SiteTrouble::deferred(reply.clone()));
        let peer = || Some(Peer { host: "a".into(), notifies: false, answered: 1, unsure: false });
        let later = || Outcome::Deferred(reply.clone());
        let hour = 3_600_000;
        // name, when it is due, what came of it, whether it counts
        let rows = [
            ("in its time", now_ms() - 1, (later(), trouble(), None), true),
            ("never tried", 0, (later(), trouble(), None), true),
            ("a probe in vain", now_ms() + hour, (later(), trouble(), None), false),
            ("a probe that is answered", now_ms() + hour, (later(), None, peer()), true),
            ("it broke off half way", now_ms() + hour, (later(), trouble(), peer()), true),
            (
                "refused in its greeting",
                now_ms() + hour,
                (Outcome::Failed(reply.clone()), trouble(), None),
                true,
            ),
        ];
        for (name, due, (outcome, trouble, peer), want) in rows {
            let entry = Tracked {
                id: MessageId(7),
                entry: 0,
                place: Place { segment: 1, offset: 0, length: 10 },
                open: 1,
                attempts: 1,
                due,
                priority: Priority::Normal,
                size: 1,
            };
            let attempt = Attempt { outcomes: vec![outcome], trouble, peer };
            assert_eq!(Work { entry, more: false }.counts(&attempt), want, "{name}");
        }
    }
}
