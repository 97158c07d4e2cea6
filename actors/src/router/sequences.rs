//! The numbers of `$#file#` in mapping tables: no number comes twice, not even after a crash.
//!
//! A file holds the first number that nobody may have drawn yet. [`BLOCK`] of them are taken from it at
//! once, so that a probe hardly ever waits for the disk; the rest of a block is lost at a restart.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use relais_config::mapping;
use tracing::warn;

/// Sequences by their files.
#[derive(Clone, Debug)]
pub(super) struct Sequences {
    /// Relative paths lie below it.
    data: Arc<Path>,
    blocks: Arc<Mutex<HashMap<String, Block>>>,
    /// Numbers are looked at and not drawn.
    only_looks: bool,
}

/// Numbers that were taken from a file.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    next: u64,
    end: u64,
    /// The file gave none, and an operator was told.
    is_told: bool,
}

impl Sequences {
    pub(super) fn new(data: &Path) -> Self {
        Self { data: data.into(), blocks: Arc::default(), only_looks: false }
    }

    /// The same for somebody who wants to know what would be drawn.
    pub(super) fn looked_at(&self) -> Self {
        Self { only_looks: true, ..self.clone() }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.data.join(file)
    }
}

impl mapping::Sequences for Sequences {
    fn next(&self, file: &str) -> Option<u64> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        let block = blocks.get(file).copied().unwrap_or_default();
        if self.only_looks {
            let known = (block.next < block.end).then_some(block.next);
            return known.or_else(|| read(&self.path(file)).ok());
        }
        let taken = if block.next < block.end { Ok(block) } else { take(&self.path(file)) };
        match taken {
            Ok(Block { next, end, .. }) => {
                blocks.insert(file.to_owned(), Block { next: next + 1, end, is_told: false });
                Some(next)
            }
            Err(error) => {
                if !block.is_told {
                    warn!(file, %error, "a sequence of a mapping table gives no number");
                }
                blocks.insert(file.to_owned(), Block { is_told: true, ..block });
                None
            }
        }
    }
}

/// Takes a block of numbers from a file, which is made when it is not there.
fn take(path: &Path) -> io::Result<Block> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    // Another engine may draw from it, too.
    file.lock()?;
    let next = number_in(&file)?;
    let end = next.checked_add(BLOCK).ok_or(io::ErrorKind::InvalidData)?;
    // Always of one length, and within one sector of the disk: it is there as a whole or not at all.
    file.write_all_at(format!("{end:020}\n").as_bytes(), 0)?;
    file.set_len(LENGTH as u64)?;
    file.sync_all()?;
    Ok(Block { next, end, is_told: false })
}

fn read(path: &Path) -> io::Result<u64> {
    match File::open(path) {
        Ok(file) => number_in(&file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(1),
        Err(error) => Err(error),
    }
}

fn number_in(file: &File) -> io::Result<u64> {
    let mut octets = [0; LENGTH + 1];
    let length = file.read_at(&mut octets, 0)?;
    let text = std::str::from_utf8(&octets[..length]).unwrap_or("?").trim();
    if text.is_empty() {
        return Ok(1);
    }
    text.parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file holds no number"))
}

/// Numbers that are taken from a file at once.
const BLOCK: u64 = 1_000;
/// Octets of a file.
const LENGTH: usize = 21;

#[cfg(test)]
mod tests {
    use std::fs;

    use relais_config::mapping::Sequences as _;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        let first = Sequences::new(folder.path());
        assert_eq!(first.looked_at().next("seq"), Some(1));
        assert!(!folder.path().join("seq").exists(), "looking makes no file");
        let drawn: Vec<_> = (0..1_500).filter_map(|_| first.next("seq")).collect();
        assert_eq!(drawn, (1..=1_500).collect::<Vec<_>>());
        assert_eq!(first.looked_at().next("seq"), Some(1_501));
        let second = Sequences::new(folder.path());
        assert_eq!(second.looked_at().next("seq"), Some(2_001));
        assert_eq!(second.next("seq"), Some(2_001));
        assert_eq!(first.next("seq"), Some(1_501));
        let other = folder.path().join("other");
        fs::write(&other, "41\n").unwrap();
        assert_eq!(second.next(other.to_str().unwrap()), Some(41));
        fs::write(folder.path().join("bad"), "forty").unwrap();
        assert_eq!((second.next("bad"), second.next("none/seq")), (None, None));
    }
}
