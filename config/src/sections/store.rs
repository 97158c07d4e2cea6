//! Mailboxes that this machine holds.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::file::{
    collections::{List, Maybe, Table},
    form::{Nested, Section},
    kinds::{Choice, Count, Path, Size, Time},
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
        /// From the first message that a full mailbox turns away, so long its mail is put off (`422
        /// 4.2.2`); then it goes back to its senders (`522 5.2.2`) until a message fits again.
        quota_grace: Duration = 14 * DAY, GRACE;
        /// Further partitions, on other disks: a name for each, and its root, as in
        /// `{ "two": "/disks/two/store" }`. A mailbox lies in one partition as a whole; a new one comes
        /// to be where most room is. While a partition is away its mailboxes wait, and so do those that
        /// nobody has seen yet. Change it while no engine runs.
        partitions: BTreeMap<String, PathBuf> = BTreeMap::new(), Table(Path);
        /// When half of the commits of the last 10 s took longer, relays of ours are asked to come by
        /// fewer connections for a while.
        stress_at: Duration = Duration::from_secs(1),
            Time(Duration::ZERO..=Duration::from_secs(3_600));
        /// A message that a mailbox has got is not delivered there again for a while; without it,
        /// every message is.
        duplicates: Option<Duplicates> = None, Maybe(Nested::new());
    }
}

section! {
    /// When a message counts as delivered already: by its Message-ID, for each mailbox or folder. Such
    /// a message is answered 250, logged and counted, and a start remembers. A message without a
    /// Message-ID is always delivered.
    pub struct Duplicates {
        /// For so long.
        window: Duration = Duration::from_secs(600),
            Time(Duration::from_secs(1)..=Duration::from_secs(30 * 86_400));
        /// Deliveries of each partition that are remembered at most, 64 octets of memory each; the
        /// oldest are forgotten first.
        most: u64 = 100_000, Count(1..=10_000_000), unit("deliveries");
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

impl Store {
    /// Mailboxes below `path`, and everything else as it is by default.
    pub fn at(path: PathBuf) -> Self {
        Self { path, ..Self::blank() }
    }

    /// The roots of all partitions, each with the field that says it.
    pub fn roots(&self) -> impl Iterator<Item = (String, &PathBuf)> {
        let others = self.partitions.iter();
        let others = others.map(|(name, path)| (format!("store.partitions[{name:?}]"), path));
        [("store.path".to_owned(), &self.path)].into_iter().chain(others)
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

const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Up to a year.
const GRACE: Time = Time(Duration::ZERO..=Duration::from_secs(366 * 24 * 3_600));

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
