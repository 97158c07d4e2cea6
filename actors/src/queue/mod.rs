//! The queue: the one actor that knows what is waiting, and the only writer of state changes.
//!
//! The spool is the truth, its index finds what memory does not hold, the [`tracker`] is what
//! threads of jobs are fed from. They pull: one message says how the last entry ended and asks for
//! the next. Whatever happens here, an entry leaves the disk only after its recipients are settled,
//! and after the senders of those that failed have been told.

#[cfg(test)]
mod actor_tests;
pub mod backoff;
#[cfg(test)]
mod calendar_tests;
mod carry_out;
mod describe;
mod entry;
mod facts;
mod hand_out;
mod intake;
mod news;
mod owing;
mod postponed;
mod recalls;
mod requests;
mod scan;
mod settle;
mod standing;
pub mod tracker;
mod wall_clock;
mod wishes;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use relais_channels::mail::Outcome;
use relais_config::channel::Program;
use tokio::{sync::oneshot, time::Instant};
use tracing::warn;

use self::{
    carry_out::Deletion, hand_out::InHand, news::NewsDesk, owing::Owing, postponed::Postponed,
    recalls::Recalls, tracker::Tracker, wall_clock::Clock,
};
pub use self::{
    describe::{DescribeQueue, ListEntries, ListOrdered, ListedEntry, QueueDescription},
    entry::{Key, Tracked},
    facts::{DestinationEvent, Subscribe},
    intake::{Committed, Intake},
    news::{Case, LastReply, News, Noticed, SubscribeToNews, Told, speaker},
    requests::{
        Action, Alter, Altered, BeginReading, Begun, Contend, CountOrders, DrainQueue, EndReading,
        GiveUpJobs, LookAgain, Pull, Reading, Reason, Recall, Reserve, SetMaxMessages, Settle,
        Settled, Standing, ThreadEnded, Work,
    },
};
use crate::{
    actor::{Actor, Ctx, Handle, Later, Outlet},
    channel_table::{Channels, is_delivered, lowered},
    ids::{ChannelId, ConnectionId, Destination},
    metrics::{self, Metrics, Pause},
    spool::{Change, EntryState, Spool, Stored},
    timestamp::now_ms,
};

/// The actor. Lives beside the job controller, where strangers send nothing.
pub struct Queue {
    tracker: Tracker,
    spool: Spool,
    channels: Arc<Channels>,
    intake: Intake,
    /// Who decides what runs, once that has subscribed.
    controller: Option<Outlet<DestinationEvent>>,
    news: NewsDesk,
    metrics: Arc<Metrics>,
    threads: HashMap<ConnectionId, InHand>,
    idle: HashMap<Destination, VecDeque<(ConnectionId, oneshot::Sender<Work>)>>,
    /// Destinations that could not be talked to and have taken nothing since.
    troubled: HashSet<Destination>,
    contended: HashSet<ChannelId>,
    /// Active entries whose senders are being told.
    with_notary: usize,
    /// Senders who have yet to be told who has their mail.
    owing: Owing,
    postponed: Postponed,
    /// What operators want done with entries that jobs have in hand.
    wishes: HashMap<Key, (Action, Reason)>,
    /// Of these, what has come back and is to be deleted.
    deletions: Vec<Deletion>,
    /// Entries that operators return and the notary has.
    returning: HashSet<Key>,
    /// Who waits until these are fewer.
    returners: Vec<oneshot::Sender<()>>,
    recalls: Recalls,
    draining: Vec<oneshot::Sender<()>>,
    drained: bool,
    parallel_scans: usize,
    /// Why nothing is handed out, as far as the log has been told.
    paused: Option<Pause>,
    scanning: bool,
    no_scan_before: Instant,
    scanned_at: Instant,
    seek_again_at: Instant,
    scan_again_at: Instant,
    clock: Clock,
}

/// What the queue is made of.
pub struct Parts {
    /// The spool, opened and started.
    pub spool: Spool,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where the spool hands over.
    pub intake: Intake,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Entries in memory at most.
    pub max_messages: usize,
    /// Channels that a scan reads at once.
    pub rebuild_parallel_channels: usize,
}

impl Queue {
    /// A queue that has yet to look at its disk: the first scan begins when it starts.
    pub fn new(parts: Parts) -> Self {
        let mut tracker = Tracker::new(parts.max_messages);
        tracker.note_overflow();
        let now = Instant::now();
        Self {
            tracker,
            spool: parts.spool,
            channels: parts.channels,
            intake: parts.intake,
            controller: None,
            news: NewsDesk::default(),
            metrics: parts.metrics,
            threads: HashMap::new(),
            idle: HashMap::new(),
            troubled: HashSet::new(),
            contended: HashSet::new(),
            with_notary: 0,
            owing: Owing::at(now),
            postponed: Postponed::default(),
            wishes: HashMap::new(),
            deletions: Vec::new(),
            returning: HashSet::new(),
            returners: Vec::new(),
            recalls: Recalls::default(),
            draining: Vec::new(),
            drained: false,
            parallel_scans: parts.rebuild_parallel_channels,
            paused: None,
            scanning: false,
            no_scan_before: now,
            scanned_at: now,
            seek_again_at: now,
            scan_again_at: now,
            clock: Clock::new(now, now_ms()),
        }
    }

    fn take_in(&mut self, stored: &Stored) -> Vec<Destination> {
        let mut touched = Vec::new();
        for (number, entry) in stored.own_entries() {
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
                entry: number,
                place: stored.place,
                open,
                attempts: 0,
                due: stored.rerouted,
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
                _ if is_delivered(self.channels.channel(channel)) => {
                    self.tracker.offer(&destination, entry);
                    touched.push(destination);
                }
                _ => {}
            }
        }
        touched
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

    fn tick(&mut self, ctx: &mut Ctx<Self>) {
        let now = now_ms();
        self.mind_the_clock(now);
        let woken = self.tracker.wake(now);
        self.feed(woken);
        self.delete_granted(ctx);
        self.scan_if_wanted(ctx);
        self.tell_who_is_owed(ctx);
        self.return_once_more(ctx);
    }

    /// Tells whoever decides what runs. What is announced while nobody has subscribed is told by
    /// what waits then.
    fn announce(&self, event: DestinationEvent) {
        if let Some(controller) = &self.controller {
            controller.tell(event);
        }
    }

    fn finish_drain(&mut self) {
        if self.drained && self.tracker.is_at_rest() {
            for waiting in self.draining.drain(..) {
                // Whoever asked may have run out of patience.
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for Queue {
    const NAME: &'static str = "queue";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.intake.open(ctx.mailbox().downgrade().outlet());
        ctx.every(TICK, |queue, ctx| {
            queue.tick(ctx);
        });
        ctx.every(PUBLISH, |queue, _| {
            queue.publish();
            // A net under every wake-up that was missed, and the way on after a full disk.
            let waiting = queue.tracker.waiting().map(|(destination, _)| destination.clone());
            let waiting: Vec<_> = waiting.collect();
            queue.feed(waiting);
        });
        self.scan_if_wanted(ctx);
    }
}

impl Handle<Committed> for Queue {
    fn handle(&mut self, Committed(batch): Committed, _: &mut Ctx<Self>) {
        let touched: Vec<_> = batch.iter().flat_map(|stored| self.take_in(stored)).collect();
        self.feed(touched);
    }
}

impl Handle<Subscribe> for Queue {
    fn handle(&mut self, Subscribe(controller): Subscribe, _: &mut Ctx<Self>) {
        let waiting = self.tracker.waiting().map(|(to, ready)| (to.clone(), ready)).collect();
        self.controller = Some(controller);
        self.announce(DestinationEvent::Waiting(waiting));
    }
}

impl Handle<SubscribeToNews> for Queue {
    fn handle(&mut self, SubscribeToNews(reader): SubscribeToNews, _: &mut Ctx<Self>) {
        self.news.subscribe(reader);
    }
}

impl Handle<Settle> for Queue {
    fn handle(&mut self, settle: Settle, _: &mut Ctx<Self>) {
        self.settle(settle.thread, &settle.destination, settle.settled);
    }
}

impl Handle<Noticed> for Queue {
    fn handle(&mut self, noticed: Noticed, _: &mut Ctx<Self>) {
        self.noticed(noticed);
    }
}

impl Handle<SetMaxMessages> for Queue {
    fn handle(&mut self, SetMaxMessages(max): SetMaxMessages, _: &mut Ctx<Self>) -> usize {
        let was = self.tracker.thresholds().max;
        self.tracker.set_max(max);
        self.metrics.queue.max_messages.set(metrics::level(self.tracker.thresholds().max));
        was
    }
}

impl Handle<DrainQueue> for Queue {
    fn handle(&mut self, _: DrainQueue, _: &mut Ctx<Self>) -> Later<()> {
        self.drained = true;
        self.idle.clear();
        self.news.pass_on(News::Draining);
        let (tell, told) = oneshot::channel();
        self.draining.push(tell);
        self.finish_drain();
        Later::new(async move {
            // The queue itself going away also means that nothing runs any more.
            let _ = told.await;
        })
    }
}

/// How often due entries are looked for. The shortest wait that operators can set is a second.
const TICK: Duration = Duration::from_millis(200);

/// How often the gauges follow.
const PUBLISH: Duration = Duration::from_secs(1);
