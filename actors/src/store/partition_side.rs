//! A partition as everybody sees it who is not its thread.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::Sender,
    },
};

use relais_channels::mailbox::{self, Body, MailboxName};

use super::request::{SpillSlot, StoreRequest};
use crate::actor::{Meter, Parcel};

/// The way to a partition, and what its thread lets others know.
#[derive(Debug)]
pub(super) struct PartitionSide {
    /// The name in the configuration; the first has none.
    pub(super) name: Arc<str>,
    pub(super) root: PathBuf,
    pub(super) writer: Sender<Parcel<StoreRequest>>,
    pub(super) spill: SpillSlot,
    pub(super) known: Arc<PartitionState>,
    pub(super) meter: Meter,
}

/// The state of a partition, as its thread saw it last.
#[derive(Debug, Default)]
pub(super) struct PartitionState {
    /// Bytes free on its file system.
    pub(super) free: AtomicU64,
    /// Mail is refused for want of room.
    pub(super) refusing: AtomicBool,
    /// It is slow.
    pub(super) stressed: AtomicBool,
}

/// A partition for an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PartitionStatus {
    /// The name in the configuration; the first has none.
    pub name: String,
    /// Its root.
    pub path: PathBuf,
    /// It is not there.
    pub away: bool,
    /// Octets free on its file system.
    pub free: u64,
    /// Half of its commits take too long.
    pub stressed: bool,
}

/// The thread of a partition has ended.
#[derive(Debug)]
pub(super) struct ThreadEnded;

impl PartitionSide {
    /// A message that waits here is not to be delivered: its file goes.
    pub(super) fn discard(&self, body: &Body) {
        if let (Body::File { name, .. }, Some(spill)) = (body, self.spill.get()) {
            spill.discard(name);
        }
    }

    /// Asks its thread. `Err`: it has ended, and so has whoever waits for an answer.
    pub(super) fn send(&self, work: StoreRequest) -> Result<(), ThreadEnded> {
        self.writer.send(Parcel::new(work, &self.meter)).map_err(|_| ThreadEnded)
    }

    /// Whether it is there, as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.spill.get().is_some()
    }

    /// Whether this user's mailbox lies here. Blocks.
    pub(super) fn is_home(&self, mailbox: &MailboxName) -> io::Result<bool> {
        mailbox::is_home(&self.root, mailbox)
    }

    pub(super) fn status(&self) -> PartitionStatus {
        PartitionStatus {
            name: self.name.to_string(),
            path: self.root.clone(),
            away: !self.is_there(),
            free: self.known.free.load(Relaxed),
            stressed: self.known.stressed.load(Relaxed),
        }
    }
}
