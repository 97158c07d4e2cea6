//! Entrances for fuzzers, who have no use for files.

use relais_channels::mail::MessageId;

use crate::format::{
    change::Change,
    message::Stored,
    record::{Header, Kind},
};

/// Decodes the payload of a record of any kind, as if its checksum were right.
pub fn record(payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    for kind in [Kind::Whole, Kind::Blob, Kind::Change] {
        let header = Header {
            kind,
            continued: false,
            entries: 1,
            id: MessageId(0),
            meta: length,
            content: 0,
            durable: 0,
            payload_crc: 0,
        };
        let _ = Change::decode(&header, payload, true);
        let _ = Change::decode_replies(payload);
        let _ = Stored::from_record(1, 0, &header, payload);
    }
}
