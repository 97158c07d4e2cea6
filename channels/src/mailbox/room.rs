//! Whether the file system of a partition takes mail.
//!
//! Only a refusal is a reason to look: then it is tried to take the room that the message wanted,
//! since of quotas a file system does not tell. A mailbox may lie on a file system of its own, and
//! be full alone: that is no trouble of the partition's.

use std::{
    fmt,
    time::{Duration, Instant},
};

use super::{dir::Dir, spill::SpillDir};
use crate::disk::is_full;

/// The resource that has run out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// Room for a message of so many bytes.
    Bytes(u64),
    /// Inodes: no file can be made.
    Files,
}

/// The knowledge of room since a message was refused.
#[derive(Debug, Default)]
pub(super) struct Room {
    lack: Option<Lack>,
    /// The size of the largest message that was refused, and when one was.
    wanted: u64,
    refused: Option<Instant>,
}

impl Room {
    /// The resource that had run out at the last look.
    pub(super) fn lack(&self) -> Option<Lack> {
        self.lack
    }

    /// A message of this size did not fit somewhere. Says whether it is the partition that is full.
    pub(super) fn refused(&mut self, root: &Dir, spill: &SpillDir, size: u64) -> Option<Lack> {
        self.wanted = self.wanted.max(size);
        self.refused = Some(Instant::now());
        if self.lack.is_none() {
            self.look(root, spill);
        }
        self.lack
    }

    /// Looks whether the largest message that was refused would fit now.
    pub(super) fn look(&mut self, root: &Dir, spill: &SpillDir) {
        // Its sender may have given up, and smaller ones fit.
        if self.refused.is_none_or(|refused| refused.elapsed() > MEMORY) {
            self.wanted = 0;
        }
        self.lack = lack(root, spill, self.wanted);
        if self.lack.is_none() {
            self.wanted = 0;
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(wanted) => {
                write!(f, "no space left on its file system for a message of {wanted} octets")
            }
            Self::Files => f.write_str("no inodes left on its file system"),
        }
    }
}

fn lack(root: &Dir, spill: &SpillDir, wanted: u64) -> Option<Lack> {
    let bytes = wanted.saturating_add(MARGIN);
    if root.lacks_inodes() {
        return Some(Lack::Files);
    }
    let full = root.free_space().is_ok_and(|free| free < bytes)
        || spill.try_room(bytes).is_err_and(|error| is_full(&error));
    full.then_some(Lack::Bytes(wanted))
}

/// Bytes beside a message's own that it may take: of directories, and of the journals of the file
/// system.
const MARGIN: u64 = 64 << 10;
/// For so long a refusal is a reason to look for as much room as it wanted.
const MEMORY: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_message_that_never_fits_is_forgotten_when_nobody_comes_with_it_again() {
        let folder = tempfile::tempdir().expect("a directory");
        let root = Arc::new(Dir::root(folder.path()).expect("a directory"));
        let spill = SpillDir::open(root.clone()).expect("room");
        let mut known = Room::default();
        assert_eq!(known.refused(&root, &spill, 1_000), None, "the mailbox was full alone");
        let huge = 1 << 60;
        assert_eq!(known.refused(&root, &spill, huge), Some(Lack::Bytes(huge)));
        assert_eq!(known.refused(&root, &spill, 1_000), Some(Lack::Bytes(huge)));
        known.look(&root, &spill);
        assert_eq!(known.lack(), Some(Lack::Bytes(huge)));
        known.refused = Instant::now().checked_sub(MEMORY * 2);
        known.look(&root, &spill);
        assert_eq!(known.lack(), None);
        assert_eq!(std::fs::read_dir(folder.path().join(".tmp")).expect("readable").count(), 0);
    }
}
