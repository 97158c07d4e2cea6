//! Readings of the index while the queue goes on, and the entries that left the queue meanwhile.
//!
//! A scan shows entries as they were when it was read. What was settled, moved or taken aside
//! between then and now must not be believed: it would be delivered twice.

use std::collections::{BTreeSet, HashMap};

use super::Key;

/// A reading of the index that began at a certain moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ticket(u64);

/// The readings going on, and the entries that changed since the oldest of them began.
#[derive(Debug, Default)]
pub(super) struct Readers {
    clock: u64,
    open: BTreeSet<Ticket>,
    departed: HashMap<Key, u64>,
}

impl Readers {
    /// A reading begins: it sees every change that was made before this.
    pub(super) fn begin(&mut self) -> Ticket {
        self.clock += 1;
        let ticket = Ticket(self.clock);
        self.open.insert(ticket);
        ticket
    }

    /// The reading has been used.
    pub(super) fn end(&mut self, ticket: Ticket) {
        self.open.remove(&ticket);
        match self.open.first() {
            Some(Ticket(oldest)) if *oldest > ticket.0 => {
                self.departed.retain(|_, at| *at >= *oldest);
            }
            Some(_) => {}
            None => self.departed = HashMap::new(),
        }
    }

    /// The entry is not any more what a reading may have shown.
    pub(super) fn note_departed(&mut self, key: Key) {
        if !self.open.is_empty() {
            self.departed.insert(key, self.clock);
        }
    }

    /// Whether what `ticket` shows of the entry may be out of date.
    pub(super) fn departed_since(&self, ticket: Ticket, key: Key) -> bool {
        self.departed.get(&key).is_some_and(|at| *at >= ticket.0)
    }
}
