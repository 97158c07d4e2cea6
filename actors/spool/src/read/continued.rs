//! The numbers of entries that a message gets after it was stored: when it is routed again, it goes
//! on in another record, under the same id.
//!
//! An entry's number is its own among all records of the message that are still there. A record
//! that continues a message says so in its header, and has as many entries as there are numbers up
//! to its last. Nothing of this is kept on the disk beside it: the headers of a segment are looked
//! through when the first message of it goes on, once for each run of the engine.
//!
//! Such a record says of which recipients it is, and that decides who has gone on: it is on the
//! disk before the old entry is done, and an engine that ends in between must not send them on once
//! more.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use relais_channels::mail::{MessageId, Rerouted};
use relais_storage::{Gone, Place, StorageError, decode_envelope};

use crate::{
    format::record::{Found, Header, Walker},
    format::segment::HEAD,
    ledger::feed::Feed,
    read::reader::Reader,
};

/// Messages that went on, as far as they are known.
#[derive(Default)]
pub(crate) struct Continued(Mutex<Known>);

/// The numbers that a message wants.
#[derive(Clone, Copy)]
pub(crate) struct MoreNumbers {
    pub(crate) id: MessageId,
    /// The number of entries of its first record.
    pub(crate) least: usize,
    pub(crate) count: usize,
    /// Files that it gets for its content, too: of a large message one for each form.
    pub(crate) files: usize,
}

/// Numbers that were given to a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reserved {
    id: MessageId,
    /// Of its first entry.
    pub(crate) first: u16,
    /// Of its first file, if it gets any.
    pub(crate) form: u8,
    /// The numbers behind the last.
    next: (u16, u8),
}

#[derive(Default)]
struct Known {
    /// The last file of content.
    forms: HashMap<MessageId, u8>,
    /// The first number that is free.
    next: HashMap<MessageId, u16>,
    /// The recipients of an entry that have gone on, a bit each.
    gone: HashMap<(MessageId, u16), u64>,
    /// Segments whose headers were looked through. What is appended later is known anyway.
    read: HashSet<u32>,
}

impl Continued {
    /// Gives numbers to a message that goes on, and says which is the first. Waits for the disk.
    pub(crate) fn reserve(
        &self,
        reader: &Reader,
        feed: &Feed,
        wanted: MoreNumbers,
    ) -> Result<Reserved, StorageError> {
        let MoreNumbers { id, least, count, files } = wanted;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.learn(reader, feed, id)?;
        let first = usize::from(known.next.get(&id).copied().unwrap_or(0)).max(least);
        let next = u16::try_from(first + count);
        let next = next.map_err(|_| StorageError::Envelope("it was routed again too often"))?;
        let last = known.forms.get(&id).copied().unwrap_or(0);
        let last_now = u8::try_from(usize::from(last) + files);
        let last_now = last_now.map_err(|_| StorageError::Envelope("it has too many forms"))?;
        if files > 0 {
            known.forms.insert(id, last_now);
        }
        known.next.insert(id, next);
        // The numbers are not larger than what has just been found to fit.
        let (first, form) = (first as u16, last.saturating_add(1));
        Ok(Reserved { id, first, form, next: (next, last_now) })
    }

    /// Takes back numbers under which nothing was stored, unless higher ones were given since.
    pub(crate) fn give_back(&self, reserved: Reserved) {
        let Reserved { id, first, form, next: (next, last) } = reserved;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.next.get(&id) == Some(&next) {
            known.next.insert(id, first);
        }
        if last >= form && known.forms.get(&id) == Some(&last) {
            known.forms.insert(id, form - 1);
        }
    }

    /// The recipients of an entry that another record has taken over, a bit each. Waits for the
    /// disk.
    pub(crate) fn gone(
        &self,
        reader: &Reader,
        feed: &Feed,
        (id, entry): (MessageId, u16),
    ) -> Result<Gone, StorageError> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.learn(reader, feed, id)?;
        let gone = known.gone.get(&(id, entry)).copied();
        Ok(Gone { recipients: gone.unwrap_or(0), in_part: gone.is_some() })
    }

    /// A record that takes over recipients is safe.
    pub(crate) fn went(&self, id: MessageId, rerouted: Rerouted) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).went(id, rerouted);
    }
}

impl Known {
    /// Looks through whatever may hold records of this message and has not been looked through.
    fn learn(&mut self, reader: &Reader, feed: &Feed, id: MessageId) -> Result<(), StorageError> {
        if self.next.len().max(self.gone.len()) >= MOST_KNOWN {
            *self = Self::default();
        }
        let spans: Vec<(u32, u64)> = feed.live(|ledger| {
            let spans = ledger.segments.iter().filter(|(_, life)| life.spans(id));
            spans.map(|(number, life)| (*number, life.data_len)).collect()
        });
        for (number, data_len) in spans {
            if !self.read.contains(&number) {
                self.look_through(reader, number, data_len)?;
            }
        }
        Ok(())
    }

    fn went(&mut self, id: MessageId, Rerouted { entry, recipients, form, .. }: Rerouted) {
        *self.gone.entry((id, entry)).or_default() |= recipients;
        if form > 0 {
            let last = self.forms.entry(id).or_default();
            *last = form.max(*last);
        }
    }

    fn look_through(
        &mut self,
        reader: &Reader,
        segment: u32,
        data_len: u64,
    ) -> Result<(), StorageError> {
        let path = reader.environment.layout.messages(segment);
        let opened = match reader.segment(Place { segment, offset: 0, length: 0 }) {
            // It was compacted or deleted meanwhile: its copy has another number.
            Err(StorageError::Gone { .. }) => return Ok(()),
            opened => opened?,
        };
        let mut walker = Walker::new(&*opened.file, opened.salt, HEAD as u64, data_len);
        let continues = |header: &Header| header.continued;
        while let Some(found) = walker.next_of(continues).map_err(StorageError::at(&path))? {
            if let Found::Record { header, payload, .. } = found {
                let next = self.next.entry(header.id).or_default();
                *next = header.entries.max(*next);
                let envelope = payload.get(..header.meta as usize).and_then(decode_envelope);
                if let Some(rerouted) = envelope.and_then(|envelope| envelope.rerouted) {
                    self.went(header.id, rerouted);
                }
            }
        }
        self.read.insert(segment);
        Ok(())
    }
}

/// Messages of which it is known that they went on; some 50 MiB. When there are more, segments are
/// looked through once more.
const MOST_KNOWN: usize = 1 << 20;
