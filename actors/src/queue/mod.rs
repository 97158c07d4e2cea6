//! The queue: the one actor that knows what is waiting, and while it runs the only writer of state
//! changes. Before it starts, `engine/src/state/` carries out what a crash left unfinished.
//!
//! The spool is the truth, its index finds what memory does not hold, the [`tracker`] is what
//! connections of jobs are fed from. They pull: one message says how the last entry ended and asks
//! for the next. Whatever happens here, an entry leaves the disk only after its recipients are
//! settled, and after the senders of those that failed have been told.

pub mod backoff;
mod describe;
mod disk_scan;
mod entry;
mod facts;
mod gauges;
mod give_up;
mod hand_out;
mod hold_lines;
mod intake;
mod limit_reached;
mod news;
mod notice_budget;
mod orders;
mod owing;
mod own_reasons;
mod pending_orders;
mod postponed;
mod pull;
mod recalls;
mod requests;
mod scan;
mod settle;
mod telling;
#[cfg(test)]
pub(crate) mod tests;
mod throttled;
pub mod tracker;
mod wall_clock;

use std::{sync::Arc, time::Duration};

use relais_channels::mail::Trip;
use relais_config::channel::Program;
use relais_storage::{Change, EntryState, Place, RecipientReplies, Storage, Stored};
use tokio::{sync::oneshot, time::Instant};
use tracing::warn;

pub(crate) use self::own_reasons::{NOWHERE, PASSES_ON, PIECES_REMOVED, PUT_TOGETHER, SAME_PIECE};
pub use self::{
    describe::{DescribeQueue, ListEntries, ListOrdered, ListedEntry, QueueDescription},
    entry::{Key, Tracked},
    facts::{DestinationEvent, PieceStored, Subscribe, SubscribeToPieces},
    intake::{Committed, Intake},
    limit_reached::{Denial, LimitReached, SlowedDown, StoppedByReply},
    news::{Case, LastReply, News, Noticed, SubscribeToNews, Told, speaker},
    own_reasons::{ROUTED_AGAIN, is_own_reason},
    requests::{
        BeginReading, Begun, ConnectionEnded, Contend, CountOrders, DrainQueue, EndReading,
        EntryStanding, GiveUpJobs, LookAgain, Order, OrderKind, PlaceOrder, Placed, Pull, Reading,
        Reason, Recall, Reserve, SetMaxMessages, Settle, Settled, Work,
    },
    throttled::{MakeRoom, Throttled},
};
use self::{
    disk_scan::DiskScan, gauges::Gauges, hand_out::HandOut, hold_lines::HoldLines, news::NewsDesk,
    notice_budget::NoticeBudget, pending_orders::PendingOrders, tracker::Tracker,
    wall_clock::WallClock,
};
#[cfg(test)]
pub(crate) use self::{owing::LookForOwed, settle::After};
use crate::{
    actor::{Actor, Adopt, Ctx, Handle, Later, Outlet},
    channel_table::{Channels, lowered},
    ids::Destination,
    metrics::{self, Metrics},
    timestamp::now_ms,
};

/// The actor. Lives beside the job controller, where strangers send nothing.
pub struct Queue {
    storage: Storage,
    intake: Intake,
    channels: Arc<Channels>,
    metrics: Arc<Metrics>,
    tracker: Tracker,
    hand_out: HandOut,
    orders: PendingOrders,
    hold_lines: HoldLines,
    notices: NoticeBudget,
    scan: DiskScan,
    gauges: Gauges,
    drain: Drain,
    /// The subscriber that decides what runs.
    controller: Option<Outlet<DestinationEvent>>,
    /// The subscriber that puts pieces together.
    pieces: Option<Outlet<PieceStored>>,
    news: NewsDesk,
}

/// The end of the engine: nothing more is handed out.
#[derive(Debug, Default)]
struct Drain {
    has_begun: bool,
    /// Each is told when nothing is in hand.
    waiting: Vec<oneshot::Sender<()>>,
}

/// A change of an entry's state, as it is written down.
struct Amendment {
    was: EntryState,
    now: EntryState,
    replies: RecipientReplies,
    reason: Option<Arc<str>>,
    trip: Option<Arc<Trip>>,
}

impl Drain {
    fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// It begins; ready when nothing is in hand.
    fn begin(&mut self) -> oneshot::Receiver<()> {
        self.has_begun = true;
        let (tell, told) = oneshot::channel();
        self.waiting.push(tell);
        told
    }

    /// Nothing is in hand any more.
    fn end(&mut self) {
        for waiting in self.waiting.drain(..) {
            // The asker may have run out of patience.
            let _ = waiting.send(());
        }
    }
}

impl Amendment {
    fn new(was: EntryState, now: EntryState) -> Self {
        let replies = RecipientReplies::new();
        Self { was, now, replies, reason: None, trip: None }
    }

    /// With what was said of recipients.
    fn with(self, replies: RecipientReplies) -> Self {
        Self { replies, ..self }
    }

    /// With the way that the attempt took.
    fn over(self, trip: Option<Arc<Trip>>) -> Self {
        Self { trip, ..self }
    }

    /// With why it is so.
    fn because(self, reason: Arc<str>) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

/// The parts of the queue.
pub struct QueueParts {
    /// The spool, opened and started.
    pub storage: Storage,
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
    pub fn new(parts: QueueParts) -> Self {
        let mut tracker = Tracker::new(parts.max_messages);
        tracker.note_overflow();
        let now = Instant::now();
        let wall_clock = WallClock::new(now, now_ms());
        Self {
            tracker,
            hand_out: HandOut::default(),
            orders: PendingOrders::default(),
            hold_lines: HoldLines::default(),
            notices: NoticeBudget::at(now),
            scan: DiskScan::at(now, wall_clock, parts.rebuild_parallel_channels),
            gauges: Gauges::new(parts.channels.clone(), parts.metrics.clone()),
            drain: Drain::default(),
            controller: None,
            pieces: None,
            news: NewsDesk::default(),
            storage: parts.storage,
            intake: parts.intake,
            channels: parts.channels,
            metrics: parts.metrics,
        }
    }

    /// Takes in what was stored, and adds where it goes to `touched`.
    fn take_in(&mut self, stored: &Stored, touched: &mut Vec<Destination>) {
        for (number, entry) in stored.own_entries() {
            let Some(channel) = self.channels.find(&entry.channel) else {
                // The router only names channels of this configuration.
                warn!(id = %stored.id, channel = &*entry.channel, "no such channel; entry left on disk");
                continue;
            };
            let destination = Destination { channel, host: entry.host.clone() };
            let (initial, entry_waits) = (stored.initial(entry), entry.waits);
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
                _ if entry_waits => self.announce_piece((stored.id, number), stored.place),
                Program::Hold => {
                    self.tracker.finish(entry.id, entry.entry);
                    let held = EntryState::Held { open, attempts: 0 };
                    self.amend(&destination, &entry, Amendment::new(initial, held));
                }
                _ => {
                    self.tracker.offer(&destination, entry);
                    touched.push(destination);
                }
            }
        }
    }

    fn amend(&mut self, destination: &Destination, entry: &Tracked, amendment: Amendment) {
        let Amendment { was, now, ref reason, .. } = amendment;
        self.hold_lines.note(entry, (was, now), reason.as_ref());
        self.storage.amend(Change {
            id: entry.id,
            place: entry.place,
            entry: entry.entry,
            channel: Arc::clone(self.channels.name(destination.channel)),
            host: destination.host.clone(),
            priority: entry.priority,
            size: entry.size,
            at: now_ms(),
            was: amendment.was,
            now: amendment.now,
            replies: amendment.replies,
            reason: amendment.reason,
            trip: amendment.trip,
        });
    }

    /// Whether a job or the notary has the entry, or somebody has taken it aside: of any other
    /// entry nothing is listened to.
    fn minds(&self, (id, entry): Key) -> bool {
        self.tracker.is_aside(id, entry) || self.tracker.state_of(id, entry).is_some()
    }

    fn tick(&mut self, ctx: &mut Ctx<Self>) {
        let now = now_ms();
        self.mind_wall_clock(now);
        let woken = self.tracker.wake(now);
        self.feed(woken);
        self.delete_granted(ctx);
        self.scan_if_wanted(ctx);
        self.tell_who_is_owed(ctx);
        self.return_once_more(ctx);
        self.tell_other_holds(ctx);
    }

    /// Tells whoever decides what runs. What is announced while nobody has subscribed is told by
    /// what waits then.
    fn announce(&self, event: DestinationEvent) {
        if let Some(controller) = &self.controller {
            controller.tell(event);
        }
    }

    /// Tells whoever puts pieces together. What is stored while nobody has subscribed is found on the disk.
    fn announce_piece(&self, entry: Key, place: Place) {
        if let Some(pieces) = &self.pieces {
            pieces.tell(PieceStored { entry, place });
        }
    }

    fn finish_drain(&mut self) {
        if self.drain.has_begun() && self.tracker.is_at_rest() {
            self.drain.end();
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
        let mut touched = Vec::with_capacity(batch.len());
        for stored in &batch {
            self.take_in(stored, &mut touched);
        }
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

impl Handle<SubscribeToPieces> for Queue {
    fn handle(&mut self, SubscribeToPieces(reader): SubscribeToPieces, _: &mut Ctx<Self>) {
        self.pieces = Some(reader);
    }
}

impl Handle<SubscribeToNews> for Queue {
    fn handle(&mut self, SubscribeToNews(reader): SubscribeToNews, _: &mut Ctx<Self>) {
        self.news.subscribe(reader);
    }
}

impl Handle<Settle> for Queue {
    fn handle(&mut self, settle: Settle, _: &mut Ctx<Self>) {
        self.settle(settle.connection, &settle.destination, settle.settled);
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

impl Handle<Adopt<Arc<Channels>>> for Queue {
    fn handle(&mut self, Adopt(channels): Adopt<Arc<Channels>>, _: &mut Ctx<Self>) {
        self.gauges.adopt(channels.clone());
        self.channels = channels;
        // Mail may lie on the disk for a channel that nobody knew.
        self.tracker.note_overflow();
    }
}

impl Handle<DrainQueue> for Queue {
    fn handle(&mut self, _: DrainQueue, _: &mut Ctx<Self>) -> Later<()> {
        let told = self.drain.begin();
        self.hand_out.dismiss_idle();
        self.news.pass_on(News::Draining);
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
