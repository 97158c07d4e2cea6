//! Directories and files below a partition, reached from an open directory and never through a
//! link.
//!
//! A user may be able to write in a Maildir of the store: what lies there may be a link that leads
//! elsewhere, a FIFO that nobody reads, a file that is somebody else's. Nothing here follows a
//! link, waits for a peer, or writes into a file that has another name.

use std::{fs::File, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{self, Access, AtFlags, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::open_file::OpenFile;
use crate::disk::DiskFile;

/// An open directory.
#[derive(Debug)]
pub(super) enum Dir {
    /// Of the machine.
    Real(OwnedFd),
    /// On a disk that forgets.
    #[cfg(test)]
    Memory(super::memory_dir::MemoryDir),
}

/// The thing that a name leads to, which is not followed when it is a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    /// Its kind.
    pub(super) kind: FileType,
    /// Bytes.
    pub(super) size: u64,
    /// Seconds since 1970 when it was changed last; 0 where nobody knows.
    pub(super) changed: i64,
}

/// Tells a directory from every other, and from itself before a name in it was made or removed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    /// When the names in it changed last: seconds and nanoseconds.
    changed: (i64, u64),
}

impl Identity {
    fn of(stat: fs::Stat) -> Self {
        let changed = (stat.st_mtime, stat.st_mtime_nsec);
        Self { device: stat.st_dev, inode: stat.st_ino, changed }
    }
}

impl Dir {
    /// The directory where everything begins. Its own path is the operator's, who may have links.
    pub(super) fn root(path: &Path) -> io::Result<Self> {
        Ok(Self::Real(fs::open(path, DIRECTORY, Mode::empty())?))
    }

    /// The directory at `path` below this one.
    pub(super) fn open(&self, path: &str) -> io::Result<Self> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.open(path).map(Self::Memory);
        }
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(self.fd(), path, DIRECTORY, Mode::empty(), beneath) {
            // An old kernel, or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => self.walk(path),
            opened => Ok(Self::Real(opened?)),
        }
    }

    /// As [`Self::open`]; what is missing on the way is made, closed to others.
    pub(super) fn make(&self, path: &str) -> io::Result<Self> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.make(path).map(Self::Memory);
        }
        match self.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let mut dir: Option<Self> = None;
        for name in path.split('/') {
            dir = Some(dir.as_ref().unwrap_or(self).make_one(name)?);
        }
        dir.ok_or_else(|| Errno::INVAL.into())
    }

    fn make_one(&self, name: &str) -> io::Result<Self> {
        match fs::mkdirat(self.fd(), name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => self.step(name),
            Err(error) => Err(error.into()),
        }
    }

    fn walk(&self, path: &str) -> io::Result<Self> {
        let mut dir: Option<Self> = None;
        for name in path.split('/') {
            dir = Some(dir.as_ref().unwrap_or(self).step(name)?);
        }
        dir.ok_or_else(|| Errno::INVAL.into())
    }

    fn step(&self, name: &str) -> io::Result<Self> {
        if name.is_empty() || name == ".." {
            return Err(Errno::INVAL.into());
        }
        Ok(Self::Real(fs::openat(self.fd(), name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// Whether something is called `name` here, whatever it is.
    pub(super) fn has(&self, name: &str) -> io::Result<bool> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return Ok(dir.has(name));
        }
        match fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(false),
            stat => Ok(stat.map(|_| true)?),
        }
    }

    /// A new, empty file, readable by its owner only. What had its name before loses it.
    pub(super) fn create(&self, name: &str) -> io::Result<OpenFile> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.create(name).map(OpenFile::Memory);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
        let mode = Mode::RUSR | Mode::WUSR;
        let created = match fs::openat(self.fd(), name, flags, mode) {
            Err(Errno::EXIST) => {
                self.remove(name)?;
                fs::openat(self.fd(), name, flags, mode)
            }
            created => created,
        };
        Ok(OpenFile::Real(created?.into()))
    }

    /// A new file with `bytes`; it is removed when writing fails half way.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<OpenFile> {
        use io::Write;
        let mut file = self.create(name)?;
        match file.write_all(bytes) {
            Ok(()) => Ok(file),
            Err(error) => {
                // It is of no use and takes room that may be what is missing.
                let _ = self.remove(name);
                Err(error)
            }
        }
    }

    /// The regular file `name`, for reading. `None`: there is none.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<OpenFile>> {
        self.file(name, OFlags::RDONLY)
    }

    /// The regular file `name`, for adding to its end. `None`: there is none.
    pub(super) fn append(&self, name: &str) -> io::Result<Option<OpenFile>> {
        self.file(name, OFlags::WRONLY | OFlags::APPEND)
    }

    fn file(&self, name: &str, how: OFlags) -> io::Result<Option<OpenFile>> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            let file = dir.file(name, how.contains(OFlags::APPEND))?;
            return Ok(file.map(OpenFile::Memory));
        }
        match fs::openat(self.fd(), name, how | FILE, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            // ENXIO: a FIFO without a reader, or a socket. EISDIR: only reading opens a directory.
            Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => Err(not_its_own(name)),
            Ok(fd) => {
                let stat = fs::fstat(&fd)?;
                let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                // Under its other name a file that is written to may be anybody's.
                let alone = !how.contains(OFlags::APPEND) || stat.st_nlink == 1;
                if regular && alone {
                    Ok(Some(OpenFile::Real(fd.into())))
                } else {
                    Err(not_its_own(name))
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this process may look things up in this directory; with `write`, also make them.
    pub(super) fn allows(&self, write: bool) -> bool {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return true;
        }
        let write = if write { Access::WRITE_OK } else { Access::empty() };
        fs::accessat(self.fd(), ".", Access::EXEC_OK | write, AtFlags::EACCESS).is_ok()
    }

    /// Size of the file `name`, without following a link.
    pub(super) fn size(&self, name: &str) -> io::Result<u64> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.size(name);
        }
        Ok(fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW)?.st_size.cast_unsigned())
    }

    /// The thing called `name`. `None`: there is none.
    pub(super) fn look(&self, name: &str) -> io::Result<Option<Named>> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            let kind =
                if dir.open(name).is_ok() { FileType::Directory } else { FileType::RegularFile };
            return Ok(dir.has(name).then_some(Named { kind, size: 0, changed: 0 }));
        }
        match fs::statat(self.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(stat) => Ok(Some(Named {
                kind: FileType::from_raw_mode(stat.st_mode),
                size: stat.st_size.cast_unsigned(),
                changed: stat.st_mtime,
            })),
        }
    }

    /// Gives the file `name` another name, in `to`; what was called so before is gone.
    pub(super) fn rename(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        #[cfg(test)]
        if let (Self::Memory(dir), Self::Memory(to)) = (self, to) {
            return dir.rename(name, to, new);
        }
        Ok(fs::renameat(self.fd(), name, to.fd(), new)?)
    }

    /// Gives the file `name` a second name, in `to`.
    pub(super) fn link(&self, name: &str, to: &Self, new: &str) -> io::Result<()> {
        #[cfg(test)]
        if let (Self::Memory(dir), Self::Memory(to)) = (self, to) {
            return dir.link(name, to, new);
        }
        match fs::linkat(self.fd(), name, to.fd(), new, AtFlags::empty()) {
            // Names are never used twice, so this is the same file.
            Err(Errno::EXIST) => Ok(()),
            linked => Ok(linked?),
        }
    }

    /// Removes the file `name`.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.remove(name);
        }
        Ok(fs::unlinkat(self.fd(), name, AtFlags::empty())?)
    }

    /// Makes the names in this directory durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.sync();
        }
        Ok(fs::fsync(self.readable()?)?)
    }

    /// Makes everything on its file system durable.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.sync_all();
        }
        File::from(self.readable()?).sync_fs()
    }

    /// Calls `each` for every name in this directory; the type may be unknown.
    pub(super) fn entries(
        &self,
        mut each: impl FnMut(&str, FileType) -> io::Result<()>,
    ) -> io::Result<()> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.entries(each);
        }
        for entry in fs::Dir::new(self.readable()?)? {
            let entry = entry?;
            // No name of ours and no folder has other bytes.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !matches!(name, "." | "..") {
                each(name, entry.file_type())?;
            }
        }
        Ok(())
    }

    /// The identity of `path` now. A link in the last place is not followed; one before it leads at most
    /// to a directory that was once opened without links.
    pub(super) fn identity(&self, path: &str) -> io::Result<Identity> {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return Err(Errno::OPNOTSUPP.into());
        }
        Ok(Identity::of(fs::statat(self.fd(), path, AtFlags::SYMLINK_NOFOLLOW)?))
    }

    /// The identity of this directory, wherever it lies.
    pub(super) fn own_identity(&self) -> io::Result<Identity> {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return Err(Errno::OPNOTSUPP.into());
        }
        Ok(Identity::of(fs::fstat(self.fd())?))
    }

    /// The file system that it is on.
    pub(super) fn device(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return Ok(0);
        }
        Ok(fs::fstat(self.fd())?.st_dev)
    }

    /// Bytes that its file system has, free or not; 0 when it does not tell.
    pub(super) fn capacity(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return Ok(0);
        }
        let space = fs::fstatvfs(self.fd())?;
        Ok(space.f_blocks.saturating_mul(space.f_frsize))
    }

    /// Bytes that this process may still write on its file system, quotas aside.
    pub(super) fn free_space(&self) -> io::Result<u64> {
        #[cfg(test)]
        if let Self::Memory(dir) = self {
            return dir.free_space();
        }
        let space = fs::fstatvfs(self.fd())?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Whether no file can be made on its file system any more, whatever room there is.
    pub(super) fn lacks_inodes(&self) -> bool {
        #[cfg(test)]
        if let Self::Memory(_) = self {
            return false;
        }
        fs::fstatvfs(self.fd()).is_ok_and(|space| space.f_files > 0 && space.f_favail == 0)
    }

    fn fd(&self) -> &OwnedFd {
        match self {
            Self::Real(fd) => fd,
            #[cfg(test)]
            Self::Memory(_) => unreachable!("a directory in memory has no descriptor"),
        }
    }

    fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::openat(self.fd(), ".", flags, Mode::empty())?)
    }
}

fn not_its_own(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{name} is no file of its own"))
}

/// For finding what lies below; a directory that may not be listed can still be passed.
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Follows no link, waits for no peer of a FIFO, takes no terminal.
const FILE: OFlags =
    OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

#[cfg(test)]
mod tests {
    use std::{fs as path, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_and_odd_files_are_not_followed_and_hang_nobody() {
        let root = tempfile::tempdir().expect("a directory");
        let outside = tempfile::tempdir().expect("a directory");
        let at = |name: &str| root.path().join(name);
        path::create_dir_all(at("a/b")).expect("room");
        path::write(outside.path().join("file"), "theirs").expect("room");
        symlink(outside.path(), at("a/link")).expect("room");
        symlink("b", at("a/inner")).expect("room");
        symlink(outside.path().join("file"), at("a/file")).expect("room");
        path::write(at("other"), "another's").expect("room");
        path::hard_link(at("other"), at("a/hard")).expect("room");
        fs::mkfifoat(fs::CWD, at("a/fifo"), Mode::RUSR | Mode::WUSR).expect("room");
        let dir = Dir::root(root.path()).expect("a directory");
        for name in ["a/link", "a/inner", "a/link/x", "../etc", "/etc", "a/fifo", "a/file"] {
            assert!(dir.open(name).is_err(), "{name}");
            assert!(dir.walk(name).is_err(), "{name}, walking");
            assert!(dir.make(name).is_err(), "{name}, making");
        }
        assert!(dir.walk("a/b").is_ok());
        let dir = dir.open("a").expect("a directory");
        for name in ["file", "fifo", "b"] {
            for opened in [dir.read(name), dir.append(name)] {
                assert_eq!(opened.expect_err(name).kind(), io::ErrorKind::InvalidData, "{name}");
            }
        }
        assert!(dir.append("hard").is_err());
        assert!(dir.read("nothing").expect("readable").is_none());
        // Writing takes the name and leaves what it led to.
        for name in ["file", "fifo", "hard"] {
            dir.write(name, b"ours").expect("room");
            assert_eq!(path::read_to_string(at("a").join(name)).expect("a file"), "ours");
        }
        let theirs = path::read_to_string(outside.path().join("file")).expect("a file");
        assert_eq!(theirs, "theirs");
        assert_eq!(path::read_to_string(at("other")).expect("a file"), "another's");
    }
}
