//! The index of a sealed segment: which blocks hold a key.
//!
//! A file beside the segment, made anew from it when it is missing or damaged: a header, where each
//! block is and its time, where each bucket begins, and the buckets. A bucket holds what the keys that
//! begin alike end in, and their blocks, three octets each. Queue ids have a key only where the time of
//! the block does not tell that they are there.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
};

use crate::{
    error::HistoryError,
    keys::{ID_SLACK, Key, key_of_id, time_of_id},
};

/// Where a block is, and when its notes were written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct BlockPlace {
    pub(crate) at: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// The notes that are looked for: those with one of these keys, or of queue ids of these times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    /// In order: there may be a thousand of them, and a block has as many keys as notes.
    keys: BTreeSet<Key>,
    times: Vec<u64>,
}

impl Wanted {
    pub(crate) fn of_keys(keys: &[Key]) -> Self {
        Self { keys: keys.iter().copied().collect(), times: Vec::new() }
    }

    /// Looks for a queue id, too.
    pub(crate) fn add_id(&mut self, id: u64) {
        self.keys.insert(key_of_id(id));
        self.times.push(time_of_id(id).0);
    }

    /// Whether one of these keys is looked for.
    pub(crate) fn has_any(&self, keys: &[Key]) -> bool {
        !self.keys.is_empty() && keys.iter().any(|key| self.keys.contains(key))
    }

    /// Whether the time of a block says that it may be there.
    pub(crate) fn is_in(&self, place: &BlockPlace) -> bool {
        let times = place.first.saturating_sub(ID_SLACK)..=place.last;
        self.times.iter().any(|time| times.contains(time))
    }

    /// The blocks with these keys, and those of these times.
    fn blocks(
        &self,
        places: &[BlockPlace],
        by_keys: impl Iterator<Item = usize>,
    ) -> Vec<BlockPlace> {
        let mut is_wanted: Vec<_> = places.iter().map(|place| self.is_in(place)).collect();
        by_keys.for_each(|block| is_wanted[block] = true);
        let wanted = places.iter().zip(is_wanted).filter(|(_, is_wanted)| *is_wanted);
        wanted.map(|(place, _)| *place).collect()
    }
}

/// The index of a segment as it grows.
#[derive(Debug, Default)]
pub(crate) struct OpenIndex {
    pub(crate) blocks: Vec<BlockPlace>,
    /// The keys of each block, one behind the other, and where they end.
    keys: Vec<Key>,
    ends: Vec<usize>,
}

impl OpenIndex {
    /// Adds a block.
    pub(crate) fn add(&mut self, place: BlockPlace, keys: &[Key]) {
        self.blocks.push(place);
        self.keys.extend_from_slice(keys);
        self.ends.push(self.keys.len());
    }

    /// Whether the next block belongs into another segment.
    pub(crate) fn is_full(&self) -> bool {
        self.blocks.len() >= MAX_BLOCKS || self.keys.len() >= MAX_KEYS
    }

    /// Octets that its file will have, more or less.
    pub(crate) fn octets_to_come(&self) -> u64 {
        (self.keys.len() * 3 + self.blocks.len() * PLACE) as u64
    }

    /// The blocks that hold what is wanted, the first first.
    pub(crate) fn find(&self, wanted: &Wanted) -> Vec<BlockPlace> {
        let found =
            self.by_block().filter(|(_, keys)| wanted.has_any(keys)).map(|(block, _)| block);
        wanted.blocks(&self.blocks, found)
    }

    /// The keys of each block.
    fn by_block(&self) -> impl Iterator<Item = (usize, &[Key])> {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.keys[start..*end]).enumerate()
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

    fn octets(&self) -> Vec<u8> {
        let wanted = (self.keys.len() / KEYS_OF_BUCKET).max(1);
        let bits = wanted.next_power_of_two().trailing_zeros().max(1);
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&bits.to_le_bytes());
        out.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.last().to_le_bytes());
        for block in &self.blocks {
            for number in [block.at, block.first, block.last] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        self.put_buckets(bits, &mut out);
        out
    }

    /// Appends where each bucket begins, and the buckets: first they are measured, then filled.
    fn put_buckets(&self, bits: u32, out: &mut Vec<u8>) {
        let mut ends = vec![0_u32; (1 << bits) + 1];
        for key in &self.keys {
            ends[bucket_of(*key, bits) + 1] += 3;
        }
        let mut end = 0;
        for length in &mut ends[1..] {
            end += 4 + *length;
            *length = end;
        }
        for end in &ends {
            out.extend_from_slice(&end.to_le_bytes());
        }
        let first = out.len();
        out.resize(first + end as usize, 0);
        let buckets = &mut out[first..];
        // Each is filled up to where the next one begins.
        let mut places: Vec<_> = ends.iter().map(|end| *end as usize + 4).collect();
        for (block, keys) in self.by_block() {
            for key in keys {
                let place = &mut places[bucket_of(*key, bits)];
                let packed = ends_in(*key, bits) << BLOCK_BITS | block as u32;
                buckets[*place..*place + 3].copy_from_slice(&packed.to_le_bytes()[..3]);
                *place += 3;
            }
        }
        for both in ends.windows(2) {
            let (sum, keys) = buckets[both[0] as usize..both[1] as usize].split_at_mut(4);
            sum.copy_from_slice(&crc32c::crc32c(keys).to_le_bytes());
        }
    }
}

/// The bucket of a key.
fn bucket_of(key: Key, bits: u32) -> usize {
    (key.0 >> (32 - bits)) as usize
}

/// The last bits of a key that a bucket keeps.
fn ends_in(key: Key, bits: u32) -> u32 {
    (key.0 << bits) >> (8 + BLOCK_BITS)
}

/// The index of a sealed segment in its file.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    file: File,
    bits: u32,
    blocks: Vec<BlockPlace>,
    pub(crate) last: u64,
}

impl SealedIndex {
    /// Opens it; reads the head and the places only.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let mut head = vec![0; HEAD];
        file.read_exact_at(&mut head, 0)?;
        let number =
            |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap_or_default());
        let (bits, count) = (number(8), number(12) as usize);
        if !head.starts_with(MAGIC) || !(1..=20).contains(&bits) || count > MAX_BLOCKS {
            return Err(damaged());
        }
        head.resize(HEAD + count * PLACE + 4, 0);
        file.read_exact_at(&mut head[HEAD..], HEAD as u64)?;
        let sum = head.split_off(HEAD + count * PLACE);
        if sum != crc32c::crc32c(&head).to_le_bytes() {
            return Err(damaged());
        }
        let long =
            |octets: &[u8]| u64::from_le_bytes(octets.first_chunk().copied().unwrap_or_default());
        let place = |its: &[u8]| BlockPlace {
            at: long(its),
            first: long(&its[8..]),
            last: long(&its[16..]),
        };
        let blocks = head[HEAD..].chunks_exact(PLACE).map(place).collect();
        Ok(Self { file, bits, blocks, last: long(&head[16..]) })
    }

    /// The blocks that may hold what is wanted, the first first. A few more may be among them.
    pub(crate) fn find(&self, wanted: &Wanted) -> io::Result<Vec<BlockPlace>> {
        let mut found = Vec::new();
        for key in &wanted.keys {
            let bucket = self.bucket(bucket_of(*key, self.bits))?;
            let ends = ends_in(*key, self.bits);
            let packed = bucket
                .chunks_exact(3)
                .map(|its| u32::from(its[0]) | u32::from(its[1]) << 8 | u32::from(its[2]) << 16);
            let blocks = packed.filter(|its| its >> BLOCK_BITS == ends);
            found.extend(blocks.map(|its| (its & ((1 << BLOCK_BITS) - 1)) as usize));
        }
        if found.iter().any(|block| *block >= self.blocks.len()) {
            return Err(damaged());
        }
        Ok(wanted.blocks(&self.blocks, found.into_iter()))
    }

    fn bucket(&self, number: usize) -> io::Result<Vec<u8>> {
        let starts = HEAD + self.blocks.len() * PLACE + 4;
        let mut both = [0; 8];
        self.file.read_exact_at(&mut both, (starts + number * 4) as u64)?;
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

const MAGIC: &[u8; 8] = b"RLHIDX2\n";
/// Octets in front of the places.
const HEAD: usize = 24;
const PLACE: usize = 24;
/// Keys of one bucket, more or less.
const KEYS_OF_BUCKET: usize = 64;
/// Octets of a bucket: keys are spread by their hashes, but a sender may make some alike.
const MAX_BUCKET: u32 = 3 * MAX_KEYS as u32 + 5;
/// Bits of the number of a block.
const BLOCK_BITS: u32 = 6;
/// Blocks of a segment.
pub(crate) const MAX_BLOCKS: usize = 1 << BLOCK_BITS;
/// Keys of a segment: four octets each in memory while it grows.
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
        let mut more = 0;
        for n in 0..25_000 {
            let wanted = Wanted::of_keys(&[key_of(&format!("{n}"))]);
            let found = sealed.find(&wanted).unwrap();
            let sure = open.find(&wanted);
            assert!(sure.iter().all(|block| found.contains(block)), "{n}");
            more += found.len() - sure.len();
        }
        assert!(more < 25_000 / 100, "{more} looks into blocks for nothing");
    }

    #[test]
    fn the_time_of_a_block_tells_that_a_queue_id_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.idx");
        let mut open = OpenIndex::default();
        let late = 70_000 << 20 | 5;
        for block in 0..5 {
            let (first, last) = (100_000 + block * 10_000, 109_999 + block * 10_000);
            open.add(
                BlockPlace { at: block, first, last },
                &[key_of_id(late)][..usize::from(block == 4)],
            );
        }
        open.write(&path).unwrap();
        let sealed = SealedIndex::open(&path).unwrap();
        // milliseconds of the id, the blocks
        for (time, want) in [
            (95_000, &[][..]),
            (96_000, &[0]),
            (105_000, &[0]),
            (107_000, &[0, 1]),
            (149_999, &[4]),
            (150_000, &[]),
            (70_000, &[4]),
        ] {
            let mut wanted = Wanted::default();
            wanted.add_id(time << 20 | 5);
            let blocks =
                |found: Vec<BlockPlace>| found.iter().map(|its| its.at).collect::<Vec<_>>();
            assert_eq!(blocks(open.find(&wanted)), want, "{time}");
            assert_eq!(blocks(sealed.find(&wanted).unwrap()), want, "{time}");
        }
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
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            let wanted = Wanted::of_keys(&[key_of("a")]);
            let found = SealedIndex::open(&path).and_then(|index| index.find(&wanted));
            told += usize::from(found.is_err());
            assert!(found.is_err() || found.unwrap() == [BlockPlace::default()], "octet {at}");
        }
        assert!(told >= HEAD + PLACE + 4 + 7, "{told}");
        fs::write(&path, &whole[..20]).unwrap();
        SealedIndex::open(&path).unwrap_err();
    }
}
