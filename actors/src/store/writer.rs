//! The thread that has the partition, and the one that makes its checkpoints.
//!
//! Deliveries that come while one batch is being written form the next: the more there are, the
//! less each costs. A partition that is not there, because its file system is not mounted, is let
//! go and looked for until it comes back; meanwhile every delivery is put off.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::Ordering::Relaxed,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use relais_channels::{
    mail::Reply,
    mailbox::{
        Answer, Census, Change, ChangeError, ChangeId, Delivery, Depth, MailboxName, Partition,
        PartitionError, journal::Happening, remove_deleted,
    },
};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    partition_side::PartitionState,
    request::{Deliver, SpillSlot, StoreRequest},
    stress::CommitTimes,
};
use crate::{
    actor::{Meter, Parcel},
    metrics::{Metrics, StoreMeter, level},
    readiness::{Cause, Readiness},
};

/// Opens the partition and starts its thread. Without the partition, the thread waits for it.
pub(super) fn start(
    config: &relais_config::Store,
    (host, known): (&str, &Path),
    (metrics, actor): (&Metrics, Meter),
    (spill, known_state): (&SpillSlot, &Arc<PartitionState>),
) -> Result<(Sender<Parcel<StoreRequest>>, JoinHandle<()>), PartitionError> {
    let mut writer = Writer {
        config: config.clone(),
        host: host.to_owned(),
        known: known.to_owned(),
        readiness: metrics.readiness.clone(),
        meter: metrics.store.clone(),
        actor,
        spill: spill.clone(),
        state: known_state.clone(),
        commits: CommitTimes::new(config.stress_at, Instant::now()),
        changing: HashMap::new(),
        partition: None,
        looked: Instant::now(),
    };
    match writer.open() {
        // The relay in the same process goes on without it.
        Err(error) if error.wants_room() || matches!(error, PartitionError::Away(_)) => {
            writer.leave(&error);
        }
        opened => opened?,
    }
    let fails = |source| PartitionError::Io { path: config.path.clone(), source };
    let (sender, work) = channel();
    let thread = Builder::new().name("store".to_owned()).spawn(move || writer.run(&work));
    Ok((sender, thread.map_err(fails)?))
}

struct Writer {
    config: relais_config::Store,
    host: String,
    known: PathBuf,
    readiness: Readiness,
    meter: Option<StoreMeter>,
    actor: Meter,
    spill: SpillSlot,
    state: Arc<PartitionState>,
    commits: CommitTimes,
    /// Changes of mailboxes that are under way, and where their outcome goes.
    changing: HashMap<ChangeId, (Change, oneshot::Sender<Result<(), ChangeError>>)>,
    /// Nothing while it is away.
    partition: Option<Opened>,
    looked: Instant,
}

struct Opened {
    partition: Partition,
    checkpoints: JoinHandle<()>,
}

impl Writer {
    fn run(mut self, work: &Receiver<Parcel<StoreRequest>>) {
        let mut pending = Vec::new();
        let meter = self.actor.clone();
        loop {
            let pause = if self.changing.is_empty() { LOOK } else { LOOK_FOR_CHANGES };
            let mut next = match work.recv_timeout(pause) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => {
                    self.finish_changes();
                    self.look_at_stress();
                    if let Some(Opened { partition, .. }) = &mut self.partition {
                        partition.rest();
                    }
                    self.look();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            };
            let busy = meter.busy();
            while let Some(parcel) = next.take() {
                match parcel.open(Instant::now()) {
                    StoreRequest::Deliver(delivery) => {
                        meter.count::<Deliver>();
                        pending.push(delivery);
                    }
                    StoreRequest::Create(name, answer) => {
                        // Nobody may be waiting any more.
                        let _ = answer.send(self.create(&name));
                    }
                    StoreRequest::Change(change, answer) => self.begin_change(change, answer),
                    StoreRequest::Look(name, depth, answer) => {
                        let _ = answer.send(self.look_into(&name, depth));
                    }
                    StoreRequest::SpillFailed(error, bytes) => {
                        if let Some(Opened { partition, .. }) = &mut self.partition {
                            partition.spill_failed(&error, bytes);
                        }
                        self.tell_of_room();
                    }
                    StoreRequest::Stop => {
                        self.deliver(&mut pending);
                        return self.end();
                    }
                }
                if pending.len() < MAX_BATCH {
                    next = work.try_recv().ok();
                }
            }
            self.deliver(&mut pending);
            self.finish_changes();
            drop(busy);
        }
    }

    /// Sees whether the partition is there, or there again.
    fn look(&mut self) {
        let now_and_then = self.looked.elapsed() >= LOOK;
        if let Some(Opened { partition, .. }) = &mut self.partition {
            if let Err(away) = partition.check() {
                self.leave(&PartitionError::Away(away));
            } else if now_and_then {
                self.looked = Instant::now();
                partition.look_for_room();
                self.tell_of_room();
            }
        } else if now_and_then && let Err(error) = self.open() {
            self.leave(&error);
        }
    }

    /// Tells the operator what the disk has none left of, and that it has some again.
    fn tell_of_room(&self) {
        let Some(Opened { partition, .. }) = &self.partition else { return };
        let path = self.config.path.to_string_lossy();
        match partition.lack() {
            Some(lack) => {
                let why = format!(
                    "the store {path}: {lack}: mail for which there is none is put off until \
                     there is"
                );
                if self.readiness.raise(Cause::Room, &path, &*why) {
                    error!("{why}");
                }
            }
            None if self.readiness.clear(Cause::Room, &path) => {
                info!(%path, "the store has room again: deliveries go on");
            }
            None => {}
        }
        self.measure(partition.free_space().unwrap_or_default(), partition.lack().is_some());
    }

    fn measure(&self, free: u64, refusing: bool) {
        self.state.free.store(free, Relaxed);
        self.state.refusing.store(refusing, Relaxed);
        if let Some(meter) = &self.meter {
            let path = self.config.path.to_string_lossy();
            meter.partition(&path, level(free), refusing);
        }
    }

    /// Tells the operator, and by the replies relays of ours, that the partition is slow, and that it
    /// is not any more.
    fn look_at_stress(&self) {
        let stressed = self.commits.is_stressed(Instant::now());
        if self.state.stressed.swap(stressed, Relaxed) == stressed {
            return;
        }
        let (path, limit) = (self.config.path.display(), self.config.stress_at.as_secs_f64());
        if let Some(meter) = &self.meter {
            meter.stressed.inc_by(if stressed { 1 } else { -1 });
        }
        if stressed {
            warn!(
                %path, stress_at = limit,
                "the store is under stress: half of its commits take longer than stress_at; relays \
                 of ours are asked to come by fewer connections"
            );
        } else {
            info!(%path, "the store is under stress no more");
        }
    }

    fn begin_change(&mut self, change: Change, answer: oneshot::Sender<Result<(), ChangeError>>) {
        self.look();
        let begun = match &mut self.partition {
            Some(Opened { partition, .. }) => partition.begin_change(change.clone()),
            None => Err(ChangeError::Away),
        };
        match begun {
            Ok(id) => drop(self.changing.insert(id, (change, answer))),
            // Nobody may be waiting any more; here and below.
            Err(error) => drop(answer.send(Err(error))),
        }
    }

    fn finish_changes(&mut self) {
        let Some(Opened { partition, .. }) = &mut self.partition else { return };
        for (id, outcome) in partition.finish_changes() {
            let Some((change, answer)) = self.changing.remove(&id) else { continue };
            match (&change, &outcome) {
                (Change::Rename { from, to }, Ok(())) => {
                    info!(from = from.address(), to = to.address(), "a mailbox was renamed");
                }
                (Change::Delete(mailbox), Ok(())) => {
                    info!(mailbox = mailbox.address(), "a mailbox was deleted");
                    self.remove_deleted();
                }
                (_, Err(error)) => {
                    warn!(mailbox = change.subject().address(), %error, "a mailbox stays as it was");
                }
            }
            let _ = answer.send(outcome);
        }
    }

    /// Removes the files of deleted mailboxes, beside deliveries.
    fn remove_deleted(&self) {
        let root = self.config.path.clone();
        let remove = move || {
            if let (_, Some(error)) = remove_deleted(&root) {
                let path = root.display();
                warn!(%path, %error, "files of deleted mailboxes stay in .deleted below the store");
            }
        };
        if let Err(error) = Builder::new().name("deleted".to_owned()).spawn(remove) {
            warn!(%error, "files of deleted mailboxes stay until the next start");
        }
    }

    fn look_into(&mut self, name: &MailboxName, depth: Depth) -> io::Result<Option<Census>> {
        self.look();
        let away = || io::Error::other("the store is not there");
        let census = self.partition.as_ref().ok_or_else(away)?.partition.look_into(name, depth)?;
        for finding in census.iter().flat_map(|census| &census.findings) {
            if finding.mended {
                let (mailbox, place) = (name.address(), &finding.place);
                info!(mailbox, place, fault = finding.fault.name(), "a mailbox was mended");
            }
        }
        Ok(census)
    }

    fn open(&mut self) -> Result<(), PartitionError> {
        self.looked = Instant::now();
        let (partition, checkpoints) = Partition::open(&self.config, &self.host, &self.known)?;
        let path = &self.config.path;
        let fails = |source| PartitionError::Io { path: path.clone(), source };
        self.readiness.clear(Cause::Journal, &path.to_string_lossy());
        let tell = self.teller();
        let checkpoints = Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || checkpoints.run(|happening| tell(&happening)));
        self.spill.set(Some(partition.spill_dir()));
        self.partition = Some(Opened { partition, checkpoints: checkpoints.map_err(fails)? });
        if self.readiness.clear(Cause::Partition, &path.to_string_lossy()) {
            info!(path = %path.display(), "the store is there again");
        }
        self.remove_deleted();
        self.tell_of_room();
        Ok(())
    }

    /// Tells the operator what becomes of the journal.
    fn teller(&self) -> impl Fn(&Happening) + Send + 'static {
        let readiness = self.readiness.clone();
        let path = self.config.path.to_string_lossy().into_owned();
        move |happening| match happening {
            Happening::Failed(error) => {
                let why = format!(
                    "the store {path}: its journal or its file system failed ({error}): deliveries \
                     into mailboxes are put off until another journal can be begun"
                );
                readiness.raise(Cause::Journal, &path, &*why);
                error!("{why}");
            }
            Happening::Repaired { after } => {
                readiness.clear(Cause::Journal, &path);
                let seconds = after.as_secs_f64();
                info!(path, seconds, "the store has begun another journal: deliveries go on");
            }
        }
    }

    /// Lets the partition go, so that it can be mounted.
    fn leave(&mut self, why: &PartitionError) {
        self.spill.set(None);
        // Its last checkpoint may take as long as the system tries; nobody waits for it.
        self.partition = None;
        // Nobody knows what becomes of them.
        self.changing.clear();
        let path = self.config.path.to_string_lossy();
        self.readiness.clear(Cause::Room, &path);
        self.measure(0, why.wants_room());
        if self.readiness.raise(Cause::Partition, &path, why.to_string()) {
            error!("{why}; until it is there, all deliveries are put off");
        }
    }

    /// Makes the mailboxes durable.
    fn end(self) {
        if let Some(Opened { partition, checkpoints }) = self.partition {
            drop(partition);
            // A panic there has been told.
            let _ = checkpoints.join();
        }
    }

    fn create(&mut self, name: &MailboxName) -> io::Result<bool> {
        self.look();
        let away = || io::Error::other("the store is not there");
        self.partition.as_mut().ok_or_else(away)?.partition.create(name)
    }

    /// Answers everybody after one sync.
    fn deliver(&mut self, pending: &mut Vec<Deliver>) {
        if pending.is_empty() {
            return;
        }
        self.look();
        let mut answers = Vec::with_capacity(pending.len());
        let mut batch = Vec::with_capacity(pending.len());
        for Deliver { delivery, claim, answer, permit } in pending.drain(..) {
            if claim.take() {
                batch.push(delivery);
                answers.push((answer, permit));
            } else if let Some(Opened { partition, .. }) = &self.partition {
                partition.forget(&delivery);
            }
        }
        let delivered = match &mut self.partition {
            Some(Opened { partition, .. }) => {
                // The mailboxes are on disk and the journal is whole or marked as failed: there is
                // nothing in memory that a panic could leave half done. Those who wait see their
                // senders dropped.
                let began = Instant::now();
                let caught = catch_unwind(AssertUnwindSafe(|| partition.deliver(&batch)));
                let now = Instant::now();
                self.commits.add(now, now - began);
                if let Some(meter) = &self.meter {
                    meter.duplicates.inc_by(partition.take_duplicates());
                }
                let Ok(delivered) = caught else {
                    return error!(messages = batch.len(), "a delivery ended in a panic");
                };
                delivered
            }
            None => batch.iter().map(put_off).collect(),
        };
        self.look_at_stress();
        if self.partition.as_ref().is_some_and(|opened| opened.partition.lack().is_some()) {
            self.tell_of_room();
        }
        for ((answer, permit), delivered) in answers.into_iter().zip(delivered) {
            drop(permit);
            // Nobody may be waiting any more.
            let _ = answer.send(delivered);
        }
    }
}

fn put_off(delivery: &Delivery) -> Vec<Answer> {
    delivery.recipients.iter().map(|rcpt| Answer::refused(rcpt, &AWAY)).collect()
}

/// The reply to clients while the partition is not there.
pub(crate) const AWAY: Reply = Reply::STORE_AWAY;
/// How often an idle store is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The same while a change of a mailbox waits for its checkpoint.
const LOOK_FOR_CHANGES: Duration = Duration::from_millis(10);
/// Deliveries answered together at most.
const MAX_BATCH: usize = 256;
