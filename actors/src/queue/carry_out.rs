//! What operators, and the notary, do with entries that no job has in hand.
//!
//! They read the index first, and come with what they read: whatever changed in between is told
//! by the [`Ticket`] of their reading, and is not touched.

use std::{collections::HashSet, future::ready, sync::Arc};

use relais_channels::{dsn::Kind, mail::Envelope};
use relais_config::channel::Program;
use tokio::sync::oneshot;
use tracing::warn;

use super::{
    Queue,
    entry::{Key, Tracked},
    facts::DestinationEvent,
    news::Case,
    requests::{Action, Alter, Altered, BeginReading, Begun, EndReading, Reason, Reserve},
    tracker::{Aside, Ticket},
};
use crate::{
    actor::{Ctx, Handle, Later},
    channel_table::{is_delivered, lowered},
    events::EntryDeleted,
    ids::Destination,
    spool::{Change, EntryState, ScannedEntry, SpoolError},
    timestamp::now_ms,
};

/// An entry that is back from its job, and is to go. It has been taken aside.
pub(super) struct Deletion {
    destination: Destination,
    entry: Tracked,
    was: EntryState,
    reason: Reason,
}

impl Queue {
    pub(super) fn alter(
        &mut self,
        found: &ScannedEntry,
        reading: Ticket,
        action: Action,
        reason: &Reason,
    ) -> Altered {
        let Some(channel) = self.channels.find(&found.channel) else {
            return self.alter_lost(found, reading, action, reason);
        };
        let is_held = matches!(found.state, EntryState::Held { .. });
        if action == Action::Release && self.wishes.remove(&(found.id, found.entry)).is_some() {
            // Whatever was to become of it: its job gives it back, and it waits as before.
            return Altered::Done;
        }
        match (action, is_held) {
            (Action::Hold | Action::Retry, true) | (Action::Release, false) => Altered::Idle,
            (Action::Retry, _) if !is_delivered(self.channels.channel(channel)) => Altered::Idle,
            _ => match self.withdraw(found, reading) {
                Ok((entry, was)) => {
                    // A newer order stands above an older one.
                    self.wishes.remove(&(entry.id, entry.entry));
                    self.postponed.forget((entry.id, entry.entry));
                    let destination = Destination { channel, host: found.host.clone() };
                    self.carry_out(&destination, entry, was, action, reason);
                    Altered::Done
                }
                Err(Altered::Later) if action == Action::Retry => Altered::Idle,
                Err(Altered::Later) => {
                    self.wishes.insert((found.id, found.entry), (action, reason.clone()));
                    Altered::Later
                }
                Err(refused) => refused,
            },
        }
    }

    /// Of a channel that the configuration has lost: nobody but an operator touches it.
    fn alter_lost(
        &mut self,
        found: &ScannedEntry,
        reading: Ticket,
        action: Action,
        reason: &Reason,
    ) -> Altered {
        if action != Action::Delete {
            return Altered::Idle;
        }
        if self.tracker.changed_since(reading, found.id, found.entry) {
            return Altered::Moved;
        }
        let reason = Some(Arc::clone(&reason.words));
        self.spool.amend(Change::of(found, EntryState::Done, now_ms(), reason));
        // Whoever read it before this must not delete it once more.
        self.tracker.done_aside(found.id, found.entry);
        Altered::Done
    }

    /// Takes an entry aside, if it is still what `reading` found: the entry, and its state on
    /// the disk.
    fn withdraw(
        &mut self,
        found: &ScannedEntry,
        reading: Ticket,
    ) -> Result<(Tracked, EntryState), Altered> {
        let (id, entry) = (found.id, found.entry);
        let tracked = self.tracker.state_of(id, entry);
        if tracked.is_none() && self.tracker.changed_since(reading, id, entry) {
            return Err(Altered::Moved);
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
            Aside::Busy if tracked.is_some() => Err(Altered::Later),
            Aside::Busy => Err(Altered::Moved),
        }
    }

    /// Does with an entry that has been taken aside what is to be done.
    fn carry_out(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        was: EntryState,
        action: Action,
        reason: &Reason,
    ) {
        let Tracked { open, attempts, .. } = entry;
        let now = match action {
            Action::Hold => EntryState::Held { open, attempts },
            // By this a round sees that it has to be tried before it is returned.
            Action::Release => EntryState::Waiting { open, attempts, due: now_ms() },
            Action::Retry => {
                let channel = self.channels.channel(destination.channel);
                // What nobody has released yet is told by this, after a crash.
                let due = if channel.program == Program::Hold { now_ms() } else { 0 };
                EntryState::Waiting { open, attempts, due }
            }
            Action::Delete => EntryState::Done,
            Action::Return => {
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
                    ordered: Some(reason.clone()),
                };
                self.returning.insert((entry.id, entry.entry));
                return self.news.tell(vec![case]);
            }
        };
        self.amend(destination, &entry, was, now, Vec::new(), Some(Arc::clone(&reason.words)));
        self.end_aside(destination, entry, now, action == Action::Release);
    }

    /// An entry that was taken aside waits in memory again if a job can deliver it, before all
    /// others when `first`. Of everything else memory knows nothing: the disk keeps it.
    pub(super) fn end_aside(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        now: EntryState,
        first: bool,
    ) {
        let delivered = is_delivered(self.channels.channel(destination.channel));
        let waits = entry.now(now).filter(|_| delivered);
        match waits {
            Some(entry) if !first => drop(self.tracker.put_back(destination, entry)),
            _ => self.tracker.done_aside(entry.id, entry.entry),
        }
        if let Some(entry) = waits.filter(|_| first) {
            self.tracker.offer_first(destination, entry);
        }
    }

    pub(super) fn has_room_for_returns(&self) -> bool {
        self.returning.len() < MAX_RETURNING
    }

    /// The notary is done with one that an operator returned. Who ordered more may go on when
    /// there is room.
    pub(super) fn returned(&mut self, key: Key) {
        self.returning.remove(&key);
        if self.has_room_for_returns() {
            for waiting in self.returners.drain(..) {
                // Whoever ordered it may have run out of patience.
                let _ = waiting.send(());
            }
        }
    }

    /// An entry is back from its job: does what was wished for meanwhile.
    pub(super) fn grant_wish(&mut self, destination: &Destination, entry: Tracked) {
        let (id, number) = (entry.id, entry.entry);
        if !self.wishes.contains_key(&(id, number)) {
            return;
        }
        let entry = match self.tracker.take_aside(id, number) {
            Aside::Tracked(entry) => entry,
            Aside::Untracked => entry,
            Aside::Busy => return,
        };
        let was = entry.waiting();
        let Some((action, reason)) = self.wishes.remove(&(id, number)) else { return };
        if action == Action::Delete {
            // Aside it stays until the log has its line: whoever ordered this has gone.
            let destination = destination.clone();
            self.deletions.push(Deletion { destination, entry, was, reason });
        } else {
            self.carry_out(destination, entry, was, action, &reason);
        }
    }

    /// Deletes what was to be deleted as soon as it is back from its job.
    pub(super) fn delete_granted(&mut self, ctx: &mut Ctx<Self>) {
        for deletion in std::mem::take(&mut self.deletions) {
            let (spool, place) = (self.spool.clone(), deletion.entry.place);
            let read = async move { spool.envelope(place).await };
            ctx.when(read, move |queue, envelope, _| {
                let Deletion { destination, entry, was, reason } = deletion;
                queue.log_deleted(&envelope, entry, &reason.words);
                queue.carry_out(&destination, entry, was, Action::Delete, &reason);
                queue.finish_drain();
            });
        }
    }

    pub(super) fn log_deleted(
        &self,
        envelope: &Result<Envelope, SpoolError>,
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

impl Handle<Alter> for Queue {
    fn handle(&mut self, alter: Alter, _: &mut Ctx<Self>) -> Later<Vec<Altered>> {
        let Alter { reading, action, reason, entries } = alter;
        let alter = |found| self.alter(found, reading, action, &reason);
        let altered: Vec<_> = entries.iter().map(alter).collect();
        if matches!(action, Action::Release | Action::Retry) {
            let touched = entries.iter().filter_map(|found| {
                let channel = self.channels.find(&found.channel)?;
                let delivered = is_delivered(self.channels.channel(channel));
                delivered.then(|| Destination { channel, host: found.host.clone() })
            });
            let touched: HashSet<_> = touched.collect();
            self.feed(touched.iter().cloned());
            if action == Action::Retry {
                self.announce(DestinationEvent::Probe(touched.into_iter().collect()));
            }
        }
        if action != Action::Return || self.has_room_for_returns() {
            return Later::new(ready(altered));
        }
        let (tell, told) = oneshot::channel();
        self.returners.push(tell);
        Later::new(async move {
            // The queue itself going away also means that nothing is returned any more.
            let _ = told.await;
            altered
        })
    }
}

impl Handle<Reserve> for Queue {
    fn handle(
        &mut self,
        Reserve { reading, entries }: Reserve,
        _: &mut Ctx<Self>,
    ) -> Vec<ScannedEntry> {
        if self.drained {
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

/// Entries that operators return and the notary has, while more are taken.
const MAX_RETURNING: usize = 2_000;
