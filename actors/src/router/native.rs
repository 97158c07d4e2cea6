//! UNIX mailboxes and files as the ends of ways.
//!
//! A mailbox is that of the address; a file has a destination of its own, so that no address of a
//! stranger's can name one.

use std::path::{Path, PathBuf};

use relais_channels::mbox::{FilePlace, Owner};
use relais_config::Config;

/// The mailboxes and files of this machine.
#[derive(Debug)]
pub(super) struct NativeWays {
    mailboxes: PathBuf,
    /// Folders of files.
    folders: Vec<PathBuf>,
}

impl NativeWays {
    /// `None`: the configuration has none.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let native = config.native.as_ref()?;
        let folders = native.files.folders.iter().map(|folder| config.path(folder)).collect();
        Some(Self { mailboxes: config.path(&native.path), folders })
    }

    /// The mailbox of an account.
    pub(super) fn mailbox(&self, account: &str) -> String {
        self.mailboxes.join(account).display().to_string()
    }

    /// Whether mail may be appended to a file; `home` is that of the account whose file it is.
    pub(super) fn allows(&self, path: &str, home: Option<&str>) -> bool {
        let home = home.map(Path::new).filter(|home| home.is_absolute() && *home != Path::new("/"));
        let mut roots = self.folders.iter().map(PathBuf::as_path).chain(home);
        let nobody = Owner { user: 0, group: 0 };
        path == DEV_NULL
            || roots.any(|root| FilePlace::file(root, Path::new(path), nobody).is_some())
    }
}

/// A file where mail is thrown away.
pub const DEV_NULL: &str = "/dev/null";
/// The destination of files: behind it stands the account whose rights they are written with, or nobody
/// where it is the operator's. No domain looks like it.
pub const FILES: &str = "file:";
/// The beginning of a target that is a file of an account; no address begins so.
pub(super) const OWN_FILE: &str = ":file:";
