//! An open file of a partition.

use std::{
    fs::File,
    io::{self, Read, Write},
    time::Duration,
};

use crate::disk::DiskFile;

/// On the machine's disk; in tests also on one that forgets.
#[derive(Debug)]
pub(super) enum OpenFile {
    /// Of the machine.
    Real(File),
    /// In memory.
    #[cfg(test)]
    Memory(super::memory_dir::Handle),
}

impl OpenFile {
    fn file(&self) -> &dyn DiskFile {
        match self {
            Self::Real(file) => file,
            #[cfg(test)]
            Self::Memory(handle) => &*handle.file,
        }
    }

    /// Bytes in it.
    pub(super) fn size(&self) -> io::Result<u64> {
        self.file().size()
    }

    /// How long ago it was changed. `None`: the clock has been put back since, or nobody knows.
    pub(super) fn age(&self) -> io::Result<Option<Duration>> {
        match self {
            Self::Real(file) => Ok(file.metadata()?.modified()?.elapsed().ok()),
            #[cfg(test)]
            Self::Memory(..) => Ok(None),
        }
    }

    /// See [`DiskFile::allocate`].
    pub(super) fn allocate(&self, size: u64) -> io::Result<()> {
        self.file().allocate(size)
    }

    /// Makes its contents durable.
    pub(super) fn sync_data(&self) -> io::Result<()> {
        self.file().sync_data()
    }

    /// See [`DiskFile::forget_cached`].
    pub(super) fn forget_cached(&self) -> io::Result<()> {
        self.file().forget_cached()
    }
}

impl Read for OpenFile {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read(bytes),
            #[cfg(test)]
            Self::Memory(handle) => {
                let read = handle.file.read_at(bytes, handle.at)?;
                handle.at += read as u64;
                Ok(read)
            }
        }
    }
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.write(bytes),
            #[cfg(test)]
            Self::Memory(handle) => {
                handle.file.write_at(&mut [io::IoSlice::new(bytes)], handle.at)?;
                handle.at += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
