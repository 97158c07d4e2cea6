//! A file that is open and locked.

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat, fchown, fstat, fsync, openat, statat, unlinkat},
    io::Errno,
    process::{Gid, Uid, geteuid},
};

use super::{
    dot_lock::DotLock,
    error::AppendError,
    place::{FilePlace, Owner, Rights, is_link},
    rights::{Acting, are_had},
};
use crate::disk::DiskFile;

/// A file that is open, with its locks; they go when this is dropped.
///
/// Both are asked for without waiting, and neither is kept without the other: two programs that take
/// them in different orders do not wait for each other for ever (Debian policy 11.6).
#[derive(Debug)]
pub(super) struct Held {
    file: Arc<File>,
    folder: OwnedFd,
    dot_lock: Option<DotLock>,
    acting: Option<Owner>,
    /// Device and inode.
    pub(super) identity: (u64, u64),
    /// Its length under the locks.
    pub(super) length: u64,
}

impl Held {
    /// Opens and locks the file of a place; with `creates` it is made if it is not there.
    pub(super) fn open(place: &FilePlace, creates: bool) -> Result<Option<Self>, AppendError> {
        if !are_had(place.owner) {
            return Err(AppendError::NoRights(place.owner.user));
        }
        let acting = (place.rights == Rights::Owner).then_some(place.owner);
        let _acting =
            acting.map(Acting::of).transpose().map_err(|e| AppendError::of("user", &e))?;
        let folder = place.folder().map_err(|error| {
            if is_link(&error) {
                AppendError::Unfit("below a link, or below what is no folder")
            } else {
                AppendError::of("folder", &error)
            }
        })?;
        let Some(file) = open_file(&folder, place, creates)? else { return Ok(None) };
        let stat = fit(&file, place)?;
        if !lock(&file)? {
            return Err(AppendError::Busy);
        }
        let identity = (stat.st_dev, stat.st_ino);
        // A reader may have put another file in its place before we had the lock.
        match statat(&folder, place.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(now) if (now.st_dev, now.st_ino) == identity => {}
            _ => return Err(AppendError::Busy),
        }
        let dot_lock = DotLock::take(&folder, place.name())?;
        let file = Arc::new(file);
        let mut held = Self { file, folder, dot_lock, acting, identity, length: 0 };
        held.length = held.file.size().map_err(|error| AppendError::of("size", &error))?;
        Ok(Some(held))
    }

    /// Its content. Whatever position is named, writing goes to its end.
    pub(super) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(dot_lock) = self.dot_lock.take() else { return };
        let acting = self.acting.map(Acting::of).transpose();
        dot_lock.release(&self.folder);
        drop(acting);
    }
}

/// Opens the file. One that is made is closed to others, and given to its owner.
fn open_file(
    folder: &OwnedFd,
    place: &FilePlace,
    creates: bool,
) -> Result<Option<File>, AppendError> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    match openat(folder, place.name(), flags, Mode::empty()) {
        Ok(file) => return Ok(Some(file.into())),
        Err(Errno::NOENT) if creates => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(AppendError::Unfit("a link")),
        Err(Errno::ISDIR) => return Err(AppendError::Unfit("a folder")),
        Err(Errno::NXIO | Errno::NODEV) => return Err(AppendError::Unfit("no regular file")),
        Err(error) => return Err(system("open", error)),
    }
    let mode = Mode::RUSR | Mode::WUSR;
    let file = match openat(folder, place.name(), flags | OFlags::CREATE | OFlags::EXCL, mode) {
        // Another program was faster.
        Err(Errno::EXIST) => return Err(AppendError::Busy),
        opened => opened.map_err(|error| system("create", error))?,
    };
    if place.rights == Rights::Engine && geteuid().is_root() {
        let Owner { user, group } = place.owner;
        // A folder that hands its group on, as /var/mail does, has said whose it is.
        let hands_on = fstat(folder).is_ok_and(|stat| stat.st_mode & SET_GROUP != 0);
        let group = (!hands_on).then(|| Gid::from_raw(group));
        if let Err(error) = fchown(&file, Some(Uid::from_raw(user)), group) {
            // Its owner could not read it, and the next delivery would refuse it.
            let _ = unlinkat(folder, place.name(), AtFlags::empty());
            return Err(system("owner", error));
        }
    }
    fsync(folder).map_err(|error| system("folder", error))?;
    Ok(Some(file.into()))
}

/// Whether mail may be appended to what was opened.
fn fit(file: &File, place: &FilePlace) -> Result<Stat, AppendError> {
    let stat = fstat(file).map_err(|error| system("open", error))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(AppendError::Unfit("no regular file"));
    }
    if stat.st_nlink != 1 {
        return Err(AppendError::Unfit("a file of several names, or of none"));
    }
    if place.rights == Rights::Engine && stat.st_uid != place.owner.user {
        return Err(AppendError::NotOwned(stat.st_uid));
    }
    if stat.st_mode & EXECUTABLE != 0 {
        return Err(AppendError::Unfit("a program"));
    }
    Ok(stat)
}

/// The lock belongs to the open file and not to the process: threads of ours keep each other out by
/// it, and closing another descriptor of the file does not end it.
fn lock(file: &File) -> Result<bool, AppendError> {
    let whole = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole)) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAGAIN | nix::Error::EACCES | nix::Error::EINTR) => Ok(false),
        Err(error) => Err(AppendError::of("lock", &error.into())),
    }
}

fn system(step: &'static str, error: Errno) -> AppendError {
    AppendError::of(step, &error.into())
}

const SET_GROUP: u32 = 0o2000;
const EXECUTABLE: u32 = 0o111;
