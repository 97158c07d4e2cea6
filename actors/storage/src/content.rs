//! Content in files of its own: streamed in, never held whole in memory.
//!
//! A draft is a file until its message is appended; then it is synced and takes the name that the storage
//! gives it, or is read piece by piece. A draft that is dropped takes its file along; what a crash leaves
//! is removed at the next start.

use std::{
    io::{self, IoSlice},
    mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use relais_channels::{
    disk::{Disk, DiskFile},
    mail::Content,
};
use tokio::runtime::Handle;

use crate::{blocking::blocking, error::StorageError};

/// Content on its way in.
#[derive(Debug)]
pub enum NewContent {
    /// In memory, added lines included.
    Whole(Bytes),
    /// In a file of its own, streamed there already, added lines included.
    Blob(Draft),
}

/// The content of a message that goes on.
#[derive(Debug)]
pub enum MoreContent<'a> {
    /// As it was read.
    Same(&'a Content),
    /// Another form of it. It is in a file of its own if that which was read is, and only then: the
    /// files of a message go when the last of its entries is done.
    New(NewContent),
}

/// The place where drafts are written.
pub trait DraftRoom: Send + Sync + 'static {
    /// The disk.
    fn disk(&self) -> &dyn Disk;
    /// Takes room for so many octets, or says that there is none.
    fn take_room(&self, octets: u64) -> Result<(), StorageError>;
    /// The error to tell when the disk failed at `path`.
    fn failure(&self, path: &Path, error: io::Error) -> StorageError;
}

/// The content of a large message while it comes in.
pub struct Draft {
    room: Arc<dyn DraftRoom>,
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    buffer: Vec<u8>,
    written: u64,
    kept: bool,
}

impl Draft {
    /// A draft that is written to `path`, which nobody else has.
    pub fn new(room: Arc<dyn DraftRoom>, path: PathBuf) -> Self {
        Self { room, path, file: None, buffer: Vec::new(), written: 0, kept: false }
    }

    /// Takes in a piece. Waits for the disk once in a while.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.write_out(false).await } else { Ok(()) }
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Reads what has been written, from `at` on, at most so many bytes; none at the end.
    pub async fn read(&mut self, at: u64, most: usize) -> Result<Vec<u8>, StorageError> {
        if !self.buffer.is_empty() {
            self.write_out(false).await?;
        }
        let Some(file) = self.file.clone() else { return Ok(Vec::new()) };
        let (room, path) = (Arc::clone(&self.room), self.path.clone());
        blocking(move || {
            let mut bytes = vec![0; most];
            let read = file.read_at(&mut bytes, at);
            bytes.truncate(read.map_err(|error| room.failure(&path, error))?);
            Ok(bytes)
        })
        .await
    }

    /// Puts other octets in the place of those that begin there; as many of them must have been written.
    pub async fn overwrite(&mut self, at: u64, octets: Vec<u8>) -> Result<(), StorageError> {
        let end = at + octets.len() as u64;
        debug_assert!(end <= self.size());
        if at >= self.written {
            let start = (at - self.written) as usize;
            self.buffer[start..start + octets.len()].copy_from_slice(&octets);
            return Ok(());
        }
        if end > self.written {
            self.write_out(false).await?;
        }
        let (room, path) = (Arc::clone(&self.room), self.path.clone());
        let Some(file) = self.file.clone() else { return Ok(()) };
        blocking(move || {
            let written = file.write_at(&mut [IoSlice::new(&octets)], at);
            written.map_err(|error| room.failure(&path, error))
        })
        .await
    }

    /// Makes it durable under this name, in the folder `dir`.
    pub async fn keep(mut self, to: PathBuf, dir: PathBuf) -> Result<(), StorageError> {
        self.write_out(true).await?;
        let (room, from) = (Arc::clone(&self.room), self.path.clone());
        self.kept = true;
        blocking(move || {
            let disk = room.disk();
            let synced = disk.rename(&from, &to).and_then(|()| disk.sync_dir(&dir));
            synced.map_err(|error| {
                let _ = disk.remove(&from);
                let _ = disk.remove(&to);
                room.failure(&to, error)
            })
        })
        .await
    }

    async fn write_out(&mut self, sync: bool) -> Result<(), StorageError> {
        let (room, path, at) = (Arc::clone(&self.room), self.path.clone(), self.written);
        let (file, buffer) = (self.file.take(), mem::take(&mut self.buffer));
        let (file, buffer) = blocking(move || {
            let written = || {
                let file = file.map_or_else(|| room.disk().create(&path), Ok)?;
                file.write_at(&mut [IoSlice::new(&buffer)], at)?;
                if sync {
                    file.sync_data()?;
                }
                Ok(file)
            };
            room.take_room(buffer.len() as u64)?;
            let file = written().map_err(|error| room.failure(&path, error))?;
            Ok((file, buffer))
        })
        .await?;
        self.file = Some(file);
        self.written += buffer.len() as u64;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut draft = f.debug_struct("Draft");
        draft.field("path", &self.path).field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept || (self.file.is_none() && self.written == 0) {
            return;
        }
        let (room, path) = (Arc::clone(&self.room), mem::take(&mut self.path));
        // Freeing the blocks of a large file takes a while.
        let remove = move || drop(room.disk().remove(&path));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Bytes collected before the disk is bothered.
const BUFFER: usize = 256 << 10;
