//! An entry of the queue, as it is passed about: what memory holds of it, and what a job is given.

use relais_channels::mail::{MessageId, Priority};
use relais_storage::{EntryState, Place, ScannedEntry};

/// A message and which of its entries.
pub type Key = (MessageId, u16);

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

impl Tracked {
    /// As a scan of the index found it; its priority is the message's.
    pub fn of(scanned: &ScannedEntry) -> Self {
        let due = match scanned.state {
            EntryState::Waiting { due, .. } | EntryState::Owing { due, .. } => due,
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

    /// Its message and number.
    pub fn key(&self) -> Key {
        (self.id, self.entry)
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
            EntryState::Held { .. } | EntryState::Done | EntryState::Owing { .. } => None,
        }
    }
}
