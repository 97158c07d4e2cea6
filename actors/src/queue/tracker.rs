//! The queue as memory knows it: at most `max_messages` entries, whatever lies on the disk.
//!
//! Pure data: no clock, no disk, no actor. An entry is *ready* (waits for a job), *active* (a job
//! has it) or *delayed* (waits for its due time). Held entries and those beyond the limit are
//! only in the index. One entry costs a slot, a place in the id map and, while delayed, a place
//! in the heap: under the 140 octets of the original (seed, 8.7.1).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use relais_channels::mail::{MessageId, Priority};

use super::{ChannelId, Destination};
use crate::spool::Place;

/// The bounded set of entries that may be worked on.
#[derive(Debug)]
pub struct Tracker {
    thresholds: Thresholds,
    slots: Vec<Slot>,
    free: Vec<SlotId>,
    known: HashMap<(MessageId, u16), SlotId>,
    delayed: BinaryHeap<Reverse<(u64, SlotId)>>,
    delayed_count: usize,
    active_count: usize,
    lines: HashMap<Destination, Line>,
    /// Something exists on the disk that memory does not know.
    overflowed: bool,
    /// While a portion of a scan is being read: what left memory since, and may still be in it.
    left_since: Option<HashSet<(MessageId, u16)>>,
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
}

/// What becomes of an entry that is offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Admission {
    /// It waits for a job.
    Ready,
    /// It waits for its due time.
    Delayed,
    /// It is tracked already; nothing was changed.
    Known,
    /// Memory is full; the disk has it, and a later scan will find it.
    Overflowed,
}

/// The numbers of the seed's section 8.7.1, for a limit M.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// M: never more than this.
    pub max: usize,
    /// M/2: with less than this and something overflowed, the disk is scanned.
    pub low: usize,
    /// 3M/4: a scan stops here, so that new mail finds room.
    pub refill: usize,
    /// 5M/8 known and 3M/8 delayed: a message that fails is forgotten until the next scan.
    pub forget_known: usize,
    /// See `forget_known`.
    pub forget_delayed: usize,
    /// M/4: in a memory that is half full, no destination gets more than this. Ours, not the
    /// seed's.
    pub share: usize,
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
    state: State,
    destination: Destination,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Free,
    Ready,
    Active,
    Delayed,
}

/// The waiting line of one destination, and how much else it has.
#[derive(Debug, Default)]
struct Line {
    ready: VecDeque<SlotId>,
    active: usize,
    active_tried: usize,
    delayed: usize,
}

type SlotId = u32;

impl Thresholds {
    /// For a limit of `max` entries, at least 8.
    pub fn of(max: usize) -> Self {
        let max = max.max(8);
        Self {
            max,
            low: max / 2,
            refill: max / 4 * 3,
            forget_known: max / 8 * 5,
            forget_delayed: max / 8 * 3,
            share: max / 4,
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
            known: HashMap::new(),
            delayed: BinaryHeap::new(),
            delayed_count: 0,
            active_count: 0,
            lines: HashMap::new(),
            overflowed: false,
            left_since: None,
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

    /// A new entry, or one that a scan found: taken while there is room.
    pub fn offer(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        if self.known.contains_key(&(entry.id, entry.entry)) {
            return Admission::Known;
        }
        if self.known.len() >= self.thresholds.max || self.has_its_share(destination) {
            self.overflowed = true;
            return Admission::Overflowed;
        }
        let slot = self.insert(destination, entry);
        if entry.due == 0 {
            self.make_ready(slot);
            Admission::Ready
        } else {
            self.delay(slot, entry.due);
            Admission::Delayed
        }
    }

    /// An entry that a scan found. What left memory while the scan was reading is not taken back:
    /// the scan may have read its state of before.
    pub fn offer_scanned(&mut self, destination: &Destination, entry: Tracked) -> Admission {
        let left = self.left_since.as_ref();
        if left.is_some_and(|left| left.contains(&(entry.id, entry.entry))) {
            return Admission::Known;
        }
        self.offer(destination, entry)
    }

    /// A portion of a scan is about to be read; it sees every change made before this.
    pub fn portion_begun(&mut self) {
        self.left_since = Some(HashSet::new());
    }

    /// The oldest ready entry of `destination`, now in the hands of a job.
    pub fn take(&mut self, destination: &Destination) -> Option<Tracked> {
        let line = self.lines.get_mut(destination)?;
        let slot = line.ready.pop_front()?;
        line.active += 1;
        self.active_count += 1;
        let slot = &mut self.slots[slot as usize];
        line.active_tried += usize::from(slot.entry.attempts > 0);
        slot.state = State::Active;
        Some(slot.entry)
    }

    /// The entry is finished: delivered, failed or held.
    pub fn finish(&mut self, id: MessageId, entry: u16) -> Option<Tracked> {
        self.note_left(id, entry);
        let slot = self.known.remove(&(id, entry))?;
        self.leave_line(slot);
        Some(self.release(slot))
    }

    /// An attempt failed; the entry is tried again at `due`, unless memory is too full of such:
    /// then it is forgotten, and a scan will find it on the disk.
    pub fn defer(&mut self, id: MessageId, entry: u16, open: u64, attempts: u16, due: u64) {
        let Some(&slot) = self.known.get(&(id, entry)) else { return };
        self.leave_line(slot);
        let full = self.known.len() > self.thresholds.forget_known
            && self.delayed_count > self.thresholds.forget_delayed;
        if full {
            self.note_left(id, entry);
            self.known.remove(&(id, entry));
            self.release(slot);
            self.overflowed = true;
            return;
        }
        let tracked = &mut self.slots[slot as usize].entry;
        (tracked.open, tracked.attempts, tracked.due) = (open, attempts, due);
        self.delay(slot, due);
    }

    /// The job that had it is gone without a word: the entry waits again, first in line.
    pub fn give_back(&mut self, id: MessageId, entry: u16) {
        let Some(&slot) = self.known.get(&(id, entry)) else { return };
        if self.slots[slot as usize].state != State::Active {
            return;
        }
        self.leave_line(slot);
        self.slots[slot as usize].state = State::Ready;
        self.line(slot).ready.push_front(slot);
    }

    /// Makes what is due ready, and returns the destinations that got something.
    pub fn wake(&mut self, now: u64) -> Vec<Destination> {
        let mut woken = Vec::new();
        while let Some(&Reverse((due, slot))) = self.delayed.peek() {
            if due > now {
                break;
            }
            self.delayed.pop();
            // An entry that was finished, or delayed anew, left a stale mark in the heap.
            let current = &self.slots[slot as usize];
            if current.state != State::Delayed || current.entry.due != due {
                continue;
            }
            self.leave_line(slot);
            self.make_ready(slot);
            let destination = &self.slots[slot as usize].destination;
            if !woken.contains(destination) {
                woken.push(destination.clone());
            }
        }
        woken
    }

    /// Entries that wait for a job of this destination.
    pub fn ready(&self, destination: &Destination) -> usize {
        self.lines.get(destination).map_or(0, |line| line.ready.len())
    }

    /// Every destination that has a ready entry.
    pub fn waiting(&self) -> impl Iterator<Item = (&Destination, usize)> {
        self.lines
            .iter()
            .filter(|(_, line)| !line.ready.is_empty())
            .map(|(destination, line)| (destination, line.ready.len()))
    }

    /// Whether the disk should be scanned for more.
    pub fn wants_scan(&self) -> bool {
        self.overflowed && self.known.len() < self.thresholds.low
    }

    /// How many entries a scan may still bring in.
    pub fn scan_room(&self) -> usize {
        self.thresholds.refill.saturating_sub(self.known.len())
    }

    /// A scan begins: what overflows from now on is noted anew.
    pub fn scan_begun(&mut self) {
        self.overflowed = false;
    }

    /// A scan ended before the end of the disk, or a scan is needed at start.
    pub fn note_overflow(&mut self) {
        self.overflowed = true;
    }

    /// What is known of an entry: its state's word and when it is due.
    pub fn state_of(&self, id: MessageId, entry: u16) -> Option<(&'static str, Tracked)> {
        let slot = &self.slots[*self.known.get(&(id, entry))? as usize];
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
        for (destination, line) in &self.lines {
            let tally = channels.entry(destination.channel).or_default();
            tally.ready += line.ready.len();
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
            let id = oldest.entry(slot.destination.channel).or_insert(slot.entry.id);
            *id = (*id).min(slot.entry.id);
        }
        oldest
    }

    /// Entries that a job has in hand.
    pub fn active(&self) -> usize {
        self.active_count
    }

    /// In a memory that is half full, one destination may not have more than a quarter: a dead
    /// host with a long line must not keep the mail of others out of memory.
    fn has_its_share(&self, destination: &Destination) -> bool {
        let has = |line: &Line| line.ready.len() + line.active + line.delayed;
        self.known.len() >= self.thresholds.low
            && self.lines.get(destination).is_some_and(|line| has(line) >= self.thresholds.share)
    }

    fn note_left(&mut self, id: MessageId, entry: u16) {
        if let Some(left) = &mut self.left_since {
            left.insert((id, entry));
        }
    }

    fn insert(&mut self, destination: &Destination, entry: Tracked) -> SlotId {
        // One shared host name per destination, however many entries it has.
        let known = self.lines.get_key_value(destination).map(|(key, _)| key.clone());
        let destination = known.unwrap_or_else(|| {
            self.lines.insert(destination.clone(), Line::default());
            destination.clone()
        });
        let new = Slot { entry, state: State::Free, destination };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = new;
            slot
        } else {
            self.slots.push(new);
            (self.slots.len() - 1) as SlotId
        };
        self.known.insert((entry.id, entry.entry), slot);
        slot
    }

    fn release(&mut self, slot: SlotId) -> Tracked {
        let released = &mut self.slots[slot as usize];
        let nowhere = Destination { channel: released.destination.channel, host: nowhere() };
        let destination = std::mem::replace(&mut released.destination, nowhere);
        released.state = State::Free;
        let entry = released.entry;
        self.free.push(slot);
        let empty = |line: &Line| line.ready.is_empty() && line.active + line.delayed == 0;
        if self.lines.get(&destination).is_some_and(empty) {
            self.lines.remove(&destination);
        }
        entry
    }

    fn make_ready(&mut self, slot: SlotId) {
        self.slots[slot as usize].state = State::Ready;
        self.line(slot).ready.push_back(slot);
    }

    fn delay(&mut self, slot: SlotId, due: u64) {
        self.slots[slot as usize].state = State::Delayed;
        self.line(slot).delayed += 1;
        self.delayed_count += 1;
        self.delayed.push(Reverse((due, slot)));
    }

    /// Takes an entry out of whatever it is waiting in.
    fn leave_line(&mut self, slot: SlotId) {
        let state = self.slots[slot as usize].state;
        match state {
            State::Free => return,
            State::Ready => self.line(slot).ready.retain(|waiting| *waiting != slot),
            State::Active => {
                let tried = self.slots[slot as usize].entry.attempts > 0;
                let line = self.line(slot);
                line.active -= 1;
                line.active_tried -= usize::from(tried);
                self.active_count -= 1;
            }
            State::Delayed => {
                self.line(slot).delayed -= 1;
                self.delayed_count -= 1;
            }
        }
        self.slots[slot as usize].state = State::Free;
    }

    fn line(&mut self, slot: SlotId) -> &mut Line {
        let destination = self.slots[slot as usize].destination.clone();
        self.lines.entry(destination).or_default()
    }
}

/// The host of a slot that is free: shared, so that a free slot holds no memory of its own.
fn nowhere() -> Arc<str> {
    thread_local!(static NOWHERE: Arc<str> = Arc::from(""));
    NOWHERE.with(Arc::clone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to(channel: u16, host: &str) -> Destination {
        Destination { channel: ChannelId(channel), host: host.into() }
    }

    fn entry(id: u64, due: u64) -> Tracked {
        let place = Place { segment: 1, offset: 0, length: 1 };
        let priority = Priority::Normal;
        Tracked { id: MessageId(id), entry: 0, place, open: 1, attempts: 0, due, priority }
    }

    #[test]
    fn ready_entries_leave_in_the_order_they_came() {
        let mut tracker = Tracker::new(100);
        let (a, b) = (to(0, "a"), to(0, "b"));
        for id in 0..4 {
            tracker.offer(if id % 2 == 0 { &a } else { &b }, entry(id, 0));
        }
        assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(0));
        assert_eq!(tracker.take(&b).map(|e| e.id.0), Some(1));
        assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(2));
        assert_eq!(tracker.take(&a), None);
        assert_eq!(tracker.active(), 3);
    }

    #[test]
    fn what_a_vanished_job_had_is_first_in_line_again() {
        let mut tracker = Tracker::new(100);
        let a = to(0, "a");
        tracker.offer(&a, entry(1, 0));
        tracker.offer(&a, entry(2, 0));
        tracker.take(&a);
        tracker.give_back(MessageId(1), 0);
        assert_eq!(tracker.take(&a).map(|e| e.id.0), Some(1));
    }

    #[test]
    fn a_deferred_entry_is_ready_at_its_due_time_and_not_before() {
        let mut tracker = Tracker::new(100);
        let a = to(0, "a");
        tracker.offer(&a, entry(1, 0));
        tracker.take(&a);
        tracker.defer(MessageId(1), 0, 1, 1, 5_000);
        assert!(tracker.wake(4_999).is_empty());
        assert_eq!(tracker.ready(&a), 0);
        assert_eq!(tracker.wake(5_000), std::slice::from_ref(&a));
        assert_eq!(tracker.take(&a).map(|e| e.attempts), Some(1));
    }

    #[test]
    fn memory_is_bounded_and_says_when_the_disk_has_more() {
        let mut tracker = Tracker::new(8);
        let host = |id: u64| to(0, &id.to_string());
        for id in 0..8 {
            assert_eq!(tracker.offer(&host(id), entry(id, 0)), Admission::Ready);
        }
        assert_eq!(tracker.offer(&host(8), entry(8, 0)), Admission::Overflowed);
        assert_eq!(tracker.offer(&host(3), entry(3, 0)), Admission::Known);
        for id in 0..4 {
            assert!(!tracker.wants_scan(), "{id}");
            tracker.take(&host(id));
            tracker.finish(MessageId(id), 0);
        }
        assert!(!tracker.wants_scan(), "only below half");
        tracker.take(&host(4));
        tracker.finish(MessageId(4), 0);
        assert!(tracker.wants_scan());
        assert_eq!(tracker.scan_room(), 3, "up to three quarters");
    }

    #[test]
    fn a_memory_full_of_failures_forgets_them_until_the_next_scan() {
        let mut tracker = Tracker::new(16);
        let host = |id: u64| to(0, &id.to_string());
        for id in 0..16 {
            tracker.offer(&host(id), entry(id, 0));
        }
        for id in 0..16 {
            tracker.take(&host(id));
            tracker.defer(MessageId(id), 0, 1, 1, 5_000);
        }
        // 7 are delayed before "more than 6 delayed" holds; then each failure is forgotten while
        // more than 10 are known.
        assert_eq!(tracker.len(), 10);
        assert!(tracker.overflowed);
    }

    #[test]
    fn a_host_with_a_long_line_leaves_room_for_the_others() {
        let mut tracker = Tracker::new(16);
        let admitted =
            (0..16).filter(|id| tracker.offer(&to(0, "dead"), entry(*id, 0)) == Admission::Ready);
        assert_eq!(admitted.count(), 8, "all of it while memory is half empty");
        assert_eq!(tracker.offer(&to(0, "alive"), entry(100, 0)), Admission::Ready);
    }

    #[test]
    fn what_was_finished_while_a_scan_was_reading_is_not_taken_back() {
        let mut tracker = Tracker::new(16);
        let a = to(0, "a");
        tracker.offer(&a, entry(1, 0));
        tracker.portion_begun();
        tracker.take(&a);
        tracker.finish(MessageId(1), 0);
        assert_eq!(tracker.offer_scanned(&a, entry(1, 0)), Admission::Known);
        assert_eq!(tracker.take(&a), None);
        tracker.portion_begun();
        assert_eq!(tracker.offer_scanned(&a, entry(2, 0)), Admission::Ready);
    }

    /// What an entry is doing, in the plainest model there is.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Model {
        Ready,
        Active,
        Delayed(u64),
    }

    #[derive(Clone, Debug)]
    enum Step {
        Offer(u64, u8, u64),
        Take(u8),
        Finish(u64),
        Defer(u64, u64),
        GiveBack(u64),
        Wake(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let id = 0u64..40;
        prop_oneof![
            (id.clone(), 0u8..3, 0u64..50).prop_map(|(i, h, d)| Step::Offer(
                i,
                h,
                d.saturating_sub(25)
            )),
            (0u8..3).prop_map(Step::Take),
            id.clone().prop_map(Step::Finish),
            (id.clone(), 1u64..50).prop_map(|(i, d)| Step::Defer(i, d)),
            id.prop_map(Step::GiveBack),
            (0u64..50).prop_map(Step::Wake),
        ]
    }

    proptest! {
        #[test]
        fn the_tracker_agrees_with_a_plain_model(steps in prop::collection::vec(step(), 1..200)) {
            let mut tracker = Tracker::new(24);
            let limits = tracker.thresholds();
            let mut model: HashMap<u64, (u8, Model)> = HashMap::new();
            let hosts: Vec<_> = (0..3).map(|h: u8| to(0, &h.to_string())).collect();
            for step in steps {
                match step {
                    Step::Offer(id, host, due) => {
                        // A message's host never changes.
                        let host = (host + id as u8) % 3;
                        let host = model.get(&id).map_or(host, |(host, _)| *host);
                        let answer = tracker.offer(&hosts[usize::from(host)], entry(id, due));
                        let known = model.contains_key(&id);
                        prop_assert_eq!(answer == Admission::Known, known);
                        let of_host = model.values().filter(|(its, _)| *its == host).count();
                        let share = model.len() >= limits.low && of_host >= limits.share;
                        if !known && model.len() < limits.max && !share {
                            let state = if due == 0 { Model::Ready } else { Model::Delayed(due) };
                            model.insert(id, (host, state));
                        }
                    }
                    Step::Take(host) => match tracker.take(&hosts[usize::from(host)]) {
                        Some(taken) => {
                            let expected = Some((host, Model::Ready));
                            prop_assert_eq!(model.insert(taken.id.0, (host, Model::Active)), expected);
                        }
                        None => prop_assert!(!model.values().any(|m| *m == (host, Model::Ready))),
                    },
                    Step::Finish(id) => {
                        let was = model.remove(&id).is_some();
                        prop_assert_eq!(tracker.finish(MessageId(id), 0).is_some(), was);
                    }
                    Step::Defer(id, due) => {
                        tracker.defer(MessageId(id), 0, 1, 1, due);
                        let known = model.len();
                        if let Some((_, state)) = model.get_mut(&id) {
                            *state = Model::Active;
                            let delayed = model.values().filter(|m| matches!(m.1, Model::Delayed(_))).count();
                            if known > limits.forget_known && delayed > limits.forget_delayed {
                                model.remove(&id);
                            } else if let Some((_, state)) = model.get_mut(&id) {
                                *state = Model::Delayed(due);
                            }
                        }
                    }
                    Step::GiveBack(id) => {
                        tracker.give_back(MessageId(id), 0);
                        if let Some((_, state @ Model::Active)) = model.get_mut(&id) {
                            *state = Model::Ready;
                        }
                    }
                    Step::Wake(now) => {
                        tracker.wake(now);
                        for (_, state) in model.values_mut() {
                            if matches!(state, Model::Delayed(due) if *due <= now) {
                                *state = Model::Ready;
                            }
                        }
                    }
                }
                let count = |want: fn(&Model) -> bool| model.values().filter(|m| want(&m.1)).count();
                let tally = tracker.tally().remove(&ChannelId(0)).unwrap_or_default();
                prop_assert!(tracker.len() <= limits.max);
                prop_assert_eq!(tracker.len(), model.len());
                prop_assert_eq!(tally.ready, count(|m| *m == Model::Ready));
                prop_assert_eq!(tally.active, count(|m| *m == Model::Active));
                prop_assert_eq!(tally.delayed, count(|m| matches!(m, Model::Delayed(_))));
                prop_assert_eq!(tracker.active(), tally.active);
            }
        }
    }
}
