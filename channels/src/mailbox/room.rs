//! Whether the file system of a partition takes mail.
//!
//! Only a refusal is a reason to look: then it is tried to take the room that the message wanted,
//! since of quotas a file system does not tell. A mailbox may lie on a file system of its own, and
//! be full alone: that is no trouble of the partition's.

use std::fmt;

use super::{dir::Dir, spill::SpillDir};
use crate::disk::is_full;

/// What there is none left of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// Room for octets.
    Octets,
    /// Inodes: no file can be made.
    Files,
}

/// What is known since somebody was refused.
#[derive(Debug, Default)]
pub(super) struct Room {
    lack: Option<Lack>,
    /// The size of the largest message that was refused.
    wanted: u64,
}

impl Room {
    /// What there was none of when it was last looked.
    pub(super) fn lack(&self) -> Option<Lack> {
        self.lack
    }

    /// A message of this size did not fit somewhere. Says whether it is the partition that is full.
    pub(super) fn refused(&mut self, root: &Dir, spill: &SpillDir, size: u64) -> Option<Lack> {
        self.wanted = self.wanted.max(size);
        if self.lack.is_none() {
            self.look(root, spill);
        }
        self.lack
    }

    /// Looks whether the largest message that was refused would fit now.
    pub(super) fn look(&mut self, root: &Dir, spill: &SpillDir) {
        self.lack = lack(root, spill, self.wanted.saturating_add(MARGIN));
        if self.lack.is_none() {
            self.wanted = 0;
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Octets => "no space left",
            Self::Files => "no inodes left",
        })
    }
}

fn lack(root: &Dir, spill: &SpillDir, octets: u64) -> Option<Lack> {
    if root.lacks_inodes() {
        return Some(Lack::Files);
    }
    let full = root.free_space().is_ok_and(|free| free < octets)
        || spill.try_room(octets).is_err_and(|error| is_full(&error));
    full.then_some(Lack::Octets)
}

/// Octets beside a message's own that it may take: of directories, and of the journals of the file
/// system.
const MARGIN: u64 = 64 << 10;
