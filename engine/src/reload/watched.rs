//! A file that is looked at now and then: whether it is another one than before.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::PathBuf};

/// The file, as it was when it was last looked at.
#[derive(Debug)]
pub(super) struct Watched {
    path: Option<PathBuf>,
    identity: Option<Identity>,
}

/// The numbers that change when a file does: device, inode, size, time of the change of its content.
type Identity = (u64, u64, u64, i64, i64);

impl Watched {
    /// As it is now; nothing changes where there is no file.
    pub(super) fn of(path: Option<PathBuf>) -> Self {
        let mut watched = Self { path, identity: None };
        watched.identity = watched.look();
        watched
    }

    /// Whether it has changed since this was last asked. A file that is away for a moment, because it
    /// is being replaced, has not.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = self.look();
        let changed = now.is_some() && now != self.identity;
        if changed {
            self.identity = now;
        }
        changed
    }

    fn look(&self) -> Option<Identity> {
        let meta = fs::metadata(self.path.as_ref()?).ok()?;
        Some((meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.as_deref().unwrap_or("".as_ref()).display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_once_after_each_change_and_not_while_it_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.ldif");
        fs::write(&path, "a").unwrap();
        let mut watched = Watched::of(Some(path.clone()));
        assert!(!watched.has_changed());
        fs::write(&path, "ab").unwrap();
        assert!(watched.has_changed() && !watched.has_changed());
        fs::remove_file(&path).unwrap();
        assert!(!watched.has_changed());
        fs::write(&path, "abc").unwrap();
        assert!(watched.has_changed());
        assert!(!Watched::of(None).has_changed());
    }
}
