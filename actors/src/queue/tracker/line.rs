//! What memory holds for one destination: who is ready, in which order, and how much else.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::{Destination, SlotId};

/// One destination's entries.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) destination: Destination,
    /// A heap for each priority. A mark may be stale: its slot tells.
    marks: [BinaryHeap<Reverse<Mark>>; 4],
    pub(super) ready: usize,
    pub(super) active: usize,
    pub(super) active_tried: usize,
    pub(super) delayed: usize,
    /// The entries in the order in which they became known; [`NOBODY`] when there is none.
    pub(super) newest: SlotId,
    /// It could not be talked to, and has taken nothing since.
    pub(super) troubled: bool,
}

/// Smaller goes first: what jumps the queue, then the oldest.
pub(super) type Mark = (u64, SlotId);

/// No slot.
pub(super) const NOBODY: SlotId = SlotId::MAX;

impl Line {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            destination,
            marks: Default::default(),
            ready: 0,
            active: 0,
            active_tried: 0,
            delayed: 0,
            newest: NOBODY,
            troubled: false,
        }
    }

    /// Entries of any state.
    pub(super) fn len(&self) -> usize {
        self.ready + self.active + self.delayed
    }

    /// Lets an entry of this priority (0 to 3) be found.
    pub(super) fn mark(&mut self, priority: usize, mark: Mark, valid: impl Fn(Mark) -> bool) {
        let heap = &mut self.marks[priority];
        heap.push(Reverse(mark));
        // What was taken out of the middle left its mark behind.
        if heap.len() > 2 * self.ready + SLACK {
            heap.retain(|Reverse(mark)| valid(*mark));
        }
    }

    /// The first of the highest priority; `valid` tells whether a mark still means something.
    pub(super) fn first(&mut self, valid: impl Fn(Mark) -> bool) -> Option<SlotId> {
        for heap in &mut self.marks {
            while let Some(Reverse(mark)) = heap.pop() {
                if valid(mark) {
                    return Some(mark.1);
                }
            }
        }
        None
    }
}

/// Stale marks that are not worth looking for.
const SLACK: usize = 64;
