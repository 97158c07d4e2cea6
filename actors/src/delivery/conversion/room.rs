//! A folder for the parts of one message, which goes with its conversion.

use std::{
    fs::{DirBuilder, remove_dir_all},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// A folder that nobody but the engine may enter. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct PartsFolder(PathBuf);

impl PartsFolder {
    /// A new one in `around`.
    pub(super) fn new(around: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut builder = DirBuilder::new();
        builder.mode(0o700).recursive(true).create(around)?;
        let room = around.join(NEXT.fetch_add(1, Relaxed).to_string());
        builder.recursive(false).create(&room)?;
        Ok(Self(room))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for PartsFolder {
    fn drop(&mut self) {
        if let Err(error) = remove_dir_all(&self.0) {
            tracing::warn!(%error, path = %self.0.display(), "parts of a message stay on disk");
        }
    }
}
