//! Descriptions of the queue that operators ask for.

use std::{collections::HashMap, sync::Arc};

use actix::Message;
use relais_storage::{Counts, ScannedEntry};

use super::{
    Queue,
    entry::Key,
    pull::MAX_UNWRITTEN,
    requests::{EntryStanding, LookAgain, OrderKind},
    tracker::{Tally, Ticket},
};
use crate::{
    actor::{Ctx, Handle},
    ids::{ChannelId, ConnectionId},
    metrics::Pause,
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

/// Asks of which entries something is ordered that waits for their jobs, and by whom and why.
#[derive(Message)]
#[rtype(result = "Vec<(Key, Arc<str>)>")]
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
    /// The order to be carried out as soon as its job gives it back; of one that is being returned,
    /// as soon as its sender has been told.
    pub ordered: Option<OrderKind>,
    /// The connection that has it in hand, and whether that delivers another one first.
    pub connection: Option<(ConnectionId, bool)>,
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
            let ordered = self.orders.ordered(key);
            let aside = self.tracker.is_aside(scanned.id, scanned.entry);
            let connection =
                tracked.filter(|word| *word == "active").and_then(|_| self.hand_out.holder(key));
            ListedEntry { scanned, tracked, aside, ordered, connection }
        };
        found.into_iter().map(list).collect()
    }
}

impl Handle<ListOrdered> for Queue {
    fn handle(&mut self, _: ListOrdered, _: &mut Ctx<Self>) -> Vec<(Key, Arc<str>)> {
        self.orders.waiting().map(|(key, order)| (key, Arc::clone(&order.reason.words))).collect()
    }
}

/// Entries of a channel by state, with those that only the disk knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WaitingEntries {
    /// Never tried and not being tried; not what waits for a host in trouble.
    pub ready: u64,
    /// With a job.
    pub active: u64,
    /// Tried, and not being tried now; or waiting for a host in trouble.
    pub delayed: u64,
}

impl Tally {
    /// Puts what memory knows together with what the disk counts.
    pub fn waiting(&self, stored: &Counts) -> WaitingEntries {
        let (active, tried) = (self.active as u64, self.active_tried as u64);
        let ready = stored.untried.saturating_sub(active - tried);
        let beyond = ready.saturating_sub(self.ready_untried as u64);
        let beyond = if self.rests_beyond { beyond } else { 0 };
        // Resting entries wait for their host, like those that were tried there.
        let resting = ready.min(self.resting as u64 + beyond);
        WaitingEntries {
            ready: ready - resting,
            active,
            delayed: stored.tried.saturating_sub(tried) + resting,
        }
    }
}

impl Queue {
    fn pause(&self) -> Option<Pause> {
        let is_full = || self.storage.state_backlog() > MAX_UNWRITTEN;
        match self.hands_out() {
            true => None,
            false if self.drain.has_begun() => Some(Pause::Draining),
            false if is_full() => Some(Pause::Disk),
            false => Some(Pause::Notary),
        }
    }

    /// Sets the gauges of the queue and its channels.
    pub(super) fn publish(&mut self) {
        let pause = self.pause();
        self.gauges.tell_of_pause(pause);
        self.hand_out.forget_gone(&self.tracker);
        self.gauges.publish(&self.tracker, &self.storage);
    }

    fn standing(&self, reading: Option<Ticket>, (id, entry): Key) -> EntryStanding {
        if self.tracker.is_aside(id, entry) {
            return EntryStanding::Aside;
        }
        if let Some((_, entry)) = self.tracker.state_of(id, entry) {
            return EntryStanding::Waits(entry);
        }
        let unchanged = |reading| !self.tracker.changed_since(reading, id, entry);
        if reading.is_some_and(unchanged) {
            EntryStanding::Unchanged
        } else {
            EntryStanding::Unknown
        }
    }
}

impl Handle<LookAgain> for Queue {
    fn handle(&mut self, look: LookAgain, _: &mut Ctx<Self>) -> Vec<EntryStanding> {
        let LookAgain { reading, entries } = look;
        entries.into_iter().map(|key| self.standing(reading, key)).collect()
    }
}
