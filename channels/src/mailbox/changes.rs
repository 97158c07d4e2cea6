//! Mailboxes that get another name, or go.
//!
//! The journal may hold messages for a mailbox as it was called before: a start would put them
//! there once more. So a change waits for a checkpoint, and mail for its mailboxes, and for no
//! other, is put off until it is done; then it is one rename, which no crash leaves half done. A
//! mailbox that goes is moved aside first, and removed there.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{
    MailboxName,
    dir::Dir,
    journal::{Awaited, Journal},
};
use crate::clock;

/// A change of mailboxes as wholes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// Everything of a user becomes another's, who has nothing yet.
    Rename {
        /// The mailbox.
        from: MailboxName,
        /// Its new name.
        to: MailboxName,
    },
    /// Everything of a user goes.
    Delete(MailboxName),
}

/// Why mailboxes are as they were.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none to be changed.
    #[error("there is no mailbox {0}")]
    Missing(String),
    /// The new name has an owner.
    #[error("{0} has a mailbox, or files, already")]
    Taken(String),
    /// Another change is under way.
    #[error("another change of this mailbox is under way")]
    UnderWay,
    /// No checkpoint came: the disk, or the journal, is in trouble.
    #[error("the store could not make its mailboxes durable in time")]
    Late,
    /// The partition is not there.
    #[error("the store is not there")]
    Away,
    /// Said by the system.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Tells the changes of a partition apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ChangeId(u64);

/// The changes that wait for a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pending: Vec<Pending>,
    count: u64,
}

#[derive(Debug)]
struct Pending {
    id: ChangeId,
    change: Change,
    point: Awaited,
    since: Instant,
}

impl Change {
    /// The users whose mail is put off meanwhile.
    fn users(&self) -> impl Iterator<Item = String> {
        let (one, other) = match self {
            Self::Rename { from, to } => (from, Some(to)),
            Self::Delete(mailbox) => (mailbox, None),
        };
        [Some(one), other].into_iter().flatten().map(MailboxName::user)
    }

    /// The mailbox that is there.
    pub fn subject(&self) -> &MailboxName {
        match self {
            Self::Rename { from, .. } => from,
            Self::Delete(mailbox) => mailbox,
        }
    }

    /// Whether it can be done.
    fn check(&self, root: &Dir) -> Result<(), ChangeError> {
        let subject = self.subject();
        match root.open(&subject.maildir()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ChangeError::Missing(subject.address()));
            }
            there => drop(there?),
        }
        let Self::Rename { to, .. } = self else { return Ok(()) };
        match root.open(to.domain()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            domain => {
                let taken = domain?.has(to.uid())?;
                if taken { Err(ChangeError::Taken(to.address())) } else { Ok(()) }
            }
        }
    }

    /// Does it, durably.
    fn carry_out(&self, root: &Dir, id: ChangeId) -> Result<(), ChangeError> {
        self.check(root)?;
        let subject = self.subject();
        let from = root.open(subject.domain())?;
        let (to, name) = match self {
            Self::Rename { to, .. } => {
                let domain = root.make(to.domain())?;
                // The way there may be new.
                root.sync()?;
                (domain, to.uid().to_owned())
            }
            Self::Delete(_) => {
                let aside = root.make(DELETED)?;
                root.sync()?;
                let now = clock::now();
                (aside, format!("{}.{}", now.as_nanos(), id.0))
            }
        };
        from.rename(subject.uid(), &to, &name)?;
        // The rename is there as a whole or not at all, whichever of these fails.
        to.sync().and_then(|()| from.sync())?;
        Ok(())
    }
}

impl Changes {
    /// Whether mail for this user is put off.
    pub(super) fn bar(&self, mailbox: &MailboxName) -> bool {
        !self.pending.is_empty() && {
            let user = mailbox.user();
            self.pending.iter().any(|pending| pending.change.users().any(|other| other == user))
        }
    }

    /// From now on mail for its mailboxes is put off, until [`Self::finish`] has done it.
    pub(super) fn begin(
        &mut self,
        root: &Dir,
        journal: &Journal,
        change: Change,
    ) -> Result<ChangeId, ChangeError> {
        let names = |change: &Change| match change {
            Change::Rename { from, to } => vec![from.clone(), to.clone()],
            Change::Delete(mailbox) => vec![mailbox.clone()],
        };
        if names(&change).iter().any(|name| self.bar(name)) {
            return Err(ChangeError::UnderWay);
        }
        change.check(root)?;
        self.count += 1;
        let (id, point) = (ChangeId(self.count), journal.ask_for_checkpoint());
        self.pending.push(Pending { id, change, point, since: Instant::now() });
        Ok(id)
    }

    /// Whether nothing is to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Does what a checkpoint has allowed, and says what came of each.
    pub(super) fn finish(
        &mut self,
        root: &Dir,
        journal: &Journal,
    ) -> Vec<(ChangeId, Result<(), ChangeError>)> {
        let mut done = Vec::new();
        self.pending.retain(|pending| {
            if journal.has_passed(&pending.point) {
                done.push((pending.id, pending.change.carry_out(root, pending.id)));
            } else if pending.since.elapsed() > PATIENCE {
                done.push((pending.id, Err(ChangeError::Late)));
            } else {
                return true;
            }
            false
        });
        done
    }
}

/// Where mailboxes lie that were deleted, until their files are removed.
pub(super) const DELETED: &str = ".deleted";
/// A change waits for its checkpoint for so long.
const PATIENCE: Duration = Duration::from_secs(30);
