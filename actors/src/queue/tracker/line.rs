//! The line of one destination in memory: who is ready, in which order, and how much else.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::slot::{Mark, NOBODY, SlotId};
use crate::ids::Destination;

/// One destination's entries.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) destination: Destination,
    /// A heap for each priority. A mark may be stale: its slot tells.
    marks: [BinaryHeap<Reverse<Mark>>; 4],
    /// Delayed because the host could not be talked to: first when it is probed.
    stranded: BinaryHeap<Reverse<Mark>>,
    pub(super) ready: usize,
    /// Of those, never tried.
    pub(super) ready_untried: usize,
    pub(super) active: usize,
    pub(super) active_tried: usize,
    pub(super) delayed: usize,
    /// The entries in the order in which they became known; [`NOBODY`] when there is none.
    pub(super) newest: SlotId,
    /// It could not be talked to, and has taken nothing since.
    pub(super) troubled: bool,
}

impl Line {
    pub(super) fn new(destination: Destination) -> Self {
        Self {
            destination,
            marks: Default::default(),
            stranded: BinaryHeap::new(),
            ready: 0,
            ready_untried: 0,
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
        // An entry that was taken out of the middle left its mark behind.
        if heap.len() > 2 * self.ready + SLACK {
            heap.retain(|Reverse(mark)| valid(*mark));
        }
    }

    /// Lets a delayed entry be found before its time.
    pub(super) fn strand(&mut self, mark: Mark, valid: impl Fn(Mark) -> bool) {
        self.stranded.push(Reverse(mark));
        if self.stranded.len() > 2 * self.delayed + SLACK {
            self.stranded.retain(|Reverse(mark)| valid(*mark));
        }
    }

    /// The next of this priority, if it is `wanted`.
    pub(super) fn next_if(
        &mut self,
        priority: usize,
        valid: impl Fn(Mark) -> bool,
        wanted: impl Fn(Mark) -> bool,
    ) -> Option<SlotId> {
        pop_if(&mut self.marks[priority], valid, wanted)
    }

    /// The next of those that are stranded, if it is `wanted`.
    pub(super) fn next_stranded_if(
        &mut self,
        valid: impl Fn(Mark) -> bool,
        wanted: impl Fn(Mark) -> bool,
    ) -> Option<SlotId> {
        pop_if(&mut self.stranded, valid, wanted)
    }

    /// The first of those that are stranded.
    pub(super) fn first_stranded(&mut self, valid: impl Fn(Mark) -> bool) -> Option<SlotId> {
        while let Some(Reverse(mark)) = self.stranded.pop() {
            if valid(mark) {
                return Some(mark.1);
            }
        }
        None
    }

    /// Entries that a job could have: those that are ready or, of a host in trouble that is to be
    /// probed, one that is stranded.
    pub(super) fn wanting(&self) -> usize {
        let probe = self.troubled && self.ready == 0 && !self.stranded.is_empty();
        self.ready + usize::from(probe)
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

fn pop_if(
    heap: &mut BinaryHeap<Reverse<Mark>>,
    valid: impl Fn(Mark) -> bool,
    wanted: impl Fn(Mark) -> bool,
) -> Option<SlotId> {
    loop {
        let Reverse(mark) = *heap.peek()?;
        let is_valid = valid(mark);
        if is_valid && !wanted(mark) {
            return None;
        }
        heap.pop();
        if is_valid {
            return Some(mark.1);
        }
    }
}

/// Stale marks that are not worth looking for.
const SLACK: usize = 64;
