//! A directory of a partition on a disk in memory that forgets.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::FileType;

use crate::{
    disk::{Disk, DiskFile},
    memory_disk::MemoryDisk,
};

/// Does what [`super::dir::Dir`] does; nothing here is odd, so nothing is refused.
#[derive(Clone)]
pub(super) struct MemoryDir {
    disk: MemoryDisk,
    path: PathBuf,
    /// There from the start, like the place where a file system is mounted.
    is_root: bool,
}

/// A file that it has opened, and where to go on reading or writing.
pub(super) struct Handle {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) at: u64,
}

impl MemoryDir {
    pub(super) fn root(disk: &MemoryDisk, path: &Path) -> Self {
        Self { disk: disk.clone(), path: path.to_owned(), is_root: true }
    }

    pub(super) fn open(&self, path: &str) -> io::Result<Self> {
        let path = self.path.join(path);
        if self.disk.is_dir(&path) {
            Ok(Self { path, disk: self.disk.clone(), is_root: false })
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    pub(super) fn make(&self, path: &str) -> io::Result<Self> {
        let mut dir = self.path.clone();
        for name in path.split('/') {
            dir.push(name);
            if !self.disk.is_dir(&dir) {
                self.disk.make_dir(&dir)?;
            }
        }
        Ok(Self { path: dir, disk: self.disk.clone(), is_root: false })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.disk.has(&self.path.join(name))
    }

    pub(super) fn create(&self, name: &str) -> io::Result<Handle> {
        if !self.is_there() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Handle { file: self.disk.create(&self.path.join(name))?, at: 0 })
    }

    /// For reading, or for adding to its end.
    pub(super) fn file(&self, name: &str, append: bool) -> io::Result<Option<Handle>> {
        let file = match self.disk.open(&self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let at = if append { file.size()? } else { 0 };
        Ok(Some(Handle { file, at }))
    }

    pub(super) fn size(&self, name: &str) -> io::Result<u64> {
        self.disk.open(&self.path.join(name))?.size()
    }

    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        self.disk.rename(&self.path.join(name), &to.path.join(new))
    }

    pub(super) fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        self.disk.link(&self.path.join(name), &to.path.join(new))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(&self.path.join(name))
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.path)
    }

    pub(super) fn sync_all(&self) -> io::Result<()> {
        self.disk.sync_fs()
    }

    pub(super) fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space(&self.path)
    }

    pub(super) fn entries(
        &self,
        mut each: impl FnMut(&str, FileType) -> io::Result<()>,
    ) -> io::Result<()> {
        for name in self.disk.list(&self.path)? {
            let is_dir = self.disk.is_dir(&self.path.join(&name));
            each(&name, if is_dir { FileType::Directory } else { FileType::RegularFile })?;
        }
        Ok(())
    }

    fn is_there(&self) -> bool {
        self.is_root || self.disk.is_dir(&self.path)
    }
}

impl fmt::Debug for MemoryDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
