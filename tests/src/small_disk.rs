//! A disk that is soon full.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::within;

/// A file system in memory, of a few MiB; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    path: PathBuf,
    /// Ours to remove, once it is unmounted.
    folder: Option<TempDir>,
}

impl SmallDisk {
    /// Mounts one of this size, `16m`, somewhere. Wants root.
    pub fn mounted(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut disk = Self::over(folder.path(), size);
        disk.folder = Some(folder);
        disk
    }

    /// Mounts one over a folder. Wants root.
    pub fn over(path: &Path, size: &str) -> Self {
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(path)
            .status();
        assert!(done.is_ok_and(|status| status.success()), "mount -t tmpfs");
        Self { path: path.to_owned(), folder: None }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = || {
            let done = Command::new("umount").arg(&self.path).status();
            done.is_ok_and(|status| status.success())
        };
        within(Duration::from_secs(30), unmounted);
        drop(self.folder.take());
    }
}
