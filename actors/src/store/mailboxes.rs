//! The mailboxes behind an LMTP service, of either kind.

use std::io;

use relais_channels::mailbox::{Answer, Delivery, spill::SpillDir};

use super::{Deliveries, Refused, UnixMailboxes};

/// The mailboxes behind an LMTP service. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Mailboxes {
    /// Mailboxes of the store.
    Store(Deliveries),
    /// Mailboxes of this machine's accounts.
    Unix(UnixMailboxes),
}

impl Mailboxes {
    /// Delivers a message of `sender`; an answer for each recipient, in order. Every 250 is durable. The
    /// delivery goes on if the future is dropped.
    pub async fn deliver(&self, delivery: Delivery, sender: &str) -> Result<Vec<Answer>, Refused> {
        match self {
            Self::Store(deliveries) => deliveries.deliver(delivery).await,
            Self::Unix(mailboxes) => mailboxes.deliver(delivery, sender).await,
        }
    }

    /// A message that is coming in could not be written, this many bytes of it.
    pub(crate) fn spill_failed(&self, error: io::Error, bytes: u64) {
        match self {
            Self::Store(deliveries) => deliveries.spill_failed(error, bytes),
            Self::Unix(_) => {
                tracing::error!(%error, bytes, "a message on its way into UNIX mailboxes cannot be written");
            }
        }
    }

    /// Whether deliveries take long.
    pub(crate) fn is_stressed(&self) -> bool {
        matches!(self, Self::Store(deliveries) if deliveries.is_stressed())
    }

    /// Runs what blocks on a thread of theirs.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match self {
            Self::Store(deliveries) => deliveries.blocking(work).await,
            Self::Unix(mailboxes) => mailboxes.blocking(work).await,
        }
    }

    /// Where messages that are too large for memory wait; nothing while the mailboxes are away.
    pub(crate) fn spill_dir(&self) -> Option<SpillDir> {
        match self {
            Self::Store(deliveries) => deliveries.spill_dir(),
            Self::Unix(mailboxes) => Some(mailboxes.spill_dir()),
        }
    }
}
