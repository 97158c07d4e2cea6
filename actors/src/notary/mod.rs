//! The notary ("return job"): tells senders what became of their mail.
//!
//! The queue hands it [`Case`]s: entries of which recipients failed for good, timed out, or were
//! returned by an operator. It gathers for a moment, so that a message that failed in several
//! places is told of once, writes the notice, puts it into the spool as mail like any other, and
//! only then lets the queue take the recipients off ([`Noticed`]). A crash in between repeats a
//! notice; it never loses one. Warnings and returns for age it finds itself, on its rounds
//! through the index ([`rounds`]).

mod letter;
mod replies;
mod rounds;
pub mod timetable;

use std::{collections::HashMap, path::PathBuf, sync::Arc, time::Duration};

use actix::prelude::*;
use bytes::Bytes;
use relais_channels::{
    dsn::{Kind, Templates},
    mail::{Envelope, MessageId, MessageIds, Outcome},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    channels::Channels,
    metrics::{self, ActorMeter, Metrics},
    queue::{Destination, Queue, tracker::Tracked},
    router::RouterHandle,
    spool::{EntryState, Spool},
    watch::Lifeline,
};

/// Some recipients of one entry, and the news of them.
#[derive(Debug)]
pub struct Case {
    /// The entry.
    pub entry: Tracked,
    /// Where it goes, or went.
    pub destination: Destination,
    /// The news.
    pub kind: Kind,
    /// Whom it concerns, a bit each.
    pub recipients: u64,
    /// What was said of them last, and when, as far as it is known.
    pub replies: Vec<LastReply>,
    /// How long a delayed message will be tried, in milliseconds since 1970.
    pub until: Option<u64>,
    /// The entry as the disk has it.
    pub was: EntryState,
    /// What becomes of it when the sender has been told. `None`: nothing, this is a warning or
    /// good news.
    pub then: Option<EntryState>,
    /// The message, if whoever brings the news has it; else it is read from the spool.
    pub known: Option<Arc<KnownMessage>>,
    /// Bounds how many of a round are under way; free when this is dropped.
    pub room: Option<OwnedSemaphorePermit>,
}

/// A message as far as good news of it want it.
#[derive(Debug)]
pub struct KnownMessage {
    /// Its envelope.
    pub envelope: Arc<Envelope>,
    /// Its header.
    pub header: Bytes,
}

/// What was said last of one recipient.
#[derive(Clone, Debug)]
pub struct LastReply {
    /// Which.
    pub recipient: u8,
    /// What.
    pub outcome: Outcome,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// The host whose words it is; `None`: they are ours.
    pub remote: Option<Arc<str>>,
}

/// News to pass on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Tell(pub Vec<Case>);

/// To the queue: the senders of these know, or could not be told for now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Noticed {
    /// What it was about.
    pub cases: Vec<Case>,
    /// What came of it.
    pub told: Told,
}

/// What came of telling a sender.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// The notice is safe, or there is nobody to be told.
    Settled,
    /// Not now: the spool does not take it, or it is not known where the sender lives.
    Later,
    /// Never: the message cannot be read any more.
    Unreadable,
}

/// The queue, once it exists: the notary is made before it.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect(pub Addr<Queue>);

/// What the notary works with.
#[derive(Clone)]
pub struct Parts {
    /// Our official name.
    pub host: Arc<str>,
    /// Who signs, and gets copies.
    pub postmaster: Arc<str>,
    /// The language of those who name none.
    pub language: Arc<str>,
    /// Messages of more octets come back as their header.
    pub content_return_limit: u64,
    /// The words.
    pub templates: Arc<Templates>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where messages are.
    pub spool: Spool,
    /// Where a sender lives.
    pub router: RouterHandle,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The file that says up to when the rounds have looked.
    pub looked: PathBuf,
}

/// The actor.
pub struct Notary {
    parts: Parts,
    queue: Option<Addr<Queue>>,
    pending: HashMap<(MessageId, Kind), Vec<Case>>,
    writing: Arc<Semaphore>,
    meter: ActorMeter,
    _lifeline: Lifeline,
}

impl Notary {
    /// A notary that has yet to be connected.
    pub fn new(parts: Parts, lifeline: Lifeline) -> Self {
        Self {
            meter: parts.metrics.actor(metrics::Actor::Notary),
            parts,
            queue: None,
            pending: HashMap::new(),
            writing: Arc::new(Semaphore::new(AT_ONCE)),
            _lifeline: lifeline,
        }
    }

    /// Writes one notice, and tells the queue.
    fn write(&mut self, mut cases: Vec<Case>, tries: u32, ctx: &mut Context<Self>) {
        let (parts, writing) = (self.parts.clone(), self.writing.clone());
        let work = async move {
            // Nobody closes it.
            let _permit = writing.acquire().await;
            if cases.iter().any(|case| case.kind == Kind::Bounced) {
                // An operator does not know what was said; the spool does.
                parts.add_replies(&mut cases).await;
            }
            let told = parts.tell(&cases).await;
            (cases, told)
        };
        ctx.spawn(work.into_actor(self).map(move |(cases, told), notary, ctx| {
            // Nothing else would bring these up again.
            let is_alone = cases.iter().all(|case| case.then.is_none());
            if is_alone && told == Told::Later && tries < TRIES {
                ctx.run_later(AGAIN, move |notary, ctx| notary.write(cases, tries + 1, ctx));
            } else if let Some(queue) = &notary.queue {
                // The queue does not wait for warnings.
                let waits = |case: &Case| case.kind != Kind::Delayed;
                let cases = cases.into_iter().filter(waits).collect();
                queue.do_send(Noticed { cases, told });
            }
        }));
    }
}

impl Actor for Notary {
    type Context = Context<Self>;
}

impl Handler<Connect> for Notary {
    type Result = ();

    fn handle(&mut self, Connect(queue): Connect, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("Connect");
        self.queue = Some(queue.clone());
        let rounds = rounds::walk(self.parts.clone(), queue, ctx.address().downgrade());
        ctx.spawn(rounds.into_actor(self));
    }
}

impl Handler<Tell> for Notary {
    type Result = ();

    fn handle(&mut self, Tell(cases): Tell, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("Tell");
        for case in cases {
            let key = (case.entry.id, case.kind);
            let gathered = self.pending.entry(key).or_default();
            gathered.push(case);
            if gathered.len() == 1 {
                ctx.run_later(GATHER, move |notary, ctx| {
                    let _busy = notary.meter.busy();
                    if let Some(cases) = notary.pending.remove(&key) {
                        notary.write(cases, 0, ctx);
                    }
                });
            }
        }
    }
}

/// How long a message's other entries have time to fail, too, and to share its notice.
const GATHER: Duration = Duration::from_secs(1);
/// Before news that nothing depends on are tried to be told once more, and how often.
const AGAIN: Duration = Duration::from_secs(60);
const TRIES: u32 = 3;
/// Notices written at the same time: they share the syncs of the spool.
const AT_ONCE: usize = 64;
