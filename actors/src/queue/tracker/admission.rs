//! Admission: memory takes entries, and forgets some, when there are more than it may hold.

use super::{
    Admission, Thresholds, Tracked, Tracker,
    line::Line,
    slot::{LineId, Mark, NOBODY, SlotId, State, is_stranded},
};
use crate::ids::Destination;

impl Tracker {
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

    /// The destination cannot be talked to. While the disk has more for others, what memory
    /// holds of it makes room.
    pub fn trouble(&mut self, destination: &Destination) {
        let Some(line) = self.line_of.get(destination).copied() else { return };
        if std::mem::replace(&mut self.line_mut(line).troubled, true) {
            return;
        }
        let was = self.thresholds.trickle(self.troubled.len());
        self.troubled.insert(line);
        self.weigh(line);
        // The share of each becomes less, but of many seldom: not each one that dies is to cost a
        // look at all the others.
        if self.thresholds.trickle(self.troubled.len()) < was {
            for line in self.troubled.clone() {
                self.weigh(line);
            }
        }
        if self.overflowed {
            let hogs = self.hogs.iter().copied().filter(|hog| self.line(*hog).troubled);
            for hog in hogs.collect::<Vec<_>>() {
                self.weigh(hog);
                while self.hogs.contains(&hog) && self.forget_newest(hog) {}
            }
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

    pub(super) fn admit(
        &mut self,
        destination: &Destination,
        entry: Tracked,
        jumps: bool,
    ) -> Admission {
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
        if entry.due == 0 || jumps {
            self.make_ready(slot);
            Admission::Ready
        } else {
            self.delay(slot);
            Admission::Delayed
        }
    }

    /// With memory full: one that has more than its share gives way to one that has less, and
    /// one in trouble to any that is not.
    pub(super) fn make_room(&mut self, destination: &Destination) -> bool {
        let line = self.line_of.get(destination);
        let (has, troubled) = line.map_or((0, false), |line| {
            let line = self.line(*line);
            (line.len(), line.troubled)
        });
        self.displace(|hog| {
            hog.troubled && !troubled || hog.troubled == troubled && hog.len() > has + 1
        })
    }

    /// The first of those that have more than their share forgets one, if it is to give way.
    pub(super) fn displace(&mut self, gives_way: impl Fn(&Line) -> bool) -> bool {
        let gives_way = |hog: &&LineId| {
            let hog = self.line(**hog);
            hog.len() > hog.active && gives_way(hog)
        };
        let hog = self.hogs.iter().find(gives_way).copied();
        hog.is_some_and(|hog| self.forget_newest(hog))
    }

    /// Forgets the last that became known of a line and is in nobody's hands. The disk has it.
    pub(super) fn forget_newest(&mut self, line: LineId) -> bool {
        let mut slot = self.line(line).newest;
        while slot != NOBODY && self.slot(slot).state == State::Active {
            slot = self.slot(slot).older;
        }
        if slot == NOBODY {
            return false;
        }
        self.leave(line, self.slot(slot).entry.due);
        self.forget(slot);
        true
    }

    /// The entry is as the disk has it: whoever is reading it there may believe what he reads.
    pub(super) fn forget(&mut self, slot: SlotId) {
        self.remove(slot);
    }

    /// Entries that a line may hold when others want room.
    pub(super) fn cap(&self, line: LineId) -> usize {
        if self.line(line).troubled {
            self.thresholds.trickle(self.troubled.len())
        } else {
            self.thresholds.share
        }
    }

    /// Notes whether a line has more than is its.
    pub(super) fn weigh(&mut self, line: LineId) {
        if self.line(line).len() > self.cap(line) {
            self.hogs.insert(line);
        } else {
            self.hogs.remove(&line);
        }
    }
}
