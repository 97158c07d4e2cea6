//! Pieces of a file that lie close together, read with one call for many of them.

use std::{io, ops::Range};

use relais_channels::disk::DiskFile;

/// Room for what is read at once; kept from one read to the next.
#[derive(Default)]
pub(super) struct Window {
    bytes: Vec<u8>,
}

impl Window {
    /// Shows the bytes of each of these pieces, with its number; the pieces come in the order of
    /// the file. Shows fewer bytes than asked for where the file ends, or more, where they have
    /// been read.
    pub(super) fn each(
        &mut self,
        file: &dyn DiskFile,
        pieces: &[Range<u64>],
        mut each: impl FnMut(usize, &[u8]),
    ) -> io::Result<()> {
        let mut done = 0;
        while let Some(first) = pieces.get(done) {
            let count = close_together(&pieces[done..]);
            let run = &pieces[done..done + count];
            let end = run.last().map_or(first.end, |last| last.end);
            let length = (end - first.start) as usize;
            if self.bytes.len() < length {
                self.bytes.resize(length, 0);
            }
            let read = file.read_at(&mut self.bytes[..length], first.start)?;
            for (number, piece) in (done..).zip(run) {
                let start = ((piece.start - first.start) as usize).min(read);
                each(number, &self.bytes[start..read]);
            }
            done += count;
        }
        Ok(())
    }
}

/// How many of the first pieces are worth reading at once.
fn close_together(pieces: &[Range<u64>]) -> usize {
    let start = pieces[0].start;
    let is_near = |pair: &&[Range<u64>]| {
        let (before, next) = (&pair[0], &pair[1]);
        (before.start..=before.end + GAP).contains(&next.start)
            && next.end >= before.end
            && next.end - start <= AT_ONCE
    };
    1 + pieces.windows(2).take_while(is_near).count()
}

/// Bytes that nobody asked for and that cost less than another call.
const GAP: u64 = 4 << 10;
/// Bytes read at once: they are still in the processor's cache when they are looked at.
const AT_ONCE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use relais_channels::{disk::Disk, memory_disk::MemoryDisk};

    use super::*;

    #[test]
    fn each_piece_is_shown_however_far_apart_they_lie() {
        let bytes: Vec<u8> = (0..300_000u32).map(|at| (at / 7) as u8).collect();
        let disk = MemoryDisk::new();
        disk.put(Path::new("/f"), bytes.clone());
        let file: Arc<dyn DiskFile> = disk.open(Path::new("/f")).unwrap();
        let pieces = [
            0..10,
            10..500,
            300..600,
            2_000..2_010,
            9_000..80_000,
            80_000..80_001,
            150_000..150_010,
            299_990..300_010,
            400_000..400_010,
        ];
        let mut seen = Vec::new();
        let each = |number: usize, shown: &[u8]| {
            let piece: &Range<u64> = &pieces[number];
            let end = (piece.end as usize).min(bytes.len());
            let want = bytes.get(piece.start as usize..end).unwrap_or_default();
            assert!(shown.starts_with(want), "{piece:?}");
            seen.push(number);
        };
        Window::default().each(&*file, &pieces, each).unwrap();
        assert_eq!(seen, (0..pieces.len()).collect::<Vec<_>>());
        for (pieces, want) in [
            (&pieces[..], 4),
            (&pieces[4..], 1),
            (&pieces[7..], 1),
            (&[0..1, 4_097..4_098], 2),
            (&[0..1, 4_098..4_099], 1),
            (&[5..6, 0..1], 1),
        ] {
            assert_eq!(close_together(pieces), want, "{pieces:?}");
        }
    }
}
