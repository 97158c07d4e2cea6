//! The way into the store for everybody who is not its actor.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use relais_channels::{
    mail::{Enhanced, Reply},
    mailbox::{
        Answer, Body, Census, Change, ChangeError, Delivery, Depth, Finding, MailboxFault,
        MailboxName, is_home, spill::SpillDir,
    },
};
use relais_config::store::Quota;
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    homes::{Home, Homes},
    partition_side::{PartitionSide, PartitionStatus},
    request::{Claim, Deliver, StoreRequest},
    threads::Threads,
    writer::AWAY,
};

/// A handle on the store; cheap to clone. Bounded: see [`Refused`].
#[derive(Clone, Debug)]
pub struct Deliveries(Arc<StoreAccess>);

/// Why a delivery has no answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Too many deliveries are under way, others hold the mailboxes for long, or the store is closing.
    /// Nothing happened to the message.
    #[error("the store is busy")]
    Busy,
    /// Nobody knows what happened to it: to be tried again.
    #[error("the store failed")]
    Unknown,
}

impl Refused {
    /// The reply for a client.
    pub fn reply(self) -> Reply {
        match self {
            Self::Busy => BUSY,
            Self::Unknown => UNKNOWN,
        }
    }
}

#[derive(Debug)]
struct StoreAccess {
    /// At least one.
    partitions: Vec<PartitionSide>,
    homes: Homes,
    threads: Threads,
    permits: Arc<Semaphore>,
}

/// The recipients of a message that lie in one partition, and their places among all of them.
#[derive(Default)]
struct Share {
    places: Vec<usize>,
    /// Their mailboxes have no partition yet.
    new: bool,
}

/// A delivery that a partition has been asked for.
struct UnderWay {
    claim: Claim,
    answered: oneshot::Receiver<Vec<Answer>>,
}

impl UnderWay {
    /// Waits for it; takes it back when it has not begun after a while.
    async fn answers(mut self) -> Result<Vec<Answer>, Refused> {
        match timeout(MAX_WAIT, &mut self.answered).await {
            Err(_) if self.claim.take() => Err(Refused::Busy),
            Err(_) => self.answered.await.map_err(|_| Refused::Unknown),
            Ok(answers) => answers.map_err(|_| Refused::Unknown),
        }
    }
}

impl Deliveries {
    /// `limit`: deliveries at once.
    pub(super) fn new(partitions: Vec<PartitionSide>, threads: Threads, limit: usize) -> Self {
        let permits = Arc::new(Semaphore::new(limit));
        Self(Arc::new(StoreAccess { partitions, homes: Homes::default(), threads, permits }))
    }

    /// Delivers one message; an answer for each recipient, in order. Every 250 is durable. A delivery
    /// that has not begun after a while is taken back. It goes on if the future is dropped.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Vec<Answer>, Refused> {
        match &*self.0.partitions {
            [only] => self.begin(only, delivery)?.answers().await,
            _ => self.deliver_apart(delivery).await,
        }
    }

    fn begin(&self, side: &PartitionSide, delivery: Delivery) -> Result<UnderWay, Refused> {
        let Ok(permit) = self.0.permits.clone().try_acquire_owned() else {
            side.discard(&delivery.body);
            return Err(Refused::Busy);
        };
        let (answer, answered) = oneshot::channel();
        let claim = Claim::default();
        let deliver = Deliver { delivery, claim: claim.clone(), answer, permit };
        side.send(StoreRequest::Deliver(deliver)).map_err(|_| Refused::Busy)?;
        Ok(UnderWay { claim, answered })
    }

    /// To each partition its own recipients, and a file of its own.
    async fn deliver_apart(&self, delivery: Delivery) -> Result<Vec<Answer>, Refused> {
        let Delivery { body, recipients } = delivery;
        let mut shares: Vec<Share> = self.0.partitions.iter().map(|_| Share::default()).collect();
        let mut answers: Vec<_> =
            recipients.iter().map(|rcpt| Answer::refused(rcpt, &AWAY)).collect();
        for (place, rcpt) in recipients.iter().enumerate() {
            let Ok(home) = self.home(&rcpt.mailbox).await else {
                self.0.partitions.iter().for_each(|side| side.discard(&body));
                return Err(Refused::Unknown);
            };
            let (at, new) = match home {
                Home::In(at) => (at, false),
                Home::New(at) => (at, true),
                Home::Away => continue,
            };
            shares[at].places.push(place);
            shares[at].new |= new;
        }
        let bodies = self.bodies(body, &shares).await;
        let delivered = shares.iter().enumerate().zip(bodies).filter_map(|((at, share), body)| {
            let its = share.places.iter().map(|place| recipients[*place].clone()).collect();
            let delivery = Delivery { body: body?, recipients: its };
            Some((share, self.begin(&self.0.partitions[at], delivery)))
        });
        // All of them are under way before one is waited for.
        for (share, begun) in delivered.collect::<Vec<_>>() {
            let delivered = match begun {
                Ok(begun) => begun.answers().await,
                Err(refused) => Err(refused),
            };
            let refused = |refused: Refused| {
                let its = share.places.iter().map(|place| &recipients[*place]);
                its.map(|rcpt| Answer::refused(rcpt, &refused.reply())).collect()
            };
            for (place, answer) in share.places.iter().zip(delivered.unwrap_or_else(refused)) {
                // Where no mailbox came to be, nobody has decided anything.
                if answer.reply.code != 250 && share.new {
                    self.0.homes.forget(&recipients[*place].mailbox);
                }
                answers[*place] = answer;
            }
        }
        Ok(answers)
    }

    /// The message for each partition that gets it.
    async fn bodies(&self, body: Body, shares: &[Share]) -> Vec<Option<Body>> {
        let wanted = |at: usize| !shares[at].places.is_empty();
        let spills: Vec<_> = self.0.partitions.iter().map(|side| side.spill.get()).collect();
        match body {
            Body::Whole(bytes) => {
                let copies = shares.iter().map(|share| !share.places.is_empty());
                copies.map(|wanted| wanted.then(|| Body::Whole(bytes.clone()))).collect()
            }
            Body::File { name, size, bare } => {
                let mut bodies: Vec<_> = shares.iter().map(|_| None).collect();
                let has = |spill: &Option<SpillDir>| spill.as_ref().is_some_and(|s| s.has(&name));
                let Some(home) = spills.iter().position(has) else { return bodies };
                let Some(from) = spills[home].clone() else { return bodies };
                for at in (0..shares.len()).filter(|at| *at != home && wanted(*at)) {
                    let Some(to) = spills[at].clone() else { continue };
                    let (from, name) = (from.clone(), name.clone());
                    let copied = self.blocking(move || from.copy_to(&name, &to)).await.flatten();
                    match copied {
                        Ok(body) => bodies[at] = Some(body),
                        Err(error) => self.tell(at, error, size),
                    }
                }
                if wanted(home) {
                    bodies[home] = Some(Body::File { name, size, bare });
                } else {
                    let discarded = self.blocking(move || from.discard(&name)).await;
                    drop(discarded);
                }
                bodies
            }
        }
    }

    async fn home(&self, mailbox: &MailboxName) -> io::Result<Home> {
        if self.0.partitions.len() == 1 {
            return Ok(Home::In(0));
        }
        if let Some(at) = self.0.homes.known(mailbox) {
            return Ok(Home::In(at));
        }
        let (this, mailbox) = (self.clone(), mailbox.clone());
        self.blocking(move || this.0.homes.find(&this.0.partitions, &mailbox)).await
    }

    /// Makes a mailbox; `false`: it was there already.
    pub async fn create(&self, name: MailboxName) -> io::Result<bool> {
        let at = match self.home(&name).await? {
            Home::In(at) | Home::New(at) => at,
            Home::Away => return Err(away()),
        };
        let (answer, answered) = oneshot::channel();
        let asked = self.0.partitions[at].send(StoreRequest::Create(name, answer));
        asked.map_err(|_| io::Error::other("the store is gone"))?;
        answered.await.map_err(io::Error::other)?
    }

    /// Changes mailboxes as wholes.
    pub async fn change(&self, change: Change) -> Result<(), ChangeError> {
        let subject = change.subject().clone();
        let to = match &change {
            Change::Rename { to, .. } => Some(to.clone()),
            Change::Delete(_) => None,
        };
        let at = match self.home(&subject).await? {
            Home::In(at) => at,
            Home::Away => return Err(ChangeError::Away),
            Home::New(_) => {
                self.0.homes.forget(&subject);
                return Err(ChangeError::Missing(subject.address()));
            }
        };
        if let Some(to) = &to
            && self.0.partitions.len() > 1
        {
            let is_taken = match self.home(to).await? {
                Home::In(at) => {
                    let (root, to) = (self.0.partitions[at].root.clone(), to.clone());
                    self.blocking(move || is_home(&root, &to)).await.flatten()?
                }
                Home::New(_) => false,
                Home::Away => return Err(ChangeError::Away),
            };
            if is_taken {
                self.0.homes.forget(to);
                return Err(ChangeError::Taken(to.address()));
            }
            // Its mail is put off where the change is under way, and nowhere else.
            self.0.homes.assign(to, at);
        }
        let (answer, answered) = oneshot::channel();
        let asked = self.0.partitions[at].send(StoreRequest::Change(change, answer));
        let changed = match asked {
            Ok(()) => answered.await.unwrap_or(Err(ChangeError::Away)),
            Err(_) => Err(ChangeError::Away),
        };
        for name in [Some(subject), to].into_iter().flatten() {
            self.0.homes.forget(&name);
        }
        changed
    }

    /// Looks into a mailbox; `None`: there is none. What is to be mended, or doubtful, is looked at
    /// once more while nothing is delivered.
    pub async fn look_into(&self, name: MailboxName, depth: Depth) -> io::Result<Option<Census>> {
        let at = match self.home(&name).await? {
            Home::In(at) => at,
            Home::New(_) => {
                self.0.homes.forget(&name);
                return Ok(None);
            }
            Home::Away => return Err(away()),
        };
        let side = &self.0.partitions[at];
        if !side.is_there() {
            return Err(away());
        }
        let (root, mailbox) = (side.root.clone(), name.clone());
        let look =
            move || relais_channels::mailbox::look_into(&root, &mailbox, depth, Quota::default());
        let found = self.blocking(look).await.flatten()?;
        let elsewhere = self.elsewhere(at, &name, depth).await?;
        let with_elsewhere = |census: Option<Census>| {
            census.map(|mut census| {
                census.findings.extend(elsewhere);
                census
            })
        };
        let findings = found.iter().flat_map(|census| &census.findings);
        // A delivery in between looks like a sum that is wrong.
        let doubtful = |fault| matches!(fault, MailboxFault::WrongSum(..));
        let is_doubtful = findings.clone().any(|finding| doubtful(finding.fault));
        let is_to_be_mended = depth == Depth::Repair && findings.count() > 0;
        if !is_doubtful && !is_to_be_mended {
            return Ok(with_elsewhere(found));
        }
        let (answer, answered) = oneshot::channel();
        let asked = side.send(StoreRequest::Look(name, depth, answer));
        asked.map_err(|_| away())?;
        answered.await.map_err(io::Error::other)?.map(with_elsewhere)
    }

    /// The partitions, beside the one that counts, that have something of this user.
    async fn elsewhere(
        &self,
        at: usize,
        name: &MailboxName,
        depth: Depth,
    ) -> io::Result<Vec<Finding>> {
        if depth == Depth::Count || self.0.partitions.len() == 1 {
            return Ok(Vec::new());
        }
        let roots: Vec<_> = self.0.partitions.iter().map(|side| side.root.clone()).collect();
        let name = name.clone();
        let look = move || {
            let others = roots.iter().map(PathBuf::as_path);
            relais_channels::mailbox::lies_also_in(others, &roots[at], &name)
        };
        self.blocking(look).await
    }

    /// A message that is coming in could not be written, this many bytes of it.
    pub(crate) fn spill_failed(&self, error: io::Error, bytes: u64) {
        let home = self.0.partitions.iter().position(PartitionSide::is_there);
        self.tell(home.unwrap_or_default(), error, bytes);
    }

    fn tell(&self, at: usize, error: io::Error, bytes: u64) {
        // If it is gone, the engine ends.
        let _ = self.0.partitions[at].send(StoreRequest::SpillFailed(error, bytes));
    }

    /// Deliveries that could come at once beside those that are waiting or under way.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.0.permits.available_permits()
    }

    /// Runs what blocks on a thread of the store's own.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.0.threads.run(work).await
    }

    /// Where messages that are too large for memory wait; nothing while no partition is there.
    pub(crate) fn spill_dir(&self) -> Option<SpillDir> {
        self.0.partitions.iter().find_map(|side| side.spill.get())
    }

    /// Whether relays should come by fewer connections.
    pub fn is_stressed(&self) -> bool {
        let mut states = self.0.partitions.iter().map(|side| &side.known.stressed);
        states.any(|stressed| stressed.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// The partitions as they are now.
    pub fn partitions(&self) -> Vec<PartitionStatus> {
        self.0.partitions.iter().map(PartitionSide::status).collect()
    }

    /// From now on everything new is refused; what has been taken is finished.
    pub(super) fn close(&self) {
        self.0.permits.close();
        for side in &self.0.partitions {
            // If it is gone already, it has nothing to finish.
            let _ = side.send(StoreRequest::Stop);
        }
    }
}

/// How long others may hold the mailboxes before a relay is told to come again.
const MAX_WAIT: Duration = Duration::from_secs(5);
// The original writes an enhanced code without its dots; 421 closes nothing here.
const BUSY: Reply = Reply::new(421, Enhanced(4, 2, 1), "Mailbox busy");
const UNKNOWN: Reply = Reply::new(430, Enhanced(4, 3, 0), "the store failed");

fn away() -> io::Error {
    io::Error::other("the partition of this mailbox is not there")
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{
        actor::{Meter, Parcel},
        store::request::SpillSlot,
    };

    fn side(writer: std::sync::mpsc::Sender<Parcel<StoreRequest>>) -> PartitionSide {
        PartitionSide {
            name: "".into(),
            root: PathBuf::new(),
            writer,
            spill: SpillSlot::default(),
            known: Arc::default(),
            meter: Meter::default(),
        }
    }

    #[actix::test]
    async fn more_deliveries_than_fit_are_refused_and_not_queued() {
        let (writer, work) = std::sync::mpsc::channel();
        let threads = Threads::new("test", 1).expect("a thread");
        let deliveries = Deliveries::new(vec![side(writer)], threads, 2);
        let empty = || Delivery { body: Body::Whole(Vec::new()), recipients: Vec::new() };
        for _ in 0..2 {
            let deliveries = deliveries.clone();
            actix::spawn(async move { deliveries.deliver(empty()).await });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(deliveries.free(), 0);
        assert_eq!(deliveries.deliver(empty()).await, Err(Refused::Busy));
        drop(work.recv());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(deliveries.free(), 1);
    }

    #[actix::test]
    async fn a_delivery_that_waits_long_is_taken_back_and_one_that_has_begun_is_not() {
        let (writer, work) = std::sync::mpsc::channel();
        let threads = Threads::new("test", 1).expect("a thread");
        let deliveries = Deliveries::new(vec![side(writer)], threads, 2);
        tokio::time::pause();
        let wait = || {
            let deliveries = deliveries.clone();
            let empty = Delivery { body: Body::Whole(Vec::new()), recipients: Vec::new() };
            actix::spawn(async move { deliveries.deliver(empty).await })
        };
        let claimed = |is_begun| {
            let parcel = work.try_recv().expect("a delivery");
            let StoreRequest::Deliver(deliver) = parcel.open(std::time::Instant::now()) else {
                panic!("not a delivery")
            };
            assert_eq!(deliver.claim.take(), is_begun);
            deliver
        };
        let waiting = wait();
        assert_eq!(waiting.await.expect("no panic"), Err(Refused::Busy));
        drop(claimed(false));
        let begun = wait();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let deliver = claimed(true);
        tokio::time::sleep(2 * MAX_WAIT).await;
        assert!(!begun.is_finished(), "who has begun is waited for");
        deliver.answer.send(Vec::new()).expect("somebody waits");
        assert_eq!(begun.await.expect("no panic"), Ok(Vec::new()));
    }
}
