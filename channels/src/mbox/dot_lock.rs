//! The file beside a mailbox that says it is locked.
//!
//! It holds the number of our process, as liblockfile has it, and behind that who we are: a lock that a
//! process of ours left behind when it was killed is known at once, and not by its age.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io::{Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    sync::LazyLock,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, linkat, openat, statat, unlinkat},
    io::Errno,
    process::{Pid, getpid, test_kill_process},
};

use super::{error::AppendError, place::DOT_LOCK};
use crate::clock;

/// A lock that we have.
#[derive(Debug)]
pub(super) struct DotLock {
    name: OsString,
    /// Device and inode.
    identity: (u64, u64),
}

impl DotLock {
    /// `None`: the folder does not let us have one, and the other lock has to do, as in Postfix.
    pub(super) fn take(folder: &OwnedFd, mailbox: &OsStr) -> Result<Option<Self>, AppendError> {
        let mut name = mailbox.to_owned();
        name.push(DOT_LOCK);
        let failed = |error: Errno| AppendError::of("lock", &error.into());
        for _ in 0..2 {
            match make(folder, &name) {
                Ok(stat) => return Ok(Some(Self { name, identity: (stat.st_dev, stat.st_ino) })),
                Err(Errno::EXIST) if is_stale(folder, &name) => {
                    tracing::warn!(lock = ?name, "a stale dot-lock is removed");
                    // Another one may have done so.
                    let _ = unlinkat(folder, &name, AtFlags::empty());
                }
                Err(Errno::EXIST) => return Err(AppendError::Busy),
                Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::NAMETOOLONG) => {
                    return Ok(None);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Err(AppendError::Busy)
    }

    /// Gives it back. One that somebody took for stale is not ours any more.
    pub(super) fn release(self, folder: &OwnedFd) {
        let Self { name, identity } = self;
        let is_ours = statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == identity);
        if is_ours && let Err(error) = unlinkat(folder, &name, AtFlags::empty()) {
            tracing::warn!(lock = ?name, %error, "a dot-lock of ours cannot be removed");
        }
    }
}

/// Makes the file. It says whose it is from the moment at which it is there, so that one of a process
/// that was killed is never empty; where the file system cannot do that, it is written to a moment later.
fn make(folder: &OwnedFd, name: &OsStr) -> Result<Stat, Errno> {
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let whole = openat(folder, ".", flags | OFlags::TMPFILE, mode).and_then(|lock| {
        let (stat, lock) = written(lock)?;
        let path = format!("/proc/self/fd/{}", lock.as_raw_fd());
        linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)?;
        Ok(stat)
    });
    match whole {
        Ok(stat) => Ok(stat),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        Err(_) => {
            let flags = flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            openat(folder, name, flags, mode).and_then(written).map(|(stat, _)| stat)
        }
    }
}

fn written(lock: OwnedFd) -> Result<(Stat, File), Errno> {
    let stat = fstat(&lock)?;
    let mut lock = File::from(lock);
    // An empty one locks as well.
    let _ = lock.write_all(OURSELVES.text().as_bytes());
    Ok((stat, lock))
}

/// Whether a program that died left it behind.
fn is_stale(folder: &OwnedFd, name: &OsStr) -> bool {
    let Ok(stat) = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let now = clock::now();
    let made = Duration::from_secs(stat.st_mtime.try_into().unwrap_or_default());
    if now.saturating_sub(made) > STALE {
        return true;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(lock) = openat(folder, name, flags, Mode::empty()) else { return false };
    let mut text = String::new();
    // One that was made a moment ago may be empty yet.
    let read = File::from(lock).take(LONGEST).read_to_string(&mut text);
    read.is_ok() && OURSELVES.outlived(&text)
}

/// The process that has a lock.
struct LockOwner {
    pid: Pid,
    host: String,
    /// Changes with each start of the machine.
    boot: String,
    /// Another one in each process.
    token: u64,
}

impl LockOwner {
    fn text(&self) -> String {
        let Self { pid, host, boot, token } = self;
        format!("{}\nrelais {host} {boot} {token:x}\n", pid.as_raw_nonzero())
    }

    /// Whether a lock is one of ours, of a process that is not there any more.
    fn outlived(&self, text: &str) -> bool {
        let mut words = text.split_ascii_whitespace();
        let (Some(pid), Some("relais"), Some(host), Some(boot), Some(token)) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            return false;
        };
        let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) else { return false };
        if host != self.host {
            return false;
        }
        let is_gone = || test_kill_process(pid) == Err(Errno::SRCH);
        boot != self.boot
            || (pid == self.pid && token != format!("{:x}", self.token))
            || (pid != self.pid && is_gone())
    }
}

static OURSELVES: LazyLock<LockOwner> = LazyLock::new(|| {
    let word = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_ascii_whitespace().next().unwrap_or("unknown").to_owned()
    };
    LockOwner {
        pid: getpid(),
        host: word("/proc/sys/kernel/hostname"),
        boot: word("/proc/sys/kernel/random/boot_id"),
        token: RandomState::new().build_hasher().finish(),
    }
});

/// As in liblockfile.
const STALE: Duration = Duration::from_secs(300);
/// Octets of a lock that are read.
const LONGEST: u64 = 512;

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn a_lock_says_whose_it_is_as_soon_as_it_is_there() {
        let root = tempfile::tempdir().unwrap();
        let folder = OwnedFd::from(File::open(root.path()).unwrap());
        let (done, path) = (AtomicBool::new(false), root.path().join("joe.lock"));
        thread::scope(|threads| {
            let reader = threads.spawn(|| {
                let mut seen = 0;
                while !done.load(Relaxed) {
                    if let Ok(text) = fs::read_to_string(&path) {
                        assert_eq!(text, OURSELVES.text());
                        seen += 1;
                    }
                }
                seen
            });
            for _ in 0..2_000 {
                let lock = DotLock::take(&folder, OsStr::new("joe")).unwrap().unwrap();
                let again = DotLock::take(&folder, OsStr::new("joe"));
                assert!(matches!(again, Err(AppendError::Busy)), "{again:?}");
                lock.release(&folder);
            }
            done.store(true, Relaxed);
            assert!(reader.join().unwrap() > 0);
        });
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn only_a_lock_of_a_process_of_ours_that_has_ended_is_known_for_one() {
        let us = |pid: i32, token| LockOwner {
            pid: Pid::from_raw(pid).unwrap(),
            host: "h".to_owned(),
            boot: "b".to_owned(),
            token,
        };
        let own = getpid().as_raw_nonzero().get();
        let here = us(own, 1);
        let rows = [
            ("itself", us(own, 1).text(), false),
            ("itself before, under the same number", us(own, 2).text(), true),
            ("a process that runs", us(1, 2).text(), false),
            ("one that does not", us(i32::MAX, 2).text(), true),
            (
                "one of another host",
                LockOwner { host: "x".to_owned(), ..us(i32::MAX, 2) }.text(),
                false,
            ),
            ("before the last boot", LockOwner { boot: "x".to_owned(), ..us(1, 2) }.text(), true),
            ("liblockfile's", format!("{}\n", i32::MAX), false),
            ("an empty one", String::new(), false),
            ("half of ours", format!("{}\nrelais h", i32::MAX), false),
        ];
        for (name, text, want) in rows {
            assert_eq!(here.outlived(&text), want, "{name}");
        }
    }
}
