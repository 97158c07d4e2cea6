//! Messages with many entries that were read last.
//!
//! Each entry is delivered by itself, and each time the message is read. Where they are thousands,
//! because the recipients leave one by one, that must not cost thousands of entries each time.

use std::collections::VecDeque;

use crate::{format::message::Message, format::record::Place};

/// The one that was read last comes first.
#[derive(Default)]
pub(crate) struct Cache(VecDeque<(Place, Message)>);

impl Cache {
    /// The message at this place, if it is still known.
    pub(crate) fn find(&mut self, place: Place) -> Option<Message> {
        let at = self.0.iter().position(|(known, _)| *known == place)?;
        let found = self.0.remove(at)?;
        let message = found.1.clone();
        self.0.push_front(found);
        Some(message)
    }

    /// Keeps a message if that is worth it.
    pub(crate) fn keep(&mut self, place: Place, message: &Message) {
        if message.0.entries.len() < MANY || place.length > BYTES {
            return;
        }
        self.0.retain(|(known, _)| *known != place);
        self.0.push_front((place, message.clone()));
        while self.0.len() > MESSAGES || self.bytes() > u64::from(BYTES) {
            self.0.pop_back();
        }
    }

    /// The segment is about to be deleted.
    pub(crate) fn forget(&mut self, segment: u32) {
        self.0.retain(|(place, _)| place.segment != segment);
    }

    fn bytes(&self) -> u64 {
        self.0.iter().map(|(place, _)| u64::from(place.length)).sum()
    }
}

/// With fewer entries it is as well to read the message again.
const MANY: usize = 16;
/// Messages kept.
const MESSAGES: usize = 8;
/// Bytes of their records; in memory they are some five times as many.
const BYTES: u32 = 8 << 20;

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
        // entries, bytes of each of ten messages, how many of them are kept
        let rows = [
            ("few entries", MANY - 1, 100, 0),
            ("small ones", MANY, 100, MESSAGES),
            ("large ones", MANY, BYTES / 3, 3),
            ("as large as can be", MANY, BYTES, 1),
            ("too large", MANY, BYTES + 1, 0),
        ];
        for (name, entries, length, want) in rows {
            let mut cache = Cache::default();
            for offset in 0..10 {
                cache.keep(place(offset, length), &message(entries));
                // It is in use all the time.
                cache.find(place(0, length));
            }
            let kept: Vec<u32> =
                (0..10).filter(|offset| cache.find(place(*offset, length)).is_some()).collect();
            assert_eq!(kept.len(), want, "{name}: {kept:?}");
            let in_use = want == 0 || want == 1 || kept.contains(&0);
            assert!(in_use, "{name}: {kept:?}");
            cache.forget(1);
            assert!(cache.0.iter().all(|(place, _)| place.segment == 0), "{name}");
        }
    }
}
