//! The tail: notes that are in no block yet, as they were told.
//!
//! It begins with the length that the segment had: where the segment is longer, its notes are in a block.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, Write},
    os::unix::fs::OpenOptionsExt,
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
}

/// The notes of a tail, as far as they are whole; none where a segment of this length has them.
pub(crate) fn read(path: &Path, segment: u64) -> Vec<u8> {
    let Ok(octets) = fs::read(path) else { return Vec::new() };
    let Some((start, mut rest)) = octets.split_first_chunk() else { return Vec::new() };
    let mut notes = Vec::new();
    if u64::from_le_bytes(*start) < segment {
        return notes;
    }
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let [a, b, c, d, sum @ ..] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some((piece, behind)) = behind.split_at_checked(length) else { break };
        if crc32c::crc32c(piece) != u32::from_le_bytes(sum) {
            break;
        }
        notes.extend_from_slice(piece);
        rest = behind;
    }
    notes
}
