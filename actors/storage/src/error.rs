//! The errors of storage, told to whoever must act.

use std::{io, path::Path, sync::Arc};

use crate::{place::Place, stored::BadEnvelope};

/// Why storage did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// As many messages as allowed are waiting to be committed. The client should come again.
    #[error("{waiting} messages are waiting for the disk; come again later")]
    Busy {
        /// Messages waiting.
        waiting: usize,
    },
    /// The disk is full, or nearly so. The operator should make room; mail is taken again then.
    #[error("the spool's disk has {free} octets left and needs {needed} (spool.min_free)")]
    DiskFull {
        /// Bytes free when it was noticed.
        free: u64,
        /// Bytes that must be free.
        needed: u64,
    },
    /// The disk has room for bytes, but not for one more file.
    #[error("the spool's disk has no inodes left: no file can be made on it")]
    NoInodes,
    /// The operating system refused. The operator should look at the disk.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: String,
        /// The system's own words.
        source: Arc<io::Error>,
    },
    /// The bytes at this place are not what was written. Only a copy elsewhere helps.
    #[error("the record at segment {}, offset {} is damaged", place.segment, place.offset)]
    Damaged {
        /// Where.
        place: Place,
    },
    /// Nothing is kept at this place any more.
    #[error("there is no segment {} any more", place.segment)]
    Gone {
        /// Where it was.
        place: Place,
    },
    /// An envelope that cannot be queued: a mistake of the caller.
    #[error("an envelope that cannot be queued: {0}")]
    Envelope(&'static str),
    /// The index is out of order. It is rebuilt from the spool; ask again.
    #[error("the queue index is being rebuilt: {0}")]
    Index(String),
    /// Storage has been closed.
    #[error("the spool is closed")]
    Closed,
}

impl From<BadEnvelope> for StorageError {
    fn from(BadEnvelope(why): BadEnvelope) -> Self {
        Self::Envelope(why)
    }
}

impl StorageError {
    /// Something failed at a path.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.display().to_string(), source: Arc::new(source) }
    }
}
