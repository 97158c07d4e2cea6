//! The deliveries of one batch: which mailboxes get each message, and what was opened and counted for
//! them.

use std::{collections::HashMap, io, sync::Arc};

use super::{
    delivery::{Answer, Delivery, Rcpt},
    dir::Dir,
    kept::KeptMaildirs,
    maildir::Maildir,
    quota::Account,
};
use crate::mail::{Enhanced, Reply};

/// A delivery under way.
pub(super) struct Plan {
    /// The name of its file.
    pub(super) name: String,
    /// Each directory once, however many recipients share it.
    pub(super) targets: Vec<Target>,
    /// For each recipient, in order.
    pub(super) ways: Vec<Way>,
    /// It does not go through the journal: what it needs is made durable when it is placed.
    pub(super) direct: bool,
    /// It lay in its mailboxes and was removed from there, and nobody knows what the disk has.
    pub(super) removed: bool,
    /// Where duplicates are told.
    pub(super) message_id: Option<Vec<u8>>,
}

/// A mailbox or folder that gets the message.
#[derive(Clone)]
pub(super) struct Target {
    /// The mailbox, relative to the root; what it holds has been counted there.
    pub(super) maildir: String,
    /// The mailbox, or the folder in it.
    pub(super) dir: String,
    /// Where it lies as far as the journal knows, when that is somewhere else.
    pub(super) recorded: Option<String>,
    /// The reply, when the mailbox did not get the message after all.
    pub(super) refused: Option<Reply>,
}

/// The way of one recipient.
pub(super) enum Way {
    /// As of this target.
    To(usize),
    /// Its reply was known before anything was written.
    Settled(Reply),
}

/// The mailboxes that one batch has opened, and its counts for them.
pub(super) struct Batch {
    pub(super) kept: KeptMaildirs,
    pub(super) accounts: HashMap<String, Account>,
}

impl Plan {
    /// Where a start would put the message, or find it, against what is answered.
    pub(super) fn astray(&self) -> Vec<&str> {
        let mut dirs = Vec::new();
        for Target { dir, recorded, refused, .. } in &self.targets {
            if !self.direct && (refused.is_some() || recorded.is_some()) {
                dirs.push(recorded.as_deref().unwrap_or(dir));
            }
            if self.removed {
                dirs.push(dir);
            }
        }
        dirs
    }

    pub(super) fn answer(&self, delivery: &Delivery) -> Vec<Answer> {
        let answer = |(way, rcpt): (&Way, &Rcpt)| match way {
            Way::Settled(reply) => Answer::refused(rcpt, reply),
            Way::To(target) => {
                let Target { dir, refused, .. } = &self.targets[*target];
                let reply = refused.clone().unwrap_or_else(|| delivered(rcpt));
                Answer { reply, place: dir.clone() }
            }
        };
        self.ways.iter().zip(&delivery.recipients).map(answer).collect()
    }
}

/// The reply for a recipient who has the message.
pub(super) fn delivered(rcpt: &Rcpt) -> Reply {
    Reply::with_text(250, Enhanced(2, 5, 0), format!("{} OK", rcpt.as_given))
}

impl Batch {
    /// A batch that finds `kept` open.
    pub(super) fn begin(mut kept: KeptMaildirs) -> Self {
        kept.begin_batch();
        Self { kept, accounts: HashMap::new() }
    }

    /// The mailboxes that the next batch finds open.
    pub(super) fn end(self) -> KeptMaildirs {
        self.kept
    }

    /// The mailbox or folder at `path`, looked at once for each batch.
    pub(super) fn open(&mut self, root: &Dir, path: &str) -> io::Result<Option<Arc<Maildir>>> {
        self.kept.open(root, path)
    }

    pub(super) fn keep(&mut self, path: &str, maildir: Maildir) -> Arc<Maildir> {
        self.kept.keep(path, maildir)
    }

    pub(super) fn forget(&mut self, target: &Target) {
        self.kept.forget(&target.dir);
        self.kept.forget(&target.maildir);
    }

    pub(super) fn account(&mut self, maildir: &str) -> &mut Account {
        self.accounts.entry(maildir.to_owned()).or_default()
    }

    /// Gives back what was counted.
    pub(super) fn refuse(&mut self, target: &mut Target, delivery: &Delivery, reply: &Reply) {
        if target.refused.is_none() {
            self.account(&target.maildir).refund(delivery.body.size());
            target.refused = Some(reply.clone());
        }
    }
}
