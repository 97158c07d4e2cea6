//! Segments, two files each.
//!
//! A segment is two files, `NNNNNNNN.msg` and `NNNNNNNN.st`. Both begin with the same head: the
//! segment's number and a random number that enters the checksum of each of its records. Either
//! copy of the head is enough to read both files.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, IoSlice},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use relais_channels::{
    clock::now_ms,
    disk::{Disk, DiskFile},
};

use crate::{format::layout::Layout, format::record::Salt};

/// The head of both files of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SegmentHead {
    pub(crate) number: u32,
    /// The segment whose survivors these are; 0 when it is not the product of a compaction.
    pub(crate) replaces: u32,
    /// Milliseconds since 1970.
    pub(crate) created: u64,
    secret: u64,
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Messages = 1,
    States = 2,
}

impl SegmentHead {
    pub(crate) fn new(number: u32, replaces: u32) -> Self {
        // A hasher of the standard library starts from the system's random numbers.
        Self {
            number,
            replaces,
            created: now_ms(),
            secret: RandomState::new().build_hasher().finish(),
        }
    }

    pub(crate) fn salt(&self, part: Part) -> Salt {
        let salt = crc32c::crc32c(&self.secret.to_le_bytes());
        let salt = crc32c::crc32c_append(salt, &self.number.to_le_bytes());
        Salt(crc32c::crc32c_append(salt, &[part as u8]))
    }

    pub(crate) fn to_bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.replaces.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.created.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.secret.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD], number: u32) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let intact =
            &bytes[..8] == MAGIC && word(8) == number && word(32) == crc32c::crc32c(&bytes[..32]);
        intact.then(|| Self { number, replaces: word(12), created: long(16), secret: long(24) })
    }

    /// Reads the head of segment `number`, from whichever file still has it. `None`: neither.
    pub(crate) fn load(disk: &dyn Disk, layout: &Layout, number: u32) -> io::Result<Option<Self>> {
        let mut failed = None;
        for path in [layout.messages(number), layout.states(number)] {
            match disk.open(&path).and_then(|file| Self::read(&*file, number)) {
                Ok(Some(head)) => return Ok(Some(head)),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Reads the head at the beginning of an open file.
    pub(crate) fn read(file: &dyn DiskFile, number: u32) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEAD];
        let read = file.read_at(&mut bytes, 0)?;
        if is_of_another_release(&bytes) {
            let why = "another release wrote this; let that one deliver it first";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(Self::from_bytes(&bytes, number).filter(|_| read == HEAD))
    }
}

/// The numbers of segments, each given out once. Whoever has a higher one was begun later.
#[derive(Debug)]
pub(crate) struct Numbers(AtomicU32);

impl Numbers {
    /// Numbers from `next` on.
    pub(crate) fn from(next: u32) -> Self {
        Self(AtomicU32::new(next))
    }

    /// The next one.
    pub(crate) fn take(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// An intact head, but of another layout.
fn is_of_another_release(bytes: &[u8; HEAD]) -> bool {
    let crc = crc32c::crc32c(&bytes[..32]).to_le_bytes();
    bytes.starts_with(b"relais") && &bytes[..8] != MAGIC && bytes[32..] == crc
}

/// Makes the state file of a segment, its head written and not yet synced.
pub(crate) fn create_states(
    disk: &dyn Disk,
    layout: &Layout,
    head: SegmentHead,
) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(&layout.states(head.number))?;
    file.write_at(&mut [IoSlice::new(&head.to_bytes())], 0)?;
    Ok(file)
}

/// Bytes of a [`SegmentHead`].
pub(crate) const HEAD: usize = 36;
/// With the version of the layout of records and heads.
const MAGIC: &[u8; 8] = b"relais2\n";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use relais_channels::memory_disk::MemoryDisk;

    #[test]
    fn a_spool_of_another_release_is_not_taken_for_damage() {
        let whole = SegmentHead::new(1, 0).to_bytes();
        let mut other = whole;
        other[6] = b'9';
        let crc = crc32c::crc32c(&other[..32]);
        other[32..].copy_from_slice(&crc.to_le_bytes());
        let mut damaged = whole;
        damaged[6] = b'9';
        // bytes of the head, whether it can be read, whether it is told
        for (bytes, readable, told) in
            [(whole, true, false), (damaged, false, false), (other, false, true)]
        {
            let disk = MemoryDisk::new();
            disk.put(Path::new("/f"), bytes.to_vec());
            let read = SegmentHead::read(&*disk.open(Path::new("/f")).unwrap(), 1);
            assert_eq!(read.is_err(), told);
            assert_eq!(read.is_ok_and(|head| head.is_some()), readable);
        }
    }
}
