//! The journal of a partition: what makes a delivery durable in one write.
//!
//! A Maildir wants a file and a directory entry per message, and to sync each of them costs a
//! commit of the file system. Instead, the bytes of all messages that are waiting go into one
//! preallocated file, one behind the other, with a single `fdatasync` that touches no metadata;
//! then they are put into their mailboxes without any sync. From time to time `syncfs` makes the
//! mailboxes themselves durable, and the journal before that point is free again.
//!
//! Guaranteed: however the last process ended, and whatever became of the file system since,
//! [`open`] restores every record whose [`Journal::append`] returned `Ok` and which no
//! checkpoint has covered since; possibly some that were being appended; never a damaged one. It
//! never asks whether the machine was started anew: a file system can fail, and be mounted again,
//! under the same kernel. [`Restorer::restore`] looks before it writes.
//!
//! When a write or a sync fails, nobody knows any more what is on the disk. Then everything since
//! the last checkpoint is written into its mailboxes once more, and another journal begun: see
//! [`Checkpoints::run`]. Deliveries wait for that, and are refused when it fails.

mod checkpoints;
mod file;
mod format;
mod replay;
mod shared;
mod writer;

use std::{path::Path, sync::Arc};

pub(super) use self::file::{FILE, LOCK};
pub use self::{
    checkpoints::{Checkpoints, Happening},
    file::{CAPACITY, JournalError},
    format::record_size,
    replay::Restorer,
    writer::{Awaited, Journal},
};
use self::{
    file::{existing, lock},
    replay::replay,
    shared::Shared,
};
use crate::disk::Disk;

/// The two ends of a journal that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The writer's end.
    pub journal: Journal,
    /// The other end.
    pub checkpoints: Checkpoints,
}

/// Opens the journal of the partition at `root`, making it if there is none, of `wanted` bytes where
/// there is room, and restores every record that may not be in the mailboxes; when that fails, so does
/// opening.
pub fn open(
    disk: Arc<dyn Disk>,
    root: &Path,
    wanted: u64,
    mut mailboxes: Box<dyn Restorer>,
) -> Result<Opened, JournalError> {
    let lock = lock(&*disk, root)?;
    let (file, mut header) = existing(&*disk, root, wanted)?;
    replay(&*file, &mut header, &mut *mailboxes)?;
    let shared = Arc::new(Shared::new(file, &header, lock));
    let journal = Journal::new(shared.clone());
    let root = root.to_owned();
    let checkpoints =
        Checkpoints { disk, root, wanted, shared, header, mailboxes, doubtful: false };
    Ok(Opened { journal, checkpoints })
}

#[cfg(test)]
pub(super) mod tests;
