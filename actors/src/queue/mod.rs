//! The queue: the one actor that knows what is waiting, and the only writer of state changes.
//!
//! The spool is the truth, its index finds what memory does not hold, the [`tracker`] is what
//! threads of jobs are fed from. They pull: one message says how the last entry ended and asks for
//! the next. Whatever happens here, an entry leaves the disk only after its recipients are settled,
//! and after the senders of those that failed have been told.

#[cfg(test)]
mod actor_tests;
mod alter;
#[cfg(test)]
mod calendar_tests;
mod listing;
mod messages;
mod recalls;
mod scan;
mod settle;
mod standing;
pub mod tracker;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix::prelude::*;
use relais_channels::mail::{MessageId, Outcome};
use relais_config::channel::Program;
use tokio::sync::oneshot;
use tracing::warn;

use self::{
    alter::Deletion,
    recalls::Recalls,
    tracker::{Tracked, Tracker},
};
pub use self::{
    alter::{Action, Alter, Altered, Reading, Reserve},
    listing::{DescribeQueue, ListEntries, ListedEntry, QueueDescription},
    messages::{
        Committed, Contend, Destination, DrainQueue, GoodNews, Pull, SetMaxMessages, Settle,
        Settled, ThreadEnded, ThreadId, Work,
    },
    recalls::Recall,
    standing::{LookAgain, Standing},
};
pub use crate::channels::ChannelId;
use crate::{
    channels::{Channels, is_delivered, lowered},
    job_controller::{JobController, ThreadSettled, Waiting},
    metrics::{self, ActorMeter, Metrics},
    notary::{Hurry, Notary, Noticed},
    spool::{Change, EntryState, Spool, Stored},
    watch::Lifeline,
};

/// The actor. Lives beside the job controller, where strangers send nothing.
pub struct Queue {
    tracker: Tracker,
    spool: Spool,
    channels: Arc<Channels>,
    controller: Addr<JobController>,
    notary: Addr<Notary>,
    metrics: Arc<Metrics>,
    meter: ActorMeter,
    threads: HashMap<ThreadId, InHand>,
    idle: HashMap<Destination, VecDeque<(ThreadId, oneshot::Sender<Work>)>>,
    /// Destinations that could not be talked to and have taken nothing since.
    troubled: HashSet<Destination>,
    contended: HashSet<ChannelId>,
    /// Active entries whose senders are being told.
    with_notary: usize,
    /// Good news that the notary has yet to pass on.
    telling: usize,
    /// What operators want done with entries that jobs have in hand.
    wishes: HashMap<tracker::Key, (Action, Arc<str>)>,
    /// Of these, what has come back and is to be deleted.
    deletions: Vec<Deletion>,
    recalls: Recalls,
    draining: Vec<oneshot::Sender<()>>,
    drained: bool,
    parallel_scans: usize,
    scanning: bool,
    no_scan_before: u64,
    scanned_at: u64,
    scan_again_at: u64,
    _lifeline: Lifeline,
}

/// What a thread has, and how much it has done.
#[derive(Debug, Default)]
struct InHand {
    /// The one it delivers and the one it asked for ahead.
    entries: Vec<(MessageId, u16)>,
    done: u32,
}

/// What the queue is made of.
pub struct Parts {
    /// The spool, opened and started.
    pub spool: Spool,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Who decides which jobs run.
    pub controller: Addr<JobController>,
    /// Who tells senders.
    pub notary: Addr<Notary>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Entries in memory at most.
    pub max_messages: usize,
    /// Channels that a scan reads at once.
    pub rebuild_parallel_channels: usize,
    /// Tells when the queue dies.
    pub lifeline: Lifeline,
}

impl Queue {
    /// A queue that has yet to look at its disk: the first scan begins when it starts.
    pub fn new(parts: Parts) -> Self {
        let mut tracker = Tracker::new(parts.max_messages);
        tracker.note_overflow();
        Self {
            tracker,
            spool: parts.spool,
            channels: parts.channels,
            controller: parts.controller,
            notary: parts.notary,
            meter: parts.metrics.actor(metrics::Actor::Queue),
            metrics: parts.metrics,
            threads: HashMap::new(),
            idle: HashMap::new(),
            troubled: HashSet::new(),
            contended: HashSet::new(),
            with_notary: 0,
            telling: 0,
            wishes: HashMap::new(),
            deletions: Vec::new(),
            recalls: Recalls::default(),
            draining: Vec::new(),
            drained: false,
            parallel_scans: parts.rebuild_parallel_channels,
            scanning: false,
            no_scan_before: 0,
            scanned_at: 0,
            scan_again_at: 0,
            _lifeline: parts.lifeline,
        }
    }

    fn take_in(&mut self, stored: &Stored) -> Vec<Destination> {
        let mut touched = Vec::new();
        for (number, entry) in stored.entries.iter().enumerate() {
            let Some(channel) = self.channels.find(&entry.channel) else {
                // The router only names channels of this configuration.
                warn!(id = %stored.id, channel = &*entry.channel, "no such channel; entry left on disk");
                continue;
            };
            let destination = Destination { channel, host: entry.host.clone() };
            let initial = stored.initial(entry);
            let open = initial.open();
            let entry = Tracked {
                id: stored.id,
                entry: number as u16,
                place: stored.place,
                open,
                attempts: 0,
                due: 0,
                priority: lowered(self.channels.channel(channel), stored.priority, stored.size),
                size: stored.size,
            };
            match self.channels.channel(channel).program {
                _ if stored.held => {}
                Program::Hold => {
                    self.tracker.finish(entry.id, entry.entry);
                    let held = EntryState::Held { open, attempts: 0 };
                    self.amend(&destination, &entry, initial, held, Vec::new(), None);
                }
                Program::Bitbucket => {
                    self.tracker.finish(entry.id, entry.entry);
                    self.amend(&destination, &entry, initial, EntryState::Done, Vec::new(), None);
                }
                _ if is_delivered(self.channels.channel(channel)) => {
                    self.tracker.offer(&destination, entry);
                    touched.push(destination);
                }
                _ => {}
            }
        }
        touched
    }

    /// Gives ready entries to idle threads, and tells the controller what is left.
    fn feed(&mut self, touched: impl IntoIterator<Item = Destination>) {
        let mut waiting: HashMap<Destination, usize> = HashMap::new();
        for destination in touched {
            while self.tracker.ready(&destination) > 0 && self.hands_out() {
                let Some((thread, reply)) = self.idle_thread(&destination) else { break };
                let Some(entry) = self.tracker.take(&destination) else { break };
                // A thread that just gave up waiting leaves its entry to the next one.
                let more = self.tracker.ready(&destination) > 0;
                if reply.send(Work { entry, more }).is_err() {
                    self.return_to_line(&destination, entry.id, entry.entry);
                } else {
                    self.threads.entry(thread).or_default().entries.push((entry.id, entry.entry));
                }
            }
            let ready = self.tracker.ready(&destination);
            if ready > 0 {
                waiting.insert(destination, ready);
            }
        }
        if !waiting.is_empty() {
            self.controller.do_send(Waiting(waiting.into_iter().collect()));
        }
    }

    /// Deliveries that could not be written down would be repeated after a crash; and senders who
    /// cannot be told fast enough must not pile up.
    fn hands_out(&self) -> bool {
        !self.drained
            && self.with_notary < MAX_WITH_NOTARY
            && self.telling < MAX_TELLING
            && self.spool.state_backlog() <= MAX_UNWRITTEN
    }

    /// An entry that was handed out and not tried waits again, in its old place.
    fn return_to_line(&mut self, destination: &Destination, id: MessageId, entry: u16) {
        self.tracker.give_back(id, entry);
        if let Some((_, tracked)) = self.tracker.state_of(id, entry) {
            self.grant_wish(destination, tracked);
        }
    }

    /// The one that has been idle for the shortest time: what is not needed times out.
    fn idle_thread(
        &mut self,
        destination: &Destination,
    ) -> Option<(ThreadId, oneshot::Sender<Work>)> {
        let idle = self.idle.get_mut(destination)?;
        let reply = loop {
            match idle.pop_back() {
                Some((_, reply)) if reply.is_closed() => {}
                other => break other,
            }
        };
        if idle.is_empty() {
            self.idle.remove(destination);
        }
        reply
    }

    fn amend(
        &self,
        destination: &Destination,
        entry: &Tracked,
        was: EntryState,
        now: EntryState,
        replies: Vec<(u8, Outcome)>,
        reason: Option<Arc<str>>,
    ) {
        self.spool.amend(Change {
            id: entry.id,
            place: entry.place,
            entry: entry.entry,
            channel: self.channels.channel(destination.channel).name.as_str().into(),
            host: destination.host.clone(),
            priority: entry.priority,
            size: entry.size,
            at: now_ms(),
            was,
            now,
            replies,
            reason,
        });
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let woken = self.tracker.wake(now_ms());
        self.feed(woken);
        self.delete_granted(ctx);
        self.scan_if_wanted(ctx);
    }

    fn finish_drain(&mut self) {
        if self.drained && self.tracker.is_at_rest() && self.telling == 0 {
            for waiting in self.draining.drain(..) {
                // Whoever asked may have run out of patience.
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for Queue {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |queue, ctx| {
            let _busy = queue.meter.busy();
            queue.tick(ctx);
        });
        ctx.run_interval(PUBLISH, |queue, _| {
            let _busy = queue.meter.busy();
            queue.publish();
            // A net under every wake-up that was missed, and the way on after a full disk.
            let waiting = queue.tracker.waiting().map(|(destination, _)| destination.clone());
            let waiting: Vec<_> = waiting.collect();
            queue.feed(waiting);
        });
        self.scan_if_wanted(ctx);
    }
}

impl Handler<Committed> for Queue {
    type Result = ();

    fn handle(&mut self, Committed(batch): Committed, _: &mut Self::Context) {
        let _busy = self.meter.handling("Committed");
        let touched: Vec<_> = batch.iter().flat_map(|stored| self.take_in(stored)).collect();
        self.feed(touched);
    }
}

impl Handler<Pull> for Queue {
    type Result = ();

    fn handle(&mut self, pull: Pull, _: &mut Self::Context) {
        let _busy = self.meter.handling("Pull");
        if let Some(settled) = pull.settled {
            self.settle(pull.thread, &pull.destination, settled);
        }
        if self.drained || self.recalls.takes(pull.thread, &pull.destination) {
            return; // the reply is dropped; the thread ends when it has nothing in hand
        }
        let hands_out = self.hands_out();
        let work = if hands_out { self.tracker.take(&pull.destination) } else { None };
        match work {
            // A thread that is gone is reported as ended, and its entry given back then.
            Some(entry) => {
                let hand = self.threads.entry(pull.thread).or_default();
                hand.entries.push((entry.id, entry.entry));
                let more = self.tracker.ready(&pull.destination) > 0;
                let _ = pull.reply.send(Work { entry, more });
            }
            None if pull.ahead => {}
            // While nothing is handed out, a thread in its place would fare no better.
            None if hands_out && self.contended.contains(&pull.destination.channel) => {}
            None => {
                let ready = self.tracker.ready(&pull.destination);
                self.controller.do_send(Waiting(vec![(pull.destination.clone(), ready)]));
                let idle = self.idle.entry(pull.destination).or_default();
                idle.push_back((pull.thread, pull.reply));
            }
        }
    }
}

impl Handler<Settle> for Queue {
    type Result = ();

    fn handle(&mut self, settle: Settle, _: &mut Self::Context) {
        let _busy = self.meter.handling("Settle");
        self.settle(settle.thread, &settle.destination, settle.settled);
    }
}

impl Handler<Noticed> for Queue {
    type Result = ();

    fn handle(&mut self, noticed: Noticed, _: &mut Self::Context) {
        let _busy = self.meter.handling("Noticed");
        self.noticed(noticed);
    }
}

impl Handler<ThreadEnded> for Queue {
    type Result = ();

    fn handle(&mut self, ended: ThreadEnded, _: &mut Self::Context) {
        let _busy = self.meter.handling("ThreadEnded");
        let ThreadEnded { thread, destination, panicked } = ended;
        let mut hand = self.threads.remove(&thread).unwrap_or_default().entries;
        if panicked && !hand.is_empty() {
            // Whatever is wrong with it, it must not stand in front of the others for ever.
            let (id, entry) = hand.remove(0);
            self.defer_after_panic(&destination, id, entry);
        }
        for (id, entry) in hand {
            self.return_to_line(&destination, id, entry);
        }
        if let Some(idle) = self.idle.get_mut(&destination) {
            idle.retain(|(other, _)| *other != thread);
            if idle.is_empty() {
                self.idle.remove(&destination);
            }
        }
        self.recalls.ended(thread, &destination);
        let ready = self.tracker.ready(&destination);
        self.controller.do_send(ThreadSettled { thread, ready });
        self.finish_drain();
    }
}

impl Handler<Contend> for Queue {
    type Result = ();

    fn handle(&mut self, Contend(channels): Contend, _: &mut Self::Context) {
        let _busy = self.meter.handling("Contend");
        // Idle threads hold what others wait for: their replies are dropped, and they end.
        self.idle.retain(|destination, _| !channels.contains(&destination.channel));
        self.contended = channels;
    }
}

impl Handler<SetMaxMessages> for Queue {
    type Result = usize;

    fn handle(&mut self, SetMaxMessages(max): SetMaxMessages, _: &mut Self::Context) -> usize {
        let _busy = self.meter.handling("SetMaxMessages");
        let was = self.tracker.thresholds().max;
        self.tracker.set_max(max);
        self.metrics.queue.max_messages.set(metrics::level(self.tracker.thresholds().max));
        was
    }
}

impl Handler<DrainQueue> for Queue {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: DrainQueue, _: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("DrainQueue");
        self.drained = true;
        self.idle.clear();
        self.notary.do_send(Hurry);
        let (tell, told) = oneshot::channel();
        self.draining.push(tell);
        self.finish_drain();
        Box::pin(async move {
            // The queue itself going away also means that nothing runs any more.
            let _ = told.await;
        })
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How often due entries are looked for. The shortest wait that operators can set is a second.
const TICK: Duration = Duration::from_millis(200);

/// How often the gauges follow.
const PUBLISH: Duration = Duration::from_secs(1);

/// Octets of state changes that may be unwritten while deliveries go on.
const MAX_UNWRITTEN: usize = 4 << 20;

/// Entries whose senders are being told, while more are handed out.
const MAX_WITH_NOTARY: usize = 10_000;

/// Good news that the notary has, while more are made: each holds the header of a message. It
/// gives up sooner than half of this is left untold.
const MAX_TELLING: usize = 2_000;
