//! A message on its way into the spool, and what the spool says when it is in.

use std::sync::Arc;

use bytes::Bytes;
use relais_channels::mail::{Content, Envelope};
use relais_storage::{
    BadEnvelope, Place, Stored, StoredEntry, append_envelope, check_envelope, decode_envelope,
    entries_of,
};

use crate::format::record::{HEADER, Header, Kind, Salt};

/// A message for those who deliver it.
pub(crate) type Message = (Arc<Envelope>, Content);

/// A record that lacks only its place.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Room for the header, then the meta part. The first of a group has room for the group's header
    /// before that.
    front: Vec<u8>,
    /// How many records, this one included, are the group that it is the first of; 0: none.
    leads: u16,
    envelope: Arc<Envelope>,
    content: Bytes,
    header: Header,
    entries: Arc<[StoredEntry]>,
}

impl Encoded {
    /// Does all the work that needs no disk: this runs in the caller's task. `blob` is the length
    /// of the content that lies in a file of its own.
    pub(crate) fn new(
        envelope: &mut Arc<Envelope>,
        content: Bytes,
        blob: Option<u64>,
    ) -> Result<Self, BadEnvelope> {
        check_envelope(envelope)?;
        // Nobody else has it yet: nothing is cloned.
        Arc::make_mut(envelope).size = blob.unwrap_or(content.len() as u64);
        let mut front = Vec::with_capacity(FRONT);
        front.resize(HEADER, 0);
        append_envelope(envelope, &mut front);
        let meta = front.len() - HEADER;
        if meta + content.len() > MAX_RECORD {
            return Err(BadEnvelope("more than 64 MiB in one record"));
        }
        let payload_crc = crc32c::crc32c_append(crc32c::crc32c(&front[HEADER..]), &content);
        let header = Header {
            kind: if blob.is_some() { Kind::Blob } else { Kind::Whole },
            continued: envelope.entries[0].recipients.is_empty(),
            grouped: false,
            entries: envelope.entries.len() as u16,
            id: envelope.id,
            meta: meta as u32,
            content: content.len() as u32,
            durable: 0,
            payload_crc,
        };
        let entries = entries_of(envelope);
        Ok(Self { front, leads: 0, envelope: Arc::clone(envelope), content, header, entries })
    }

    /// Makes a group of records that belong together: after a crash all of them are there, or none.
    pub(crate) fn group(records: &mut [Self]) -> Result<(), BadEnvelope> {
        let length: u64 = records.iter().map(|record| record.header.length()).sum();
        if length > MAX_RECORD as u64 || records.len() > usize::from(u16::MAX) {
            return Err(BadEnvelope("its forms are more than 64 MiB"));
        }
        let count = records.len() as u16;
        let [first, _, ..] = &mut *records else { return Ok(()) };
        first.leads = count;
        first.front.splice(0..0, [0; HEADER]);
        for record in records {
            record.header.grouped = true;
        }
        Ok(())
    }

    /// Bytes of the record, and of the header of the group that it leads.
    pub(crate) fn length(&self) -> u32 {
        (self.lead() as u64 + self.header.length()) as u32
    }

    /// Bytes before the record's own header.
    fn lead(&self) -> usize {
        if self.leads > 0 { HEADER } else { 0 }
    }

    pub(crate) fn is_blob(&self) -> bool {
        self.header.kind == Kind::Blob
    }

    /// Completes the records of a batch that begins at `end` of a segment, of which `durable` bytes
    /// are safe, and moves `end` on; says what each will be known as.
    pub(crate) fn place_all(
        batch: &mut [Self],
        (salt, segment): (Salt, u32),
        end: &mut u32,
        durable: u32,
    ) -> Vec<Stored> {
        let mut stored = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while let Some(first) = rest.first() {
            let count = usize::from(first.leads).clamp(1, rest.len());
            let (records, others) = rest.split_at_mut(count);
            let at = *end;
            for record in &mut *records {
                stored.push(record.place(salt, segment, *end, durable));
                *end += record.length();
            }
            if count > 1 {
                Self::complete_group(records, salt, at, durable);
            }
            rest = others;
        }
        stored
    }

    /// Writes the header of a group whose records are complete.
    fn complete_group(records: &mut [Self], salt: Salt, at: u32, durable: u32) {
        let (mut crc, mut length) = (0, 0);
        for record in &*records {
            let [front, content] = record.parts();
            crc = crc32c::crc32c_append(crc, &front[record.lead()..]);
            crc = crc32c::crc32c_append(crc, content);
            length += record.header.length();
        }
        let first = &mut records[0];
        let header = Header {
            kind: Kind::Group,
            continued: false,
            grouped: false,
            entries: first.leads,
            id: first.header.id,
            meta: 0,
            content: length as u32,
            durable,
            payload_crc: crc,
        };
        header.write(salt, u64::from(at), &mut first.front);
    }

    /// Completes the record for its place and says what it will be known as.
    fn place(&mut self, salt: Salt, segment: u32, offset: u32, durable: u32) -> Stored {
        let lead = self.lead();
        let offset = offset + lead as u32;
        self.header.durable = durable;
        self.header.write(salt, u64::from(offset), &mut self.front[lead..]);
        let place = Place { segment, offset, length: self.header.length() as u32 };
        let entries = Arc::clone(&self.entries);
        Stored::with(&self.envelope, self.header.kind == Kind::Blob, place, entries)
    }

    /// The message for its delivery; `None` when its content lies elsewhere.
    pub(crate) fn message(&self) -> Option<Message> {
        let content = (!self.is_blob()).then(|| Content::Whole(self.content.clone()))?;
        Some((Arc::clone(&self.envelope), content))
    }

    /// The bytes, once the record has its place.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.front, &self.content]
    }
}

/// A message as its record has it.
pub(crate) fn stored_in(
    segment: u32,
    offset: u64,
    header: &Header,
    payload: &[u8],
) -> Option<Stored> {
    let envelope = decode_envelope(payload.get(..header.meta as usize)?)?;
    let place = Place { segment, offset: offset as u32, length: header.length() as u32 };
    Some(Stored::of(&envelope, header.kind == Kind::Blob, place))
}

/// Bytes in which nearly every header and meta part fit.
const FRONT: usize = 256;
/// Bytes of envelope and content in one record; anything larger belongs into a file of its own.
const MAX_RECORD: usize = 64 << 20;
