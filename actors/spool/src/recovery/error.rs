//! Why a start did not come to its end.

use std::{
    io,
    path::{Path, PathBuf},
};

use relais_storage::StorageError;

/// Why recovery did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    /// The index does not belong to these files; start again without it.
    #[error("{0}")]
    Index(String),
    /// The system refused.
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl From<RecoverError> for StorageError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Io { path, source } => Self::at(&path)(source),
            RecoverError::Index(why) => Self::Index(why),
        }
    }
}

/// The system refused something at this path.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> RecoverError + '_ {
    |source| RecoverError::Io { path: path.to_owned(), source }
}
