//! One engine on one data directory.
//!
//! The lock is the kernel's (`flock`): it ends with the process, whatever ends that. What the
//! file holds only serves to name the process in the message of the second.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

/// Held as long as this value lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// The data directory cannot be had. The administrator must act.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another engine has it.
    #[error("another engine{} is running on {}", pid.as_ref().map(|pid| format!(" (process {pid})")).unwrap_or_default(), .data.display())]
    Taken {
        /// The data directory.
        data: PathBuf,
        /// The other process, when it could be read.
        pid: Option<u32>,
    },
    /// The file system refuses.
    #[error("cannot use the data directory {}: {source}", .data.display())]
    Unusable {
        /// The data directory.
        data: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Lock {
    /// Makes the data directory, for its owner alone, unless it is there, and takes its lock.
    pub fn acquire(data: &Path) -> Result<Self, LockError> {
        let unusable = |source| LockError::Unusable { data: data.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(unusable)?;
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(data.join("lock"));
        let mut file = open.map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Taken { data: data.to_owned(), pid: pid_in(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        file.set_len(0).map_err(unusable)?;
        writeln!(file, "{}", std::process::id()).map_err(unusable)?;
        Ok(Self { _file: file })
    }
}

impl Lock {
    /// The same, when the engine that has it ends soon.
    pub fn wait(data: &Path, patience: Duration) -> Result<Self, LockError> {
        let began = Instant::now();
        loop {
            match Self::acquire(data) {
                Err(LockError::Taken { .. }) if began.elapsed() < patience => sleep(LOOK_EVERY),
                acquired => return acquired,
            }
        }
    }
}

/// Whether an engine is on this data directory, one that starts or ends included. Takes nothing.
pub fn is_taken(data: &Path) -> bool {
    is_locked(&data.join("lock"))
}

/// An engine that has a data directory, told from the next one that has it. Processes may have the
/// same number, one after the other: in a container it is always 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// When it took the lock.
    since: SystemTime,
}

/// The engine that is on this data directory, one that starts or ends included. Takes nothing.
pub fn holder(data: &Path) -> Option<Holder> {
    let path = data.join("lock");
    let since = fs::metadata(&path).and_then(|meta| meta.modified()).ok()?;
    is_locked(&path).then_some(Holder { since })
}

/// Whether it cannot be told that an engine is on this data directory: it is somebody else's.
pub(crate) fn is_hidden(data: &Path) -> bool {
    let opened = File::open(data.join("lock"));
    opened.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// Whether another process has locked this file. Takes nothing.
pub(crate) fn is_locked(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // A shared lock is given back as soon as it is had; whoever starts an engine meanwhile would be
    // told that another runs, so it is held for no time to speak of.
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// For an engine to end: more than the longest `max_shutdown` and what is to be made durable behind it.
pub const LONGEST_END: Duration = Duration::from_secs(660);
/// For a lock that becomes free soon.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_second_engine_is_refused_and_told_who_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let lock = Lock::acquire(&data).unwrap();
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = Lock::acquire(&data).unwrap_err().to_string();
        let want = format!(
            "another engine (process {}) is running on {}",
            std::process::id(),
            data.display()
        );
        assert_eq!(refused, want);
        drop(lock);
        Lock::acquire(&data).unwrap();
    }

    #[test]
    fn the_next_engine_on_a_data_directory_is_told_from_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path();
        let first = Lock::acquire(data).unwrap();
        let held = holder(data);
        assert!(held.is_some());
        assert_eq!(holder(data), held);
        drop(first);
        assert_eq!(holder(data), None);
        // Times of files are as coarse as the ticks of the kernel.
        sleep(Duration::from_millis(20));
        let _second = Lock::acquire(data).unwrap();
        assert!(holder(data).is_some_and(|second| Some(second) != held));
    }

    #[test]
    fn a_place_that_cannot_hold_data_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Lock::acquire(&file).unwrap_err().to_string();
        assert!(refused.starts_with("cannot use the data directory /"), "{refused}");
    }
}
