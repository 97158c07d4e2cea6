//! Changes of the states of entries, and how they are written down.

use std::sync::Arc;

use relais_channels::mail::{MessageId, Outcome, Priority, Timings, Trip};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::{octets::append_postcard, place::Place, scanned::ScannedEntry, state::EntryState};

/// Outcomes of an attempt with the numbers of their recipients; nearly always one.
pub type RecipientReplies = SmallVec<[(u8, Outcome); 1]>;

/// A change of one entry's state.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The message.
    pub id: MessageId,
    /// Where it is stored.
    pub place: Place,
    /// Which of its entries, counting from 0 in the order of the envelope.
    pub entry: u16,
    /// The entry's channel.
    pub channel: Arc<str>,
    /// The entry's host.
    pub host: Arc<str>,
    /// The message's.
    pub priority: Priority,
    /// Bytes of the message's content.
    pub size: u64,
    /// When it changed, in milliseconds since 1970.
    pub at: u64,
    /// The state it leaves.
    pub was: EntryState,
    /// The state it takes.
    pub now: EntryState,
    /// Replies, by recipient; kept for the message's history.
    pub replies: RecipientReplies,
    /// Why it is held, or who changed it; kept for the message's history.
    pub reason: Option<Arc<str>>,
    /// The way that an attempt took; the same.
    pub trip: Option<Arc<Trip>>,
}

/// [`Change`] as written; the message and the number of the entry stand beside it.
#[derive(Deserialize, Serialize)]
struct Written<'a> {
    place: Place,
    #[serde(borrow)]
    channel: &'a str,
    #[serde(borrow)]
    host: &'a str,
    priority: Priority,
    size: u64,
    at: u64,
    was: EntryState,
    now: EntryState,
    #[serde(borrow)]
    reason: Option<&'a str>,
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

    /// Appends it, without the message and the number of the entry.
    pub fn append(&self, out: &mut Vec<u8>) {
        let written = Written {
            place: self.place,
            channel: &self.channel,
            host: &self.host,
            priority: self.priority,
            size: self.size,
            at: self.at,
            was: self.was,
            now: self.now,
            reason: self.reason.as_deref(),
        };
        append_postcard(&written, out);
        append_postcard(&self.replies, out);
        // Older versions of the program step over it, or over all but the protection.
        if let Some(Trip { peer, protection, timings }) = self.trip.as_deref() {
            append_postcard(&(protection, peer, timings), out);
        }
    }

    /// Reads it back, the replies only if asked for.
    pub fn read((id, entry): (MessageId, u16), octets: &[u8], replies: bool) -> Option<Self> {
        let (written, rest) = postcard::take_from_bytes::<Written<'_>>(octets).ok()?;
        let (replies, trip) = if replies {
            let (replies, rest) = postcard::take_from_bytes(rest).ok()?;
            (replies, trip_of(rest))
        } else {
            (RecipientReplies::new(), None)
        };
        Some(Self {
            id,
            place: written.place,
            entry,
            channel: written.channel.into(),
            host: written.host.into(),
            priority: written.priority,
            size: written.size,
            at: written.at,
            was: written.was,
            now: written.now,
            replies,
            reason: written.reason.map(Into::into),
            trip: trip.map(Arc::new),
        })
    }

    /// As [`Change::read`], only the time and the replies.
    pub fn read_replies(octets: &[u8]) -> Option<(u64, RecipientReplies)> {
        let (written, rest) = postcard::take_from_bytes::<Written<'_>>(octets).ok()?;
        Some((written.at, postcard::from_bytes(rest).ok()?))
    }
}

/// Of older versions only the protection is there.
fn trip_of(written: &[u8]) -> Option<Trip> {
    let (protection, rest) = postcard::take_from_bytes::<&str>(written).ok()?;
    let (peer, timings) = postcard::from_bytes::<(&str, Timings)>(rest).unwrap_or_default();
    Some(Trip { peer: peer.into(), protection: protection.into(), timings })
}
