//! The state of a queue entry, from untried to done, and the class under which the index has it.
//! States are written as they are here: a new one comes last.

use serde::{Deserialize, Serialize};

/// Where an entry is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EntryState {
    /// To be delivered.
    Waiting {
        /// The recipients still to be delivered: bit `i` is recipient `i` of the entry.
        open: u64,
        /// Attempts made; 0 is "untried".
        attempts: u16,
        /// Not before this, in milliseconds since 1970; 0 is "at once".
        due: u64,
    },
    /// Kept, and not delivered until an operator releases it.
    Held {
        /// As above.
        open: u64,
        /// As above.
        attempts: u16,
    },
    /// Nothing is left to do. An entry that is done stays done.
    Done,
    /// Some were reached, and their sender, who asked for it, has yet to be told. Nobody delivers
    /// it before that. It is the last, so that what was written before it existed is read as ever.
    Owing {
        /// The recipients that are still to be delivered; 0 when it is done but for the notice.
        open: u64,
        /// As above.
        attempts: u16,
        /// When the others are due.
        due: u64,
        /// The recipients of whom the sender is to be told, a bit each.
        reached: u64,
    },
}

/// The classes of an index scan, in the order in which jobs want them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Class {
    /// No attempt was made yet.
    Untried = 0,
    /// At least one attempt was made.
    Tried = 1,
    /// Held.
    Held = 2,
    /// Its sender has yet to be told who has it.
    Owing = 3,
}

/// The indices of the recipients in a bitmap of open ones, lowest first.
pub fn open_recipients(mut open: u64) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let index = open.trailing_zeros();
        open &= open.wrapping_sub(1);
        (index < u64::BITS).then_some(index as u8)
    })
}

impl EntryState {
    /// Untried, with this many recipients; 1 to 64.
    pub fn fresh(recipients: usize) -> Self {
        let unused = 64u32.saturating_sub(recipients as u32);
        let open = u64::MAX.checked_shr(unused).unwrap_or(0);
        Self::Waiting { open, attempts: 0, due: 0 }
    }

    /// The recipients still open.
    pub fn open(&self) -> u64 {
        match self {
            Self::Waiting { open, .. } | Self::Held { open, .. } | Self::Owing { open, .. } => {
                *open
            }
            Self::Done => 0,
        }
    }

    /// Attempts made.
    pub fn attempts(&self) -> u16 {
        match self {
            Self::Waiting { attempts, .. }
            | Self::Held { attempts, .. }
            | Self::Owing { attempts, .. } => *attempts,
            Self::Done => 0,
        }
    }

    /// The recipients that were reached and whose sender has yet to be told, a bit each.
    pub fn reached(&self) -> u64 {
        if let Self::Owing { reached, .. } = self { *reached } else { 0 }
    }

    /// The same with these recipients reached, and their sender not told.
    #[must_use]
    pub fn owing(self, reached: u64) -> Self {
        let (open, attempts) = (self.open(), self.attempts());
        let due = if let Self::Waiting { due, .. } = self { due } else { 0 };
        Self::Owing { open, attempts, due, reached }
    }

    /// The state that is left once the sender has been told.
    #[must_use]
    pub fn told(self) -> Self {
        match self {
            Self::Owing { open: 0, .. } => Self::Done,
            Self::Owing { open, attempts, due, .. } => Self::Waiting { open, attempts, due },
            other => other,
        }
    }

    /// Where the index has it; `None` when it is done.
    pub fn class(&self) -> Option<Class> {
        match self {
            Self::Waiting { attempts: 0, .. } => Some(Class::Untried),
            Self::Waiting { .. } => Some(Class::Tried),
            Self::Held { .. } => Some(Class::Held),
            Self::Owing { .. } => Some(Class::Owing),
            Self::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 1 of the records has them.
    #[test]
    fn states_are_read_that_were_written_before_notices_were_owed() {
        let rows: [(&[u8], EntryState); 3] = [
            (&[0, 5, 2, 100], EntryState::Waiting { open: 5, attempts: 2, due: 100 }),
            (&[1, 3, 1], EntryState::Held { open: 3, attempts: 1 }),
            (&[2], EntryState::Done),
        ];
        for (bytes, state) in rows {
            assert_eq!(postcard::from_bytes::<EntryState>(bytes).unwrap(), state);
            assert_eq!(postcard::to_stdvec(&state).unwrap(), bytes);
        }
    }

    #[test]
    fn what_an_owed_notice_leaves() {
        let waiting = EntryState::Waiting { open: 0b10, attempts: 1, due: 9 };
        for state in [waiting, EntryState::Done] {
            let owing = state.owing(0b01);
            assert_eq!((owing.reached(), owing.open()), (0b01, state.open()));
            assert_eq!(owing.class(), Some(Class::Owing), "nobody delivers it meanwhile");
            assert_eq!(owing.told(), state);
        }
    }

    #[test]
    fn a_fresh_entry_is_open_for_each_of_its_recipients() {
        for (recipients, want) in [(1, 1), (2, 3), (63, u64::MAX >> 1), (64, u64::MAX)] {
            assert_eq!(EntryState::fresh(recipients).open(), want, "{recipients}");
        }
    }
}
