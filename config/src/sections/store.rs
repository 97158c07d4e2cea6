//! Mailboxes that this machine holds.

use std::{path::PathBuf, time::Duration};

use crate::file::{
    collections::Maybe,
    form::{Nested, Section},
    kinds::{Choice, Count, Path, Size, Time},
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
    /// UNIX mailboxes of this machine.
    pub struct Native {
        /// One mbox per user lies here.
        path: PathBuf = PathBuf::new(), Path, example(r#""store""#);
    }
}
