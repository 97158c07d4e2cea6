//! A partition: mailboxes on one file system, and the only one who delivers to them.
//!
//! Guaranteed: a reply 250 means that the message survives a crash of the process, of the
//! kernel and a power cut. A message for several mailboxes is one file with several names. What
//! is refused lies in no mailbox and counts towards no quota, and no crash brings it there: a
//! record that it was taken back is safe in the journal before anybody is told.
//!
//! Not guaranteed: what was delivered in the last seconds before a power cut, and then deleted or
//! moved by its reader, may come back; and so may what was refused because the journal or the disk
//! failed, until another journal is begun.

use std::{collections::HashMap, io, sync::Arc};

use relais_config::store::{Autocreate, Quota, Store};

use super::{
    MailboxName,
    alarms::Alarms,
    delivery::{Answer, Body, Delivery, MADE_ALWAYS, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA},
    dir::Dir,
    error::{Away, PartitionError},
    journal::{self, CAPACITY, Checkpoints, Journal, Opened, record_size},
    kept::KeptMaildirs,
    maildir::{self, FileNames, Maildir},
    marker::Marker,
    plan::{Batch, Plan, Target, Way},
    quota::{self, Limit, Refused},
    recovery,
    room::{Lack, Room},
    spill::SpillDir,
    subscriptions::{FILE as SUBSCRIPTIONS, subscribe},
};
use crate::{
    disk::{Disk, RealDisk, is_full},
    mail::{Enhanced, Reply},
};

/// The tree and everything known about it. Blocks; one thread drives it.
#[derive(Debug)]
pub struct Partition {
    root: Arc<Dir>,
    marker: Marker,
    spill: SpillDir,
    journal: Journal,
    names: FileNames,
    autocreate: Autocreate,
    default_quota: Quota,
    alarms: Alarms,
    room: Room,
    kept: KeptMaildirs,
}

/// The ground on which a partition stands.
struct Ground {
    root: Dir,
    marker: Marker,
    /// The disk of the root.
    disk: Arc<dyn Disk>,
    /// Bytes of a new journal.
    journal: u64,
}

/// A message whose file is written and gets its names in the mailboxes.
struct Written<'a> {
    delivery: &'a Delivery,
    /// Its name where large messages wait.
    source: &'a str,
    /// Its name in the mailboxes.
    name: &'a str,
}

impl Partition {
    /// Opens a partition, making it if need be, and puts into its mailboxes what a power cut kept
    /// from getting there. `host` goes into the names of files; the file `known` remembers that the
    /// partition has been there. The checkpoints want a thread of their own.
    pub fn open(
        store: &Store,
        host: &str,
        known: &std::path::Path,
    ) -> Result<(Self, Checkpoints), PartitionError> {
        let (root, marker) = Marker::open(&store.path, known)?;
        let ground = Ground { root, marker, disk: Arc::new(RealDisk), journal: CAPACITY };
        Self::open_on(ground, store, host)
    }

    fn open_on(
        ground: Ground,
        store: &Store,
        host: &str,
    ) -> Result<(Self, Checkpoints), PartitionError> {
        let Ground { root, marker, disk, journal: capacity } = ground;
        let path = &store.path;
        let fails = |source| PartitionError::Io { path: path.join(WHOLE), source };
        let root = Arc::new(root);
        let spill = SpillDir::open(root.clone()).map_err(fails)?;
        let mailboxes = Box::new(recovery::Mailboxes::of(root.clone()));
        let opened = journal::open(disk, path, capacity, mailboxes);
        let Opened { journal, checkpoints } =
            opened.map_err(|source| PartitionError::Journal { path: path.clone(), source })?;
        // Nobody else has the partition, so what lies there belongs to nobody.
        recovery::sweep(&spill.dir()).map_err(fails)?;
        let partition = Self {
            root,
            marker,
            spill,
            journal,
            names: FileNames::new(host),
            autocreate: store.autocreate,
            default_quota: store.default_quota,
            alarms: Alarms::default(),
            room: Room::default(),
            kept: KeptMaildirs::default(),
        };
        Ok((partition, checkpoints))
    }

    /// Whether the partition is there. Asked before each batch: what is delivered into a file
    /// system that is not mounted any more would be seen by nobody.
    pub fn check(&self) -> Result<(), Away> {
        self.marker.check()
    }

    /// Delivers a batch; the answers for each recipient of each delivery, in order.
    pub fn deliver(&mut self, batch: &[Delivery]) -> Vec<Vec<Answer>> {
        let mut answers = Vec::with_capacity(batch.len());
        let mut rest = batch;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            self.deliver_together(now, &mut answers);
            rest = later;
        }
        answers
    }

    /// Makes a mailbox and says whether it is new.
    pub fn create(&mut self, name: &MailboxName) -> io::Result<bool> {
        let path = name.maildir();
        if Maildir::open(&self.root, &path)?.is_some() {
            return Ok(false);
        }
        Maildir::make(&self.root, &path)?;
        // Rare, and the way up to the root may be new too.
        self.root.sync_all()?;
        Ok(true)
    }

    /// Where messages that are too large for memory wait, in files of any name.
    pub fn spill_dir(&self) -> SpillDir {
        self.spill.clone()
    }

    /// The lack of room on its file system. Found out by those who are refused for it, and by
    /// [`Self::look_for_room`].
    pub fn lack(&self) -> Option<Lack> {
        self.room.lack()
    }

    /// Looks whether what was refused for want of room would be taken now.
    pub fn look_for_room(&mut self) {
        if self.room.lack().is_some() {
            self.room.look(&self.root, &self.spill);
        }
    }

    /// Bytes that may still be written on its file system; `None`: that cannot be told.
    pub fn free_space(&self) -> Option<u64> {
        self.root.free_space().ok()
    }

    /// A message that is coming in, and was to wait in [`Self::spill_dir`], was refused: so many of
    /// its bytes were to be written.
    pub fn spill_failed(&mut self, error: &io::Error, bytes: u64) {
        self.report(WHOLE, error, bytes);
    }

    /// Nothing is being delivered: closes the mailboxes that stay open between batches.
    pub fn rest(&mut self) {
        self.kept.let_go();
    }

    /// Mailboxes that could not be written when it was last tried.
    pub fn troubled(&self) -> usize {
        self.alarms.len()
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

    fn deliver_together(&mut self, deliveries: &[Delivery], answers: &mut Vec<Vec<Answer>>) {
        let mut batch = Batch::begin(std::mem::take(&mut self.kept));
        let mut plans = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let name = self.names.next(delivery.body.size());
            let mut plan = self.plan(name, delivery, &mut batch);
            if let (Body::Whole(bytes), false) = (&delivery.body, plan.targets.is_empty()) {
                let dirs: Vec<_> = plan.targets.iter().map(|target| &*target.dir).collect();
                let record = recovery::record(&dirs, &plan.name, bytes);
                plan.direct = record.is_none_or(|record| !self.journal.add(&record.parts()));
            }
            plans.push(plan);
        }
        let safe = self.journal.append();
        for (delivery, plan) in deliveries.iter().zip(&mut plans) {
            match &safe {
                Ok(()) => self.place(plan, delivery, &mut batch),
                Err(error) => {
                    let reply = reply_to(error);
                    plan.targets
                        .iter_mut()
                        .for_each(|target| batch.refuse(target, delivery, &reply));
                    self.discard(&delivery.body);
                }
            }
        }
        self.close_accounts(&mut batch);
        self.kept = batch.end();
        if safe.is_ok() {
            self.take_back(&mut plans);
            self.journal.placed();
        }
        answers.extend(plans.iter().zip(deliveries).map(|(plan, delivery)| plan.answer(delivery)));
    }

    /// Lets the journal know who did not get what it has for them, before they are told.
    fn take_back(&mut self, plans: &mut [Plan]) {
        let void = |plan: &Plan| {
            let dirs = plan.astray();
            if dirs.is_empty() { None } else { recovery::void(&dirs, &plan.name) }
        };
        let mut known = Ok(());
        for record in plans.iter().filter_map(void) {
            if !self.journal.add(&[&record]) {
                known = Err(io::Error::other("a record is larger than the journal"));
            }
        }
        if let Err(error) = self.journal.append().and(known) {
            // A start may find the message: so nobody is told that it will never come.
            let reply = reply_to(&error);
            let targets = plans.iter_mut().flat_map(|plan| &mut plan.targets);
            targets.filter_map(|target| target.refused.as_mut()).for_each(|r| *r = reply.clone());
        }
    }

    /// Finds each recipient's mailbox, and counts the message there: once for each file.
    fn plan(&mut self, name: String, delivery: &Delivery, batch: &mut Batch) -> Plan {
        let direct = matches!(delivery.body, Body::File { .. });
        let (targets, ways) = (Vec::new(), Vec::new());
        let mut plan = Plan { name, targets, ways, direct, removed: false };
        let mut seen: HashMap<String, usize> = HashMap::new();
        for rcpt in &delivery.recipients {
            let way = match self.find(rcpt, batch) {
                Ok(Some(target)) => match seen.get(&target.dir) {
                    Some(at) => Way::To(*at),
                    None => match self.charge(rcpt, &target, delivery.body.size(), batch) {
                        Ok(()) => {
                            let at = plan.targets.len();
                            if delivery.recipients.len() > 1 {
                                seen.insert(target.dir.clone(), at);
                            }
                            plan.targets.push(target);
                            Way::To(at)
                        }
                        Err(reply) => Way::Settled(reply),
                    },
                },
                Ok(None) => Way::Settled(NONEXISTENT),
                Err(error) => {
                    let size = delivery.body.size();
                    Way::Settled(self.report(&rcpt.mailbox.maildir(), &error, size))
                }
            };
            plan.ways.push(way);
        }
        plan
    }

    fn charge(
        &mut self,
        rcpt: &Rcpt,
        target: &Target,
        size: u64,
        batch: &mut Batch,
    ) -> Result<(), Reply> {
        let limit = Limit::of(rcpt.quota, self.default_quota);
        let bypass = rcpt.flags & WITHOUT_QUOTA != 0;
        let charged = batch.open(&self.root, &target.maildir).map_err(Refused::Io);
        let charged = charged.and_then(|maildir| {
            let maildir = maildir.ok_or_else(|| Refused::Io(io::ErrorKind::NotFound.into()))?;
            batch.account(&target.maildir).charge(&maildir, limit, size, bypass)
        });
        charged.map_err(|refused| match refused {
            Refused::Exceeded => OVER_QUOTA,
            Refused::TooLarge => TOO_LARGE,
            Refused::Io(error) => self.report(&target.maildir, &error, size),
        })
    }

    /// The mailbox or folder, made if that is allowed; `None`: there is no such mailbox, and that
    /// was looked at now.
    fn find(&mut self, rcpt: &Rcpt, batch: &mut Batch) -> io::Result<Option<Target>> {
        let maildir = rcpt.mailbox.maildir();
        let inbox = match batch.open(&self.root, &maildir)? {
            Some(inbox) => inbox,
            None if self.may_make(rcpt)? => {
                batch.keep(&maildir, Maildir::make(&self.root, &maildir)?)
            }
            None => return Ok(None),
        };
        let target =
            |maildir, dir| Ok(Some(Target { maildir, dir, recorded: None, refused: None }));
        let Some(folder) = rcpt.mailbox.folder() else { return target(maildir.clone(), maildir) };
        let dir = format!("{maildir}/.{folder}");
        let made = match batch.open(&self.root, &dir) {
            Ok(Some(_)) => return target(maildir, dir),
            Ok(None) if self.autocreate != Autocreate::All && rcpt.flags & TRUSTED_FOLDER == 0 => {
                return target(maildir.clone(), maildir);
            }
            Ok(None) => inbox.make_folder(folder).map(|made| batch.keep(&dir, made)),
            Err(error) => Err(error),
        };
        match made {
            Ok(_) => {}
            // As where the folder is not there.
            Err(error) if maildir::is_obstacle(&error) => {
                let what = "a folder cannot be used: its mail goes to the INBOX";
                self.alarms.tell(&maildir::culprit(&self.root, &dir), &error, what);
                return target(maildir.clone(), maildir);
            }
            Err(error) => return Err(error),
        }
        if let Err(error) = subscribe(&inbox, folder) {
            // The message is worth more than the list.
            let list = format!("{maildir}/{SUBSCRIPTIONS}");
            self.alarms.tell(&list, &error, "a new folder could not be subscribed");
        }
        target(maildir, dir)
    }

    /// A user who is there gets a mailbox again that somebody removed.
    fn may_make(&self, rcpt: &Rcpt) -> io::Result<bool> {
        if self.autocreate != Autocreate::No || rcpt.flags & MADE_ALWAYS != 0 {
            return Ok(true);
        }
        match self.root.open(&rcpt.mailbox.user()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            user => user.map(|_| true),
        }
    }

    /// Gives the message its name in each mailbox.
    fn place(&mut self, plan: &mut Plan, delivery: &Delivery, batch: &mut Batch) {
        if plan.targets.is_empty() {
            return self.discard(&delivery.body);
        }
        let name = &plan.name.clone();
        let source = match &delivery.body {
            Body::Whole(bytes) => self.write(name, bytes, plan.direct).map(|()| name),
            Body::File { name, .. } => Ok(name),
        };
        let written = match source {
            Ok(source) => Written { delivery, source, name },
            Err(error) => return self.refuse_all(plan, delivery, batch, &error),
        };
        let (last, mut moved) = (plan.targets.len() - 1, false);
        for at in 0..=last {
            let target = &mut plan.targets[at];
            match self.enter(&written, &target.dir, at == last, batch) {
                Ok(gone) => moved |= gone,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Somebody removed it since it was looked at.
                    self.place_again(plan, at, &written, batch);
                }
                Err(error) => {
                    let reply = self.report(&target.dir, &error, delivery.body.size());
                    batch.refuse(target, delivery, &reply);
                }
            }
            let target = &plan.targets[at];
            if target.refused.is_none() {
                batch.account(&target.maildir).placed(delivery.body.size());
                self.alarms.clear(&target.maildir);
                self.alarms.clear(&target.dir);
                self.alarms.clear(WHOLE);
            }
        }
        if !moved {
            // Left over: somebody was refused, or got a copy.
            let _ = self.spill.dir().remove(written.source);
        }
        // A message that did not go through the journal is made durable here and now.
        let unknown = |target: &Target| {
            target.refused.is_none() && (plan.direct || target.recorded.is_some())
        };
        if plan.targets.iter().any(unknown)
            && let Err(error) = self.root.sync_all()
        {
            self.remove(plan, delivery, batch);
            self.refuse_all(plan, delivery, batch, &error);
        }
    }

    /// Takes the message out of its mailboxes again.
    fn remove(&self, plan: &mut Plan, delivery: &Delivery, batch: &mut Batch) {
        for target in plan.targets.iter().filter(|target| target.refused.is_none()) {
            batch.account(&target.maildir).removed(delivery.body.size());
            if let Ok(Some(maildir)) = batch.open(&self.root, &target.dir) {
                // Its reader may have been faster.
                let _ = maildir.new.remove(&plan.name);
            }
        }
        plan.removed = true;
    }

    /// Looks for the mailbox again, and for what stands in for a folder.
    fn place_again(
        &mut self,
        plan: &mut Plan,
        at: usize,
        written: &Written<'_>,
        batch: &mut Batch,
    ) {
        let delivery = written.delivery;
        batch.forget(&plan.targets[at]);
        let whose = |way: &Way| matches!(way, Way::To(target) if *target == at);
        let rcpt = plan.ways.iter().position(whose).map(|rcpt| &delivery.recipients[rcpt]);
        let Some(rcpt) = rcpt else { return };
        let size = delivery.body.size();
        let refusal = match self.find(rcpt, batch) {
            Ok(Some(found)) => {
                let target = &mut plan.targets[at];
                if target.dir != found.dir {
                    let dir = std::mem::replace(&mut target.dir, found.dir);
                    target.recorded.get_or_insert(dir);
                }
                let entered = self.enter(written, &plan.targets[at].dir, false, batch);
                entered.err().map(|error| self.report(&plan.targets[at].dir, &error, size))
            }
            Ok(None) => Some(NONEXISTENT),
            Err(error) => Some(self.report(&plan.targets[at].dir, &error, size)),
        };
        if let Some(reply) = refusal {
            batch.refuse(&mut plan.targets[at], delivery, &reply);
        }
    }

    /// `durable`: its content is on the disk, too.
    fn write(&self, name: &str, bytes: &[u8], durable: bool) -> io::Result<()> {
        use io::Write;
        let mut file = self.spill.create(name)?;
        let mut written = file.write_all(bytes);
        if durable {
            written = written.and_then(|()| file.sync_data());
        }
        written.inspect_err(|_| {
            // It is of no use and takes room that may be what is missing.
            let _ = self.spill.dir().remove(name);
        })
    }

    /// Says whether the source was moved and not linked.
    fn enter(
        &self,
        written: &Written<'_>,
        dir: &str,
        last: bool,
        batch: &mut Batch,
    ) -> io::Result<bool> {
        let Written { source, name, .. } = *written;
        let spill = self.spill.dir();
        let maildir = batch.open(&self.root, dir)?.ok_or(io::ErrorKind::NotFound)?;
        let entered = if last {
            spill.rename(source, &maildir.new, name)
        } else {
            spill.link(source, &maildir.new, name)
        };
        match entered {
            Err(error) if maildir::wants_a_copy(&error) => {
                maildir.copy(&spill, source, name).map(|()| false)
            }
            entered => entered.map(|()| last),
        }
    }

    fn refuse_all(
        &mut self,
        plan: &mut Plan,
        delivery: &Delivery,
        batch: &mut Batch,
        error: &io::Error,
    ) {
        let reply = self.report(WHOLE, error, delivery.body.size());
        plan.targets.iter_mut().for_each(|target| batch.refuse(target, delivery, &reply));
    }

    fn close_accounts(&mut self, batch: &mut Batch) {
        for (path, mut account) in std::mem::take(&mut batch.accounts) {
            let closed = batch
                .open(&self.root, &path)
                .and_then(|maildir| maildir.map_or(Ok(()), |maildir| account.close(&maildir)));
            // The messages are there; the estimate is too low until somebody counts anew.
            let uncounted = closed.err().map(|error| ("a delivery could not be counted", error));
            for (what, error) in uncounted.into_iter().chain(account.take_fault()) {
                let mut culprit = maildir::culprit(&self.root, &path);
                if culprit == path {
                    culprit = format!("{path}/{}", quota::FILE);
                }
                self.alarms.tell(&culprit, &error, what);
            }
        }
    }

    /// A message of this size could not be written. Tells the operator once for each trouble, unless
    /// it is one of all mailboxes: see [`Self::lack`]. What the client is told.
    fn report(&mut self, path: &str, error: &io::Error, size: u64) -> Reply {
        if is_full(error)
            && let Some(lack) = self.room.refused(&self.root, &self.spill, size)
        {
            return if lack == Lack::Files { NO_INODES } else { NO_SPACE };
        }
        self.alarms.raise(path, error, || maildir::culprit(&self.root, path));
        reply_to(error)
    }

    fn discard(&self, body: &Body) {
        if let Body::File { name, .. } = body {
            // The next start would do it.
            let _ = self.spill.dir().remove(name);
        }
    }
}

/// Bytes of journal that a delivery takes at most.
fn journal_size(delivery: &Delivery) -> usize {
    let Body::Whole(bytes) = &delivery.body else { return 0 };
    record_size(bytes.len() + MAX_PATHS * (delivery.recipients.len() + 1))
}

/// The client's reply for a system error.
fn reply_to(error: &io::Error) -> Reply {
    if is_full(error) { NO_SPACE } else { IO_ERROR }
}

// The original's codes are the enhanced code written without its dots.
const OVER_QUOTA: Reply = Reply::new(422, Enhanced(4, 2, 2), "Quota Exceeded");
/// The first words are those of Table 16-1; the others tell it from a limit on the size of messages.
const TOO_LARGE: Reply = Reply::new(
    523,
    Enhanced(5, 2, 3),
    "Message too large: it alone is more than the whole quota of this mailbox",
);
const NONEXISTENT: Reply = Reply::new(511, Enhanced(5, 1, 1), "mailbox nonexistent");
const IO_ERROR: Reply = Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
const NO_SPACE: Reply = Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");
const NO_INODES: Reply = Reply::new(452, Enhanced(4, 3, 1), "no inodes left for mail");

/// In the log, for what no mailbox is to blame for.
const WHOLE: &str = ".tmp";
/// Bytes of a directory's name in a record, and of a file's.
const MAX_PATHS: usize = 800;

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
