//! A message for a partition, and the answers for its recipients.

use crate::mail::{Reply, XQuota};

use super::MailboxName;

/// One message to be delivered here.
#[derive(Debug)]
pub struct Delivery {
    /// The bytes as they are to lie in the mailboxes.
    pub body: Body,
    /// At least one.
    pub recipients: Vec<Rcpt>,
}

/// Where the bytes of a message wait.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Vec<u8>),
    /// In a file in [`super::Partition::spill_dir`], synced, with its directory entry not yet. It is
    /// the partition's from now on.
    File {
        /// Its name.
        name: String,
        /// Bytes.
        size: u64,
        /// Lines that end in a bare LF.
        bare: u64,
    },
}

/// One recipient of a [`Delivery`].
#[derive(Clone, Debug)]
pub struct Rcpt {
    /// Where to.
    pub mailbox: MailboxName,
    /// As it stood in RCPT; the reply repeats it.
    pub as_given: String,
    /// The directory's limits.
    pub quota: Option<XQuota>,
    /// [`TRUSTED_FOLDER`], [`WITHOUT_QUOTA`], [`MADE_ALWAYS`]; other bits mean nothing here.
    pub flags: u32,
}

/// The outcome for one recipient of a [`Delivery`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    /// The reply for its client. A 250 is durable.
    pub reply: Reply,
    /// The mailbox or folder, relative to the root: where the message lies, or should have lain.
    pub place: String,
}

impl Answer {
    /// A recipient that nothing was tried for.
    pub fn refused(rcpt: &Rcpt, reply: &Reply) -> Self {
        Self { reply: reply.clone(), place: rcpt.mailbox.maildir() }
    }
}

impl Body {
    /// Bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    /// Bytes, had every line end its CR.
    pub(super) fn wire_size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64 + bare_line_ends(b'\n', bytes),
            Self::File { size, bare, .. } => size + bare,
        }
    }
}

/// Line ends without CR in bytes that follow the byte `last`.
pub(super) fn bare_line_ends(mut last: u8, bytes: &[u8]) -> u64 {
    let mut bare = 0;
    let mut begin = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        if end > begin {
            last = bytes[end - 1];
        }
        bare += u64::from(last != b'\r');
        (last, begin) = (b'\n', end + 1);
    }
    bare
}

/// In [`Rcpt::flags`]: the folder comes from the user's own rules, and is made if need be.
pub const TRUSTED_FOLDER: u32 = 1;
/// In [`Rcpt::flags`]: the mailbox is made, whatever the configuration says. No client sends it.
pub const MADE_ALWAYS: u32 = 1 << 31;
/// In [`Rcpt::flags`]: deliver although the mailbox is full.
pub const WITHOUT_QUOTA: u32 = 2;
