//! Messages that have just been stored, for those who deliver them at once.
//!
//! Nearly all mail leaves within moments. What the committer has made durable is handed to the
//! [`Reader`](crate::read::reader::Reader) in memory, as often as the message has entries; only
//! what waits longer is read and decoded again. Bounded in bytes and in number: the oldest go
//! first.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use relais_storage::Place;

use crate::format::message::Message;

/// Shared by the committer and the reader.
#[derive(Default)]
pub(crate) struct Fresh(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// In the order of their places: the committer only ever appends.
    messages: VecDeque<(Place, Option<Untried>)>,
    bytes: usize,
}

/// A message of which some entries have not been asked for.
struct Untried {
    message: Message,
    entries: usize,
}

impl Fresh {
    /// Keeps messages that are durable now, each with how often it will be read.
    pub(crate) fn keep(&self, stored: impl Iterator<Item = (Place, Message, usize)>) {
        let mut kept = self.lock();
        for (place, message, entries) in stored {
            kept.bytes += weight(place);
            kept.messages.push_back((place, Some(Untried { message, entries })));
        }
        while kept.bytes > MAX_BYTES || kept.messages.len() > MAX_MESSAGES {
            kept.drop_first();
        }
    }

    /// The message at this place, for one of its entries.
    pub(crate) fn take(&self, place: Place) -> Option<Message> {
        let mut kept = self.lock();
        let at = kept.messages.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        let slot = &mut kept.messages[at].1;
        let untried = slot.as_mut()?;
        untried.entries = untried.entries.saturating_sub(1);
        if untried.entries > 0 {
            return Some(untried.message.clone());
        }
        let message = slot.take().map(|untried| untried.message);
        kept.bytes -= weight(place);
        while kept.messages.front().is_some_and(|(_, untried)| untried.is_none()) {
            kept.drop_first();
        }
        message
    }

    /// Forgets all: what is read from now on comes from the disk.
    #[cfg(test)]
    pub(crate) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_first(&mut self) {
        if let Some((place, Some(_))) = self.messages.pop_front() {
            self.bytes -= weight(place);
        }
    }
}

/// Bytes in memory, about: the record, and what an envelope takes beside its text.
fn weight(place: Place) -> usize {
    place.length as usize + ENVELOPE
}

/// Bytes of all messages at most.
const MAX_BYTES: usize = 8 << 20;
/// Messages kept, those that were taken before the oldest one included.
const MAX_MESSAGES: usize = 8 << 10;
/// Bytes of an envelope with one recipient.
const ENVELOPE: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use relais_channels::mail::Content;

    use super::*;
    use crate::tests::envelope;

    fn place(offset: usize, length: usize) -> Place {
        Place { segment: 1, offset: offset as u32, length: length as u32 }
    }

    fn message() -> Message {
        (Arc::new(envelope(1, &["a"])), Content::Whole("x".into()))
    }

    #[test]
    fn each_entry_of_a_message_is_served_once() {
        let fresh = Fresh::default();
        fresh.keep((0..3).map(|n| (place(n, 10), message(), n + 1)));
        for n in [2, 0, 1] {
            for _ in 0..=n {
                assert!(fresh.take(place(n, 10)).is_some(), "{n}");
            }
            assert!(fresh.take(place(n, 10)).is_none(), "{n}");
        }
        let kept = fresh.lock();
        assert_eq!((kept.bytes, kept.messages.len()), (0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        // name, bytes of each, how many of 20,000 are kept
        let rows = [
            ("many small ones", 100, MAX_BYTES / (100 + ENVELOPE)),
            ("large ones", 1 << 20, 7),
            ("one that is too large", MAX_BYTES, 0),
        ];
        for (name, bytes, want) in rows {
            let fresh = Fresh::default();
            for n in 0..20_000 {
                fresh.keep(std::iter::once((place(n, bytes), message(), 1)));
            }
            let kept = (0..20_000).filter(|n| fresh.take(place(*n, bytes)).is_some()).count();
            assert_eq!(kept, want.min(MAX_MESSAGES), "{name}");
            assert_eq!(fresh.lock().bytes, 0, "{name}");
        }
    }

    #[test]
    fn one_that_nobody_asks_for_keeps_nothing_behind_it() {
        let fresh = Fresh::default();
        for n in 0..20_000 {
            fresh.keep(std::iter::once((place(n, 10), message(), 1)));
            assert!(n == 0 || fresh.take(place(n, 10)).is_some());
        }
        assert!(fresh.take(place(0, 10)).is_none(), "it is the oldest");
        assert!(fresh.lock().messages.is_empty());
    }
}
