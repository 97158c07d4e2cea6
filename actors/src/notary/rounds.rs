//! The rounds: through everything that waits, for what has waited long enough to be told.
//!
//! A round reads the whole index, a portion at a time, and writes down when it began: what was
//! due before that is dealt with. The next one begins when something will be due.
//!
//! # Clocks that are wrong
//!
//! A message's age is told by its queue id, which is the time when it came in, and larger than
//! all ids before it.
//!
//! - The clock was ahead and is right again: ids go on from the time that it showed, until that
//!   has come. Of such messages the envelope is read, which has the true time. Only what came in
//!   while the clock was ahead is told of late, by as much.
//! - The clock is set ahead, or was behind and is right now: everything looks older than it is,
//!   as after a time in which the engine was down. What seems too old then is tried once more before
//!   it is returned: see [`super::grace`].
//! - The clock is set back: a warning that was given may be given once more.

use std::{
    cell::RefCell,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::dsn::Kind;
use relais_storage::{Class, EntryState, ScannedEntry, StorageError};
use tokio::sync::{Notify, Semaphore};
use tracing::{debug, warn};

use super::{
    NotaryParts,
    grace::{GRACE, after},
    progress::Progress,
    timetable::{self, Due},
};
use crate::{
    actor::{Mailbox, Outlet},
    channel_table::{lowered, notices},
    ids::{ChannelId, Destination},
    queue::{Case, News, Queue, Reading, Reserve, Tracked},
    timestamp::now_ms,
};

/// The parts that the next round works with.
pub(super) struct ForRounds {
    parts: RefCell<NotaryParts>,
    replaced: Notify,
}

impl ForRounds {
    pub(super) fn new(parts: NotaryParts) -> Self {
        Self { parts: RefCell::new(parts), replaced: Notify::new() }
    }

    /// The next round begins at once: other ages may make other things due.
    pub(super) fn replace(&self, parts: NotaryParts) {
        *self.parts.borrow_mut() = parts;
        self.replaced.notify_one();
    }

    fn now(&self) -> NotaryParts {
        self.parts.borrow().clone()
    }
}

/// Rounds for ever: the notary ends them with itself. What is due goes to `news`.
pub(super) async fn walk(
    for_rounds: Rc<ForRounds>,
    progress: Rc<RefCell<Progress>>,
    queue: Mailbox<Queue>,
    news: Outlet<News>,
) {
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    loop {
        let (began, now) = (Instant::now(), now_ms());
        let parts = for_rounds.now();
        let returns_from = progress.borrow_mut().note_alive(began, now);
        let mut round = Round {
            parts: &parts,
            queue: &queue,
            progress: &progress,
            since: progress.borrow().until(),
            now,
            returns_from,
            next: None,
            room: room.clone(),
        };
        let gone = round.go(&news).await;
        // The rest is waiting, and costs nothing.
        let took = began.elapsed();
        let wait = match gone {
            Ok(()) => {
                // The notices that were due are told, or given up: only then the round has dealt
                // with them.
                drop(room.acquire_many(UNDER_WAY as u32).await);
                if progress.borrow_mut().round_ended(now) {
                    round.next = Some(now);
                }
                round.pause(took)
            }
            Err(error) => {
                warn!(%error, "a round for notices broke off; once more in a while");
                BROKEN_OFF
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            () = for_rounds.replaced.notified() => {}
        }
    }
}

/// By the wall clock, too: the monotonic clock stands still while the machine sleeps.
async fn sleep(wait: Duration) {
    let (began, until) = (Instant::now(), after(now_ms(), wait));
    while now_ms() < until
        && let Some(left) = wait.checked_sub(began.elapsed())
    {
        tokio::time::sleep(left.min(PIECE)).await;
    }
}

struct Round<'a> {
    parts: &'a NotaryParts,
    queue: &'a Mailbox<Queue>,
    progress: &'a RefCell<Progress>,
    /// Up to when the rounds before have progress.
    since: u64,
    now: u64,
    /// Before this nothing is returned.
    returns_from: u64,
    /// When the next of those seen will be due.
    next: Option<u64>,
    room: Arc<Semaphore>,
}

impl Round<'_> {
    async fn go(&mut self, news: &Outlet<News>) -> Result<(), StorageError> {
        let counts = self.parts.storage.counts();
        let channels = self.parts.channels.clone();
        for (id, channel) in channels.by_number() {
            if counts.get(&channel.name).is_none_or(|counts| counts.untried + counts.tried == 0) {
                continue;
            }
            // A held entry waits for an operator, however long that takes.
            for class in [Class::Untried, Class::Tried] {
                let mut after = None;
                loop {
                    let reading = Reading::begin(self.queue).await;
                    let reading = reading.map_err(|_| StorageError::Closed)?;
                    let found =
                        self.parts.storage.scan(&channel.name, class, after, PORTION).await?;
                    after = found.last().map(|entry| entry.cursor);
                    let ended = found.len() < PORTION;
                    self.deal_with(id, found, reading, news).await;
                    if ended {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    async fn deal_with(
        &mut self,
        channel: ChannelId,
        found: Vec<ScannedEntry>,
        reading: Reading,
        news: &Outlet<News>,
    ) {
        let its = self.parts.channels.channel(channel);
        let (mut warnings, mut returns) = (Vec::new(), Vec::new());
        for entry in found {
            let ages = notices(its, lowered(its, entry.priority, entry.size));
            let received = self.received(&entry).await;
            let mut next = timetable::next(ages, received, self.now);
            match timetable::due(ages, received, self.since, self.now) {
                Some(Due::Return) if self.now < self.returns_from => {
                    next = Some(self.returns_from);
                }
                // It was released, or its host is back: its turn comes first.
                Some(Due::Return) if self.has_just_become_due(&entry) => next = Some(self.now),
                Some(Due::Return) => returns.push(entry),
                Some(Due::Warning { until })
                    if self.progress.borrow_mut().choose((entry.id, entry.entry)) =>
                {
                    warnings.push((entry, until));
                }
                Some(Due::Warning { .. }) | None => {}
            }
            self.next = self.next.into_iter().chain(next).min();
        }
        let reading = Arc::new(reading);
        let mut cases: Vec<Case> = Vec::new();
        for (entry, until) in warnings {
            let mut case = case_of(channel, &entry, Kind::Delayed);
            (case.until, case.reading) = (Some(until), Some(reading.clone()));
            cases.push(case);
        }
        if !returns.is_empty() {
            let wanted = returns.len();
            let reserve = Reserve { reading: reading.ticket(), entries: returns };
            let reserved = self.queue.ask(reserve).await.unwrap_or_default();
            if reserved.len() < wanted {
                // Entries that a job has just now are for the next round, which is soon.
                self.progress.borrow_mut().fall_behind();
            }
            for entry in reserved {
                let then = Some(EntryState::Done);
                cases.push(Case { then, ..case_of(channel, &entry, Kind::TimedOut) });
            }
        }
        drop(reading);
        if cases.is_empty() {
            return;
        }
        debug!(cases = cases.len(), "notices are due");
        self.parts.add_replies(&mut cases.iter_mut().collect::<Vec<_>>()).await;
        for case in &mut cases {
            case.room = self.room.clone().acquire_owned().await.ok();
        }
        news.tell(News::Tell(cases));
    }

    fn has_just_become_due(&self, entry: &ScannedEntry) -> bool {
        let EntryState::Waiting { due, .. } = entry.state else { return false };
        due <= self.now && self.now < after(due, GRACE)
    }

    /// When the message came in, in milliseconds since 1970. Its id says it, unless the clock was
    /// ahead when ids were handed out: later ones go on from there until time has caught up.
    async fn received(&self, entry: &ScannedEntry) -> u64 {
        let at = entry.id.received_ms();
        if at <= self.now.saturating_add(AHEAD) {
            return at;
        }
        let record = self.parts.storage.read(entry.place).await;
        record.map_or(self.now, |(envelope, _)| envelope.received.min(self.now))
    }

    /// Until something is due, but not so long that what comes in meanwhile is overlooked, and
    /// not so soon that the rounds are all the engine does.
    fn pause(&self, took: Duration) -> Duration {
        let all = self.parts.channels.iter().flat_map(|(_, channel)| {
            relais_channels::mail::Priority::ALL
                .into_iter()
                .filter_map(|priority| notices(channel, priority).first())
        });
        let shortest = all.min().copied().unwrap_or(Duration::from_secs(24 * 60 * 60));
        let pace = timetable::pace(shortest);
        let due =
            self.next.map_or(shortest, |next| Duration::from_millis(next.saturating_sub(now_ms())));
        due.min(shortest).max(pace).max(took * SHARE)
    }
}

fn case_of(channel: ChannelId, entry: &ScannedEntry, kind: Kind) -> Case {
    Case {
        entry: Tracked::of(entry),
        destination: Destination { channel, host: entry.host.clone() },
        kind,
        recipients: entry.state.open(),
        replies: Vec::new(),
        until: None,
        behind: None,
        room: None,
        reading: None,
        ordered: None,
        was: entry.state,
        then: None,
    }
}

/// Entries looked at together.
const PORTION: usize = 1_000;
/// Cases handed over and not finished; a portion must fit.
const UNDER_WAY: usize = 2 * PORTION;
/// A round takes at most a twentieth of the time.
const SHARE: u32 = 20;
/// Slept at once.
const PIECE: Duration = Duration::from_secs(5 * 60);
/// Before the next round, after one that broke off.
const BROKEN_OFF: Duration = Duration::from_secs(10);
/// Ids may be this many milliseconds ahead of the clock before they are not believed.
const AHEAD: u64 = 60_000;
