//! Mailboxes that this machine holds.

use std::path::PathBuf;

/// Maildir++ mailboxes at `path/<domain>/<uid>/Maildir`.
#[derive(Clone, Debug)]
pub struct Store {
    /// Root of the partition.
    pub path: PathBuf,
    /// Which mailboxes come into being by a delivery.
    pub autocreate: Autocreate,
    /// For mailboxes whose sender named no quota.
    pub default_quota: Quota,
}

/// Which mailboxes come into being by a delivery.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Autocreate {
    /// None: an unknown user is `511 5.1.1`.
    #[default]
    No,
    /// The INBOX of any user that the relay names; an unknown folder falls back to it.
    Inbox,
    /// The INBOX and any `+folder`.
    All,
}

/// `None` is unlimited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Quota {
    /// Octets of all messages together.
    pub size: Option<u64>,
    /// Number of messages.
    pub messages: Option<u64>,
}

/// UNIX mailboxes of this machine.
#[derive(Clone, Debug)]
pub struct Native {
    /// One mbox per user lies here.
    pub path: PathBuf,
}
