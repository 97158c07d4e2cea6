//! The files of a journal: the lock, the journal that is there, and the making of another.

use std::{
    io::{self, IoSlice},
    path::Path,
    sync::Arc,
};

use super::format::{DATA, Header, PAGE};
use crate::disk::{Disk, DiskFile};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two processes at one partition would overwrite each other's records.
    #[error("the store is in use by another process")]
    InUse,
    /// Said by the system.
    #[error("{doing}: {source}{}", hint(source))]
    Io {
        /// The step that failed.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

/// Takes the partition for this process. The journal itself may be replaced, so it cannot be what is
/// locked.
pub(super) fn lock(disk: &dyn Disk, root: &Path) -> Result<Arc<dyn DiskFile>, JournalError> {
    let path = root.join(LOCK);
    let opened = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&path),
        opened => opened,
    };
    let file = opened.map_err(failed("the lock of the store, .lock, cannot be opened"))?;
    let locked = file.lock().map_err(failed("the store cannot be locked"))?;
    if locked { Ok(file) } else { Err(JournalError::InUse) }
}

/// The journal that is there, or a new one.
pub(super) fn existing(
    disk: &dyn Disk,
    root: &Path,
    wanted: u64,
) -> Result<(Arc<dyn DiskFile>, Header), JournalError> {
    let path = root.join(FILE);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(failed("the journal, .journal, cannot be opened"))?),
    };
    if let Some(file) = file {
        let reading = "the journal, .journal, cannot be read";
        if let Some(header) = Header::read(&*file).map_err(failed(reading))? {
            return Ok((file, header));
        }
        if file.size().map_err(failed(reading))? > 0 {
            let aside = root.join(DAMAGED);
            disk.rename(&path, &aside)
                .map_err(failed("a damaged journal cannot be set aside as .journal.damaged"))?;
            tracing::error!(
                journal = %aside.display(),
                "the journal of the store is damaged and was set aside: of the last deliveries \
                 before the end of the last run, those may be missing that were only in it"
            );
        }
    }
    create(disk, root, wanted).map_err(failed("a journal, .journal.new, cannot be made"))
}

/// Makes a journal in the place of the one that may be there. Every byte of it is written once,
/// so that writing them again touches no metadata.
pub(super) fn create(
    disk: &dyn Disk,
    root: &Path,
    wanted: u64,
) -> io::Result<(Arc<dyn DiskFile>, Header)> {
    let draft = root.join(DRAFT);
    let make = || {
        let file = disk.create(&draft)?;
        let mut header = Header { capacity: capacity(disk, root, wanted)?, ..Header::default() };
        let end = DATA + header.capacity;
        for at in (0..end).step_by(ZEROS.len()) {
            let piece = &ZEROS[..ZEROS.len().min((end - at) as usize)];
            file.write_at(&mut [IoSlice::new(piece)], at)?;
        }
        header.write(&*file)?;
        disk.rename(&draft, &root.join(FILE))?;
        disk.sync_dir(root)?;
        Ok((file, header))
    };
    make().inspect_err(|_| {
        // It takes room that may be what is missing.
        let _ = disk.remove(&draft);
    })
}

/// On a small file system, a journal that leaves room for mail.
fn capacity(disk: &dyn Disk, root: &Path, wanted: u64) -> io::Result<u64> {
    let free = disk.free_space(root)?;
    Ok(wanted.min((free / 16).max(MIN_CAPACITY)).next_multiple_of(PAGE))
}

pub(super) fn failed(doing: &'static str) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Io { doing, source }
}

/// The operator's remedy.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "; mount the file system for writing and start again",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on the file system (octets and inodes)"
        }
        io::ErrorKind::PermissionDenied => "; the store must belong to the user of the program",
        _ => "",
    }
}

/// Bytes of journal when there is plenty of room.
pub const CAPACITY: u64 = 32 << 20;
const MIN_CAPACITY: u64 = 1 << 20;
pub(in crate::mailbox) const FILE: &str = ".journal";
pub(in crate::mailbox) const LOCK: &str = ".lock";
/// A journal that is being made.
const DRAFT: &str = ".journal.new";
/// A journal that could not be read.
pub(super) const DAMAGED: &str = ".journal.damaged";
/// The filling of a new journal.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
