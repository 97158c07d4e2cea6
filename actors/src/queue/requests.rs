//! Requests to the queue: of jobs, of operators, and of the job controller; and the answers.

use std::{collections::HashSet, sync::Arc};

use actix::Message;
use relais_channels::mail::{Attempt, Outcome, Trip};
use relais_storage::ScannedEntry;
use tokio::sync::oneshot;

use super::{
    entry::{Key, Tracked},
    tracker::Ticket,
};
use crate::{
    actor::{Gone, Handle, Mailbox, Outlet},
    ids::{ChannelId, ConnectionId, Destination},
    standing::KeptByOrder,
    timestamp::now_ms,
};

/// A connection is done with its last entry, if it had one, and wants the next.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Pull {
    /// The connection that asks.
    pub connection: ConnectionId,
    /// The destination that it is connected to.
    pub destination: Destination,
    /// The outcome of the entry that it had.
    pub settled: Option<Settled>,
    /// It still has one in hand and asks ahead: an answer now, or none.
    pub ahead: bool,
    /// Where to send the next. Kept while there is none; dropped when there will be none.
    pub reply: oneshot::Sender<Work>,
}

/// A connection reports its last entry and asks for nothing.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Settle {
    /// The connection that reports.
    pub connection: ConnectionId,
    /// The destination that it was connected to.
    pub destination: Destination,
    /// The outcome of the entry that it had.
    pub settled: Settled,
}

/// A pool says that a connection is gone, by whatever way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ConnectionEnded {
    /// Which.
    pub connection: ConnectionId,
    /// The destination that it served.
    pub destination: Destination,
    /// It ended by a bug, maybe because of what it had in hand.
    pub panicked: bool,
}

/// One entry to deliver.
#[derive(Clone, Debug)]
pub struct Work {
    /// Which entry, and which of its recipients are open.
    pub entry: Tracked,
    /// Others of the same message and record, for the same transaction; nearly always none.
    pub joined: Vec<Tracked>,
    /// Others wait for the same destination: it pays to ask ahead.
    pub more: bool,
}

impl Work {
    /// All entries of it.
    pub fn entries(&self) -> impl Iterator<Item = &Tracked> {
        std::iter::once(&self.entry).chain(&self.joined)
    }

    /// Whether this is an attempt of the message's own. It is none, and costs the message nothing,
    /// when the message was taken before its time to see whether its host is back, and the host
    /// is not.
    pub fn counts(entry: &Tracked, attempt: &Attempt) -> bool {
        let is_deferred = |outcome: &Outcome| matches!(outcome, Outcome::Deferred(_));
        let in_vain = attempt.trouble.is_some()
            && attempt.peer.is_none()
            && attempt.outcomes.iter().all(is_deferred);
        !in_vain || entry.due <= now_ms()
    }
}

/// The outcome of one entry in one attempt.
#[derive(Debug)]
pub struct Settled {
    /// As it was handed out.
    pub entry: Tracked,
    /// One outcome for each open recipient, in order.
    pub attempt: Attempt,
    /// It is an attempt of the message's own; see [`Work::counts`].
    pub counts: bool,
    /// Recipients that were reached and whose sender asked to be told, a bit each.
    pub success_notices: u64,
    /// The way that the attempt took, if it was to a server.
    pub trip: Option<Arc<Trip>>,
    /// The server is a store of ours, and said that it is slow.
    pub stressed: bool,
    /// An operator's order keeps it: it was not tried.
    pub put_off: Option<KeptByOrder>,
    /// Of the entries that were joined to it.
    pub joined: Vec<Settled>,
}

/// The channels whose connections end when they have nothing to do, because others wait for their
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

/// Each of these gives back a connection, for each time that it is named: an idle one at once, else
/// the first that comes to a message boundary.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Recall(pub Vec<Destination>);

/// The kind of an operator's order for an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OrderKind {
    /// Keep it until it is released.
    Hold,
    /// Deliver what was held, before all else; forget what was ordered of an entry in hand.
    Release,
    /// Try it now, whenever it is due.
    Retry,
    /// Return it to its sender.
    Return,
    /// Forget it.
    Delete,
}

/// An operator's order for entries, and why. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub kind: OrderKind,
    /// Why.
    pub reason: Reason,
}

/// Why an operator has something done. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reason {
    /// The operator who wants it, and why: for the message's history and the log.
    pub words: Arc<str>,
    /// The operator's own text: what a sender is told who gets a message back.
    pub text: Option<Arc<str>>,
}

impl From<&str> for Reason {
    fn from(words: &str) -> Self {
        Self { words: words.into(), text: None }
    }
}

/// Do this with each of these entries. The answer has one for each, in order. That to a
/// return comes when there is room for more of them.
#[derive(Message)]
#[rtype(result = "Vec<Placed>")]
pub struct PlaceOrder {
    /// Of the reading that found them.
    pub reading: Ticket,
    /// The order, and why.
    pub order: Order,
    /// With which.
    pub entries: Vec<ScannedEntry>,
}

/// The result of an order about an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placed {
    /// Done.
    Done,
    /// A job has it in hand; done as soon as it is back, if it is.
    Later,
    /// It is so already, or that cannot be done with an entry in its state.
    Idle,
    /// It has gone, or has changed since it was read.
    Moved,
}

/// Nobody waits for jobs any more: carries out every order about an entry that one of them has in
/// hand. What these jobs still say of such an entry is not listened to.
#[derive(Message)]
#[rtype(result = "()")]
pub struct GiveUpJobs;

/// How many orders about entries are taken and not carried out yet.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct CountOrders;

/// A reading of the index by somebody who means to [`PlaceOrder`] or [`Reserve`] something. It ends
/// when this is dropped, by whatever way.
#[derive(Debug)]
pub struct Reading {
    ticket: Ticket,
    end: Outlet<EndReading>,
}

/// A [`Reading`] begins.
#[derive(Message)]
#[rtype(result = "Begun")]
pub struct BeginReading;

/// The answer to [`BeginReading`].
#[derive(Debug)]
pub struct Begun(pub Ticket);

/// A [`Reading`] is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct EndReading(pub Ticket);

impl Reading {
    /// Begins one: what is read from now on can be told from what changes meanwhile.
    pub async fn begin<Q>(queue: &Mailbox<Q>) -> Result<Self, Gone>
    where
        Q: Handle<BeginReading> + Handle<EndReading>,
    {
        let Begun(ticket) = queue.ask(BeginReading).await?;
        Ok(Self { ticket, end: queue.outlet() })
    }

    /// The ticket that [`PlaceOrder`] and [`Reserve`] want to see.
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.end.tell(EndReading(self.ticket));
    }
}

/// Gives these to the notary, until it says [`Noticed`](super::news::Noticed). The answer has
/// those that it got, as they are now.
#[derive(Message)]
#[rtype(result = "Vec<ScannedEntry>")]
pub struct Reserve {
    /// Of the reading that found them.
    pub reading: Ticket,
    /// Which.
    pub entries: Vec<ScannedEntry>,
}

/// Asks how these stand. The answer has one for each, in order.
#[derive(Message)]
#[rtype(result = "Vec<EntryStanding>")]
pub struct LookAgain {
    /// Of the reading that found them, if it has not ended.
    pub reading: Option<Ticket>,
    /// Which.
    pub entries: Vec<Key>,
}

/// How an entry stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryStanding {
    /// It waits, and is this now. A job may have it.
    Waits(Tracked),
    /// It is what the reading found.
    Unchanged,
    /// Somebody holds, returns or deletes it.
    Aside,
    /// Memory does not know: it is done, or only the disk has it.
    Unknown,
}

#[cfg(test)]
mod tests {
    use relais_channels::mail::{Enhanced, MessageId, Peer, Priority, Reply, SiteTrouble};

    use super::*;
    use relais_storage::Place;

    #[test]
    fn a_probe_that_nobody_answers_is_no_attempt() {
        let reply = Reply::new(451, Enhanced(4, 4, 1), "nobody answers");
        let trouble = || Some(SiteTrouble::deferred(reply.clone()));
        let peer =
            || Some(Peer { host: "a".into(), notifies: false, answered: 1.into(), unsure: false });
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
            let attempt = Attempt { outcomes: [outcome].into(), trouble, peer };
            assert_eq!(Work::counts(&entry, &attempt), want, "{name}");
        }
    }
}
