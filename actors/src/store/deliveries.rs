//! The way into the store for everybody who is not its actor.

use std::{
    io,
    sync::{
        Arc,
        mpsc::{SendError, Sender},
    },
    time::Duration,
};

use relais_channels::mailbox::{Answer, Delivery, MailboxName, spill::SpillDir};
use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};

use super::{
    request::{Claim, Deliver, SpillSlot, StoreRequest},
    threads::Threads,
};
use crate::actor::{Meter, Parcel};

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

#[derive(Debug)]
struct StoreAccess {
    writer: Sender<Parcel<StoreRequest>>,
    meter: Meter,
    threads: Threads,
    spill: SpillSlot,
    permits: Arc<Semaphore>,
}

impl StoreAccess {
    fn send(&self, work: StoreRequest) -> Result<(), SendError<Parcel<StoreRequest>>> {
        self.writer.send(Parcel::new(work, &self.meter))
    }
}

impl Deliveries {
    /// `limit`: deliveries at once.
    pub(super) fn new(
        writer: Sender<Parcel<StoreRequest>>,
        meter: Meter,
        threads: Threads,
        spill: SpillSlot,
        limit: usize,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(limit));
        Self(Arc::new(StoreAccess { writer, meter, threads, spill, permits }))
    }

    /// Delivers one message; an answer for each recipient, in order. Every 250 is durable. A delivery
    /// that has not begun after a while is taken back. It goes on if the future is dropped.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Vec<Answer>, Refused> {
        let permit = self.0.permits.clone().try_acquire_owned().map_err(|_| Refused::Busy)?;
        let (answer, mut answered) = oneshot::channel();
        let claim = Claim::default();
        let deliver = Deliver { delivery, claim: claim.clone(), answer, permit };
        self.0.send(StoreRequest::Deliver(deliver)).map_err(|_| Refused::Busy)?;
        match timeout(MAX_WAIT, &mut answered).await {
            Err(_) if claim.take() => Err(Refused::Busy),
            Err(_) => answered.await.map_err(|_| Refused::Unknown),
            Ok(answers) => answers.map_err(|_| Refused::Unknown),
        }
    }

    /// Makes a mailbox; `false`: it was there already.
    pub async fn create(&self, name: MailboxName) -> io::Result<bool> {
        let (answer, answered) = oneshot::channel();
        self.0
            .send(StoreRequest::Create(name, answer))
            .map_err(|_| io::Error::other("the store is gone"))?;
        answered.await.map_err(io::Error::other)?
    }

    /// A message that is coming in could not be written, this many bytes of it.
    pub(crate) fn spill_failed(&self, error: io::Error, bytes: u64) {
        // If it is gone, the engine ends.
        let _ = self.0.send(StoreRequest::SpillFailed(error, bytes));
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

    /// Where messages that are too large for memory wait; nothing while the partition is away.
    pub(crate) fn spill_dir(&self) -> Option<SpillDir> {
        self.0.spill.get()
    }

    /// From now on everything new is refused; what has been taken is finished.
    pub(super) fn close(&self) {
        self.0.permits.close();
        // If it is gone already, it has nothing to finish.
        let _ = self.0.send(StoreRequest::Stop);
    }
}

/// How long others may hold the mailboxes before a relay is told to come again.
const MAX_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use relais_channels::mailbox::Body;

    use super::*;

    #[actix::test]
    async fn more_deliveries_than_fit_are_refused_and_not_queued() {
        let (writer, work) = std::sync::mpsc::channel();
        let threads = Threads::new("test", 1).expect("a thread");
        let deliveries =
            Deliveries::new(writer, Meter::default(), threads, SpillSlot::default(), 2);
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
        let deliveries =
            Deliveries::new(writer, Meter::default(), threads, SpillSlot::default(), 2);
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
