//! Mailboxes on disk: passive, blocking code.
//!
//! A [`Partition`] is a tree of Maildir++ mailboxes and the [`journal`] that makes deliveries
//! to it durable. It is driven by one thread; what a server session may do beside that thread
//! is in [`spill`].

mod alarms;
mod delivery;
mod dir;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod journal;
mod kept;
mod maildir;
mod marker;
#[cfg(test)]
mod memory_dir;
mod name;
mod open_file;
mod partition;
mod plan;
mod quota;
mod quota_memory;
mod recovery;
mod room;
pub mod spill;
mod subscriptions;

use std::{io, path::Path};

pub use delivery::{Answer, Body, Delivery, MADE_ALWAYS, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA};
pub use error::{Away, MARKER, PartitionError};
pub use name::{MailboxName, NameError};
pub use partition::Partition;
pub use room::Lack;

/// Whether a partition has been at `root` before, as the file `known` remembers it.
pub fn was_there(root: &Path, known: &Path) -> bool {
    marker::remembers(known, root).unwrap_or(false)
}

/// Folders that a partition makes in its root, and cannot do without.
pub const FOLDERS: &[&str] = &[spill::SPILL];
/// Files that a partition makes in its root, and cannot do without.
pub const FILES: &[&str] = &[journal::FILE, LOCK];
/// The file of a partition that is locked while somebody has it.
pub const LOCK: &str = journal::LOCK;

/// All mailboxes of the partition at `root`, as `(domain, uid)`, in order.
pub fn mailboxes(root: &Path) -> io::Result<Vec<(String, String)>> {
    maildir::list(&dir::Dir::root(root)?)
}
