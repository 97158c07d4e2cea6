//! A segment: a header, and blocks, each with a head that says how long it is and what its sums are.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use crate::{
    block::BlockBuilder,
    error::DamagedBlock,
    index::{BlockPlace, MAX_BLOCKS, OpenIndex},
    read_block::Block,
};

/// A segment that blocks are appended to.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    file: File,
    pub(crate) length: u64,
}

impl SegmentFile {
    /// Makes one.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path)?;
        file.write_all(MAGIC)?;
        Ok(Self { file, length: MAGIC.len() as u64 })
    }

    /// Goes on with one, of which `length` octets are good; whatever is behind them is cut off.
    pub(crate) fn reopen(path: &Path, length: u64) -> io::Result<Self> {
        if length < MAGIC.len() as u64 {
            return Self::create(path);
        }
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        file.set_len(length)?;
        file.seek(SeekFrom::Start(length))?;
        Ok(Self { file, length })
    }

    /// Whether somebody has removed it.
    pub(crate) fn is_gone(&self) -> bool {
        self.file.metadata().is_ok_and(|its| its.nlink() == 0)
    }

    /// Appends a block. After an error nothing of it is there.
    pub(crate) fn append(
        &mut self,
        block: &BlockBuilder,
        compressor: &mut zstd::bulk::Compressor<'_>,
    ) -> io::Result<BlockPlace> {
        let mut octets = vec![0; BLOCK_HEAD];
        block.streams.compress(compressor, &mut octets)?;
        let head = Head {
            length: (octets.len() - BLOCK_HEAD) as u32,
            first: block.first,
            last: block.last,
            sum: crc32c::crc32c(&octets[BLOCK_HEAD..]),
        };
        octets[..BLOCK_HEAD].copy_from_slice(&head.octets());
        if let Err(error) = self.file.write_all(&octets) {
            // The part that was written would be in the way of the next one.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        let at = self.length;
        self.length += octets.len() as u64;
        Ok(BlockPlace { at, first: block.first, last: block.last })
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A segment that is read.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    file: File,
    pub(crate) length: u64,
}

impl SegmentReader {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }

    /// The block at this place.
    pub(crate) fn read(&self, at: u64) -> Result<Block, DamagedBlock> {
        let (_, octets) = self.block(at)?;
        Block::decompress(&octets)
    }

    fn block(&self, at: u64) -> Result<(Head, Vec<u8>), DamagedBlock> {
        let mut head = [0; BLOCK_HEAD];
        self.file.read_exact_at(&mut head, at).map_err(|_| DamagedBlock)?;
        let head = Head::read(&head).ok_or(DamagedBlock)?;
        let end = at + BLOCK_HEAD as u64 + u64::from(head.length);
        if end > self.length {
            return Err(DamagedBlock);
        }
        let mut octets = vec![0; head.length as usize];
        self.file.read_exact_at(&mut octets, at + BLOCK_HEAD as u64).map_err(|_| DamagedBlock)?;
        if crc32c::crc32c(&octets) == head.sum { Ok((head, octets)) } else { Err(DamagedBlock) }
    }

    /// Hands over each block that is good, in order.
    pub(crate) fn each(&self, mut each: impl FnMut(BlockPlace, Block)) -> Survey {
        let mut survey = Survey { good: MAGIC.len() as u64, damaged: 0 };
        let mut magic = [0; 8];
        if self.file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
            survey.good = 0;
            survey.damaged = usize::from(self.length > MAGIC.len() as u64);
            return survey;
        }
        let (mut at, mut blocks) = (MAGIC.len() as u64, 0);
        while at < self.length && blocks < MAX_BLOCKS {
            let read = self.block(at);
            let read = read.and_then(|(head, octets)| Ok((head, Block::decompress(&octets)?)));
            if let Ok((head, block)) = read {
                // Damage in front of it is no torn end.
                survey.damaged += usize::from(survey.good < at);
                let place = BlockPlace { at, first: head.first, last: head.last };
                at += BLOCK_HEAD as u64 + u64::from(head.length);
                survey.good = at;
                blocks += 1;
                each(place, block);
            } else {
                at = self.next_head(at + 1);
            }
        }
        survey
    }

    /// The next place at which a head stands; the end where none does.
    fn next_head(&self, from: u64) -> u64 {
        let (mut at, mut octets) = (from, vec![0; WINDOW]);
        while at < self.length {
            let Ok(read) = self.file.read_at(&mut octets, at) else { break };
            let places = octets[..read].windows(BLOCK_HEAD).enumerate();
            let mut heads = places.filter(|(_, its)| its.starts_with(BLOCK_MAGIC));
            let head = |its: &[u8]| its.try_into().ok().and_then(|its| Head::read(&its)).is_some();
            if let Some((place, _)) = heads.find(|(_, its)| head(its)) {
                return at + place as u64;
            }
            if read <= BLOCK_HEAD {
                break;
            }
            at += (read - BLOCK_HEAD) as u64 + 1;
        }
        self.length
    }

    /// An index of it, made from its blocks.
    pub(crate) fn index(&self) -> (OpenIndex, Survey) {
        let mut index = OpenIndex::default();
        let survey = self.each(|place, block| {
            let mut builder = BlockBuilder::default();
            // A block whose block disagree is found by what stands in front of that.
            let _ = block.each(|note, recipients| {
                builder.add(note, recipients);
                true
            });
            index.add(place, &builder.keys);
        });
        (index, survey)
    }
}

/// The result of a walk over a segment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Survey {
    /// The end of the last good block.
    pub(crate) good: u64,
    /// Places where something else stood between blocks.
    pub(crate) damaged: usize,
}

/// The head in front of a block.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: u32,
    first: u64,
    last: u64,
    sum: u32,
}

impl Head {
    fn octets(self) -> [u8; BLOCK_HEAD] {
        let mut octets = [0; BLOCK_HEAD];
        octets[..4].copy_from_slice(BLOCK_MAGIC);
        octets[4..8].copy_from_slice(&self.length.to_le_bytes());
        octets[8..16].copy_from_slice(&self.first.to_le_bytes());
        octets[16..24].copy_from_slice(&self.last.to_le_bytes());
        octets[24..28].copy_from_slice(&self.sum.to_le_bytes());
        let own = crc32c::crc32c(&octets[..28]);
        octets[28..].copy_from_slice(&own.to_le_bytes());
        octets
    }

    fn read(octets: &[u8; BLOCK_HEAD]) -> Option<Self> {
        let number =
            |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap_or_default());
        let long =
            |at: usize| u64::from_le_bytes(octets[at..at + 8].try_into().unwrap_or_default());
        let is_good =
            octets.starts_with(BLOCK_MAGIC) && crc32c::crc32c(&octets[..28]) == number(28);
        is_good.then(|| Self { length: number(4), first: long(8), last: long(16), sum: number(24) })
    }
}

const MAGIC: &[u8; 8] = b"RLHSEG2\n";
const BLOCK_MAGIC: &[u8; 4] = b"\x00RLB";
const BLOCK_HEAD: usize = 32;
/// Octets that are searched for a head at once.
const WINDOW: usize = 64 << 10;
