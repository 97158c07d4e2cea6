//! Content in files of its own: streamed in, never held whole in memory.
//!
//! A draft is a file `large/draft-N` until its message is appended; then it is synced, takes the
//! message's id for a name, and only when that is durable does the record go to the committer. A
//! draft that is dropped takes its file along; what a crash leaves is removed at the next start.

use std::{
    io::IoSlice,
    mem,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use relais_channels::{disk::DiskFile, mail::MessageId};
use tokio::runtime::Handle;

use crate::{
    environment::{Environment, blocking},
    error::SpoolError,
    format::layout::DRAFT,
};

/// Content on its way in.
#[derive(Debug)]
pub enum NewContent {
    /// In memory, added lines included.
    Whole(Bytes),
    /// In a file of its own, streamed there already, added lines included.
    Blob(Draft),
}

/// The content of a large message while it comes in.
pub struct Draft {
    environment: Arc<Environment>,
    path: PathBuf,
    file: Option<Arc<dyn DiskFile>>,
    buffer: Vec<u8>,
    written: u64,
    kept: bool,
}

impl Draft {
    pub(crate) fn new(environment: Arc<Environment>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = environment.layout.blob_dir().join(format!("{DRAFT}{count}"));
        Self { environment, path, file: None, buffer: Vec::new(), written: 0, kept: false }
    }

    /// Takes in a piece. Waits for the disk once in a while.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.write_out(false).await } else { Ok(()) }
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Reads what has been written, from `at` on, at most so many bytes; none at the end.
    pub async fn read(&mut self, at: u64, most: usize) -> Result<Vec<u8>, SpoolError> {
        if !self.buffer.is_empty() {
            self.write_out(false).await?;
        }
        let Some(file) = self.file.clone() else { return Ok(Vec::new()) };
        let (environment, path) = (Arc::clone(&self.environment), self.path.clone());
        blocking(move || {
            let mut bytes = vec![0; most];
            let read = file.read_at(&mut bytes, at);
            bytes.truncate(read.map_err(|error| environment.failure(&path, error))?);
            Ok(bytes)
        })
        .await
    }

    /// Puts other octets in the place of those that begin there; as many of them must have been written.
    pub async fn overwrite(&mut self, at: u64, octets: Vec<u8>) -> Result<(), SpoolError> {
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
        let (environment, path) = (Arc::clone(&self.environment), self.path.clone());
        let Some(file) = self.file.clone() else { return Ok(()) };
        blocking(move || {
            let written = file.write_at(&mut [IoSlice::new(&octets)], at);
            written.map_err(|error| environment.failure(&path, error))
        })
        .await
    }

    /// Makes it durable under the name of its message, as this form of it.
    pub(crate) async fn keep(mut self, id: MessageId, form: u8) -> Result<(), SpoolError> {
        self.write_out(true).await?;
        let (environment, from) = (Arc::clone(&self.environment), self.path.clone());
        let to = environment.layout.blob(id, form);
        self.kept = true;
        blocking(move || {
            let renamed = environment.disk.rename(&from, &to);
            let synced =
                renamed.and_then(|()| environment.disk.sync_dir(&environment.layout.blob_dir()));
            synced.map_err(|error| {
                let _ = environment.disk.remove(&from);
                let _ = environment.disk.remove(&to);
                environment.failure(&to, error)
            })
        })
        .await
    }

    async fn write_out(&mut self, sync: bool) -> Result<(), SpoolError> {
        let (environment, path, at) =
            (Arc::clone(&self.environment), self.path.clone(), self.written);
        let (file, buffer) = (self.file.take(), mem::take(&mut self.buffer));
        let (file, buffer) = blocking(move || {
            let written = || {
                let file = file.map_or_else(|| environment.disk.create(&path), Ok)?;
                file.write_at(&mut [IoSlice::new(&buffer)], at)?;
                if sync {
                    file.sync_data()?;
                }
                Ok(file)
            };
            environment.take_space(buffer.len() as u64)?;
            let file = written().map_err(|error| environment.failure(&path, error))?;
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
        let (environment, path) = (Arc::clone(&self.environment), mem::take(&mut self.path));
        // Freeing the blocks of a large file takes a while.
        let remove = move || drop(environment.disk.remove(&path));
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Bytes collected before the disk is bothered.
const BUFFER: usize = 256 << 10;
