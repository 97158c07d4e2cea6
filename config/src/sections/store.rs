//! Mailboxes that this machine holds.

use std::path::PathBuf;

use crate::file::{
    collections::{List, Maybe},
    form::Nested,
    kinds::{Choice, Count, Path, Size},
    names::ACCOUNT,
};

section! {
    /// Maildir++ mailboxes at `path/<domain>/<uid>/Maildir`. Without this section the engine keeps
    /// no mailboxes.
    pub struct Store {
        /// Root of the partition.
        path: PathBuf = PathBuf::new(), Path, example(r#""store""#);
        /// Which mailboxes come into being by a delivery.
        autocreate: Autocreate = Autocreate::default(), Choice;
        /// For mailboxes whose sender named no quota.
        default_quota: Quota = Quota::default(), Nested::new();
    }
}

choice! {
    /// Which mailboxes come into being by a delivery.
    pub enum Autocreate = No {
        /// None: an unknown user is `511 5.1.1`.
        No,
        /// The INBOX of any user that the relay names; an unknown folder falls back to it.
        Inbox,
        /// The INBOX and any `+folder`.
        All,
    }
}

section! {
    /// How much a mailbox may hold.
    pub struct Quota {
        /// All messages together; without it there is no limit.
        size: Option<u64> = None, Maybe(Size(0..=u64::MAX));
        /// Number of messages; without it there is no limit.
        messages: Option<u64> = None, Maybe(Count(0..=u64::MAX)), unit("messages");
    }
}

impl Copy for Quota {}

impl Eq for Quota {}

section! {
    /// UNIX mailboxes of this machine (mbox), one for each account: for services of program
    /// `LmtpNative`, and for accounts whose mail a channel of program `Local` hands to nobody else.
    pub struct Native {
        /// The mailbox of an account lies here under its name: `/var/mail`. The folder has to be there.
        path: PathBuf = PathBuf::new(), Path, example(r#""/var/mail""#);
        /// Files that mail may be appended to beside mailboxes.
        files: NativeFiles = NativeFiles::default(), Nested::new();
    }
}

section! {
    /// Files that aliases (`/file`) and the delivery option `file` may name. Those of `.forward` lie in
    /// the home of their account, or in one of these folders, and are written with its rights.
    pub struct NativeFiles {
        /// Folders that hold such files, themselves or in folders of theirs. Without any, no file of an
        /// alias is written to.
        folders: Vec<PathBuf> = Vec::new(), List(Path);
        /// The account whose rights files of aliases are written with, never root. It must be given
        /// when there are folders and the engine runs as root.
        user: Option<String> = None, Maybe(ACCOUNT);
    }
}
