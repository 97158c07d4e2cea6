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

mod line;
mod readers;
#[cfg(test)]
mod tests;
mod thresholds;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use hashbrown::HashTable;
use relais_channels::mail::{MessageId, Priority};

use self::{
    line::{Line, Mark, NOBODY},
    readers::Readers,
};
pub use self::{readers::Ticket, thresholds::Thresholds};
use super::{ChannelId, Destination};
use crate::spool::{EntryState, Place, ScannedEntry};

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
    /// Lines of which the disk has more, left there because the line has enough.
    withheld: BTreeSet<LineId>,
    /// Something exists on the disk that memory does not know, for want of room.
    overflowed: bool,
    /// Taken out by whoever does something else with them: not to be offered meanwhile.
    aside: HashSet<Key>,
    readers: Readers,
}

/// An entry as it is offered to the tracker and handed to a job.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tracked {
    /// The message.
    pub id: MessageId,
    /// Which of its entries.
    pub entry: u16,
    /// Where it lies in the spool.
    pub place: Place,
    /// Recipients that are still to be delivered, a bit each.
    pub open: u64,
    /// Failed attempts so far.
    pub attempts: u16,
    /// Milliseconds since 1970; 0 is at once.
    pub due: u64,
    /// Which of two that are ready goes first.
    pub priority: Priority,
    /// Octets of the message's content.
    pub size: u64,
}

/// A message and which of its entries.
pub type Key = (MessageId, u16);

/// What becomes of an entry that is offered.
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

/// What comes of taking an entry aside.
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
    /// With a job.
    pub active: usize,
    /// Of those, with failed attempts behind them.
    pub active_tried: usize,
    /// Waiting for their due time.
    pub delayed: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Tracked,
    line: LineId,
    /// Neighbours in the line, by when they became known.
    older: SlotId,
    newer: SlotId,
    state: State,
    /// Goes before all others.
    jumps: bool,
    /// Delayed because its host could not be talked to, not because of itself.
    stranded: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Free,
    Ready,
    Active,
    Delayed,
}

type SlotId = u32;
type LineId = u32;

impl Tracked {
    /// As a scan of the index found it; its priority is the message's.
    pub fn of(scanned: &ScannedEntry) -> Self {
        let due = match scanned.state {
            EntryState::Waiting { due, .. } => due,
            EntryState::Held { .. } | EntryState::Done => 0,
        };
        Self {
            id: scanned.id,
            entry: scanned.entry,
            place: scanned.place,
            open: scanned.state.open(),
            attempts: scanned.state.attempts(),
            due,
            priority: scanned.priority,
            size: scanned.size,
        }
    }

    /// The state that the disk has of it.
    pub fn waiting(&self) -> EntryState {
        EntryState::Waiting { open: self.open, attempts: self.attempts, due: self.due }
    }

    /// The same entry in another state; nothing when it does not wait any more.
    #[must_use]
    pub fn now(self, state: EntryState) -> Option<Self> {
        match state {
            EntryState::Waiting { open, attempts, due } => {
                Some(Self { open, attempts, due, ..self })
            }
            EntryState::Held { .. } | EntryState::Done => None,
        }
    }
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
            withheld: BTreeSet::new(),
            overflowed: false,
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

    /// Changes the limit. What is known beyond a lower one is forgotten until the next scan, but
    /// for what jobs have in hand.
    pub fn set_max(&mut self, max_messages: usize) {
        self.thresholds = Thresholds::of(max_messages);
        for slot in (0..self.slots.len() as SlotId).rev() {
            if self.known.len() <= self.thresholds.max {
                break;
            }
            if matches!(self.slot(slot).state, State::Ready | State::Delayed) {
                self.overflowed = true;
                self.forget(slot);
            }
        }
        for line in 0..self.lines.len() as LineId {
            self.weigh(line);
        }
    }

    /// A new entry: taken while fewer than M are known; then only in the place of one whose
    /// destination has more than its share.
    pub fn offer(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        self.admit(destination, entry, false)
    }

    /// The same for an entry that goes before all others of its destination and priority.
    pub fn offer_first(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        self.admit(destination, entry, true)
    }

    /// An entry that the reading `ticket` found. What changed while it was read is not believed,
    /// and of a destination that has enough no more is taken.
    pub fn offer_scanned(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        ticket: Ticket,
    ) -> Admission {
        let key = (entry.id, entry.entry);
        if self.readers.departed_since(ticket, key) || self.find(key).is_some() {
            return Admission::Known;
        }
        if let Some(line) = self.line_of.get(destination).copied() {
            let it = self.line(line);
            let half_full = self.known.len() >= self.thresholds.low;
            if (it.troubled || half_full) && it.len() >= self.cap(line) {
                self.withheld.insert(line);
                return Admission::Overflowed;
            }
        }
        self.offer(destination, entry)
    }

    /// The first ready entry of `destination`, now in the hands of a job. With a destination in
    /// trouble it may be one that is not due yet, to see whether the host is back.
    pub fn take(&mut self, destination: &Destination) -> Option<Tracked> {
        let line = *self.line_of.get(destination)?;
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
        self.readers.departs((id, entry));
        let slot = self.find((id, entry))?;
        Some(self.remove(slot))
    }

    /// An attempt failed; the entry is tried again at its due time, unless memory is too full of
    /// such: then it is forgotten, and a scan will find it on the disk. `stranded`: it is not to
    /// blame, and is tried as soon as its host is back.
    pub fn defer(&mut self, entry: Tracked, stranded: bool) {
        self.readers.departs((entry.id, entry.entry));
        let Some(slot) = self.find((entry.id, entry.entry)) else { return };
        // Out of what it was in: it does not count among the delayed that are in its way.
        self.enter(slot, State::Free);
        let Thresholds { forget_known, forget_delayed, .. } = self.thresholds;
        if self.known.len() > forget_known && self.delayed_count > forget_delayed {
            self.remove(slot);
            self.overflowed = true;
            return;
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

    /// Takes an entry out, for something else than a delivery. It is not offered to jobs, nor
    /// taken from a scan, before [`Tracker::put_back`] or [`Tracker::done_aside`].
    pub fn take_aside(&mut self, id: MessageId, entry: u16) -> Aside {
        let key = (id, entry);
        let slot = self.find(key);
        let busy = slot.is_some_and(|slot| self.slot(slot).state == State::Active);
        if busy || self.aside.contains(&key) {
            return Aside::Busy;
        }
        self.readers.departs(key);
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

    /// What was taken aside waits again, as it is now.
    pub fn put_back(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        self.done_aside(entry.id, entry.entry);
        self.offer(destination, entry)
    }

    /// What was taken aside does not wait any more.
    pub fn done_aside(&mut self, id: MessageId, entry: u16) {
        self.readers.departs((id, entry));
        self.aside.remove(&(id, entry));
    }

    /// The index is about to be read; what is read shows every change made before this.
    pub fn begin_reading(&mut self) -> Ticket {
        self.readers.begin()
    }

    /// What was read has been used.
    pub fn end_reading(&mut self, ticket: Ticket) {
        self.readers.end(ticket);
    }

    /// Whether what `ticket` shows of the entry may be out of date.
    pub fn changed_since(&self, ticket: Ticket, id: MessageId, entry: u16) -> bool {
        self.readers.departed_since(ticket, (id, entry))
    }

    /// The destination cannot be talked to. While the disk has more for others, what memory
    /// holds of it makes room.
    pub fn trouble(&mut self, destination: &Destination) {
        let Some(line) = self.line_of.get(destination).copied() else { return };
        if std::mem::replace(&mut self.line_mut(line).troubled, true) {
            return;
        }
        self.troubled.insert(line);
        for line in self.troubled.clone() {
            self.weigh(line);
            while self.overflowed && self.hogs.contains(&line) && self.forget_newest(line) {}
        }
    }

    /// The destination took something: what was stranded is ready.
    pub fn recover(&mut self, destination: &Destination) {
        let Some(line) = self.line_of.get(destination).copied() else { return };
        self.line_mut(line).troubled = false;
        loop {
            let slots = &self.slots;
            let valid = |mark: Mark| is_stranded(slots, line, mark);
            let Some(slot) = self.lines[line as usize].first_stranded(valid) else { break };
            self.make_ready(slot);
        }
        self.troubled.remove(&line);
        self.weigh(line);
        self.drop_if_unused(line);
    }

    /// Entries that a job of this destination could have now.
    pub fn ready(&self, destination: &Destination) -> usize {
        self.line_of.get(destination).map_or(0, |line| self.line(*line).wanting())
    }

    /// Every destination for which a job would find something.
    pub fn waiting(&self) -> impl Iterator<Item = (&Destination, usize)> {
        let lines = self.line_of.iter().map(|(to, line)| (to, self.line(*line).wanting()));
        lines.filter(|(_, ready)| *ready > 0)
    }

    /// Whether the disk should be scanned: memory is half empty and something overflowed, or a
    /// destination has used up most of what it was allowed of a longer line.
    pub fn wants_scan(&self) -> bool {
        let hungry = |line: &LineId| self.line(*line).len() * 2 < self.cap(*line);
        self.overflowed && self.known.len() < self.thresholds.low
            || self.scan_room() > 0 && self.withheld.iter().any(hungry)
    }

    /// How many entries a scan may still bring in.
    pub fn scan_room(&self) -> usize {
        self.thresholds.refill.saturating_sub(self.known.len())
    }

    /// A scan begins: what overflows from now on is noted anew.
    pub fn scan_begun(&mut self) {
        self.overflowed = false;
        for line in std::mem::take(&mut self.withheld) {
            self.drop_if_unused(line);
        }
    }

    /// A scan ended before the end of the disk, or a scan is needed at start.
    pub fn note_overflow(&mut self) {
        self.overflowed = true;
    }

    /// What is known of an entry: its state's word and when it is due.
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
        for (destination, line) in &self.line_of {
            let line = self.line(*line);
            let tally = channels.entry(destination.channel).or_default();
            tally.ready += line.ready;
            tally.active += line.active;
            tally.active_tried += line.active_tried;
            tally.delayed += line.delayed;
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

    fn admit(&mut self, destination: &Destination, entry: Tracked, jumps: bool) -> Admission {
        let key = (entry.id, entry.entry);
        if self.find(key).is_some() || self.aside.contains(&key) {
            return Admission::Known;
        }
        if self.known.len() >= self.thresholds.max && !self.make_room(destination) {
            self.overflowed = true;
            return Admission::Overflowed;
        }
        let slot = self.insert(destination, entry);
        self.slot_mut(slot).jumps = jumps;
        if entry.due == 0 {
            self.make_ready(slot);
            Admission::Ready
        } else {
            self.delay(slot);
            Admission::Delayed
        }
    }

    /// With memory full: one that has more than its share gives way to one that has less, and
    /// one in trouble to any that is not.
    fn make_room(&mut self, destination: &Destination) -> bool {
        let line = self.line_of.get(destination);
        let (has, troubled) = line.map_or((0, false), |line| {
            let line = self.line(*line);
            (line.len(), line.troubled)
        });
        let gives_way = |hog: &LineId| {
            let hog = self.line(*hog);
            hog.troubled && !troubled || hog.troubled == troubled && hog.len() > has + 1
        };
        let hogs: Vec<LineId> = self.hogs.iter().copied().filter(gives_way).collect();
        hogs.into_iter().any(|hog| self.forget_newest(hog))
    }

    /// Forgets the last that became known of a line and is in nobody's hands. The disk has it.
    fn forget_newest(&mut self, line: LineId) -> bool {
        let mut slot = self.line(line).newest;
        while slot != NOBODY && self.slot(slot).state == State::Active {
            slot = self.slot(slot).older;
        }
        if slot == NOBODY {
            return false;
        }
        self.withheld.insert(line);
        self.forget(slot);
        true
    }

    fn forget(&mut self, slot: SlotId) {
        let Tracked { id, entry, .. } = self.slot(slot).entry;
        self.readers.departs((id, entry));
        self.remove(slot);
    }

    /// What a line may hold when others want room.
    fn cap(&self, line: LineId) -> usize {
        if self.line(line).troubled {
            self.thresholds.trickle(self.troubled.len())
        } else {
            self.thresholds.share
        }
    }

    /// Notes whether a line has more than is its.
    fn weigh(&mut self, line: LineId) {
        if self.line(line).len() > self.cap(line) {
            self.hogs.insert(line);
        } else {
            self.hogs.remove(&line);
        }
    }

    fn insert(&mut self, destination: &Destination, entry: Tracked) -> SlotId {
        let line = self.line_for(destination);
        let older = self.line(line).newest;
        let (newer, state) = (NOBODY, State::Free);
        let new = Slot { entry, line, older, newer, state, jumps: false, stranded: false };
        let slot = if let Some(slot) = self.free.pop() {
            *self.slot_mut(slot) = new;
            slot
        } else {
            if self.slots.len() == self.slots.capacity() {
                // Doubling would cost half as much again as the entries themselves.
                self.slots.reserve_exact(self.slots.len() / 8 + 1_024);
            }
            self.slots.push(new);
            (self.slots.len() - 1) as SlotId
        };
        if older != NOBODY {
            self.slot_mut(older).newer = slot;
        }
        self.line_mut(line).newest = slot;
        let hash = self.hasher.hash_one((entry.id, entry.entry));
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.known.insert_unique(hash, slot, |slot| hash_of(slots, hasher, *slot));
        slot
    }

    /// Takes a slot out of everything.
    fn remove(&mut self, slot: SlotId) -> Tracked {
        self.enter(slot, State::Free);
        let &Slot { entry, line, older, newer, .. } = self.slot(slot);
        if older != NOBODY {
            self.slot_mut(older).newer = newer;
        }
        if newer == NOBODY {
            self.line_mut(line).newest = older;
        } else {
            self.slot_mut(newer).older = older;
        }
        let hash = self.hasher.hash_one((entry.id, entry.entry));
        if let Ok(known) = self.known.find_entry(hash, |other| *other == slot) {
            known.remove();
        }
        self.free.push(slot);
        self.drop_if_unused(line);
        entry
    }

    fn find(&self, key: Key) -> Option<SlotId> {
        let hash = self.hasher.hash_one(key);
        let is = |slot: &SlotId| {
            let entry = &self.slots[*slot as usize].entry;
            (entry.id, entry.entry) == key
        };
        self.known.find(hash, is).copied()
    }

    fn make_ready(&mut self, slot: SlotId) {
        self.enter(slot, State::Ready);
        let it = &self.slots[slot as usize];
        let (line, mark) = (it.line, mark_of(slot, it));
        let slots = &self.slots;
        let valid = |mark: Mark| is_valid(slots, line, mark);
        self.lines[line as usize].mark(it.entry.priority as usize, mark, valid);
    }

    fn delay(&mut self, slot: SlotId) {
        self.enter(slot, State::Delayed);
        let due = self.slot(slot).entry.due;
        self.delayed.push(Reverse((due, slot)));
    }

    /// Moves a slot from the state it is in to another, and counts it there.
    fn enter(&mut self, slot: SlotId, state: State) {
        let it = &mut self.slots[slot as usize];
        let was = std::mem::replace(&mut it.state, state);
        let tried = usize::from(it.entry.attempts > 0);
        let number = it.line;
        let line = &mut self.lines[number as usize];
        match was {
            State::Free => {}
            State::Ready => line.ready -= 1,
            State::Active => {
                line.active -= 1;
                line.active_tried -= tried;
                self.active_count -= 1;
            }
            State::Delayed => {
                line.delayed -= 1;
                self.delayed_count -= 1;
            }
        }
        match state {
            State::Free => {}
            State::Ready => line.ready += 1,
            State::Active => {
                line.active += 1;
                line.active_tried += tried;
                self.active_count += 1;
            }
            State::Delayed => {
                line.delayed += 1;
                self.delayed_count += 1;
            }
        }
        if was == State::Free || state == State::Free {
            self.weigh(number);
        }
    }

    fn line_for(&mut self, destination: &Destination) -> LineId {
        if let Some(line) = self.line_of.get(destination) {
            return *line;
        }
        let new = Line::new(destination.clone());
        let line = if let Some(line) = self.free_lines.pop() {
            self.lines[line as usize] = new;
            line
        } else {
            self.lines.push(new);
            (self.lines.len() - 1) as LineId
        };
        self.line_of.insert(destination.clone(), line);
        line
    }

    /// A line is kept while it has entries, or the disk has more for it.
    fn drop_if_unused(&mut self, line: LineId) {
        if self.line(line).len() > 0 || self.withheld.contains(&line) {
            return;
        }
        let destination = self.line(line).destination.clone();
        if self.line_of.get(&destination) == Some(&line) {
            self.line_of.remove(&destination);
            self.troubled.remove(&line);
            self.free_lines.push(line);
        }
    }

    fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[slot as usize]
    }

    fn slot_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    fn line(&self, line: LineId) -> &Line {
        &self.lines[line as usize]
    }

    fn line_mut(&mut self, line: LineId) -> &mut Line {
        &mut self.lines[line as usize]
    }
}

fn mark_of(number: SlotId, slot: &Slot) -> Mark {
    (if slot.jumps { 0 } else { slot.entry.id.0 }, number)
}

/// A mark means something while its slot is ready, and still what it was made for.
fn is_valid(slots: &[Slot], line: LineId, mark: Mark) -> bool {
    let slot = &slots[mark.1 as usize];
    slot.state == State::Ready && slot.line == line && mark_of(mark.1, slot) == mark
}

/// A delayed entry that may be taken before its time.
fn is_stranded(slots: &[Slot], line: LineId, mark: Mark) -> bool {
    let slot = &slots[mark.1 as usize];
    slot.state == State::Delayed
        && slot.stranded
        && slot.line == line
        && mark_of(mark.1, slot) == mark
}

fn hash_of(slots: &[Slot], hasher: &RandomState, slot: SlotId) -> u64 {
    let entry = &slots[slot as usize].entry;
    hasher.hash_one((entry.id, entry.entry))
}
