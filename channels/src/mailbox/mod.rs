//! Mailboxes on disk: passive, blocking code.
//!
//! A [`Partition`] is a tree of Maildir++ mailboxes and the [`journal`] that makes deliveries
//! to it durable. It is driven by one thread; what a server session may do beside that thread
//! is in [`spill`].

mod alarms;
mod census;
mod changes;
mod delivery;
mod dir;
mod duplicates;
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

use std::{io, ops::ControlFlow, path::Path};

use relais_config::{grammar::table_key, store::Quota};

pub use census::{Census, Depth, Finding, MailboxFault, QuotaFile};
pub use changes::{Change, ChangeError, ChangeId};
pub use delivery::{Answer, Body, Delivery, MADE_ALWAYS, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA};
pub use error::{Away, MARKER, PartitionError};
pub use marker::is_there;
pub use name::{MailboxName, NameError, is_folder};
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

/// Calls `each` for every mailbox of the partition at `root`, or of one domain of it, until it says
/// that it has seen enough. Domains are in order, their users are not. Nobody need have the partition.
pub fn each_mailbox(
    root: &Path,
    domain: Option<&str>,
    mut each: impl FnMut(MailboxName) -> ControlFlow<()>,
) -> io::Result<()> {
    let domain = domain.map(table_key);
    maildir::each(&dir::Dir::root(root)?, domain.as_deref(), |domain, uid| {
        // A directory that no address leads to is no mailbox.
        MailboxName::new(uid, domain, "").map_or(ControlFlow::Continue(()), &mut each)
    })
}

/// Whether a user has something in the partition at `root`: then his mail goes there. A partition that is
/// not mounted says nothing about anybody.
pub fn is_home(root: &Path, mailbox: &MailboxName) -> io::Result<bool> {
    if !dir::Dir::root(root)?.has(MARKER)? {
        return Err(io::Error::other("the partition is not mounted"));
    }
    lies_below(root, mailbox)
}

/// Whether a user has something below `root`, partition or not.
pub fn lies_below(root: &Path, mailbox: &MailboxName) -> io::Result<bool> {
    let root = dir::Dir::root(root)?;
    match root.open(mailbox.domain()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        domain => domain?.has(mailbox.uid()),
    }
}

/// The roots, but for the one at `home`, that have something of this user, too: their mail is seen by
/// nobody. Those that do not answer are left out.
pub fn lies_also_in<'a>(
    roots: impl IntoIterator<Item = &'a Path>,
    home: &Path,
    mailbox: &MailboxName,
) -> Vec<Finding> {
    let others = roots.into_iter().filter(|root| *root != home);
    let with = others.filter(|root| is_home(root, mailbox).unwrap_or(false));
    let finding = |root: &Path| Finding {
        place: root.join(mailbox.maildir()).display().to_string(),
        fault: MailboxFault::ElsewhereToo,
        mended: false,
    };
    with.map(finding).collect()
}

/// Looks into a mailbox of the partition at `root`; `None`: there is none. Nobody need have the
/// partition, and nothing is mended.
pub fn look_into(
    root: &Path,
    mailbox: &MailboxName,
    depth: Depth,
    default: Quota,
) -> io::Result<Option<Census>> {
    let depth = if depth == Depth::Repair { Depth::Check } else { depth };
    census::census(&dir::Dir::root(root)?, mailbox, depth, default)
}

/// Bytes that may still be written on the file system of `root`; 0 where that cannot be told.
pub fn free_space(root: &Path) -> u64 {
    dir::Dir::root(root).and_then(|dir| dir.free_space()).unwrap_or_default()
}

/// Removes what is left of mailboxes that were deleted; how many there were, and the first that
/// could not be removed.
pub fn remove_deleted(root: &Path) -> (usize, Option<io::Error>) {
    let aside = root.join(changes::DELETED);
    let Ok(entries) = std::fs::read_dir(&aside) else { return (0, None) };
    let (mut removed, mut failed) = (0, None);
    for entry in entries.flatten() {
        // A link among them is removed and not followed.
        match std::fs::remove_dir_all(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    (removed, failed)
}
