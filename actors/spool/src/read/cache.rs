//! Messages with many entries that were read last.
//!
//! Each entry is delivered by itself, and each time the message is read. Where they are thousands,
//! because the recipients leave one by one, that must not cost thousands of entries each time. A
//! destination may be in many such messages, of which each connection reads one after the other.

use quick_cache::{Weighter, unsync};
use relais_storage::Place;

use crate::format::message::Message;

/// As many as there is room for.
pub(crate) struct Cache(unsync::Cache<Place, Message, ByRecord>);

/// Bytes of a record stand for what its message takes in memory.
#[derive(Clone)]
struct ByRecord;

impl Default for Cache {
    fn default() -> Self {
        Self(unsync::Cache::with_weighter(MESSAGES, BYTES, ByRecord))
    }
}

impl Cache {
    /// The message at this place, if it is still known.
    pub(crate) fn find(&mut self, place: Place) -> Option<Message> {
        self.0.get(&place).cloned()
    }

    /// Keeps a message if that is worth it.
    pub(crate) fn keep(&mut self, place: Place, message: &Message) {
        if message.0.entries.len() >= MANY {
            self.0.insert(place, message.clone());
        }
    }

    /// The segment is about to be deleted.
    pub(crate) fn forget(&mut self, segment: u32) {
        self.0.retain(|place, _| place.segment != segment);
    }
}

impl Weighter<Place, Message> for ByRecord {
    fn weight(&self, place: &Place, _: &Message) -> u64 {
        u64::from(place.length)
    }
}

/// With fewer entries it is as well to read the message again.
const MANY: usize = 16;
/// Messages that are expected, of hundreds of entries each.
const MESSAGES: usize = 256;
/// Bytes of their records; in memory they are some five times as many.
const BYTES: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relais_channels::mail::Content;

    use super::*;
    use crate::tests::envelope;

    #[test]
    fn what_is_kept_is_bounded() {
        let place = |offset, length| Place { segment: offset % 2, offset, length };
        let message = |entries| -> Message {
            (Arc::new(envelope(1, &vec!["a"; entries])), Content::Whole("x".into()))
        };
        let bytes = BYTES as u32;
        // entries, bytes of each of a hundred messages, how many of them are kept
        let rows = [
            ("few entries", MANY - 1, 100, 0..=0),
            ("small ones", MANY, 100, 100..=100),
            ("as many as there is room for", MANY, bytes / 50, 25..=50),
            ("large ones", MANY, bytes / 3, 1..=3),
            ("too large", MANY, bytes + 1, 0..=0),
        ];
        for (name, entries, length, want) in rows {
            let mut cache = Cache::default();
            for offset in 0..100 {
                cache.keep(place(offset, length), &message(entries));
            }
            let kept = (0..100).filter(|offset| cache.find(place(*offset, length)).is_some());
            assert!(want.contains(&kept.count()), "{name}");
            assert!(cache.0.weight() <= BYTES, "{name}");
            cache.forget(1);
            assert!(cache.0.iter().all(|(place, _)| place.segment == 0), "{name}");
        }
    }

    #[test]
    fn messages_of_which_each_destination_has_one_entry_are_read_once() {
        let place = |offset| Place { segment: 1, offset, length: 40_000 };
        let message: Message = (Arc::new(envelope(1, &["a"; MANY])), Content::Whole("x".into()));
        let mut cache = Cache::default();
        let mut read = 0;
        for message_of_a_destination in (0..500).flat_map(|_| 0..50) {
            let place = place(message_of_a_destination);
            if cache.find(place).is_none() {
                read += 1;
                cache.keep(place, &message);
            }
        }
        assert_eq!(read, 50);
    }
}
