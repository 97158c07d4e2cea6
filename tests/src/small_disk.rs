//! A disk that is soon full.

use std::{path::Path, process::Command, time::Duration};

use tempfile::TempDir;

use crate::within;

/// A file system in memory, of a few MiB; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one of this size: `16m`. Wants root.
    pub fn mounted(size: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        assert!(done.is_ok_and(|status| status.success()), "mount -t tmpfs");
        Self(folder)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = || {
            let done = Command::new("umount").arg(self.0.path()).status();
            done.is_ok_and(|status| status.success())
        };
        within(Duration::from_secs(5), unmounted);
    }
}
