//! Letters, and short names for what is done with them.

use std::sync::Arc;

use bytes::Bytes;
use relais_channels::mail::{Entry, Envelope, MessageId, Outcome, Recipient, Reply};

use crate::{
    change::{Change, RecipientReplies},
    content::NewContent,
    contract::Storage,
    scanned::ScannedEntry,
    state::EntryState,
    stored::Stored,
};

/// A message with an entry for each of these channels.
pub fn envelope(id: u64, channels: &[&str]) -> Envelope {
    let entry = |channel: &&str| Entry {
        channel: (*channel).into(),
        host: format!("host.{channel}").into(),
        recipients: vec![Recipient::new("r@example.org", "R")],
    };
    Envelope {
        source_channel: "tcp_local".into(),
        client: "client [192.0.2.1]".into(),
        eight_bit: true,
        ..Envelope::plain(MessageId(id), id, channels.iter().map(entry).collect())
    }
}

pub(super) fn text(text: &'static str) -> NewContent {
    NewContent::Whole(Bytes::from_static(text.as_bytes()))
}

pub(super) async fn store(storage: &Storage, id: u64, channels: &[&str]) -> Stored {
    let mut envelope = Arc::new(envelope(id, channels));
    storage.append(&mut envelope, text("hello")).await.expect("stored")
}

/// The one entry with this number of what was found.
pub(super) fn entry(found: &[ScannedEntry], number: u16) -> &ScannedEntry {
    found.iter().find(|found| found.entry == number).expect("an entry with that number")
}

/// Lets an entry that was found take another state.
pub(super) fn change(found: &ScannedEntry, now: EntryState, reason: &str) -> Change {
    Change::of(found, now, 1, (!reason.is_empty()).then(|| reason.into()))
}

/// The same after an attempt, in which the host said this.
pub(super) fn attempt(found: &ScannedEntry, now: EntryState, code: u16) -> Change {
    let said = Outcome::Deferred(Reply { code, enhanced: None, text: "not now".into() });
    let replies = RecipientReplies::from_iter([(0, said)]);
    Change { replies, ..change(found, now, "") }
}

pub(super) fn waiting(attempts: u16, due: u64) -> EntryState {
    EntryState::Waiting { open: 1, attempts, due }
}

pub(super) fn names(page: &[ScannedEntry]) -> Vec<(u64, u16)> {
    page.iter().map(|entry| (entry.id.0, entry.entry)).collect()
}
