//! Whether those of whom a warning speaks still wait when it is written: between the choice and
//! the notice lie other notices, and time in which mail is delivered.

use std::sync::Arc;

use relais_channels::mail::MessageId;
use relais_storage::{EntryState, StorageError};
use tracing::debug;

use super::NotaryParts;
use crate::{
    actor::Mailbox,
    queue::{Case, EntryStanding, LookAgain, Queue, Reading, Tracked},
};

impl NotaryParts {
    /// Leaves those cases that wait, as they are now.
    pub(super) async fn keep_waiting(&self, queue: &Mailbox<Queue>, cases: &mut Vec<Case>) {
        let mut kept = Vec::new();
        for mut case in cases.drain(..) {
            if let Some(entry) = self.as_it_waits(queue, &case).await {
                case.recipients &= entry.open;
                case.entry = entry;
                kept.push(case);
            } else {
                debug!(id = %case.entry.id, "its sender is not warned: it does not wait any more");
            }
        }
        *cases = kept;
    }

    async fn as_it_waits(&self, queue: &Mailbox<Queue>, case: &Case) -> Option<Tracked> {
        let Tracked { id, entry, .. } = case.entry;
        let reading = case.reading.as_ref().map(|reading: &Arc<Reading>| reading.ticket());
        let standing = queue.ask(LookAgain { reading, entries: vec![(id, entry)] }).await;
        match standing.ok()?.pop()? {
            EntryStanding::Waits(entry) => Some(entry),
            EntryStanding::Unchanged => Some(case.entry),
            EntryStanding::Aside => None,
            EntryStanding::Unknown => self.on_disk(id, case.entry).await,
        }
    }

    /// By the changes that the spool has of it. Where they cannot be read, a warning too many is
    /// better than none.
    async fn on_disk(&self, id: MessageId, entry: Tracked) -> Option<Tracked> {
        let history = match self.storage.flush().await {
            Ok(()) => self.storage.history(id, entry.place).await,
            Err(error) => Err(error),
        };
        match history {
            Ok(changes) => {
                let last = changes.into_iter().rfind(|change| change.entry == entry.entry);
                last.map_or(Some(entry), |change| match change.now {
                    now @ EntryState::Waiting { .. } => entry.now(now),
                    EntryState::Held { .. } | EntryState::Done | EntryState::Owing { .. } => None,
                })
            }
            Err(StorageError::Gone { .. }) => None,
            Err(_) => Some(entry),
        }
    }
}
