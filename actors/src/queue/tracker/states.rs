//! Every step of an entry from one state to another, with all that is counted by it.

use std::{cmp::Reverse, hash::BuildHasher};

use super::{
    Key, Tracked, Tracker,
    line::Line,
    slot::{LineId, Mark, NOBODY, Slot, SlotId, State, hash_of, is_valid, mark_of},
};
use crate::ids::Destination;

impl Tracker {
    pub(super) fn insert(&mut self, destination: &Destination, entry: Tracked) -> SlotId {
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
    pub(super) fn remove(&mut self, slot: SlotId) -> Tracked {
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

    pub(super) fn find(&self, key: Key) -> Option<SlotId> {
        let hash = self.hasher.hash_one(key);
        let is = |slot: &SlotId| {
            let entry = &self.slots[*slot as usize].entry;
            (entry.id, entry.entry) == key
        };
        self.known.find(hash, is).copied()
    }

    pub(super) fn make_ready(&mut self, slot: SlotId) {
        self.enter(slot, State::Ready);
        let it = &self.slots[slot as usize];
        let (line, mark) = (it.line, mark_of(slot, it));
        let slots = &self.slots;
        let valid = |mark: Mark| is_valid(slots, line, mark);
        self.lines[line as usize].mark(it.entry.priority as usize, mark, valid);
    }

    pub(super) fn delay(&mut self, slot: SlotId) {
        self.enter(slot, State::Delayed);
        let due = self.slot(slot).entry.due;
        self.delayed.push(Reverse((due, slot)));
    }

    /// Moves a slot from the state it is in to another, and counts it there.
    pub(super) fn enter(&mut self, slot: SlotId, state: State) {
        let it = &mut self.slots[slot as usize];
        let was = std::mem::replace(&mut it.state, state);
        let tried = usize::from(it.entry.attempts > 0);
        let number = it.line;
        let line = &mut self.lines[number as usize];
        match was {
            State::Free => {}
            State::Ready => {
                line.ready -= 1;
                line.ready_untried -= 1 - tried;
            }
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
            State::Ready => {
                line.ready += 1;
                line.ready_untried += 1 - tried;
            }
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

    pub(super) fn line_for(&mut self, destination: &Destination) -> LineId {
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
    pub(super) fn drop_if_unused(&mut self, line: LineId) {
        if self.line(line).len() > 0 {
            return;
        }
        self.forget_rest_of_dead(line);
        if self.rest.is_left(line) {
            return;
        }
        let destination = self.line(line).destination.clone();
        if self.line_of.get(&destination) == Some(&line) {
            self.line_of.remove(&destination);
            self.troubled.remove(&line);
            self.free_lines.push(line);
        }
    }

    pub(super) fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn slot_mut(&mut self, slot: SlotId) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    pub(super) fn line(&self, line: LineId) -> &Line {
        &self.lines[line as usize]
    }

    pub(super) fn line_mut(&mut self, line: LineId) -> &mut Line {
        &mut self.lines[line as usize]
    }
}
