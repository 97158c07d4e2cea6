//! A message on its way into the store: in memory while it is small, then in a file.
//!
//! The session that receives it has no thread to block, so what blocks is handed back to it as a
//! [`Chunk`] to be written elsewhere.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Body, maildir};

/// The octets received so far.
#[derive(Debug, Default)]
pub struct Spill {
    memory: Vec<u8>,
    file: Option<SpillFile>,
}

/// Octets to be written to a file. Writing blocks.
#[derive(Debug)]
pub struct Chunk {
    octets: Vec<u8>,
    file: Option<SpillFile>,
    directory: PathBuf,
}

/// A file that is removed when nobody wants it any more.
#[derive(Debug)]
struct SpillFile {
    file: File,
    path: PathBuf,
    size: u64,
    kept: bool,
}

impl Spill {
    /// Adds octets. `true`: call [`Self::chunk`], so that memory stays bounded.
    pub fn push(&mut self, octets: &[u8]) -> bool {
        self.memory.extend_from_slice(octets);
        self.memory.len() > MEMORY
    }

    /// Takes everything that is in memory, to be written below `directory`; give it back by
    /// [`Self::written`].
    pub fn chunk(&mut self, directory: &Path) -> Chunk {
        let octets = std::mem::take(&mut self.memory);
        Chunk { octets, file: self.file.take(), directory: directory.to_owned() }
    }

    /// The chunk has been written.
    pub fn written(&mut self, mut chunk: Chunk) {
        chunk.octets.clear();
        self.memory = chunk.octets;
        self.file = chunk.file;
    }

    /// Whether a file has been begun: then its last chunk has to be written and
    /// [`Chunk::finish`]ed.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The octets, when no file has been begun.
    pub fn into_memory(self) -> Body {
        Body::Whole(self.memory)
    }
}

impl Chunk {
    /// Writes the octets.
    pub fn write(mut self) -> io::Result<Self> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::create(&self.directory)?),
        };
        file.file.write_all(&self.octets)?;
        file.size += self.octets.len() as u64;
        Ok(self)
    }

    /// Writes the octets, which are the last, and makes the file's content durable.
    pub fn finish(self) -> io::Result<Body> {
        let mut chunk = self.write()?;
        // `write` has made one.
        let Some(mut file) = chunk.file.take() else { return Ok(Body::Whole(Vec::new())) };
        file.file.sync_data()?;
        file.kept = true;
        Ok(Body::File { path: std::mem::take(&mut file.path), size: file.size })
    }
}

impl SpillFile {
    fn create(directory: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Message names begin with a digit: these are others.
        let path = directory.join(format!("spill.{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        Ok(Self { file: maildir::create_file(&path)?, path, size: 0, kept: false })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if !self.kept {
            // The next start would do it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Octets of one message in memory.
const MEMORY: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_large_goes_to_a_file_and_arrives_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spill = Spill::default();
        let piece = vec![b'x'; 100 << 10];
        let mut chunks = 0;
        for _ in 0..10 {
            if spill.push(&piece) {
                let chunk = spill.chunk(dir.path()).write().expect("room");
                spill.written(chunk);
                chunks += 1;
            }
        }
        assert_eq!((chunks, spill.is_file()), (3, true));
        let Body::File { path, size } = spill.chunk(dir.path()).finish().expect("room") else {
            panic!("a file");
        };
        assert_eq!((size, fs::metadata(&path).expect("a file").len()), (1_000 << 10, 1_000 << 10));
    }

    #[test]
    fn a_message_given_up_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spill = Spill::default();
        assert!(!spill.push(&vec![b'x'; MEMORY]));
        assert!(spill.push(b"x"));
        let chunk = spill.chunk(dir.path()).write().expect("room");
        spill.written(chunk);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 1);
        drop(spill);
        assert_eq!(fs::read_dir(dir.path()).expect("readable").count(), 0);
    }
}
