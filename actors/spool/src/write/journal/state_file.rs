//! The state file of one segment while the journal writes to it.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use relais_channels::disk::DiskFile;
use relais_storage::{Place, StorageError};

use crate::{
    environment::Environment,
    format::record::Salt,
    format::segment::{HEAD, Part, SegmentHead, create_states},
};

/// One `.st` file.
pub(crate) struct StateFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) salt: Salt,
    /// Bytes that are durable.
    pub(crate) durable: u64,
    /// The bytes after them.
    pub(crate) tail: Vec<u8>,
    /// How much of the tail has been written.
    pub(crate) written: usize,
    /// The file was made just now; its name has not been synced.
    pub(crate) fresh: bool,
}

impl StateFile {
    /// Opens the state file of a segment; it is made again if it was lost.
    pub(crate) fn open(environment: &Environment, number: u32) -> Result<Self, StorageError> {
        let (disk, layout) = (&*environment.disk, &environment.layout);
        let path = layout.states(number);
        let place = Place { segment: number, offset: 0, length: 0 };
        let head = SegmentHead::load(disk, layout, number).map_err(StorageError::at(&path))?;
        let head = head.ok_or(StorageError::Gone { place })?;
        let (file, fresh) = match disk.open(&path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let made = create_states(disk, layout, head).map_err(|error| {
                    // Its head may be missing.
                    let _ = disk.remove(&path);
                    environment.failure(&path, error)
                });
                (made?, true)
            }
            Err(error) => return Err(StorageError::at(&path)(error)),
        };
        let durable = file.size().map_err(StorageError::at(&path))?.max(HEAD as u64);
        let salt = head.salt(Part::States);
        Ok(Self { file, salt, durable, tail: Vec::new(), written: 0, fresh })
    }

    /// Where the next record goes.
    pub(crate) fn end(&self) -> u64 {
        self.durable + self.tail.len() as u64
    }

    /// Whether the operating system has all of it.
    pub(crate) fn is_written(&self) -> bool {
        self.written == self.tail.len()
    }

    /// Hands the tail to the operating system.
    pub(crate) fn write_out(&mut self) -> io::Result<()> {
        if !self.is_written() {
            let (at, rest) = (self.durable + self.written as u64, &self.tail[self.written..]);
            self.file.write_at(&mut [IoSlice::new(rest)], at)?;
            self.written = self.tail.len();
        }
        Ok(())
    }

    /// Makes it durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.write_out()?;
        if let Err(error) = self.file.sync_data() {
            // The kernel may have given up on these pages: write them once more.
            self.written = 0;
            return Err(error);
        }
        self.durable = self.end();
        self.tail.clear();
        self.written = 0;
        Ok(())
    }
}
