//! Slots: each holds one tracked entry and tells where the entry stands.

use std::hash::{BuildHasher, RandomState};

use super::super::entry::Tracked;

/// Place of a [`Slot`] among all.
pub(super) type SlotId = u32;
/// Place of a destination's line among all.
pub(super) type LineId = u32;
/// Orders the slots of a line: smaller goes first, so what jumps the queue, then the oldest.
pub(super) type Mark = (u64, SlotId);

/// One tracked entry.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) entry: Tracked,
    pub(super) line: LineId,
    /// Neighbours in the line, by when they became known.
    pub(super) older: SlotId,
    pub(super) newer: SlotId,
    pub(super) state: State,
    /// Goes before all others.
    pub(super) jumps: bool,
    /// Delayed because its host could not be talked to, not because of itself.
    pub(super) stranded: bool,
}

/// The state of an entry in memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    /// The slot holds nothing, or an entry between two states.
    Free,
    Ready,
    Active,
    Delayed,
}

pub(super) fn mark_of(number: SlotId, slot: &Slot) -> Mark {
    (if slot.jumps { 0 } else { slot.entry.id.0 }, number)
}

/// A mark means something while its slot is ready, and still what it was made for.
pub(super) fn is_valid(slots: &[Slot], line: LineId, mark: Mark) -> bool {
    let slot = &slots[mark.1 as usize];
    slot.state == State::Ready && slot.line == line && mark_of(mark.1, slot) == mark
}

/// A delayed entry that may be taken before its time.
pub(super) fn is_stranded(slots: &[Slot], line: LineId, mark: Mark) -> bool {
    let slot = &slots[mark.1 as usize];
    slot.state == State::Delayed
        && slot.stranded
        && slot.line == line
        && mark_of(mark.1, slot) == mark
}

pub(super) fn hash_of(slots: &[Slot], hasher: &RandomState, slot: SlotId) -> u64 {
    let entry = &slots[slot as usize].entry;
    hasher.hash_one((entry.id, entry.entry))
}

/// No slot.
pub(super) const NOBODY: SlotId = SlotId::MAX;
