//! Entries that an operator is about to have routed again, noted so that a crash in the middle
//! leaves no recipient twice.
//!
//! A recipient that goes on gets an entry in another record before it is done in the old one. The
//! names of the old entries are on the disk meanwhile: where the engine ends in between, the next
//! start finds which of them have gone on, and takes these recipients off before anything is
//! delivered.

use std::{
    collections::HashSet,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use relais_actors::{queue::ROUTED_AGAIN, timestamp::now_ms};
use relais_channels::mail::MessageId;
use relais_storage::{Change, EntryState, ScannedEntry, Storage, StorageError};
use tracing::{info, warn};

use super::durable;

/// `DATA/rerouting`: since when, and a line for each entry.
#[derive(Clone, Debug)]
pub struct ReroutedEntries(PathBuf);

impl ReroutedEntries {
    /// Of the engine on `data`.
    pub(super) fn new(data: &Path) -> Self {
        Self(data.join("rerouting"))
    }

    /// Notes entries that are about to be routed again. The note is durable when this returns.
    pub fn note<'a>(&self, entries: impl Iterator<Item = &'a ScannedEntry>) -> io::Result<()> {
        let mut text = format!("{}\n", now_ms());
        for ScannedEntry { id, entry, .. } in entries {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{id} {entry}");
        }
        durable::replace(&self.0, &text)
    }

    /// The noted entries have been routed.
    pub fn forget(&self) -> io::Result<()> {
        durable::remove(&self.0)
    }

    /// After a crash: takes off the recipients that have gone on. Nothing may be delivered before.
    /// Does nothing after an orderly end.
    pub async fn conclude(&self, storage: &Storage) -> Result<(), StorageError> {
        let Some(wanted) = self.load() else { return Ok(()) };
        let ids: HashSet<MessageId> = wanted.iter().map(|(id, _)| *id).collect();
        let found = storage.find_all(ids).await?;
        let mut concluded = 0;
        for old in found.iter().filter(|found| wanted.contains(&(found.id, found.entry))) {
            let gone_on = old.state.open() & storage.gone_on(old.id, old.entry).await?.recipients;
            if gone_on != 0 {
                concluded += 1;
                let now = left_of(old.state, gone_on);
                storage.amend(Change::of(old, now, now_ms(), Some(ROUTED_AGAIN.into())));
            }
        }
        storage.flush().await?;
        info!(
            entries = wanted.len(),
            concluded, "the end of what was being routed again was found"
        );
        if let Err(error) = self.forget() {
            warn!(path = %self.0.display(), %error, "not removed");
        }
        Ok(())
    }

    /// `None`: nothing was going on, or it was not even written down to its end.
    fn load(&self) -> Option<HashSet<(MessageId, u16)>> {
        let text = fs::read_to_string(&self.0).ok()?;
        let mut lines = text.lines();
        let _since: u64 = lines.next()?.parse().ok()?;
        let entry = |line: &str| {
            let (id, entry) = line.split_once(' ')?;
            Some((id.parse().ok()?, entry.parse().ok()?))
        };
        Some(lines.filter_map(entry).collect())
    }
}

/// A state without these recipients.
pub fn left_of(state: EntryState, gone: u64) -> EntryState {
    let (open, attempts) = (state.open() & !gone, state.attempts());
    match state {
        EntryState::Owing { due, reached, .. } => {
            EntryState::Owing { open, attempts, due, reached }
        }
        _ if open == 0 => EntryState::Done,
        EntryState::Waiting { due, .. } => EntryState::Waiting { open, attempts, due },
        EntryState::Held { .. } => EntryState::Held { open, attempts },
        EntryState::Done => EntryState::Done,
    }
}
