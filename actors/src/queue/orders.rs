//! Orders of operators, and of the notary, about entries: carried out here, or left in
//! `pending_orders` while a job has the entry.
//!
//! An order reads the index first, and comes with what it read: whatever changed in between is told
//! by the [`Ticket`] of their reading, and is not touched.

use std::{
    collections::{HashMap, HashSet},
    future::ready,
    sync::Arc,
};

use relais_channels::{dsn::Kind, mail::Envelope};
use relais_config::channel::Program;
use relais_storage::{Change, EntryState, ScannedEntry, StorageError};
use tokio::time::Instant;
use tracing::warn;

use super::{
    Amendment, Queue,
    entry::{Key, Tracked},
    facts::DestinationEvent,
    news::Case,
    pending_orders::Deletion,
    requests::{BeginReading, Begun, EndReading, Order, OrderKind, PlaceOrder, Placed, Reserve},
    tracker::{Aside, Ticket},
};
use crate::{
    actor::{Ctx, Handle, Later},
    channel_table::lowered,
    events::EntryDeleted,
    ids::Destination,
    timestamp::now_ms,
};

impl Queue {
    fn place(&mut self, found: &ScannedEntry, reading: Ticket, order: &Order) -> Placed {
        let Some(channel) = self.channels.find(&found.channel) else {
            return self.place_on_lost(found, reading, order);
        };
        let kind = order.kind;
        let is_held = matches!(found.state, EntryState::Held { .. });
        if kind == OrderKind::Release && self.orders.take((found.id, found.entry)).is_some() {
            // The order is forgotten: the job gives the entry back, which waits as before.
            return Placed::Done;
        }
        match (kind, is_held) {
            (OrderKind::Hold | OrderKind::Retry, true) | (OrderKind::Release, false) => {
                Placed::Idle
            }
            _ => match self.withdraw(found, reading) {
                Ok((entry, was)) => {
                    self.orders.supersede((entry.id, entry.entry));
                    let destination = Destination { channel, host: found.host.clone() };
                    self.carry_out(&destination, entry, was, order);
                    Placed::Done
                }
                Err(Placed::Later) if kind == OrderKind::Retry => Placed::Idle,
                Err(Placed::Later) => {
                    self.orders.wait((found.id, found.entry), order.clone());
                    Placed::Later
                }
                Err(refused) => refused,
            },
        }
    }

    /// Of a channel that the configuration has lost: nobody but an operator touches it.
    fn place_on_lost(&mut self, found: &ScannedEntry, reading: Ticket, order: &Order) -> Placed {
        if order.kind != OrderKind::Delete {
            return Placed::Idle;
        }
        if self.tracker.changed_since(reading, found.id, found.entry) {
            return Placed::Moved;
        }
        let reason = Some(Arc::clone(&order.reason.words));
        self.storage.amend(Change::of(found, EntryState::Done, now_ms(), reason));
        // An order that read the entry before this must not delete it once more.
        self.tracker.done_aside(found.id, found.entry);
        Placed::Done
    }

    /// Takes an entry aside, if it is still what `reading` found: the entry, and its state on
    /// the disk.
    fn withdraw(
        &mut self,
        found: &ScannedEntry,
        reading: Ticket,
    ) -> Result<(Tracked, EntryState), Placed> {
        let (id, entry) = (found.id, found.entry);
        let tracked = self.tracker.state_of(id, entry);
        if tracked.is_none() && self.tracker.changed_since(reading, id, entry) {
            return Err(Placed::Moved);
        }
        match self.tracker.take_aside(id, entry) {
            Aside::Tracked(entry) => Ok((entry, entry.waiting())),
            Aside::Untracked => {
                let channel = self.channels.find(&found.channel);
                let channel = channel.map(|id| self.channels.channel(id));
                let priority = channel
                    .map_or(found.priority, |channel| lowered(channel, found.priority, found.size));
                Ok((Tracked { priority, ..Tracked::of(found) }, found.state))
            }
            Aside::Busy if tracked.is_some() => Err(Placed::Later),
            Aside::Busy => Err(Placed::Moved),
        }
    }

    /// Does with an entry that has been taken aside what is to be done.
    fn carry_out(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        was: EntryState,
        order: &Order,
    ) {
        let Tracked { open, attempts, .. } = entry;
        let now = match order.kind {
            OrderKind::Hold => EntryState::Held { open, attempts },
            // By this a round sees that it has to be tried before it is returned.
            OrderKind::Release => EntryState::Waiting { open, attempts, due: now_ms() },
            OrderKind::Retry => {
                let channel = self.channels.channel(destination.channel);
                // An entry that nobody has released yet is told by this, after a crash.
                let due = if channel.program == Program::Hold { now_ms() } else { 0 };
                EntryState::Waiting { open, attempts, due }
            }
            OrderKind::Delete => EntryState::Done,
            OrderKind::Return => {
                // It stays aside until its sender has been told.
                let case = Case {
                    entry,
                    destination: destination.clone(),
                    kind: Kind::Bounced,
                    recipients: open,
                    replies: Vec::new(),
                    until: None,
                    was,
                    then: Some(EntryState::Done),
                    behind: None,
                    room: None,
                    reading: None,
                    ordered: Some(order.reason.clone()),
                };
                self.orders.begin_return((entry.id, entry.entry));
                return self.news.tell(vec![case]);
            }
        };
        let amendment = Amendment::new(was, now).because(Arc::clone(&order.reason.words));
        self.amend(destination, &entry, amendment);
        self.end_aside(destination, entry, now, order.kind == OrderKind::Release);
    }

    /// An entry that was taken aside waits in memory again, before all others when `first`. Of what
    /// waits no more memory knows nothing: the disk keeps it.
    pub(super) fn end_aside(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        now: EntryState,
        first: bool,
    ) {
        let waits = entry.now(now);
        match waits {
            Some(entry) if !first => drop(self.tracker.put_back(destination, entry)),
            _ => self.tracker.done_aside(entry.id, entry.entry),
        }
        if let Some(entry) = waits.filter(|_| first) {
            self.tracker.offer_first(destination, entry);
        }
    }

    /// An entry is back from its job: does what was ordered meanwhile.
    pub(super) fn grant_order(&mut self, destination: &Destination, entry: Tracked) {
        let (id, number) = (entry.id, entry.entry);
        if !self.orders.waits((id, number)) {
            return;
        }
        let entry = match self.tracker.take_aside(id, number) {
            Aside::Tracked(entry) => entry,
            Aside::Untracked => entry,
            Aside::Busy => return,
        };
        let was = entry.waiting();
        let Some(order) = self.orders.take((id, number)) else { return };
        if order.kind == OrderKind::Delete {
            // Aside it stays until the log has its line: whoever ordered this has gone.
            let destination = destination.clone();
            self.orders.delete(Deletion { destination, entry, was, order });
        } else {
            self.carry_out(destination, entry, was, &order);
        }
    }

    /// Deletes what was to be deleted as soon as it is back from its job.
    pub(super) fn delete_granted(&mut self, ctx: &mut Ctx<Self>) {
        for deletion in self.orders.take_deletions() {
            let (storage, place) = (self.storage.clone(), deletion.entry.place);
            let read = async move { storage.envelope(place).await };
            ctx.when(read, move |queue, envelope, _| {
                let Deletion { destination, entry, was, order } = deletion;
                queue.log_deleted(&envelope, entry, &order.reason.words);
                queue.carry_out(&destination, entry, was, &order);
                queue.finish_drain();
            });
        }
    }

    /// Returns once more what could not be returned.
    pub(super) fn return_once_more(&mut self, ctx: &mut Ctx<Self>) {
        if self.drain.has_begun() || !self.orders.has_room_for_returns() {
            return;
        }
        let due = self.orders.postponed.take_due(Instant::now());
        if due.is_empty() {
            return;
        }
        let ticket = self.tracker.begin_reading();
        let storage = self.storage.clone();
        let ids = due.iter().map(|(id, _)| *id).collect();
        let find = async move { storage.find_all(ids).await };
        ctx.when(find, move |queue, found, _| {
            let found = found.unwrap_or_else(|error| {
                warn!(%error, "what is to be returned once more cannot be read");
                Vec::new()
            });
            let held = found.iter().filter(|found| matches!(found.state, EntryState::Held { .. }));
            let held: HashMap<Key, _> =
                held.map(|found| ((found.id, found.entry), found)).collect();
            for key in due {
                // It is taken out, since a newer order forgets it.
                let Some(again) = queue.orders.postponed.take(key) else { continue };
                let Some(held) = held.get(&key) else { continue };
                let (kind, reason) = (OrderKind::Return, again.reason.clone());
                queue.place(held, ticket, &Order { kind, reason });
                queue.orders.postponed.keep(key, again);
            }
            queue.tracker.end_reading(ticket);
        });
    }

    pub(super) fn log_deleted(
        &self,
        envelope: &Result<Envelope, StorageError>,
        entry: Tracked,
        reason: &str,
    ) {
        let Tracked { id, entry, open: recipients, attempts, .. } = entry;
        match envelope {
            Ok(envelope) => {
                EntryDeleted { envelope, entry, recipients, attempts, reason }.emit(&self.metrics);
            }
            Err(error) => warn!(%id, %error, %reason, "not readable any more"),
        }
    }
}

impl Handle<BeginReading> for Queue {
    fn handle(&mut self, _: BeginReading, _: &mut Ctx<Self>) -> Begun {
        Begun(self.tracker.begin_reading())
    }
}

impl Handle<EndReading> for Queue {
    fn handle(&mut self, EndReading(ticket): EndReading, _: &mut Ctx<Self>) {
        self.tracker.end_reading(ticket);
    }
}

impl Handle<PlaceOrder> for Queue {
    fn handle(&mut self, place: PlaceOrder, _: &mut Ctx<Self>) -> Later<Vec<Placed>> {
        let PlaceOrder { reading, order, entries } = place;
        let kind = order.kind;
        let place = |found| self.place(found, reading, &order);
        let placed: Vec<_> = entries.iter().map(place).collect();
        if matches!(kind, OrderKind::Release | OrderKind::Retry) {
            let touched = entries.iter().filter_map(|found| {
                let channel = self.channels.find(&found.channel)?;
                Some(Destination { channel, host: found.host.clone() })
            });
            let touched: HashSet<_> = touched.collect();
            self.feed(touched.iter().cloned());
            if kind == OrderKind::Retry {
                self.announce(DestinationEvent::Probe(touched.into_iter().collect()));
            }
        }
        let lines = self.hold_lines.take();
        if !lines.is_empty() {
            let told = self.tell_holds(lines);
            return Later::new(async move {
                // An order for much leaves the log time for all of it.
                told.await;
                placed
            });
        }
        if kind != OrderKind::Return || self.orders.has_room_for_returns() {
            return Later::new(ready(placed));
        }
        let room = self.orders.wait_for_room();
        Later::new(async move {
            // The queue itself going away also means that nothing is returned any more.
            let _ = room.await;
            placed
        })
    }
}

impl Handle<Reserve> for Queue {
    fn handle(
        &mut self,
        Reserve { reading, entries }: Reserve,
        _: &mut Ctx<Self>,
    ) -> Vec<ScannedEntry> {
        if self.drain.has_begun() {
            return Vec::new();
        }
        let reserve = |mut found: ScannedEntry| {
            let (_, was) = self.withdraw(&found, reading).ok()?;
            found.state = was;
            Some(found)
        };
        entries.into_iter().filter_map(reserve).collect()
    }
}
