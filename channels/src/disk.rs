//! The file system as the spool and the store's journal use it: a dozen calls behind two traits.
//!
//! [`RealDisk`] makes them system calls. `MemoryDisk` (feature `memory-disk`) keeps files in
//! memory, counts every call and forgets what was not synced, so that a test can stop the world
//! at each of them. What anybody may assume of either: bytes are safe after
//! [`DiskFile::sync_data`], names after [`Disk::sync_dir`], both after [`DiskFile::sync_fs`], and
//! nothing before.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IoSlice, IoSliceMut},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs, syncfs},
    io::{Errno, ReadWriteFlags, preadv2, pwritev},
};

/// A file system.
pub trait Disk: Send + Sync + 'static {
    /// Makes a directory and those above it; nothing happens if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there, for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable: files created, renamed and removed.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process may still write.
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    /// Files that may still be made.
    fn free_files(&self, dir: &Path) -> io::Result<u64> {
        let _ = dir;
        Ok(u64::MAX)
    }
}

/// An open file. Positions are given with each call, so that threads can share it.
pub trait DiskFile: Send + Sync + 'static {
    /// Its length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Reads until `bytes` is full or the file ends; says how much was read.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;
    /// Fills `bytes` if that needs no waiting for the disk, and says whether it did.
    fn read_cached(&self, bytes: &mut [u8], at: u64) -> io::Result<bool>;
    /// Writes everything. After an error any part of it may have been written.
    fn write_at(&self, parts: &mut [IoSlice<'_>], at: u64) -> io::Result<()>;
    /// Cuts the file off.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Takes disk space for bytes up to `size` without writing them.
    fn allocate(&self, size: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes everything on the file's file system durable: all bytes, all names. Tells of every
    /// failure to write any of it since the file was opened or this was last called.
    fn sync_fs(&self) -> io::Result<()>;
    /// Lets the next read of what is said to be durable come from the disk: after a failed sync,
    /// the system still has in memory what the disk did not take.
    fn forget_cached(&self) -> io::Result<()>;
    /// Takes the file for this process; `false`: another one has it.
    fn lock(&self) -> io::Result<bool>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        let free = statvfs(dir)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }

    fn free_files(&self, dir: &Path) -> io::Result<u64> {
        let free = statvfs(dir)?;
        // Some file systems make them as they are needed, and count none.
        Ok(if free.f_files == 0 { u64::MAX } else { free.f_favail })
    }
}

/// The same, for looking only: whatever changes something is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn free_space(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_space(dir)
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < bytes.len() {
            match FileExt::read_at(self, &mut bytes[read..], at + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_cached(&self, bytes: &mut [u8], at: u64) -> io::Result<bool> {
        let wanted = bytes.len();
        match preadv2(self, &mut [IoSliceMut::new(bytes)], at, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == wanted),
            // Not in the page cache, or a file system that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write_at(&self, mut parts: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let some = parts.len().min(MAX_PARTS);
            match pwritev(self, &parts[..some], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        Ok(fallocate(self, FallocateFlags::empty(), 0, size)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_fs(&self) -> io::Result<()> {
        match syncfs(self) {
            // A sandbox that does not know the call. What is left is to sync all of the machine.
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => {
                rustix::fs::sync();
                Ok(())
            }
            synced => Ok(synced?),
        }
    }

    fn forget_cached(&self) -> io::Result<()> {
        match fadvise(self, 0, None, Advice::DontNeed) {
            // A file system without a cache.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            advised => Ok(advised?),
        }
    }

    fn lock(&self) -> io::Result<bool> {
        match self.try_lock() {
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
            Ok(()) => Ok(true),
        }
    }
}

/// Whether an error means that there is no room: the disk, or the quota.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Slices that Linux takes in one call (`IOV_MAX`).
const MAX_PARTS: usize = 1024;
