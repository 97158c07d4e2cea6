//! Requests to the thread of a partition.

use std::{
    io,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use relais_channels::mailbox::{
    Answer, Census, Change, ChangeError, Delivery, Depth, MailboxName, spill::SpillDir,
};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// A request to the thread of a partition.
#[derive(Debug)]
pub(super) enum StoreRequest {
    /// To deliver a message.
    Deliver(Deliver),
    /// To make a mailbox.
    Create(MailboxName, oneshot::Sender<io::Result<bool>>),
    /// To change mailboxes as wholes.
    Change(Change, oneshot::Sender<Result<(), ChangeError>>),
    /// To look into a mailbox while nothing is delivered, and mend it.
    Look(MailboxName, Depth, oneshot::Sender<io::Result<Option<Census>>>),
    /// To tell the operator that so many bytes of a message that is coming in could not be written.
    SpillFailed(io::Error, u64),
    /// To end; what was asked for before is done first.
    Stop,
}

/// A delivery on its way, and the one who waits for it.
#[derive(Debug)]
pub(super) struct Deliver {
    pub(super) delivery: Delivery,
    /// Taken in hand, or taken back.
    pub(super) claim: Claim,
    pub(super) answer: oneshot::Sender<Vec<Answer>>,
    /// Released when the delivery is done, also when nobody waits for it any more.
    pub(super) permit: OwnedSemaphorePermit,
}

/// A delivery is either made or taken back, and never both. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// `false`: the other side was faster.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Where large messages wait, while the partition is there. All clones are one.
#[derive(Clone, Debug, Default)]
pub(super) struct SpillSlot(Arc<RwLock<Option<SpillDir>>>);

impl SpillSlot {
    pub(super) fn set(&self, dir: Option<SpillDir>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = dir;
    }

    pub(super) fn get(&self) -> Option<SpillDir> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
