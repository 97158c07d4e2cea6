//! Why a partition cannot be used.

use std::{io, path::PathBuf};

use super::journal::JournalError;
use crate::disk::is_full;

/// Why a partition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The partition is not there; it may come back.
    #[error(transparent)]
    Away(#[from] Away),
    /// Another process has it, or its journal cannot be read.
    #[error("{path}: {source}")]
    Journal {
        /// The root of the partition.
        path: PathBuf,
        /// The cause.
        source: JournalError,
    },
    /// A directory cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl PartitionError {
    /// Whether it opens as soon as there is room on its file system.
    pub fn wants_room(&self) -> bool {
        match self {
            Self::Journal { source: JournalError::Io { source, .. }, .. }
            | Self::Io { source, .. } => is_full(source),
            Self::Away(_) | Self::Journal { .. } => false,
        }
    }
}

/// Why a partition is not there.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Away {
    /// The system cannot reach it.
    #[error("the store {path}: {error}", path = .path.display())]
    Unreachable {
        /// Its root.
        path: PathBuf,
        /// In the system's words.
        error: String,
    },
    /// There is a directory, and it is not the one that was there before.
    #[error(
        "the store {path} has lost its marker {MARKER}: is its file system mounted? \
         (If this is the store all the same, make the file {path}/{MARKER}; where a new store is to \
         begin, remove {known})",
        path = .path.display(), known = .known.display()
    )]
    Unmarked {
        /// Its root.
        path: PathBuf,
        /// Where it is remembered.
        known: PathBuf,
    },
}

/// The file that marks the root of every partition.
pub const MARKER: &str = ".relais-store";
