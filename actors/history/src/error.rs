//! Errors of the history.

use std::{io, path::PathBuf};

/// Why the history cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A file or the folder.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The thread of the writer.
    #[error("the history's thread has ended")]
    Ended,
}

impl HistoryError {
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}

/// The octets are not what was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a block is damaged")]
pub(crate) struct DamagedBlock;
