//! Entrances for fuzzers, who have no use for files.

use relais_channels::mail::MessageId;
use relais_storage::Change;

use crate::format::{
    change,
    message::stored_in,
    record::{Header, Kind},
};

/// Decodes the payload of a record of any kind, as if its checksum were right.
pub fn record(payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    for kind in [Kind::Whole, Kind::Blob, Kind::Change] {
        let header = Header {
            kind,
            continued: false,
            grouped: false,
            entries: 1,
            id: MessageId(0),
            meta: length,
            content: 0,
            durable: 0,
            payload_crc: 0,
        };
        let _ = change::decode(&header, payload, true);
        let _ = Change::read_replies(payload);
        let _ = stored_in(1, 0, &header, payload);
    }
}
