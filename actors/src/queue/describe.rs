//! What operators may ask the queue.

use std::collections::HashMap;

use actix::Message;
use relais_channels::mail::MessageId;
use tracing::{info, warn};

use super::{Queue, entry::Key, hand_out::MAX_UNWRITTEN, requests::Action, tracker::Tally};
use crate::{
    actor::{Ctx, Handle},
    channel_table::is_delivered,
    ids::{ChannelId, ConnectionId},
    metrics::{Pause, QueueState, level},
    spool::{Counts, ScannedEntry},
    timestamp::now_ms,
};

/// Asks for numbers only: cheap, answered at once.
#[derive(Message)]
#[rtype(result = "QueueDescription")]
pub struct DescribeQueue;

/// The answer to [`DescribeQueue`].
#[derive(Clone, Debug, Default)]
pub struct QueueDescription {
    /// Entries in memory.
    pub tracked: usize,
    /// Entries in memory at most.
    pub max_messages: usize,
    /// Why nothing is handed to jobs, if that is so.
    pub paused: Option<Pause>,
    /// By channel.
    pub channels: HashMap<ChannelId, Tally>,
}

/// Asks in which state memory has these entries, which a scan of the index found.
#[derive(Message)]
#[rtype(result = "Vec<ListedEntry>")]
pub struct ListEntries(pub Vec<ScannedEntry>);

/// Asks of which entries something is ordered that waits for their jobs.
#[derive(Message)]
#[rtype(result = "Vec<(MessageId, u16)>")]
pub struct ListOrdered;

/// One entry of the index, with what memory knows of it.
#[derive(Clone, Debug)]
pub struct ListedEntry {
    /// As the index has it.
    pub scanned: ScannedEntry,
    /// `ready`, `active` or `delayed` when memory tracks it.
    pub tracked: Option<&'static str>,
    /// Its sender is being told, or somebody alters it: no job gets it meanwhile.
    pub aside: bool,
    /// What is to be done with it as soon as its job gives it back; of one that is being returned,
    /// as soon as its sender has been told.
    pub ordered: Option<Action>,
    /// The thread that has it in hand, and whether that delivers another one first.
    pub thread: Option<(ConnectionId, bool)>,
}

impl Handle<DescribeQueue> for Queue {
    fn handle(&mut self, _: DescribeQueue, _: &mut Ctx<Self>) -> QueueDescription {
        QueueDescription {
            tracked: self.tracker.len(),
            max_messages: self.tracker.thresholds().max,
            paused: self.pause(),
            channels: self.tracker.tally(),
        }
    }
}

impl Handle<ListEntries> for Queue {
    fn handle(&mut self, ListEntries(found): ListEntries, _: &mut Ctx<Self>) -> Vec<ListedEntry> {
        let list = |scanned: ScannedEntry| {
            let tracked = self.tracker.state_of(scanned.id, scanned.entry).map(|(word, _)| word);
            let key = (scanned.id, scanned.entry);
            let returns = || self.returning.contains(&key).then_some(Action::Return);
            let ordered = self.wishes.get(&key).map(|(action, _)| *action).or_else(returns);
            let aside = self.tracker.is_aside(scanned.id, scanned.entry);
            let thread = tracked.filter(|word| *word == "active").and_then(|_| self.holder(key));
            ListedEntry { scanned, tracked, aside, ordered, thread }
        };
        found.into_iter().map(list).collect()
    }
}

impl Handle<ListOrdered> for Queue {
    fn handle(&mut self, _: ListOrdered, _: &mut Ctx<Self>) -> Vec<(MessageId, u16)> {
        self.wishes.keys().copied().collect()
    }
}

/// Entries of a channel by state, with those that only the disk knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitingEntries {
    /// Never tried and not being tried.
    pub ready: u64,
    /// With a job.
    pub active: u64,
    /// Tried, and not being tried now.
    pub delayed: u64,
}

impl Tally {
    /// Puts what memory knows together with what the disk counts.
    pub fn waiting(&self, stored: &Counts) -> WaitingEntries {
        let (active, tried) = (self.active as u64, self.active_tried as u64);
        WaitingEntries {
            ready: stored.untried.saturating_sub(active - tried),
            active,
            delayed: stored.tried.saturating_sub(tried),
        }
    }
}

impl Queue {
    /// The thread that has this entry in hand, and whether it delivers another one first.
    fn holder(&self, key: Key) -> Option<(ConnectionId, bool)> {
        self.threads.iter().find_map(|(thread, hand)| {
            let place = hand.entries.iter().position(|entry| *entry == key)?;
            Some((*thread, place > 0))
        })
    }

    fn pause(&self) -> Option<Pause> {
        let is_full = || self.spool.state_backlog() > MAX_UNWRITTEN;
        match self.hands_out() {
            true => None,
            false if self.drained => Some(Pause::Draining),
            false if is_full() => Some(Pause::Disk),
            false => Some(Pause::Notary),
        }
    }

    /// Says once that nothing is handed out, and once that it is again.
    fn tell_of_pause(&mut self) {
        let paused = self.pause();
        if std::mem::replace(&mut self.paused, paused) == paused {
            return;
        }
        match paused {
            // The drain has words of its own.
            Some(Pause::Draining) => {}
            Some(pause) => warn!(why = pause.words(), "no message is handed to a job for now"),
            None => info!("messages are handed to jobs again"),
        }
    }

    /// Sets the gauges of the queue and its channels.
    pub(super) fn publish(&mut self) {
        self.tell_of_pause();
        // Of hosts that nothing waits for any more there is nothing to remember.
        if self.troubled.len() > MANY_TROUBLED {
            let tracker = &self.tracker;
            self.troubled.retain(|destination| tracker.knows(destination));
        }
        let (counts, tally, oldest) =
            (self.spool.counts(), self.tracker.tally(), self.tracker.oldest());
        for (id, channel) in self.channels.iter() {
            let counts = counts.get(&channel.name).copied().unwrap_or_default();
            let tally = tally.get(&id).copied().unwrap_or_default();
            let waiting = tally.waiting(&counts);
            let meter = self.metrics.channel(&channel.name);
            meter.waiting(QueueState::Ready).set(level(waiting.ready));
            meter.waiting(QueueState::Active).set(level(waiting.active));
            meter.waiting(QueueState::Delayed).set(level(waiting.delayed));
            meter.waiting(QueueState::Held).set(level(counts.held));
            let age = oldest.get(&id).map_or(0, |id| now_ms().saturating_sub(id.received_ms()));
            meter.oldest.set(level(age / 1_000));
            meter.stored((&counts).into());
        }
        let is_lost = |(name, _): &(&String, &Counts)| self.channels.find(name).is_none();
        let lost: u64 = counts.iter().filter(is_lost).map(|(_, counts)| counts.total()).sum();
        let is_unserved = |(name, _): &(&String, &Counts)| {
            self.channels.find(name).is_none_or(|id| !is_delivered(self.channels.channel(id)))
        };
        let waiting = |(_, counts): (&String, &Counts)| counts.untried + counts.tried;
        let unserved: u64 = counts.iter().filter(is_unserved).map(waiting).sum();
        self.metrics.queue.unserved.set(level(unserved));
        let stored: u64 = counts.values().map(Counts::total).sum();
        self.metrics.queue.lost.set(level(lost));
        let owing: u64 = counts.values().map(|counts| counts.owing).sum();
        self.metrics.queue.owing.set(level(owing));
        self.metrics.queue.tracked.set(level(self.tracker.len()));
        self.metrics.queue.stored.set(level(stored));
        self.metrics.spool.bytes.set(level(self.spool.octets()));
    }
}

/// Destinations in trouble that are not worth looking through.
const MANY_TROUBLED: usize = 10_000;
