//! The bytes of a journal: two headers, then records in a ring.
//!
//! A position counts bytes since the journal was made and never repeats; its place in the file is
//! the rest of its division by the capacity. Each record carries its position and a checksum, so that
//! what an older turn of the ring left behind is told from what belongs here.

use std::io::{self, IoSlice};

use crate::disk::DiskFile;

/// The first page of the file, twice, written in turn.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Header {
    /// Of two headers, the one written later counts.
    pub(super) turn: u64,
    /// Everything before is durable in the mailboxes.
    pub(super) tail: u64,
    /// Bytes of records that the file holds.
    pub(super) capacity: u64,
}

impl Header {
    /// The newer of the two headers of `file`; `None`: neither is whole and fits the file.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let mut newest: Option<Self> = None;
        for slot in 0..2 {
            let mut bytes = [0; HEADER_SIZE];
            if file.read_at(&mut bytes, slot * PAGE)? == bytes.len()
                && let Some(header) = Self::decode(&bytes)
                && newest.as_ref().is_none_or(|newest| newest.turn < header.turn)
            {
                newest = Some(header);
            }
        }
        let size = file.size()?;
        Ok(newest.filter(|header| size == DATA + header.capacity))
    }

    /// Makes this header the one that counts, durably.
    pub(super) fn write(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        self.turn += 1;
        file.write_at(&mut [IoSlice::new(&self.encode())], self.turn % 2 * PAGE)?;
        file.sync_data()
    }

    pub(super) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.turn.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.tail.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.capacity.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..48]);
        bytes[48..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_SIZE]) -> Option<Self> {
        let sum = u32::from_le_bytes(bytes[48..].try_into().ok()?);
        if &bytes[..8] != MAGIC || sum != crc32c::crc32c(&bytes[..48]) {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
        let header = Self { turn: number(8)?, tail: number(16)?, capacity: number(24)? };
        (header.capacity > 0 && header.capacity.is_multiple_of(PAGE)).then_some(header)
    }
}

/// Appends a record to a batch; its position and checksum are filled in by [`number`]. `parts` are its
/// bytes, one behind the other.
pub(super) fn put_record(batch: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    batch.reserve(record_size(length));
    batch.extend_from_slice(&[0; 8]);
    batch.extend_from_slice(&(length as u32).to_le_bytes());
    batch.extend_from_slice(&[0; 4]);
    for part in parts {
        batch.extend_from_slice(part);
    }
    batch.resize(batch.len().next_multiple_of(ALIGN), 0);
}

/// Bytes that a record with so much in it takes.
pub fn record_size(bytes: usize) -> usize {
    (RECORD_HEAD + bytes).next_multiple_of(ALIGN)
}

/// Gives each record of a batch its position and its checksum.
pub(super) fn number(batch: &mut [u8], head: u64) {
    let mut at = 0;
    while let Some(record) = batch.get_mut(at..).filter(|rest| rest.len() > RECORD_HEAD) {
        let length = u32_at(record, 8) as usize;
        if length == 0 {
            return;
        }
        record[..8].copy_from_slice(&(head + at as u64).to_le_bytes());
        let sum = checksum(&record[..RECORD_HEAD + length]);
        record[12..16].copy_from_slice(&sum.to_le_bytes());
        at += record_size(length);
    }
}

/// Calls `each` for every record from the tail on; where the last one ends.
pub(super) fn scan(
    file: &dyn DiskFile,
    header: &Header,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut at, limit) = (header.tail, header.tail + header.capacity);
    loop {
        let next = match record(file, header.capacity, at, limit)? {
            Some(record) => {
                each(&record[RECORD_HEAD..])?;
                at + record_size(record.len() - RECORD_HEAD) as u64
            }
            // The rest of a batch's last page is empty.
            None if !at.is_multiple_of(PAGE) => at.next_multiple_of(PAGE),
            None => return Ok(at),
        };
        at = next;
    }
}

/// The record at a position, head included.
fn record(file: &dyn DiskFile, capacity: u64, at: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if limit - at.min(limit) < RECORD_HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; RECORD_HEAD];
    read_at(file, capacity, at, &mut head)?;
    let length = RECORD_HEAD + u32_at(&head, 8) as usize;
    if head[..8] != at.to_le_bytes() || length == RECORD_HEAD || length as u64 > limit - at {
        return Ok(None);
    }
    let mut record = vec![0; length];
    read_at(file, capacity, at, &mut record)?;
    Ok((checksum(&record) == u32_at(&record, 12)).then_some(record))
}

/// Of everything but the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[RECORD_HEAD..])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Writes bytes at a position, round the end of the ring if need be.
pub(super) fn write_at(
    file: &dyn DiskFile,
    capacity: u64,
    at: u64,
    bytes: &[u8],
) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = bytes.split_at(bytes.len().min((capacity - place) as usize));
    file.write_at(&mut [IoSlice::new(first)], DATA + place)?;
    if rest.is_empty() { Ok(()) } else { file.write_at(&mut [IoSlice::new(rest)], DATA) }
}

fn read_at(file: &dyn DiskFile, capacity: u64, at: u64, bytes: &mut [u8]) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = bytes.split_at_mut(bytes.len().min((capacity - place) as usize));
    for (part, at) in [(first, DATA + place), (rest, DATA)] {
        if file.read_at(part, at)? < part.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

const MAGIC: &[u8; 8] = b"relaisJ1";
pub(super) const PAGE: u64 = 4_096;
/// Where the records begin, behind the two headers.
pub(super) const DATA: u64 = 2 * PAGE;
const HEADER_SIZE: usize = 52;
/// Position, length, checksum.
pub(super) const RECORD_HEAD: usize = 16;
const ALIGN: usize = 16;
