//! Records: how messages and state changes lie in a file.
//!
//! ```text
//!  0  4  "rSp" and the version of this layout, 1
//!  4  1  kind                       5  1  flags: 1: a message goes on, with more entries;
//!                                         2: it counts in its group only
//!  6  2  entries of the message, or the entry that changed, or the records of the group
//!  8  8  message id
//! 16  4  length of the meta part    20  4  length of the content
//! 24  4  length of the file that was durable when this was written
//! 28  4  CRC-32C of meta part and content
//! 32  4  CRC-32C of the above, of the place in the file and of the file's secret
//! 36     meta part (postcard), content (bytes as they are)
//! ```
//!
//! A group is a record whose content is other records, the forms in which one message goes on: its
//! checksum is over all of them, so that a crash leaves all of them or none. Each of them is read at its
//! own place, as any other.
//!
//! Numbers are little-endian. The two checksums find every flipped byte. The header's own makes
//! it possible to step over a damaged payload, and to find the next record when a header is
//! damaged; since it covers a random number of the segment, content that looks like a record is
//! never taken for one. The durable length tells a torn tail (written, never acknowledged) from
//! damage to what was safe.

use std::io;

use memchr::memmem;
use relais_channels::{disk::DiskFile, mail::MessageId};

/// The kinds of records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// An envelope and its content.
    Whole = 1,
    /// An envelope; the content is in a file of its own.
    Blob = 2,
    /// A change of an entry's state.
    Change = 3,
    /// The end: nothing follows, and everything before is durable.
    Seal = 4,
    /// Records that are there together or not at all.
    Group = 5,
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// The message has an earlier record, and has gone on to more entries.
    pub(crate) continued: bool,
    /// It lies in a group, and counts only with the rest of it.
    pub(crate) grouped: bool,
    /// How many entries the message has, or which of them changed, or how many records a group has.
    pub(crate) entries: u16,
    pub(crate) id: MessageId,
    pub(crate) meta: u32,
    pub(crate) content: u32,
    pub(crate) durable: u32,
    pub(crate) payload_crc: u32,
}

/// The number that the header checksums of one file start from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Salt(pub(crate) u32);

impl Header {
    /// The seal of a file of which `durable` bytes are safe.
    pub(crate) fn seal(durable: u32) -> Self {
        let (kind, id) = (Kind::Seal, MessageId(0));
        Self {
            kind,
            continued: false,
            grouped: false,
            entries: 0,
            id,
            meta: 0,
            content: 0,
            durable,
            payload_crc: 0,
        }
    }

    /// Bytes of the whole record.
    pub(crate) fn length(&self) -> u64 {
        HEADER as u64 + u64::from(self.meta) + u64::from(self.content)
    }

    /// Writes it into the first [`HEADER`] bytes of `out`, for the place `at` of a file.
    pub(crate) fn write(&self, salt: Salt, at: u64, out: &mut [u8]) {
        out[..4].copy_from_slice(MAGIC);
        out[4] = self.kind as u8;
        out[5] = u8::from(self.continued) | u8::from(self.grouped) << 1;
        out[6..8].copy_from_slice(&self.entries.to_le_bytes());
        out[8..16].copy_from_slice(&self.id.0.to_le_bytes());
        out[16..20].copy_from_slice(&self.meta.to_le_bytes());
        out[20..24].copy_from_slice(&self.content.to_le_bytes());
        out[24..28].copy_from_slice(&self.durable.to_le_bytes());
        out[28..32].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = header_crc(salt, at, &out[..32]);
        out[32..HEADER].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads it; `None` if there is no intact header for this place.
    pub(crate) fn read(bytes: &[u8], salt: Salt, at: u64) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.get(..HEADER)?.try_into().ok()?;
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if &bytes[..4] != MAGIC || word(32) != header_crc(salt, at, &bytes[..32]) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Whole,
            2 => Kind::Blob,
            3 => Kind::Change,
            4 => Kind::Seal,
            5 => Kind::Group,
            _ => return None,
        };
        Some(Self {
            kind,
            continued: bytes[5] & 1 != 0,
            grouped: bytes[5] & 2 != 0,
            entries: u16::from_le_bytes([bytes[6], bytes[7]]),
            id: MessageId(u64::from(word(8)) | u64::from(word(12)) << 32),
            meta: word(16),
            content: word(20),
            durable: word(24),
            payload_crc: word(28),
        })
    }

    /// Whether `payload`, meta part and content, is what was written.
    pub(crate) fn matches(&self, payload: &[u8]) -> bool {
        payload.len() as u64 + HEADER as u64 == self.length()
            && crc32c::crc32c(payload) == self.payload_crc
    }
}

/// Goes through the records of a file in order, whatever has happened to it.
pub(crate) struct Walker<'a> {
    file: &'a dyn DiskFile,
    salt: Salt,
    at: u64,
    end: u64,
    window_at: u64,
    window: Vec<u8>,
    /// The end of the last group that is whole.
    group_end: u64,
}

/// A record, or a stretch without one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found<'a> {
    /// An intact record.
    Record {
        /// Where it begins.
        offset: u64,
        /// Its header.
        header: Header,
        /// Meta part and content.
        payload: &'a [u8],
    },
    /// A stretch without an intact record. If no record follows, it may be a torn tail.
    Bad {
        /// Where it begins.
        offset: u64,
        /// How far it is to the next intact header, or the end.
        length: u64,
        /// The message, if at least the header is intact.
        id: Option<MessageId>,
    },
}

impl<'a> Walker<'a> {
    /// A walk over the bytes from `at` to `end`.
    pub(crate) fn new(file: &'a dyn DiskFile, salt: Salt, at: u64, end: u64) -> Self {
        Self { file, salt, at, end, window_at: at, window: Vec::new(), group_end: 0 }
    }

    /// Whether more records of a group follow: a walk that begins between them does not find them.
    pub(crate) fn is_in_group(&self) -> bool {
        self.at < self.group_end
    }

    /// The next record or bad stretch; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        self.next_of(|_| true)
    }

    /// The same among the records that are wanted and stretches without a header. The others are
    /// stepped over: their payload is neither read, where that can be saved, nor checked. Groups are
    /// always checked, and never told of where they are whole: their records are.
    pub(crate) fn next_of(
        &mut self,
        wanted: impl Fn(&Header) -> bool,
    ) -> io::Result<Option<Found<'_>>> {
        let (offset, header) = loop {
            let offset = self.at;
            if offset >= self.end {
                return Ok(None);
            }
            let Some(header) = self.header_at(offset)? else {
                let next = self.next_header(offset + 1)?;
                self.at = next;
                return Ok(Some(Found::Bad { offset, length: next - offset, id: None }));
            };
            self.at = offset + header.length();
            if header.kind == Kind::Group {
                if !self.is_intact(offset, &header)? {
                    break (offset, header);
                }
                self.group_end = self.at;
                self.at = offset + HEADER as u64;
            } else if wanted(&header) {
                break (offset, header);
            }
        };
        let payload = self.bytes(offset + HEADER as u64, header.length() - HEADER as u64)?;
        if header.matches(payload) {
            Ok(Some(Found::Record { offset, header, payload }))
        } else {
            Ok(Some(Found::Bad { offset, length: header.length(), id: Some(header.id) }))
        }
    }

    fn is_intact(&mut self, offset: u64, header: &Header) -> io::Result<bool> {
        let payload = self.bytes(offset + HEADER as u64, header.length() - HEADER as u64)?;
        Ok(header.matches(payload))
    }

    /// An intact header whose record fits into the file, and into its group if it has one.
    fn header_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let (salt, end, group_end) = (self.salt, self.end, self.group_end);
        let bytes = self.bytes(at, HEADER as u64)?;
        let fits =
            |header: &Header| at + header.length() <= if header.grouped { group_end } else { end };
        Ok(Header::read(bytes, salt, at).filter(fits))
    }

    fn next_header(&mut self, mut at: u64) -> io::Result<u64> {
        while at + HEADER as u64 <= self.end {
            let stretch = self.bytes(at, CHUNK as u64)?;
            let searched = stretch.len();
            if searched < MAGIC.len() {
                break; // the file is shorter than it was
            }
            match memmem::find(stretch, MAGIC) {
                Some(found) => {
                    at += found as u64;
                    if self.header_at(at)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
                // The magic may lie across the border.
                None => at += (searched - (MAGIC.len() - 1)) as u64,
            }
        }
        Ok(self.end)
    }

    /// Bytes from `at` on, fewer than `length` only at the end.
    fn bytes(&mut self, at: u64, length: u64) -> io::Result<&[u8]> {
        let length = length.min(self.end.saturating_sub(at)) as usize;
        let have = self.window_at..self.window_at + self.window.len() as u64;
        if !(have.contains(&at) && at + length as u64 <= have.end) && length > 0 {
            let ahead = (length.max(CHUNK) as u64).min(self.end - at) as usize;
            self.window.resize(ahead, 0);
            let read = self.file.read_at(&mut self.window, at)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = (at - self.window_at).min(self.window.len() as u64) as usize;
        let to = (from + length).min(self.window.len());
        Ok(&self.window[from..to])
    }
}

fn header_crc(salt: Salt, at: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(salt.0, &at.to_le_bytes()), bytes)
}

/// Bytes of a [`Header`].
pub(crate) const HEADER: usize = 36;
const MAGIC: &[u8; 4] = b"rSp\x01";
/// How much a walk reads at once.
const CHUNK: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use relais_channels::{disk::Disk, memory_disk::MemoryDisk};

    const SALT: Salt = Salt(4711);

    #[test]
    fn records_are_found_as_they_were_written() {
        let payloads = [&b""[..], b"a", &[0; 5000], b"rSp\x01 is no record"];
        assert_eq!(walk(&file_of(&payloads)), payloads.map(|payload| Ok(payload.to_vec())));
    }

    #[test]
    fn a_file_cut_off_anywhere_keeps_every_record_before_the_cut() {
        let payloads = [&b"one"[..], b"", b"three"];
        let whole = file_of(&payloads);
        let mut ends = vec![0];
        for payload in payloads {
            ends.push(ends[ends.len() - 1] + HEADER + payload.len());
        }
        for cut in 0..=whole.len() {
            let found = walk(&whole[..cut]);
            let intact = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(found.iter().filter(|found| found.is_ok()).count(), intact, "{cut}");
            assert_eq!(found.iter().any(Result::is_err), !ends.contains(&cut), "{cut}");
        }
    }

    #[test]
    fn content_that_looks_like_a_record_is_not_taken_for_one() {
        // The bytes behind a damaged header are searched for records; an attacker may have put one
        // there, and does not know the salt.
        let forged = record(Salt(1), 2 * HEADER as u64 + 5, b"forged");
        let mut file = file_of(&[&b"first"[..], &forged, b"last"]);
        file[HEADER + 5 + 20] ^= 1;
        let found = walk(&file);
        assert_eq!(found[0], Ok(b"first".to_vec()));
        assert!(found[1].is_err(), "{found:?}");
        assert_eq!(found[2..], [Ok(b"last".to_vec())]);
    }

    /// Records of a group are found in a whole group only, wherever a byte of it is lost.
    #[test]
    fn records_of_a_group_are_found_together_or_not_at_all() {
        let (first, second) = (&b"one form"[..], &b"another"[..]);
        let group_at = (HEADER + 5) as u64;
        let mut group = Vec::new();
        for payload in [first, second] {
            let at = group_at + (HEADER + group.len()) as u64;
            let header = Header { grouped: true, ..header_of(at, payload) };
            group.extend(record_of(header, SALT, at, payload));
        }
        let header = Header {
            kind: Kind::Group,
            entries: 2,
            meta: 0,
            content: group.len() as u32,
            ..header_of(group_at, &group)
        };
        let mut file = file_of(&[b"start"]);
        file.extend(record_of(header, SALT, group_at, &group));
        let end = file.len();
        file.extend(record(SALT, end as u64, b"end"));
        let all = [&b"start"[..], first, second, b"end"].map(|payload| Ok(payload.to_vec()));
        assert_eq!(walk(&file), all);
        let length = (end as u64) - group_at;
        let none = [Ok(b"start".to_vec()), Err(length), Ok(b"end".to_vec())];
        for at in group_at as usize..end {
            let mut torn = file.clone();
            torn[at] ^= 0x55;
            assert_eq!(walk(&torn), none, "{at}");
        }
    }

    proptest! {
        #[test]
        fn no_flipped_byte_goes_unnoticed(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
            place in any::<prop::sample::Index>(),
            flip in 1..=255u8,
        ) {
            let mut file = file_of(&payloads);
            let place = place.index(file.len());
            file[place] ^= flip;
            let found = walk(&file);
            let bad = found.iter().filter(|found| found.is_err()).count();
            prop_assert_eq!(bad, 1, "one bad stretch, and the rest is kept");
            let intact: Vec<&Vec<u8>> = found.iter().flatten().collect();
            prop_assert_eq!(intact.len(), payloads.len() - 1);
            prop_assert!(intact.iter().all(|payload| payloads.contains(payload)));
        }
    }

    fn file_of<T: AsRef<[u8]>>(payloads: &[T]) -> Vec<u8> {
        let mut file = Vec::new();
        for payload in payloads {
            let at = file.len() as u64;
            file.extend(record(SALT, at, payload.as_ref()));
        }
        file
    }

    fn record(salt: Salt, at: u64, payload: &[u8]) -> Vec<u8> {
        record_of(header_of(at, payload), salt, at, payload)
    }

    fn record_of(header: Header, salt: Salt, at: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        header.write(salt, at, &mut bytes);
        assert_eq!(Header::read(&bytes, salt, at), Some(header));
        bytes.extend(payload);
        bytes
    }

    fn header_of(at: u64, payload: &[u8]) -> Header {
        Header {
            kind: Kind::Whole,
            continued: false,
            grouped: false,
            entries: 1,
            id: MessageId(at + 1),
            meta: payload.len() as u32,
            content: 0,
            durable: 0,
            payload_crc: crc32c::crc32c(payload),
        }
    }

    /// Payloads, and for a bad stretch its length.
    fn walk(bytes: &[u8]) -> Vec<Result<Vec<u8>, u64>> {
        let disk = MemoryDisk::new();
        disk.put(Path::new("/f"), bytes.to_vec());
        let file: Arc<dyn DiskFile> = disk.open(Path::new("/f")).unwrap();
        let mut walker = Walker::new(&*file, SALT, 0, bytes.len() as u64);
        let mut found = Vec::new();
        while let Some(next) = walker.next().unwrap() {
            found.push(match next {
                Found::Record { payload, .. } => Ok(payload.to_vec()),
                Found::Bad { length, .. } => Err(length),
            });
        }
        found
    }
}
