//! The index of a sealed segment: which blocks hold a key.
//!
//! A file beside the segment, made anew from it when it is missing or damaged: a header, where each
//! block is, where each bucket begins, and the buckets. A bucket holds what the keys that begin alike
//! end in, and their blocks, three octets each.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{error::HistoryError, keys::Key};

/// Where a block is, and when its notes were written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct BlockPlace {
    pub(crate) at: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The index of a segment as it grows.
#[derive(Debug, Default)]
pub(crate) struct OpenIndex {
    pub(crate) blocks: Vec<BlockPlace>,
    keys: Vec<(Key, u16)>,
}

impl OpenIndex {
    /// Adds a block.
    pub(crate) fn add(&mut self, place: BlockPlace, keys: &[Key]) {
        let number = self.blocks.len() as u16;
        self.blocks.push(place);
        self.keys.extend(keys.iter().map(|key| (*key, number)));
    }

    /// Whether the next block belongs into another segment.
    pub(crate) fn is_full(&self) -> bool {
        self.blocks.len() >= MAX_BLOCKS || self.keys.len() >= MAX_KEYS
    }

    /// Octets that its file will have, more or less.
    pub(crate) fn octets_to_come(&self) -> u64 {
        (self.keys.len() * 3 + self.blocks.len() * PLACE) as u64
    }

    /// The blocks that hold one of these keys, the first first.
    pub(crate) fn find(&self, keys: &[Key]) -> Vec<u16> {
        let mut found: Vec<u16> = self
            .keys
            .iter()
            .filter(|(key, _)| keys.contains(key))
            .map(|(_, block)| *block)
            .collect();
        found.dedup();
        found
    }

    /// The time of the latest note.
    pub(crate) fn last(&self) -> u64 {
        self.blocks.iter().map(|its| its.last).max().unwrap_or(0)
    }

    /// Writes it, and puts it in its place as a whole.
    pub(crate) fn write(&mut self, path: &Path) -> Result<u64, HistoryError> {
        let octets = self.octets();
        let draft = path.with_extension("idx.new");
        let written = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(&octets)?;
            file.sync_data()?;
            fs::rename(&draft, path)
        };
        written().map_err(HistoryError::at(path))?;
        Ok(octets.len() as u64)
    }

    fn octets(&mut self) -> Vec<u8> {
        let wanted = (self.keys.len() / KEYS_OF_BUCKET).max(1);
        let bits = wanted.next_power_of_two().trailing_zeros().max(1);
        self.keys.sort_unstable();
        let last = self.last();
        let mut head = Vec::new();
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&bits.to_le_bytes());
        head.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        head.extend_from_slice(&last.to_le_bytes());
        for block in &self.blocks {
            for number in [block.at, block.first, block.last] {
                head.extend_from_slice(&number.to_le_bytes());
            }
        }
        let (mut starts, mut buckets) = (Vec::new(), Vec::new());
        let mut keys = self.keys.iter().peekable();
        for number in 0..1_u32 << bits {
            starts.extend_from_slice(&(buckets.len() as u32).to_le_bytes());
            let start = buckets.len();
            buckets.extend_from_slice(&[0; 4]);
            while let Some((key, block)) = keys.next_if(|(key, _)| key.0 >> (32 - bits) == number) {
                let packed = ends_in(*key, bits) << 12 | u32::from(*block);
                buckets.extend_from_slice(&packed.to_le_bytes()[..3]);
            }
            let sum = crc32c::crc32c(&buckets[start + 4..]);
            buckets[start..start + 4].copy_from_slice(&sum.to_le_bytes());
        }
        starts.extend_from_slice(&(buckets.len() as u32).to_le_bytes());
        let mut sum = crc32c::crc32c(&head);
        sum = crc32c::crc32c_append(sum, &starts);
        head.extend_from_slice(&sum.to_le_bytes());
        [head, starts, buckets].concat()
    }
}

/// The last bits of a key that a bucket keeps.
fn ends_in(key: Key, bits: u32) -> u32 {
    (key.0 << bits) >> 20
}

/// The index of a sealed segment in its file.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    file: File,
    bits: u32,
    blocks: u32,
    pub(crate) last: u64,
}

impl SealedIndex {
    /// Opens it; reads the head only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = [0; HEAD];
        file.read_exact_at(&mut head, 0)?;
        let (magic, rest) = head.split_at(MAGIC.len());
        let number =
            |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap_or_default());
        let long = |at: usize| u64::from_le_bytes(rest[at..at + 8].try_into().unwrap_or_default());
        let (bits, blocks) = (number(0), number(4));
        if magic != MAGIC || !(1..=20).contains(&bits) || blocks as usize > MAX_BLOCKS {
            return Err(damaged());
        }
        Ok(Self { file, bits, blocks, last: long(8) })
    }

    /// The blocks that may hold one of these keys, the first first. A few more may be among them.
    pub(crate) fn find(&self, keys: &[Key]) -> io::Result<Vec<u16>> {
        let mut found = Vec::new();
        for key in keys {
            let bucket = self.bucket(key.0 >> (32 - self.bits))?;
            let wanted = ends_in(*key, self.bits);
            let packed = bucket
                .chunks_exact(3)
                .map(|its| u32::from(its[0]) | u32::from(its[1]) << 8 | u32::from(its[2]) << 16);
            let blocks = packed.filter(|its| its >> 12 == wanted).map(|its| (its & 0xfff) as u16);
            found.extend(blocks);
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Where a block is.
    pub(crate) fn place(&self, block: u16) -> io::Result<BlockPlace> {
        if u32::from(block) >= self.blocks {
            return Err(damaged());
        }
        let mut octets = [0; PLACE];
        self.file.read_exact_at(&mut octets, (HEAD + usize::from(block) * PLACE) as u64)?;
        let long =
            |at: usize| u64::from_le_bytes(octets[at..at + 8].try_into().unwrap_or_default());
        Ok(BlockPlace { at: long(0), first: long(8), last: long(16) })
    }

    fn bucket(&self, number: u32) -> io::Result<Vec<u8>> {
        let starts = HEAD + self.blocks as usize * PLACE + 4;
        let mut both = [0; 8];
        self.file.read_exact_at(&mut both, (starts + number as usize * 4) as u64)?;
        let both = u64::from_le_bytes(both);
        let (from, to) = (both as u32, (both >> 32) as u32);
        let length = to.checked_sub(from).filter(|length| (4..MAX_BUCKET).contains(length));
        let mut bucket = vec![0; length.ok_or_else(damaged)? as usize];
        let buckets = starts + ((1 << self.bits) + 1) * 4;
        self.file.read_exact_at(&mut bucket, buckets as u64 + u64::from(from))?;
        let keys = bucket.split_off(4);
        let sum = u32::from_le_bytes(bucket.try_into().unwrap_or_default());
        if crc32c::crc32c(&keys) == sum { Ok(keys) } else { Err(damaged()) }
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an index is damaged")
}

const MAGIC: &[u8; 8] = b"RLHIDX1\n";
/// Octets in front of the places.
const HEAD: usize = 24;
const PLACE: usize = 24;
/// Keys of one bucket, more or less.
const KEYS_OF_BUCKET: usize = 64;
/// Octets of a bucket: keys are spread by their hashes, but a sender may make some alike.
const MAX_BUCKET: u32 = 3 * MAX_KEYS as u32 + 5;
/// Blocks of a segment: their numbers have twelve bits.
pub(crate) const MAX_BLOCKS: usize = 1 << 12;
/// Keys of a segment: eight octets each in memory while it grows.
const MAX_KEYS: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::key_of;

    #[test]
    fn a_sealed_index_finds_what_the_open_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.idx");
        let mut open = OpenIndex::default();
        for block in 0..50 {
            let keys: Vec<_> = (0..500).map(|n| key_of(&format!("{}", block * 400 + n))).collect();
            open.add(BlockPlace { at: block * 1_000, first: block, last: block + 1 }, &keys);
        }
        open.write(&path).unwrap();
        let sealed = SealedIndex::open(&path).unwrap();
        assert_eq!(sealed.last, 50);
        assert_eq!(sealed.place(7).unwrap(), open.blocks[7]);
        sealed.place(50).unwrap_err();
        let mut more = 0;
        for n in 0..25_000 {
            let key = key_of(&format!("{n}"));
            let found = sealed.find(&[key]).unwrap();
            let sure = open.find(&[key]);
            assert!(sure.iter().all(|block| found.contains(block)), "{n}");
            more += found.len() - sure.len();
        }
        assert!(more < 25_000 / 20, "{more} looks into blocks for nothing");
    }

    #[test]
    fn a_damaged_index_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.idx");
        let mut open = OpenIndex::default();
        open.add(BlockPlace::default(), &[key_of("a")]);
        open.write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        let mut told = 0;
        for at in HEAD + PLACE..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let found = SealedIndex::open(&path).unwrap().find(&[key_of("a")]);
            told += usize::from(found.is_err());
            assert!(found.is_err() || found.unwrap() == [0], "octet {at}");
        }
        assert!(told >= 7, "{told}");
        fs::write(&path, &whole[..20]).unwrap();
        SealedIndex::open(&path).unwrap_err();
    }
}
