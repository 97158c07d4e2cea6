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

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use relais_config::store::{Autocreate, Quota, Store};
use tracing::info;

use super::{
    MailboxName,
    alarms::Alarms,
    census::{Census, Depth, census},
    changes::{Change, ChangeError, ChangeId, Changes},
    delivery::{Answer, Body, Delivery, MADE_ALWAYS, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA},
    dir::Dir,
    duplicates::{Delivered, Restored, message_id},
    error::{Away, PartitionError},
    journal::{self, CAPACITY, Checkpoints, Journal, Opened, record_size},
    kept::KeptMaildirs,
    maildir::{self, FileNames, Maildir},
    marker::Marker,
    plan::{Batch, Plan, Target, Way, delivered},
    quota::{self, Limit, Refused},
    quota_memory::{self, QuotaMemory},
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
    /// How long a mailbox may be full before its mail goes back.
    quota_grace: Duration,
    alarms: Alarms,
    room: Room,
    kept: KeptMaildirs,
    changes: Changes,
    /// With `store.duplicates`.
    delivered: Option<Delivered>,
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

/// A mailbox of this user is kept in another form than Maildir.
#[derive(Debug, thiserror::Error)]
#[error("{0} is there: another program keeps this mailbox, and in a form that is not Maildir")]
struct OtherFormat(&'static str);

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
        let restored = Restored::of(store.duplicates.clone());
        let mailboxes = Box::new(recovery::Mailboxes::of(root.clone(), restored.clone()));
        let opened = journal::open(disk, path, capacity, mailboxes);
        let Opened { journal, checkpoints } =
            opened.map_err(|source| PartitionError::Journal { path: path.clone(), source })?;
        // Nobody else has the partition, so what lies there belongs to nobody.
        recovery::sweep(&spill.dir()).map_err(fails)?;
        let delivered = restored.take(&root);
        let partition = Self {
            root,
            marker,
            spill,
            journal,
            names: FileNames::new(host),
            autocreate: store.autocreate,
            default_quota: store.default_quota,
            quota_grace: store.quota_grace,
            alarms: Alarms::default(),
            room: Room::default(),
            kept: KeptMaildirs::default(),
            changes: Changes::default(),
            delivered,
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

    /// Begins to change mailboxes as wholes. Mail for them, and for no others, is put off until
    /// [`Self::finish_changes`] says what came of it.
    pub fn begin_change(&mut self, change: Change) -> Result<ChangeId, ChangeError> {
        self.changes.begin(&self.root, &self.journal, change)
    }

    /// Makes the changes that are due, and says what came of each.
    pub fn finish_changes(&mut self) -> Vec<(ChangeId, Result<(), ChangeError>)> {
        if self.changes.is_empty() {
            return Vec::new();
        }
        // A directory that is open is the same one under its new name.
        self.kept.let_go();
        let done = self.changes.finish(&self.root, &self.journal);
        if let (Some(delivered), false) = (&mut self.delivered, done.is_empty()) {
            delivered.forget_all(&self.root);
        }
        done
    }

    /// Deliveries since this was last asked that were duplicates, and not made.
    pub fn take_duplicates(&mut self) -> u64 {
        self.delivered.as_mut().map_or(0, Delivered::take_suppressed)
    }

    /// Looks into a mailbox, and mends it if that is wanted; `None`: there is none.
    pub fn look_into(&self, mailbox: &MailboxName, depth: Depth) -> io::Result<Option<Census>> {
        census(&self.root, mailbox, depth, self.default_quota)
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

    /// A delivery is not to be made after all: its message goes.
    pub fn forget(&self, delivery: &Delivery) {
        self.discard(&delivery.body);
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
        // Whether a message is a duplicate is known when the one before is in its mailbox.
        let mut ids = HashSet::new();
        let fits = |delivery: &&Delivery| {
            let left = room.checked_sub(journal_size(delivery));
            room = left.unwrap_or(0);
            left.is_some() && self.message_id(delivery).is_none_or(|id| ids.insert(id))
        };
        batch.iter().take_while(fits).count().max(1)
    }

    /// The name that a duplicate has, too; `None`: this message has no duplicates.
    fn message_id(&self, delivery: &Delivery) -> Option<Vec<u8>> {
        self.delivered.as_ref()?;
        match &delivery.body {
            Body::Whole(bytes) => message_id(bytes),
            Body::File { name, .. } => {
                use io::Read;
                let mut header = Vec::new();
                let file = self.spill.dir().read(name).ok()??;
                file.take(MAX_HEADER).read_to_end(&mut header).ok()?;
                message_id(&header)
            }
        }
    }

    /// Remembers who has got these messages now.
    fn remember(&mut self, plans: &[Plan]) {
        let Some(delivered) = &mut self.delivered else { return };
        for plan in plans {
            let Some(id) = &plan.message_id else { continue };
            for target in plan.targets.iter().filter(|target| target.refused.is_none()) {
                delivered.add(&self.root, &target.dir, id);
            }
        }
    }

    /// Whether the message lies there already: it is not delivered again.
    fn is_duplicate(&mut self, target: &Target, message_id: Option<&Vec<u8>>) -> bool {
        let (Some(delivered), Some(id)) = (&mut self.delivered, message_id) else { return false };
        let is_duplicate = delivered.has(&target.dir, id);
        if is_duplicate {
            let message_id = String::from_utf8_lossy(id);
            info!(
                mailbox = target.dir,
                message_id = &*message_id,
                "a duplicate was not delivered again"
            );
        }
        is_duplicate
    }

    fn deliver_together(&mut self, deliveries: &[Delivery], answers: &mut Vec<Vec<Answer>>) {
        let mut batch = Batch::begin(std::mem::take(&mut self.kept));
        let mut plans = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let name = self.names.next(delivery.body.size(), delivery.body.wire_size());
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
            self.remember(&plans);
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
        let message_id = self.message_id(delivery);
        let mut plan = Plan { name, targets, ways, direct, removed: false, message_id };
        let mut seen: HashMap<String, usize> = HashMap::new();
        for rcpt in &delivery.recipients {
            let found = if self.changes.bar(&rcpt.mailbox) {
                plan.ways.push(Way::Settled(LOCKED));
                continue;
            } else {
                self.find(rcpt, batch)
            };
            let way = match found {
                Ok(Some(target)) if self.is_duplicate(&target, plan.message_id.as_ref()) => {
                    Way::Settled(delivered(rcpt))
                }
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
        let bypass = rcpt.flags & WITHOUT_QUOTA != 0;
        let mut memory = self.memory(&target.maildir, batch);
        if let Some(said) = rcpt.quota {
            memory.say(said);
        }
        let limit = Limit::of(memory.said(), self.default_quota);
        let charged = batch.open(&self.root, &target.maildir).map_err(Refused::Io);
        let charged = charged.and_then(|maildir| {
            let maildir = maildir.ok_or_else(|| Refused::Io(io::ErrorKind::NotFound.into()))?;
            let account = batch.account(&target.maildir);
            account.charge(&maildir, (limit, &mut memory), size, bypass)
        });
        let charged = match charged {
            Ok(()) => {
                if !bypass {
                    memory.took();
                }
                Ok(())
            }
            Err(Refused::Exceeded) if memory.refused() >= self.quota_grace => {
                Err(OVER_QUOTA_FOR_LONG)
            }
            Err(Refused::Exceeded) => Err(OVER_QUOTA),
            Err(Refused::TooLarge) => Err(TOO_LARGE),
            Err(Refused::Io(error)) => Err(self.report(&target.maildir, &error, size)),
        };
        batch.kept.remember(&target.maildir, memory);
        charged
    }

    /// The memory of a mailbox. Without it, mail goes on by what is configured.
    fn memory(&mut self, maildir: &str, batch: &mut Batch) -> QuotaMemory {
        batch.kept.memory(&self.root, maildir).unwrap_or_else(|error| {
            let what = "the quota that the relay named for a mailbox cannot be read";
            self.alarms.tell(&format!("{maildir}: {}", quota_memory::FILE), &error, what);
            QuotaMemory::default()
        })
    }

    /// The mailbox or folder, made if that is allowed; `None`: there is no such mailbox, and that
    /// was looked at now.
    fn find(&mut self, rcpt: &Rcpt, batch: &mut Batch) -> io::Result<Option<Target>> {
        let maildir = rcpt.mailbox.maildir();
        let inbox = match batch.open(&self.root, &maildir)? {
            Some(inbox) => inbox,
            None if self.may_make(rcpt)? => {
                self.refuse_beside_another_format(rcpt)?;
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

    /// Refuses a mailbox in the place of one that another program keeps in a form of its own: nobody
    /// would read it.
    fn refuse_beside_another_format(&self, rcpt: &Rcpt) -> io::Result<()> {
        let user = match self.root.open(&rcpt.mailbox.user()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            user => user?,
        };
        for name in maildir::OTHER_FORMATS {
            if user.has(name)? {
                return Err(io::Error::other(OtherFormat(name)));
            }
        }
        Ok(())
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
            let mut memory = self.memory(&path, batch);
            let closed = batch.open(&self.root, &path).and_then(|maildir| {
                maildir.map_or(Ok(()), |maildir| account.close(&maildir, &mut memory))
            });
            batch.kept.remember(&path, memory);
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
        for (user, error) in batch.kept.save_memories(&self.root) {
            let file = format!("{user}/{}", quota_memory::FILE);
            self.alarms.tell(&file, &error, "the quota that the relay named is not remembered");
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
        if path == WHOLE {
            reply_to(error)
        } else if error
            .get_ref()
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<OtherFormat>)
        {
            NOT_SUPPORTED
        } else if maildir::is_malformed(error) {
            BAD_FORMAT
        } else {
            reply_to(error)
        }
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
const OVER_QUOTA_FOR_LONG: Reply = Reply::new(522, Enhanced(5, 2, 2), "Persistent Quota Exceeded");
/// The first words are those of Table 16-1; the others tell it from a limit on the size of messages.
const TOO_LARGE: Reply = Reply::new(
    523,
    Enhanced(5, 2, 3),
    "Message too large: it alone is more than the whole quota of this mailbox",
);
const NONEXISTENT: Reply = Reply::new(511, Enhanced(5, 1, 1), "mailbox nonexistent");
const BAD_FORMAT: Reply = Reply::new(420, Enhanced(4, 2, 0), "Mailbox Bad Formats");
const NOT_SUPPORTED: Reply = Reply::new(420, Enhanced(4, 2, 0), "Mailbox not supported");
const LOCKED: Reply = Reply::new(420, Enhanced(4, 2, 0), "Mailbox Locked");
const IO_ERROR: Reply = Reply::new(430, Enhanced(4, 3, 0), "IMAP IOERROR");
const NO_SPACE: Reply = Reply::new(452, Enhanced(4, 3, 1), "no space left for mail");
const NO_INODES: Reply = Reply::new(452, Enhanced(4, 3, 1), "no inodes left for mail");

/// In the log, for what no mailbox is to blame for.
const WHOLE: &str = ".tmp";
/// Bytes of a file that a Message-ID is looked for in.
const MAX_HEADER: u64 = 256 << 10;
/// Bytes of a directory's name in a record, and of a file's.
const MAX_PATHS: usize = 800;

#[cfg(test)]
#[path = "crash_tests.rs"]
mod crash_tests;

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
