//! Changes of the states of entries, as they are written beside the segment.

use std::{collections::HashSet, sync::Arc};

use relais_storage::{Change, RecipientReplies, Stored, StoredEntry};

use crate::format::record::{HEADER, Header, Kind, Salt};

/// An entry as it was stored, that changes only its place.
pub(crate) fn moved(stored: &Stored, number: u16, entry: &StoredEntry) -> Change {
    let stored_as = stored.initial(entry);
    Change {
        id: stored.id,
        place: stored.place,
        entry: number,
        channel: Arc::clone(&entry.channel),
        host: Arc::clone(&entry.host),
        priority: stored.priority,
        size: stored.size,
        at: stored.received,
        was: stored_as,
        now: stored_as,
        replies: RecipientReplies::new(),
        reason: None,
        trip: None,
    }
}

/// Appends the record of a change to `out`, which will be written so that the record begins at `at`.
pub(crate) fn encode(change: &Change, (salt, at): (Salt, u64), durable: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER, 0);
    change.append(out);
    let payload = &out[start + HEADER..];
    let header = Header {
        kind: Kind::Change,
        continued: false,
        grouped: false,
        entries: change.entry,
        id: change.id,
        meta: payload.len() as u32,
        content: 0,
        durable,
        payload_crc: crc32c::crc32c(payload),
    };
    header.write(salt, at, &mut out[start..]);
}

/// Reads it back, the replies only if asked for.
pub(crate) fn decode(header: &Header, payload: &[u8], replies: bool) -> Option<Change> {
    Change::read((header.id, header.entries), payload, replies)
}

/// Equal names, kept once.
#[derive(Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(crate) fn share(&mut self, name: &mut Arc<str>) {
        match self.0.get(name) {
            Some(known) => *name = Arc::clone(known),
            None => drop(self.0.insert(Arc::clone(name))),
        }
    }
}
