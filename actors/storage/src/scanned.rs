//! Entries as storage lists them: enough to deliver or to change one without its message.

use std::sync::Arc;

use relais_channels::mail::{MessageId, Priority};

use crate::{place::Place, state::EntryState};

/// A position in a listing; listings go on behind it. Class, due time, id, number of the entry;
/// big-endian, so that octets sort as the numbers do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor(pub [u8; 19]);

/// An entry as it is listed.
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
