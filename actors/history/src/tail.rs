//! The tail: notes that are in no block yet, as they were told.
//!
//! It begins with the length that the segment had: where the segment is longer, its notes are in a block.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

/// The tail of the newest segment.
#[derive(Debug)]
pub(crate) struct Tail(File);

impl Tail {
    pub(crate) fn create(path: &Path, segment: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let mut tail = Self(file);
        tail.restart(segment)?;
        Ok(tail)
    }

    /// Begins anew behind a block.
    pub(crate) fn restart(&mut self, segment: u64) -> io::Result<()> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        self.0.write_all(&segment.to_le_bytes())
    }

    /// Appends notes, with their length and their sum.
    pub(crate) fn append(&mut self, notes: &[u8]) -> io::Result<()> {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&(notes.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&crc32c::crc32c(notes).to_le_bytes());
        self.0.write_all(&head)?;
        self.0.write_all(notes)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// Whether somebody has removed it.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.metadata().is_ok_and(|its| its.nlink() == 0)
    }
}

/// The notes of a tail.
#[derive(Debug, Default)]
pub(crate) struct TailNotes {
    pub(crate) notes: Vec<u8>,
    /// Places that cannot be read; a torn end is none.
    pub(crate) damaged: u64,
}

/// The notes of a tail, as far as they are whole; none where a segment of this length has them.
pub(crate) fn read(path: &Path, segment: u64) -> TailNotes {
    let mut read = TailNotes::default();
    let Ok(octets) = fs::read(path) else { return read };
    let Some((start, mut rest)) = octets.split_first_chunk() else { return read };
    if u64::from_le_bytes(*start) < segment {
        return read;
    }
    while !rest.is_empty() {
        if let Some((piece, behind)) = piece(rest) {
            read.notes.extend_from_slice(piece);
            rest = behind;
            continue;
        }
        // Behind damage the next piece is looked for; behind a torn end there is none.
        let next = (1..rest.len()).find(|at| piece(&rest[*at..]).is_some());
        let is_torn = next.is_none() && !is_whole(rest);
        read.damaged += u64::from(!is_torn);
        rest = next.map_or(&[], |at| &rest[at..]);
    }
    read
}

/// The notes that octets begin with, and what is behind them; `None`: their sum is another one.
fn piece(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, behind) = octets.split_first_chunk::<8>()?;
    let [a, b, c, d, sum @ ..] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let (piece, behind) = behind.split_at_checked(length).filter(|_| length > 0)?;
    (crc32c::crc32c(piece) == u32::from_le_bytes(sum)).then_some((piece, behind))
}

/// Whether all of a piece is there, whatever its sum says.
fn is_whole(octets: &[u8]) -> bool {
    let head = octets.split_first_chunk::<8>();
    head.is_some_and(|([a, b, c, d, ..], behind)| {
        u32::from_le_bytes([*a, *b, *c, *d]) as usize <= behind.len()
    })
}
