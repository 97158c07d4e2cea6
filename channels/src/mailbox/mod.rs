//! Mailboxes on disk: passive, blocking code.
//!
//! A [`Partition`] is a tree of Maildir++ mailboxes and the [`journal`] that makes deliveries
//! to it durable. It is driven by one thread; what a server session may do beside that thread
//! is in [`spill`].

mod dir;
pub mod journal;
mod maildir;
mod marker;
#[cfg(test)]
mod memory_dir;
mod name;
mod open_file;
mod partition;
mod quota;
mod recovery;
pub mod spill;
mod subscriptions;
mod troubles;

use std::{io, path::Path};

pub use marker::{Away, MARKER};
pub use name::{MailboxName, NameError};
pub use partition::{
    Answer, Body, Delivery, Partition, PartitionError, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA,
};

/// All mailboxes of the partition at `root`, as `(domain, uid)`, in order.
pub fn mailboxes(root: &Path) -> io::Result<Vec<(String, String)>> {
    maildir::list(&dir::Dir::root(root)?)
}
