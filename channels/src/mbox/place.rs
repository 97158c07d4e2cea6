//! Where a message is appended: a file, and with whose rights.

use std::{
    ffi::OsString,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

/// An account as the file system knows it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Owner {
    /// The number of its user.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
}

/// The rights with which a file is reached.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Rights {
    /// The engine: the folder is the operator's, and what is made in it is given to the owner. The file
    /// has to be the owner's.
    Engine,
    /// The owner, from the root of the place on.
    Owner,
}

/// A file that mail is appended to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct FilePlace {
    /// An absolute folder, which may be reached through links.
    root: PathBuf,
    /// From there to the folder of the file: nothing of it is a link.
    below: PathBuf,
    name: OsString,
    /// The account whose mail it is.
    pub owner: Owner,
    /// The rights with which it is reached.
    pub rights: Rights,
}

impl FilePlace {
    /// The mailbox of an account in the folder of mailboxes. `None`: no account has such a name.
    pub fn mailbox(folder: &Path, account: &str, owner: Owner) -> Option<Self> {
        let (root, name) = (folder.to_owned(), is_plain_name(account).then(|| account.into())?);
        Some(Self { root, below: PathBuf::new(), name, owner, rights: Rights::Engine })
    }

    /// The file `path`, which lies below the folder `root`, with the rights of its owner. `None`: it
    /// does not lie there.
    pub fn file(root: &Path, path: &Path, owner: Owner) -> Option<Self> {
        let inside = path.strip_prefix(root).ok()?;
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        let name = inside.file_name().filter(|_| inside.components().all(plain))?;
        let text = path.as_os_str().as_encoded_bytes();
        if text.contains(&0) || text.ends_with(b"/") || text.ends_with(b"/.") {
            return None;
        }
        let below = inside.parent().unwrap_or(Path::new("")).to_owned();
        Some(Self {
            root: root.to_owned(),
            below,
            name: name.to_owned(),
            owner,
            rights: Rights::Owner,
        })
    }

    /// As an operator knows it.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.below).join(&self.name)
    }

    /// The file's name in its folder.
    pub(super) fn name(&self) -> &std::ffi::OsStr {
        &self.name
    }

    /// The root and the folder below it, as they were given.
    pub(super) fn parts(&self) -> (&Path, &Path) {
        (&self.root, &self.below)
    }

    /// From its parts, as an intent has them.
    pub(super) fn of_parts(
        (root, below, name): (PathBuf, PathBuf, OsString),
        owner: Owner,
        rights: Rights,
    ) -> Self {
        Self { root, below, name, owner, rights }
    }

    /// Opens the folder of the file.
    pub(super) fn folder(&self) -> io::Result<OwnedFd> {
        let mut folder = openat(CWD, &self.root, FOLDER, Mode::empty())?;
        for part in &self.below {
            folder = openat(&folder, part, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(folder)
    }
}

/// Whether a mailbox may have the name of this account: nothing that leads elsewhere, or is hidden.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_graphic() && c != b'/';
    (1..=MAX_NAME).contains(&name.len())
        && !name.starts_with(['.', '-', '+'])
        && !name.to_ascii_lowercase().ends_with(DOT_LOCK)
        && name.bytes().all(plain)
}

/// Whether the error says that a link was met where none may be.
pub(super) fn is_link(error: &io::Error) -> bool {
    [Errno::LOOP, Errno::NOTDIR].iter().any(|its| error.raw_os_error() == Some(its.raw_os_error()))
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// The end of the name of a mailbox's lock.
pub(super) const DOT_LOCK: &str = ".lock";
/// Octets; with the end of its lock it is a file name.
const MAX_NAME: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { user: 1, group: 1 };

    #[test]
    fn only_plain_names_are_mailboxes() {
        let place = |name| FilePlace::mailbox(Path::new("/m"), name, OWNER).map(|its| its.path());
        assert_eq!(place("joe"), Some(PathBuf::from("/m/joe")));
        let long = "x".repeat(MAX_NAME + 1);
        for name in
            ["", ".", "..", ".joe", "-joe", "+joe", "a/b", "a b", "a\0", "joe.lock", "ä", &long]
        {
            assert_eq!(place(name), None, "{name:?}");
        }
    }

    #[test]
    fn files_lie_where_they_may() {
        let place = |path: &str| {
            let place = FilePlace::file(Path::new("/home/joe"), Path::new(path), OWNER);
            place.map(|its| its.path().display().to_string())
        };
        for path in ["/home/joe/mail", "/home/joe/a/b.c"] {
            assert_eq!(place(path).as_deref(), Some(path));
        }
        for path in [
            "/home/joe",
            "/home/joe/",
            "/home/joe/Maildir/",
            "/home/joe/a/../b",
            "/home/joe/..",
            "/home/joe/.",
            "/home/joey/mail",
            "/etc/passwd",
            "mail",
            "/home/joe/a\0",
            "",
        ] {
            assert_eq!(place(path), None, "{path:?}");
        }
    }
}
