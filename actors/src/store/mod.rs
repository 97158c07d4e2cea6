//! The store: who delivers to the mailboxes of this machine.
//!
//! [`Store`] is the actor that owns a partition. The partition itself lives on a thread of its
//! own, since every delivery blocks; an LMTP session reaches that thread directly through
//! [`Deliveries`], so that a message costs one crossing of threads and not two. What strangers can
//! flood is bounded there: a delivery that does not fit is refused as "mailbox busy".
//!
//! UNIX mailboxes are no partition, and have threads without an actor: [`UnixMailboxes`].

mod deliveries;
mod mailboxes;
mod request;
mod threads;
mod unix_mailboxes;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    thread::JoinHandle,
};

use actix::Message;
use relais_channels::mailbox::{self, MailboxName, PartitionError};
use tracing::error;

pub use deliveries::{Deliveries, Refused};
pub use mailboxes::Mailboxes;
use request::SpillSlot;
use threads::Threads;
pub use unix_mailboxes::{Undelivered, UnixMailboxes, UnixMailboxesError};
pub(crate) use writer::AWAY;

use crate::{
    actor::{Actor, Ctx, Handle, Later},
    metrics::Metrics,
};

/// Makes a mailbox; `false`: it was there already.
#[derive(Debug, Message)]
#[rtype(result = "io::Result<bool>")]
pub struct CreateMailbox(pub MailboxName);

/// All mailboxes, as `(domain, uid)`, in order.
#[derive(Debug, Message)]
#[rtype(result = "io::Result<Vec<(String, String)>>")]
pub struct ListMailboxes;

/// Refuses what is new, finishes what has been taken, and makes the mailboxes durable. The actor
/// stops afterwards.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DrainStore;

/// The actor.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    deliveries: Deliveries,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the partition, and recovers what a power cut left unfinished; may take as long as
    /// reading the journal does. A partition that was there once and is not now is waited for, with
    /// its cause raised in the readiness; the file `known` remembers it. `host` goes into the names of
    /// files.
    pub fn open(
        config: &relais_config::Store,
        host: &str,
        known: &Path,
        metrics: &Metrics,
    ) -> Result<Self, PartitionError> {
        let threads = Threads::new("spill", SPILL_THREADS)
            .map_err(|source| PartitionError::Io { path: config.path.clone(), source })?;
        let spill = SpillSlot::default();
        let meter = metrics.actors.of(Self::NAME);
        let (writer, thread) =
            writer::start(config, (host, known), (metrics, meter.clone()), &spill)?;
        let deliveries = Deliveries::new(writer, meter, threads, spill, MAX_IN_FLIGHT);
        Ok(Self { root: config.path.clone(), deliveries, thread: Some(thread) })
    }

    /// The handle that sessions use.
    pub fn deliveries(&self) -> Deliveries {
        self.deliveries.clone()
    }
}

impl Actor for Store {
    const NAME: &'static str = "store";
}

impl Handle<CreateMailbox> for Store {
    fn handle(
        &mut self,
        CreateMailbox(name): CreateMailbox,
        _: &mut Ctx<Self>,
    ) -> Later<io::Result<bool>> {
        let deliveries = self.deliveries.clone();
        Later::new(async move { deliveries.create(name).await })
    }
}

impl Handle<ListMailboxes> for Store {
    fn handle(
        &mut self,
        _: ListMailboxes,
        _: &mut Ctx<Self>,
    ) -> Later<io::Result<Vec<(String, String)>>> {
        let (deliveries, root) = (self.deliveries.clone(), self.root.clone());
        Later::new(async move { deliveries.blocking(move || mailbox::mailboxes(&root)).await? })
    }
}

impl Handle<DrainStore> for Store {
    fn handle(&mut self, _: DrainStore, ctx: &mut Ctx<Self>) -> Later<()> {
        self.deliveries.close();
        let thread = self.thread.take();
        let deliveries = self.deliveries.clone();
        let drain = async move {
            let join = move || thread.map(JoinHandle::join);
            if let Err(error) = deliveries.blocking(|| drop(join())).await {
                error!(%error, "the store could not be drained");
            }
        };
        ctx.later(drain, |_, (), ctx| ctx.stop())
    }
}

/// Deliveries that are waiting or under way at once.
pub(crate) const MAX_IN_FLIGHT: usize = 1_000;
/// For messages that are too large for memory.
const SPILL_THREADS: usize = 2;
