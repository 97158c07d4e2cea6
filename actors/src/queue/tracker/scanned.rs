//! Scans of the disk: when memory has room for one, and which entries it brings in.
//!
//! The index has entries in the order in which jobs want them: untried ones, then the others by
//! due time. Of a destination that has enough a scan leaves the rest on the disk. Nothing behind
//! that which waits for a later time is taken then: it would fill memory, and what could go now
//! would wait for it.

use std::collections::BTreeSet;

use super::{
    Admission, Ticket, Tracked, Tracker,
    rest::{Left, Rest},
    slot::LineId,
};
use crate::ids::{ChannelId, Destination};

impl Tracker {
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
        let no_room = self.known.len() >= self.thresholds.scanned;
        if let Some(line) = self.line_of.get(destination).copied()
            && (no_room || self.has_enough(line, entry.due))
        {
            if !self.rest.is_left_by_this_scan(line) {
                // Entries that an earlier scan left are among those that this one sees.
                self.rest.of.remove(&line);
            }
            self.leave(line, entry.due);
            return Admission::Overflowed;
        }
        if no_room {
            self.overflowed = true;
            return Admission::Overflowed;
        }
        self.offer(destination, entry)
    }

    /// Whether the disk should be scanned at once: memory is half empty and something overflowed.
    pub fn is_half_empty(&self) -> bool {
        self.overflowed && self.known.len() < self.thresholds.low
    }

    /// Whether it should be scanned soon: a destination has used up most of what it was allowed
    /// of a longer line.
    pub fn is_hungry(&self) -> bool {
        self.scan_room() > 0 && self.hungry().next().is_some()
    }

    /// How many entries a scan may still bring in. What it has read by then may come in beyond.
    pub fn scan_room(&self) -> usize {
        self.thresholds.refill.saturating_sub(self.known.len())
    }

    /// Whether the disk has anything that memory does not know, and memory room for some of it.
    pub fn could_scan(&self) -> bool {
        (self.overflowed || !self.rest.of.is_empty()) && self.scan_room() > 0
    }

    /// A scan begins. If it is for the sake of some destinations it reads their channels only,
    /// else everything: what overflows from now on is noted anew. `again`: it is time for one
    /// that reads everything, and what overflowed does not wait until nobody is hungry.
    pub fn scan_begun(&mut self, again: bool) {
        self.rest.scan += 1;
        let for_all = self.is_half_empty() || self.overflowed && again;
        let hungry: BTreeSet<LineId> = self.hungry().collect();
        self.rest.sought = (!for_all && !hungry.is_empty()).then_some(hungry);
        self.rest.filling = false;
        if self.reads_all() {
            self.overflowed = false;
        }
    }

    /// The scan has read everything. Where it left mail that could go now, and nobody else wants
    /// the room, it reads once more and takes that, too: up to three quarters. Returns whether.
    pub fn go_on_filling(&mut self) -> bool {
        let could_go = |(line, left): (&LineId, &Left)| {
            left.scan == self.rest.scan && left.due <= self.now && !self.line(*line).troubled
        };
        let goes_on = !self.rest.filling
            && self.reads_all()
            && self.scan_room() > 0
            && self.rest.of.iter().any(could_go);
        if goes_on {
            self.rest.scan += 1;
            self.rest.filling = true;
        }
        goes_on
    }

    /// Whether the scan under way, or the last one, is for all that there is.
    pub fn reads_all(&self) -> bool {
        self.rest.sought.is_none()
    }

    /// Whether the scan under way is to read on in this channel. Not when all destinations for
    /// which it is made have enough.
    pub fn seeks(&self, channel: ChannelId) -> bool {
        let of_channel = |line: &LineId| self.line(*line).destination.channel == channel;
        self.rest.sought.as_ref().is_none_or(|sought| sought.iter().any(of_channel))
    }

    /// The scan came to the end of a channel: what it did not leave there is not there.
    pub fn scanned_all_of(&mut self, channel: ChannelId) {
        let Rest { of, scan, .. } = &self.rest;
        let gone = of.iter().filter(|(line, left)| {
            left.scan < *scan && self.line(**line).destination.channel == channel
        });
        for line in gone.map(|(line, _)| *line).collect::<Vec<_>>() {
            self.rest.forget(line);
            self.drop_if_unused(line);
        }
    }

    /// A scan ended before the end of the disk, or a scan is needed at start.
    pub fn note_overflow(&mut self) {
        // Entries that were sought for some lines are noted with them.
        self.overflowed |= self.reads_all();
    }

    /// Notes that the disk has an entry of the line that memory does not have.
    pub(super) fn leave(&mut self, line: LineId, due: u64) {
        let Rest { of, scan, sought, .. } = &mut self.rest;
        let left = of.entry(line).or_insert(Left { due, scan: *scan });
        *left = Left { due: left.due.min(due), scan: *scan };
        if let Some(sought) = sought {
            sought.remove(&line);
        }
    }

    /// Of lines of which memory has nothing no more than `max_messages` are remembered: millions of
    /// dead hosts must not cost more than their mail may. A scan for all finds what they have.
    pub(super) fn forget_rest_of_dead(&mut self, line: LineId) {
        if self.line(line).troubled && self.rest.of.len() > self.thresholds.max {
            self.rest.forget(line);
            self.overflowed = true;
        }
    }

    /// Whether a scan is to take no entry of the line that is due then. What could go now is not
    /// kept out by what waits for a later time.
    fn has_enough(&self, line: LineId, due: u64) -> bool {
        let it = self.line(line);
        let is_due = due <= self.now;
        let has = if is_due && !it.troubled { it.ready + it.active } else { it.len() };
        let half_full = self.known.len() >= self.thresholds.low;
        if self.rest.filling && is_due && !it.troubled {
            return false;
        }
        (it.troubled || half_full) && has >= self.cap(line)
            || !is_due && self.rest.is_left_by_this_scan(line)
    }

    /// Lines that have used up most of what they were allowed, while the disk has more.
    fn hungry(&self) -> impl Iterator<Item = LineId> {
        self.rest.of.iter().filter_map(|(line, left)| {
            let it = self.line(*line);
            let has = if it.troubled { it.len() } else { it.ready + it.active };
            (left.due <= self.now && has * 2 < self.cap(*line)).then_some(*line)
        })
    }
}
