//! Entries of a channel, counted.

use serde::{Deserialize, Serialize};

use crate::state::{Class, EntryState};

/// Entries of one channel.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counts {
    /// Never tried.
    pub untried: u64,
    /// Tried and waiting for the next attempt.
    pub tried: u64,
    /// Held.
    pub held: u64,
    /// Their recipients that are still open.
    pub recipients: u64,
    /// Bytes of content, counted once for each entry.
    pub bytes: u64,
    /// Entries whose senders have yet to be told who has them. They do not wait, and count nowhere
    /// else.
    pub owing: u64,
}

impl Counts {
    /// Entries that wait, or are held.
    pub fn total(&self) -> u64 {
        self.untried + self.tried + self.held
    }

    /// Entries of one class.
    pub fn of_class(&self, class: Class) -> u64 {
        match class {
            Class::Untried => self.untried,
            Class::Tried => self.tried,
            Class::Held => self.held,
            Class::Owing => self.owing,
        }
    }

    /// Counts one more, of a message of `size` bytes.
    pub fn add(&mut self, state: EntryState, size: u64) {
        if state.class() == Some(Class::Owing) {
            self.owing += 1;
        } else if let Some(count) = self.of(state) {
            *count += 1;
            self.recipients += u64::from(state.open().count_ones());
            self.bytes += size;
        }
    }

    /// Counts one less.
    pub fn take_off(&mut self, state: EntryState, size: u64) {
        if state.class() == Some(Class::Owing) {
            self.owing = self.owing.saturating_sub(1);
        } else if let Some(count) = self.of(state) {
            *count = count.saturating_sub(1);
            let open = u64::from(state.open().count_ones());
            self.recipients = self.recipients.saturating_sub(open);
            self.bytes = self.bytes.saturating_sub(size);
        }
    }

    fn of(&mut self, state: EntryState) -> Option<&mut u64> {
        Some(match state.class()? {
            Class::Untried => &mut self.untried,
            Class::Tried => &mut self.tried,
            Class::Held => &mut self.held,
            Class::Owing => &mut self.owing,
        })
    }
}
