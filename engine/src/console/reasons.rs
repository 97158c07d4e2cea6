//! Why entries are held, or are as they are: from their history, where nobody else knows.

use std::borrow::Cow;

use relais_storage::{Change, EntryState, ScannedEntry};

use super::parts::Parts;

/// Why an entry is held.
pub(super) async fn hold_reason(parts: &Parts, scanned: &ScannedEntry) -> String {
    let history = parts.storage.history(scanned.id, scanned.place).await.unwrap_or_default();
    let held = |change: &&Change| {
        change.entry == scanned.entry && matches!(change.now, EntryState::Held { .. })
    };
    if let Some(reason) = history.iter().rev().find(held).and_then(|change| change.reason.clone()) {
        return reason.to_string();
    }
    let by_channel = || format!("channel {} holds all its mail", scanned.channel);
    let Ok(envelope) = parts.storage.envelope(scanned.place).await else { return by_channel() };
    envelope.held_because(scanned.entry).map_or_else(by_channel, Cow::into_owned)
}

/// Why an entry is as it is: the reason of its last change, if it has one.
pub(super) async fn last_reason(parts: &Parts, scanned: &ScannedEntry) -> Option<String> {
    let history = parts.storage.history(scanned.id, scanned.place).await.unwrap_or_default();
    let last = history.iter().rev().find(|change| change.entry == scanned.entry)?;
    last.reason.as_deref().map(str::to_owned)
}
