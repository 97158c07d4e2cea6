//! Entries as the index has them, for those who scan it: enough to deliver or to change one without
//! its record.

use std::sync::Arc;

use relais_channels::mail::{MessageId, Priority};

use crate::{
    format::change::{Change, RecipientReplies},
    format::record::Place,
    format::state::EntryState,
    index::block::Key,
};

/// A position in a scan; scans go on behind it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor(pub(crate) Key);

/// An entry as the index has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScannedEntry {
    /// Where a scan goes on.
    pub cursor: Cursor,
    /// The message.
    pub id: MessageId,
    /// Which of its entries.
    pub entry: u16,
    /// The channel it leaves by.
    pub channel: Arc<str>,
    /// Where the message is.
    pub place: Place,
    /// The host it goes to.
    pub host: Arc<str>,
    /// Its state; never [`EntryState::Done`].
    pub state: EntryState,
    /// Bytes of content.
    pub size: u64,
    /// How urgent the message is.
    pub priority: Priority,
}

impl Change {
    /// An entry that was read takes another state, for this reason.
    pub fn of(read: &ScannedEntry, now: EntryState, at: u64, reason: Option<Arc<str>>) -> Self {
        Self {
            id: read.id,
            place: read.place,
            entry: read.entry,
            channel: Arc::clone(&read.channel),
            host: Arc::clone(&read.host),
            priority: read.priority,
            size: read.size,
            at,
            was: read.state,
            now,
            replies: RecipientReplies::new(),
            reason,
            trip: None,
        }
    }
}
