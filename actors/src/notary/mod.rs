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
use relais_channels::{
    dsn::{Kind, Templates},
    mail::{MessageId, MessageIds, Outcome},
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
    /// Bounds how many of a round are under way; free when this is dropped.
    pub room: Option<OwnedSemaphorePermit>,
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
    /// Those that change something.
    pub cases: Vec<Case>,
    /// The notice is safe, or there is nobody to be told.
    pub settled: bool,
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
    fn write(&mut self, mut cases: Vec<Case>, ctx: &mut Context<Self>) {
        let Some(queue) = self.queue.clone() else { return };
        let (parts, writing) = (self.parts.clone(), self.writing.clone());
        let work = async move {
            // Nobody closes it.
            let _permit = writing.acquire().await;
            if cases.iter().any(|case| case.kind == Kind::Bounced) {
                // An operator does not know what was said; the spool does.
                parts.add_replies(&mut cases).await;
            }
            let settled = parts.tell(&cases).await;
            let cases: Vec<_> = cases.into_iter().filter(|case| case.then.is_some()).collect();
            if !cases.is_empty() {
                queue.do_send(Noticed { cases, settled });
            }
        };
        ctx.spawn(work.into_actor(self));
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
                        notary.write(cases, ctx);
                    }
                });
            }
        }
    }
}

/// How long a message's other entries have time to fail, too, and to share its notice.
const GATHER: Duration = Duration::from_secs(1);
/// Notices written at the same time: they share the syncs of the spool.
const AT_ONCE: usize = 64;
