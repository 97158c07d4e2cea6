//! A partition: mailboxes on one file system, and the only one who delivers to them.
//!
//! Guaranteed: a reply 250 means that the message survives a crash of the process, of the
//! kernel and a power cut. A message for several mailboxes is one file with several names. What
//! is refused lies in no mailbox and counts towards no quota.
//!
//! Not guaranteed: what was delivered in the last seconds before a power cut, and then deleted or
//! moved by its reader, may come back; and so may what was refused in them because the disk was
//! full.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use relais_config::store::{Autocreate, Quota, Store};
use rustix::fs::syncfs;

use super::{
    MailboxName,
    journal::{CAPACITY, Checkpoints, Journal, JournalError, Opened},
    maildir::{self, FileNames},
    quota::{self, Limit, Refused},
    recovery,
    subscriptions::subscribe,
};
use crate::{
    intake::XQuota,
    mail::{Enhanced, Reply},
};

/// The tree and everything known about it. Blocks; one thread drives it.
#[derive(Debug)]
pub struct Partition {
    root: PathBuf,
    journal: Journal,
    names: FileNames,
    autocreate: Autocreate,
    default_quota: Quota,
    /// Mailboxes and folders that were there when they were last looked at.
    known: HashSet<String>,
}

/// One message to be delivered here.
#[derive(Debug)]
pub struct Delivery {
    /// The octets as they are to lie in the mailboxes.
    pub body: Body,
    /// At least one.
    pub recipients: Vec<Rcpt>,
}

/// Where the octets of a message wait.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Vec<u8>),
    /// In a file below [`Partition::spill_dir`], synced, with its directory entry not yet. It is
    /// the partition's from now on.
    File {
        /// The file.
        path: PathBuf,
        /// Octets.
        size: u64,
    },
}

/// One recipient of a [`Delivery`].
#[derive(Clone, Debug)]
pub struct Rcpt {
    /// Where to.
    pub mailbox: MailboxName,
    /// As it stood in RCPT; the reply repeats it.
    pub as_given: String,
    /// What the directory says.
    pub quota: Option<XQuota>,
    /// [`TRUSTED_FOLDER`], [`WITHOUT_QUOTA`]; other bits mean nothing here.
    pub flags: u32,
}

/// Why a partition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// Another process has it, or its journal cannot be read.
    #[error("{path}: {source}")]
    Journal {
        /// The root of the partition.
        path: PathBuf,
        /// What happened.
        source: JournalError,
    },
    /// A directory cannot be made or read.
    #[error("{path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// One recipient's way through a delivery.
enum Step {
    /// Its mailbox or folder, relative to the root; what it holds has been counted there.
    Charged { maildir: String, dir: String },
    /// Its reply is known.
    Settled(Reply),
}

impl Partition {
    /// Opens a partition, making it if need be, and puts into its mailboxes what a power cut kept
    /// from getting there. `host` goes into the names of files. The checkpoints want a thread of
    /// their own.
    pub fn open(store: &Store, host: &str) -> Result<(Self, Checkpoints), PartitionError> {
        let root = store.path.clone();
        let fails = |source| PartitionError::Io { path: root.clone(), source };
        maildir::create_dir(&root.join(SPILL)).map_err(fails)?;
        let opened = Journal::open(&root, CAPACITY, |record| recovery::replay(&root, record));
        let Opened { journal, checkpoints } =
            opened.map_err(|source| PartitionError::Journal { path: root.clone(), source })?;
        // Nobody else has the partition, so what lies there belongs to nobody.
        recovery::sweep(&root.join(SPILL)).map_err(fails)?;
        let partition = Self {
            root,
            journal,
            names: FileNames::new(host),
            autocreate: store.autocreate,
            default_quota: store.default_quota,
            known: HashSet::new(),
        };
        Ok((partition, checkpoints))
    }

    /// Delivers a batch; the replies for each recipient of each delivery, in order.
    pub fn deliver(&mut self, batch: &[Delivery]) -> Vec<Vec<Reply>> {
        let mut replies = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            self.deliver_together(now, &mut replies);
            rest = later;
        }
        replies
    }

    /// Makes a mailbox and says whether it is new.
    pub fn create(&mut self, name: &MailboxName) -> io::Result<bool> {
        let dir = self.root.join(name.maildir());
        if maildir::exists(&dir) {
            return Ok(false);
        }
        maildir::create(&dir)?;
        // Rare, and the way up to the root may be new too.
        syncfs(File::open(&self.root)?)?;
        Ok(true)
    }

    /// Where messages that are too large for memory wait, in files of any name.
    pub fn spill_dir(root: &Path) -> PathBuf {
        root.join(SPILL)
    }

    /// How many deliveries fit into one batch of the journal; at least one.
    fn fitting(&self, batch: &[Delivery]) -> usize {
        let mut room = self.journal.max_batch();
        let fits = |delivery: &&Delivery| {
            let left = room.checked_sub(journal_size(delivery));
            room = left.unwrap_or(0);
            left.is_some()
        };
        batch.iter().take_while(fits).count().max(1)
    }

    fn deliver_together(&mut self, batch: &[Delivery], replies: &mut Vec<Vec<Reply>>) {
        let mut started = Vec::with_capacity(batch.len());
        for delivery in batch {
            let name = self.names.next(delivery.body.size());
            let steps: Vec<_> = self.charge(delivery);
            if let (Body::Whole(octets), dirs @ [_, ..]) = (&delivery.body, &*dirs(&steps)) {
                self.journal.add(&recovery::record(dirs, &name, octets).parts());
            }
            started.push((name, steps));
        }
        let safe = self.journal.append();
        for (delivery, (name, mut steps)) in batch.iter().zip(started) {
            match (&safe, &delivery.body) {
                (Err(error), body) => {
                    self.refuse(&mut steps, delivery, error);
                    body.discard();
                }
                (Ok(()), Body::Whole(_)) if dirs(&steps).is_empty() => {}
                (Ok(()), Body::Whole(octets)) => {
                    let tmp = self.root.join(SPILL).join(&name);
                    match maildir::write_file(&tmp, octets) {
                        Ok(_) => self.place(&tmp, &name, delivery, &mut steps),
                        Err(error) => self.refuse(&mut steps, delivery, &error),
                    }
                }
                (Ok(()), Body::File { path, .. }) => {
                    self.place(path, &name, delivery, &mut steps);
                    self.sync(delivery, &mut steps);
                }
            }
            replies.push(answer(steps, delivery));
        }
        if safe.is_ok() {
            self.journal.placed();
        }
    }

    /// Finds each recipient's mailbox, and counts the message there.
    fn charge(&mut self, delivery: &Delivery) -> Vec<Step> {
        delivery.recipients.iter().map(|rcpt| self.charge_one(rcpt, &delivery.body)).collect()
    }

    fn charge_one(&mut self, rcpt: &Rcpt, body: &Body) -> Step {
        let maildir = rcpt.mailbox.maildir();
        let dir = match self.find(&maildir, rcpt) {
            Ok(Some(dir)) => dir,
            Ok(None) => return Step::Settled(NONEXISTENT),
            Err(error) => return Step::Settled(trouble(&error)),
        };
        let limit = Limit::of(rcpt.quota, self.default_quota);
        let bypass = rcpt.flags & WITHOUT_QUOTA != 0;
        match quota::charge(&self.root.join(&maildir), limit, body.size(), bypass) {
            Ok(()) => Step::Charged { maildir, dir },
            Err(Refused::Exceeded) => Step::Settled(OVER_QUOTA),
            Err(Refused::TooLarge) => Step::Settled(TOO_LARGE),
            Err(Refused::Io(error)) => Step::Settled(trouble(&error)),
        }
    }

    /// The mailbox or folder, made if that is allowed; `None`: there is no such mailbox.
    fn find(&mut self, maildir: &str, rcpt: &Rcpt) -> io::Result<Option<String>> {
        if !self.exists(maildir) {
            if self.autocreate == Autocreate::No {
                return Ok(None);
            }
            maildir::create(&self.root.join(maildir))?;
        }
        let Some(folder) = rcpt.mailbox.folder() else { return Ok(Some(maildir.to_owned())) };
        let dir = format!("{maildir}/.{folder}");
        if self.exists(&dir) {
            return Ok(Some(dir));
        }
        if self.autocreate != Autocreate::All && rcpt.flags & TRUSTED_FOLDER == 0 {
            return Ok(Some(maildir.to_owned()));
        }
        let maildir = self.root.join(maildir);
        maildir::create_folder(&maildir, folder)?;
        subscribe(&maildir, folder)?;
        Ok(Some(dir))
    }

    fn exists(&mut self, dir: &str) -> bool {
        if self.known.contains(dir) {
            return true;
        }
        let exists = maildir::exists(&self.root.join(dir));
        if exists {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(dir.to_owned());
        }
        exists
    }

    /// Gives the file at `source` its name in each mailbox; the last one takes it away.
    fn place(&mut self, source: &Path, name: &str, delivery: &Delivery, steps: &mut [Step]) {
        let dirs: Vec<_> = dirs(steps).into_iter().map(str::to_owned).collect();
        let mut moved = false;
        for (i, dir) in dirs.iter().enumerate() {
            let last = i + 1 == dirs.len();
            match self.enter(source, name, dir, last) {
                Ok(gone) => moved |= gone,
                Err(error) => {
                    let only =
                        |step: &&mut Step| matches!(step, Step::Charged { dir: d, .. } if d == dir);
                    for step in steps.iter_mut().filter(only) {
                        self.refuse_one(step, delivery, &error);
                    }
                }
            }
        }
        if !moved {
            // Left over: somebody was refused, or got a copy.
            let _ = fs::remove_file(source);
        }
    }

    /// Says whether the source was moved and not linked.
    fn enter(&mut self, source: &Path, name: &str, dir: &str, last: bool) -> io::Result<bool> {
        let path = self.root.join(dir);
        let target = maildir::message(&path, name);
        let link = || {
            if last {
                return fs::rename(source, &target).map(|()| true);
            }
            fs::hard_link(source, &target).map(|()| false)
        };
        match link() {
            Err(error) if maildir::wants_a_copy(&error) => {
                maildir::copy_into(source, &path, name).map(|()| false)
            }
            // Somebody removed the mailbox since it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.known.remove(dir);
                if self.autocreate == Autocreate::No {
                    return Err(error);
                }
                maildir::create(&path)?;
                link()
            }
            result => result,
        }
    }

    /// What did not go through the journal is made durable here and now.
    fn sync(&self, delivery: &Delivery, steps: &mut [Step]) {
        if !dirs(steps).is_empty()
            && let Err(error) = File::open(&self.root).and_then(|root| Ok(syncfs(root)?))
        {
            self.refuse(steps, delivery, &error);
        }
    }

    fn refuse(&self, steps: &mut [Step], delivery: &Delivery, error: &io::Error) {
        for step in steps {
            self.refuse_one(step, delivery, error);
        }
    }

    fn refuse_one(&self, step: &mut Step, delivery: &Delivery, error: &io::Error) {
        if let Step::Charged { maildir, .. } = step {
            quota::refund(&self.root.join(maildir), delivery.body.size());
            let gone = error.kind() == io::ErrorKind::NotFound && self.autocreate == Autocreate::No;
            *step = Step::Settled(if gone { NONEXISTENT } else { trouble(error) });
        }
    }
}

impl Body {
    /// Octets.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(octets) => octets.len() as u64,
            Self::File { size, .. } => *size,
        }
    }

    fn discard(&self) {
        if let Self::File { path, .. } = self {
            // The next start would do it.
            let _ = fs::remove_file(path);
        }
    }
}

/// The directories to deliver to, each once, however many recipients share it.
fn dirs(steps: &[Step]) -> Vec<&str> {
    let mut dirs: Vec<&str> = Vec::with_capacity(steps.len());
    for step in steps {
        if let Step::Charged { dir, .. } = step
            && !dirs.contains(&dir.as_str())
        {
            dirs.push(dir);
        }
    }
    dirs
}

fn answer(steps: Vec<Step>, delivery: &Delivery) -> Vec<Reply> {
    let reply = |(step, rcpt): (Step, &Rcpt)| match step {
        Step::Settled(reply) => reply,
        Step::Charged { .. } => {
            Reply::with_text(250, Enhanced(2, 5, 0), format!("{} OK", rcpt.as_given))
        }
    };
    steps.into_iter().zip(&delivery.recipients).map(reply).collect()
}

/// Octets of journal that a delivery takes at most.
fn journal_size(delivery: &Delivery) -> usize {
    let Body::Whole(octets) = &delivery.body else { return 0 };
    Journal::record_size(octets.len() + MAX_PATHS * (delivery.recipients.len() + 1))
}

/// What the system's words mean for the client.
fn trouble(error: &io::Error) -> Reply {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NO_SPACE,
        _ => IO_ERROR,
    }
}

/// In [`Rcpt::flags`]: the folder comes from the user's own rules, and is made if need be.
pub const TRUSTED_FOLDER: u32 = 1;
/// In [`Rcpt::flags`]: deliver although the mailbox is full.
pub const WITHOUT_QUOTA: u32 = 2;

// The original's codes are the enhanced code written without its dots.
const OVER_QUOTA: Reply = Reply::new(422, Enhanced(4, 2, 2), "Quota Exceeded");
const TOO_LARGE: Reply = Reply::new(523, Enhanced(5, 2, 3), "Message too large");
const NONEXISTENT: Reply = Reply::new(511, Enhanced(5, 1, 1), "mailbox nonexistent");
const IO_ERROR: Reply = Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
const NO_SPACE: Reply = Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");

const SPILL: &str = ".tmp";
/// Octets of a directory's name in a record, and of a file's.
const MAX_PATHS: usize = 800;
/// Mailboxes remembered.
const MAX_KNOWN: usize = 100_000;

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
