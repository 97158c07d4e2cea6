//! A message on its way into the store: in memory while it is small, then in a file.
//!
//! The session that receives it has no thread to block, so what blocks is handed back to it as a
//! [`Chunk`] to be written elsewhere.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    delivery::{Body, bare_line_ends},
    dir::Dir,
    open_file::OpenFile,
};

/// Where a partition keeps files on their way into mailboxes. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct SpillDir(Arc<SpillRoot>);

#[derive(Debug)]
struct SpillRoot {
    root: Arc<Dir>,
    dir: RwLock<Arc<Dir>>,
}

impl SpillDir {
    /// One below a folder that is no partition. Files that nobody wants any more are removed.
    pub fn below(folder: &Path) -> io::Result<Self> {
        let root = Arc::new(Dir::root(folder)?);
        let path = folder.join(SPILL);
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            // One that cannot be removed takes room, and nothing else.
            let _ = fs::remove_file(entry.path());
        }
        Self::open(root)
    }

    /// Where its files lie, when it is below this folder.
    pub fn path_below(&self, folder: &Path) -> PathBuf {
        folder.join(SPILL)
    }

    /// The one of the partition at `root`, made if it is not there.
    pub(super) fn open(root: Arc<Dir>) -> io::Result<Self> {
        let dir = RwLock::new(Arc::new(root.make(SPILL)?));
        Ok(Self(Arc::new(SpillRoot { root, dir })))
    }

    /// The directory as it was last opened.
    pub(super) fn dir(&self) -> Arc<Dir> {
        self.0.dir.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new file; the directory is made again when somebody has removed it.
    pub(super) fn create(&self, name: &str) -> io::Result<OpenFile> {
        match self.dir().create(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let dir = Arc::new(self.0.root.make(SPILL)?);
                let file = dir.create(name);
                *self.0.dir.write().unwrap_or_else(PoisonError::into_inner) = dir;
                file
            }
            created => created,
        }
    }
}

impl SpillDir {
    /// Whether a message waits here by this name. Names are never used twice in one process.
    pub fn has(&self, name: &str) -> bool {
        self.dir().has(name).unwrap_or(false)
    }

    /// Copies a message that waits here to where another partition's wait, durably.
    pub fn copy_to(&self, name: &str, to: &Self) -> io::Result<Body> {
        let mut from = self.dir().read(name)?.ok_or(io::ErrorKind::NotFound)?;
        let mut file = SpillFile::create(to)?;
        let mut piece = vec![0; PIECE];
        loop {
            let length = from.read(&mut piece)?;
            if length == 0 {
                return file.finish();
            }
            file.write(&piece[..length])?;
        }
    }

    /// Removes a message that nobody here wants.
    pub fn discard(&self, name: &str) {
        // The next start would do it.
        let _ = self.dir().remove(name);
    }

    /// Takes room for so many bytes and gives it back.
    pub(super) fn try_room(&self, bytes: u64) -> io::Result<()> {
        let allocated = self.create(TRIAL)?.allocate(bytes);
        let removed = self.dir().remove(TRIAL);
        allocated.and(removed)
    }
}

/// The bytes received so far.
#[derive(Debug, Default)]
pub struct Spill {
    memory: Vec<u8>,
    file: Option<SpillFile>,
}

/// Bytes to be written to a file. Writing blocks.
#[derive(Debug)]
pub struct Chunk {
    bytes: Vec<u8>,
    file: Option<SpillFile>,
    directory: SpillDir,
}

/// A file that is removed when nobody wants it any more.
#[derive(Debug)]
struct SpillFile {
    file: OpenFile,
    name: String,
    directory: SpillDir,
    size: u64,
    /// Line ends without CR, and the last byte.
    bare: u64,
    last: u8,
    kept: bool,
}

impl Spill {
    /// Adds bytes. `true`: call [`Self::chunk`], so that memory stays bounded.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        self.memory.extend_from_slice(bytes);
        self.memory.len() > MEMORY
    }

    /// The bytes in memory: all of them, until a file is begun.
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// Takes everything that is in memory, to be written to a file in `directory`; give it back
    /// by [`Self::written`].
    pub fn chunk(&mut self, directory: &SpillDir) -> Chunk {
        let bytes = std::mem::take(&mut self.memory);
        Chunk { bytes, file: self.file.take(), directory: directory.clone() }
    }

    /// The chunk has been written.
    pub fn written(&mut self, mut chunk: Chunk) {
        chunk.bytes.clear();
        self.memory = chunk.bytes;
        self.file = chunk.file;
    }

    /// Whether a file has been begun: then its last chunk has to be written and
    /// [`Chunk::finish`]ed.
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The bytes, when no file has been begun.
    pub fn into_memory(self) -> Body {
        Body::Whole(self.memory)
    }
}

impl Chunk {
    /// Writes the bytes.
    pub fn write(mut self) -> io::Result<Self> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpillFile::create(&self.directory)?),
        };
        file.write(&self.bytes)?;
        Ok(self)
    }

    /// Writes the bytes, which are the last, and makes the file's content durable.
    pub fn finish(self) -> io::Result<Body> {
        let mut chunk = self.write()?;
        // `write` has made one.
        let Some(file) = chunk.file.take() else { return Ok(Body::Whole(Vec::new())) };
        file.finish()
    }
}

impl SpillFile {
    fn create(directory: &SpillDir) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Message names begin with a digit: these are others.
        let name = format!("spill.{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let file = directory.create(&name)?;
        let (directory, last) = (directory.clone(), b'\n');
        Ok(Self { file, name, directory, size: 0, bare: 0, last, kept: false })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        self.bare += bare_line_ends(self.last, bytes);
        self.last = bytes.last().copied().unwrap_or(self.last);
        Ok(())
    }

    /// Makes its content durable.
    fn finish(mut self) -> io::Result<Body> {
        self.file.sync_data()?;
        self.kept = true;
        let (size, bare) = (self.size, self.bare);
        Ok(Body::File { name: std::mem::take(&mut self.name), size, bare })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if !self.kept {
            // The next start would do it.
            let _ = self.directory.dir().remove(&self.name);
        }
    }
}

pub(super) const SPILL: &str = ".tmp";
/// A file that is never read.
const TRIAL: &str = "trial";
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;
/// Bytes of one message in memory.
const MEMORY: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn spill_dir(root: &tempfile::TempDir) -> SpillDir {
        SpillDir::open(Arc::new(Dir::root(root.path()).expect("a directory"))).expect("room")
    }

    #[test]
    fn what_is_large_goes_to_a_file_and_arrives_whole() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = spill_dir(&root);
        let mut spill = Spill::default();
        let piece = vec![b'x'; 100 << 10];
        let mut chunks = 0;
        for _ in 0..10 {
            if spill.push(&piece) {
                let chunk = spill.chunk(&dir).write().expect("room");
                spill.written(chunk);
                chunks += 1;
            }
        }
        assert_eq!((chunks, spill.is_file()), (3, true));
        let Body::File { name, size, bare } = spill.chunk(&dir).finish().expect("room") else {
            panic!("a file");
        };
        let file = fs::metadata(root.path().join(SPILL).join(name)).expect("a file");
        assert_eq!((size, file.len(), bare), (1_000 << 10, 1_000 << 10, 0));
    }

    #[test]
    fn a_message_given_up_leaves_no_file_and_a_missing_directory_is_made_again() {
        let root = tempfile::tempdir().expect("a directory");
        let dir = spill_dir(&root);
        let files = || fs::read_dir(root.path().join(SPILL)).expect("readable").count();
        for _ in 0..2 {
            let mut spill = Spill::default();
            assert!(!spill.push(&vec![b'x'; MEMORY]));
            assert!(spill.push(b"x"));
            let chunk = spill.chunk(&dir).write().expect("room");
            spill.written(chunk);
            assert_eq!(files(), 1);
            drop(spill);
            assert_eq!(files(), 0);
            fs::remove_dir(root.path().join(SPILL)).expect("allowed");
        }
    }
}
