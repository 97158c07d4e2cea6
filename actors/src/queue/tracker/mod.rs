//! The queue as memory knows it: at most `max_messages` entries, whatever lies on the disk.
//!
//! Pure data: no clock, no disk, no actor. An entry is *ready* (waits for a job), *active* (a job
//! has it) or *delayed* (waits for its due time). Held entries and those beyond the limit are
//! only in the index. Of two ready entries for one destination the more urgent goes first, and of
//! two equally urgent ones the older.
//!
//! The thresholds are the seed's (8.7.1). One rule is added, because a host that is down is left
//! alone and its mail does not fail any more: what memory holds of it makes room for the mail of
//! others, and a scan brings no more of it than a trickle. So a million messages for dead hosts
//! do not keep those of the living out of memory.
//!
//! An entry costs a slot, a place in the table of ids and a mark in a heap: under the 140 octets
//! of the original; `benches/tracker.rs` measures it.

mod admission;
mod joining;
mod line;
mod readers;
mod rest;
mod scanned;
mod slot;
mod states;
#[cfg(test)]
mod tests;
mod thresholds;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    hash::RandomState,
};

use hashbrown::HashTable;
use relais_channels::mail::{MessageId, Priority};
use relais_storage::EntryState;

use self::{
    line::Line,
    readers::Readers,
    rest::Rest,
    slot::{LineId, Mark, Slot, SlotId, State, is_stranded, is_valid, mark_of},
};
pub use self::{readers::Ticket, thresholds::Thresholds};
use super::entry::{Key, Tracked};
use crate::ids::{ChannelId, Destination};

/// The bounded set of entries that may be worked on.
#[derive(Debug)]
pub struct Tracker {
    thresholds: Thresholds,
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    known: HashTable<SlotId>,
    hasher: RandomState,
    delayed: BinaryHeap<Reverse<(u64, SlotId)>>,
    delayed_count: usize,
    active_count: usize,
    lines: Vec<Line>,
    free_lines: Vec<LineId>,
    line_of: HashMap<Destination, LineId>,
    troubled: BTreeSet<LineId>,
    /// Lines that hold more than is theirs when others want room.
    hogs: BTreeSet<LineId>,
    /// Entries that only the disk has.
    rest: Rest,
    /// Something exists on the disk that memory does not know, for want of room.
    overflowed: bool,
    /// The last time that was told.
    now: u64,
    /// Taken out by whoever does something else with them: not to be offered meanwhile.
    aside: HashSet<Key>,
    readers: Readers,
}

/// The result of offering an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It waits for a job.
    Ready,
    /// It waits for its due time.
    Delayed,
    /// It is tracked already, or taken aside; nothing was changed.
    Known,
    /// No room; the disk has it, and a later scan will find it.
    Overflowed,
}

/// The result of taking an entry aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Aside {
    /// It was tracked, and is as told.
    Tracked(Tracked),
    /// Memory does not know it; the disk may.
    Untracked,
    /// A job has it, or somebody else has taken it aside.
    Busy,
}

/// How many entries of a channel are in which state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Waiting for a job.
    pub ready: usize,
    /// Of those, never tried.
    pub ready_untried: usize,
    /// Of the latter, for a host that could not be talked to.
    pub resting: usize,
    /// Entries that only the disk has are for such hosts, as far as scans know.
    pub rests_beyond: bool,
    /// With a job.
    pub active: usize,
    /// Of those, with failed attempts behind them.
    pub active_tried: usize,
    /// Waiting for their due time.
    pub delayed: usize,
}

impl Tracker {
    /// Knows nothing, and never more than `max_messages` entries.
    pub fn new(max_messages: usize) -> Self {
        Self {
            thresholds: Thresholds::of(max_messages),
            slots: Vec::new(),
            free: Vec::new(),
            known: HashTable::new(),
            hasher: RandomState::new(),
            delayed: BinaryHeap::new(),
            delayed_count: 0,
            active_count: 0,
            lines: Vec::new(),
            free_lines: Vec::new(),
            line_of: HashMap::new(),
            troubled: BTreeSet::new(),
            hogs: BTreeSet::new(),
            rest: Rest::default(),
            overflowed: false,
            now: 0,
            aside: HashSet::new(),
            readers: Readers::default(),
        }
    }

    /// Entries known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The limits in force.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds
    }

    /// The first ready entry of a destination, now in the hands of a job. With a destination in
    /// trouble it may be one that is not due yet, to see whether the host is back.
    fn take_first(&mut self, line: LineId) -> Option<Tracked> {
        let slots = &self.slots;
        let it = &mut self.lines[line as usize];
        let slot = match it.first(|mark| is_valid(slots, line, mark)) {
            None if it.troubled => it.first_stranded(|mark| is_stranded(slots, line, mark))?,
            ready => ready?,
        };
        self.enter(slot, State::Active);
        Some(self.slot(slot).entry)
    }

    /// The entry is finished: delivered, failed or held.
    pub fn finish(&mut self, id: MessageId, entry: u16) -> Option<Tracked> {
        self.readers.note_departed((id, entry));
        let slot = self.find((id, entry))?;
        Some(self.remove(slot))
    }

    /// An attempt failed; the entry is tried again at its due time, unless memory is too full of
    /// such: then it is forgotten, and a scan will find it on the disk. `stranded`: it is not to
    /// blame, and is tried as soon as its host is back.
    pub fn defer(&mut self, entry: Tracked, stranded: bool) {
        self.readers.note_departed((entry.id, entry.entry));
        let Some(slot) = self.find((entry.id, entry.entry)) else { return };
        // Out of what it was in: it does not count among the delayed that are in its way.
        self.enter(slot, State::Free);
        let Thresholds { forget_known, forget_delayed, .. } = self.thresholds;
        if self.known.len() > forget_known && self.delayed_count > forget_delayed {
            // The one that failed goes; or one of a destination with more than its share, when
            // this one's has not: a host with a long line must not cost others their retries.
            let line = self.slot(slot).line;
            if self.hogs.contains(&line) || !self.displace(|_| true) {
                self.remove(slot);
                self.overflowed = true;
                return;
            }
        }
        let it = self.slot_mut(slot);
        (it.entry, it.jumps, it.stranded) = (entry, false, stranded);
        self.delay(slot);
        if stranded {
            let it = &self.slots[slot as usize];
            let (line, mark, slots) = (it.line, mark_of(slot, it), &self.slots);
            let valid = |mark: Mark| is_stranded(slots, line, mark);
            self.lines[line as usize].strand(mark, valid);
        }
    }

    /// The job that had it is gone without a word: the entry waits again, in its old place.
    pub fn give_back(&mut self, id: MessageId, entry: u16) {
        let Some(slot) = self.find((id, entry)) else { return };
        if self.slot(slot).state == State::Active {
            self.make_ready(slot);
        }
    }

    /// Makes what is due ready, and returns the destinations that got something.
    pub fn wake(&mut self, now: u64) -> Vec<Destination> {
        self.now = now;
        let mut woken = BTreeSet::new();
        while let Some(&Reverse((due, slot))) = self.delayed.peek() {
            if due > now {
                break;
            }
            self.delayed.pop();
            // An entry that was finished, or delayed anew, left a stale mark in the heap.
            let current = self.slot(slot);
            if current.state == State::Delayed && current.entry.due == due {
                woken.insert(current.line);
                self.make_ready(slot);
            }
        }
        woken.into_iter().map(|line| self.line(line).destination.clone()).collect()
    }

    /// Lets no entry be delayed beyond what `latest` says for its channel and priority. Returns
    /// those that were, each with its state so far.
    pub fn bring_forward(
        &mut self,
        latest: impl Fn(ChannelId, Priority) -> u64,
    ) -> Vec<(Destination, EntryState, Tracked)> {
        let mut brought = Vec::new();
        for slot in self.slots.iter_mut().filter(|slot| slot.state == State::Delayed) {
            let destination = &self.lines[slot.line as usize].destination;
            let due = latest(destination.channel, slot.entry.priority);
            if slot.entry.due > due {
                let was = slot.entry.waiting();
                slot.entry.due = due;
                brought.push((destination.clone(), was, slot.entry));
            }
        }
        if !brought.is_empty() {
            let delayed = (0..).zip(&self.slots).filter(|(_, slot)| slot.state == State::Delayed);
            self.delayed = delayed.map(|(id, slot)| Reverse((slot.entry.due, id))).collect();
        }
        brought
    }

    /// Takes an entry out, for something else than a delivery. It is not offered to jobs, nor
    /// taken from a scan, before [`Tracker::put_back`] or [`Tracker::done_aside`].
    pub fn take_aside(&mut self, id: MessageId, entry: u16) -> Aside {
        let key = (id, entry);
        let slot = self.find(key);
        let busy = slot.is_some_and(|slot| self.slot(slot).state == State::Active);
        if busy || self.aside.contains(&key) {
            return Aside::Busy;
        }
        self.readers.note_departed(key);
        self.aside.insert(key);
        slot.map_or(Aside::Untracked, |slot| Aside::Tracked(self.remove(slot)))
    }

    /// Whether somebody has taken it aside.
    pub fn is_aside(&self, id: MessageId, entry: u16) -> bool {
        self.aside.contains(&(id, entry))
    }

    /// Whether anything is in the hands of a job, or taken aside.
    pub fn is_at_rest(&self) -> bool {
        self.active_count == 0 && self.aside.is_empty()
    }

    /// An entry that was taken aside waits again, as it is now.
    pub fn put_back(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        self.done_aside(entry.id, entry.entry);
        self.offer(destination, entry)
    }

    /// An entry that was taken aside does not wait any more.
    pub fn done_aside(&mut self, id: MessageId, entry: u16) {
        self.readers.note_departed((id, entry));
        self.aside.remove(&(id, entry));
    }

    /// The index is about to be read; what is read shows every change made before this.
    pub fn begin_reading(&mut self) -> Ticket {
        self.readers.begin()
    }

    /// The reading has been used.
    pub fn end_reading(&mut self, ticket: Ticket) {
        self.readers.end(ticket);
    }

    /// Whether what `ticket` shows of the entry may be out of date.
    pub fn changed_since(&self, ticket: Ticket, id: MessageId, entry: u16) -> bool {
        self.readers.departed_since(ticket, (id, entry))
    }

    /// Entries that a job of this destination could have now.
    pub fn ready(&self, destination: &Destination) -> usize {
        self.line_of.get(destination).map_or(0, |line| self.line(*line).wanting())
    }

    /// Whether there is anything to remember of a destination.
    pub fn knows(&self, destination: &Destination) -> bool {
        self.line_of.contains_key(destination)
    }

    /// Every destination for which a job would find something.
    pub fn waiting(&self) -> impl Iterator<Item = (&Destination, usize)> {
        let lines = self.line_of.iter().map(|(to, line)| (to, self.line(*line).wanting()));
        lines.filter(|(_, ready)| *ready > 0)
    }

    /// The state's word and the due time of an entry.
    pub fn state_of(&self, id: MessageId, entry: u16) -> Option<(&'static str, Tracked)> {
        let slot = self.slot(self.find((id, entry))?);
        let word = match slot.state {
            State::Free => return None,
            State::Ready => "ready",
            State::Active => "active",
            State::Delayed => "delayed",
        };
        Some((word, slot.entry))
    }

    /// Entries by state, for each channel.
    pub fn tally(&self) -> HashMap<ChannelId, Tally> {
        let mut channels: HashMap<ChannelId, Tally> = HashMap::new();
        let mut others_have_more: HashSet<ChannelId> = HashSet::new();
        for (destination, number) in &self.line_of {
            let line = self.line(*number);
            let tally = channels.entry(destination.channel).or_default();
            let has_more = self.rest.is_left(*number);
            if has_more && !line.troubled {
                others_have_more.insert(destination.channel);
            }
            tally.rests_beyond |= line.troubled && (has_more || self.overflowed);
            tally.ready += line.ready;
            tally.ready_untried += line.ready_untried;
            tally.resting += if line.troubled { line.ready_untried } else { 0 };
            tally.active += line.active;
            tally.active_tried += line.active_tried;
            tally.delayed += line.delayed;
        }
        for channel in others_have_more {
            channels.entry(channel).or_default().rests_beyond = false;
        }
        channels
    }

    /// The oldest entry of each channel. Looks at every entry.
    pub fn oldest(&self) -> HashMap<ChannelId, MessageId> {
        let mut oldest: HashMap<ChannelId, MessageId> = HashMap::new();
        for slot in self.slots.iter().filter(|slot| slot.state != State::Free) {
            let channel = self.line(slot.line).destination.channel;
            let id = oldest.entry(channel).or_insert(slot.entry.id);
            *id = (*id).min(slot.entry.id);
        }
        oldest
    }

    /// Entries that a job has in hand.
    pub fn active(&self) -> usize {
        self.active_count
    }
}
