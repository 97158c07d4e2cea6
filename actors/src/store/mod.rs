//! The store: who delivers to the mailboxes of this machine.
//!
//! [`Store`] is the actor that owns the partitions. Each lives on a thread of its own, since every
//! delivery blocks; an LMTP session reaches that thread directly through [`Deliveries`], so that a
//! message costs one crossing of threads and not two. What strangers can flood is bounded there: a
//! delivery that does not fit is refused as "mailbox busy".
//!
//! UNIX mailboxes are no partition, and have threads without an actor: [`UnixMailboxes`].

mod deliveries;
mod homes;
mod mailboxes;
mod partition_side;
mod request;
mod stress;
mod threads;
mod unix_mailboxes;
mod writer;

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use actix::Message;
use relais_channels::mailbox::{
    self, Census, Change, ChangeError, Depth, MailboxName, PartitionError,
};
use tokio::sync::mpsc;
use tracing::error;

pub use deliveries::{Deliveries, Refused};
pub use mailboxes::Mailboxes;
pub use partition_side::PartitionStatus;
use partition_side::{PartitionSide, PartitionState};
use request::SpillSlot;
use threads::Threads;
pub use unix_mailboxes::{Undelivered, UnixMailboxes, UnixMailboxesError, check_files_user};
pub(crate) use writer::AWAY;

use crate::{
    actor::{Actor, Ctx, Handle, Later},
    metrics::Metrics,
};

/// Makes a mailbox; `false`: it was there already.
#[derive(Debug, Message)]
#[rtype(result = "io::Result<bool>")]
pub struct CreateMailbox(pub MailboxName);

/// Sends all mailboxes, or those of one domain, in pieces, as they lie on the disk; and of each partition
/// whose mailboxes cannot be listed, or not all, why.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListMailboxes {
    /// Only of this domain.
    pub domain: Option<String>,
    /// Where they go. Who has seen enough drops the other end.
    pub to: mpsc::Sender<ListPiece>,
}

/// A piece of a list of mailboxes.
pub type ListPiece = Result<Vec<PlacedMailbox>, MissingPartition>;

/// A partition whose mailboxes cannot be listed, or not all.
#[derive(Debug, thiserror::Error)]
#[error("the mailboxes in {path} are missing: {error}", path = .path.display())]
pub struct MissingPartition {
    /// Its root.
    pub path: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// Looks into a mailbox, and mends it if that is wanted; `None`: there is none.
#[derive(Debug, Message)]
#[rtype(result = "io::Result<Option<Census>>")]
pub struct LookIntoMailbox {
    /// Which.
    pub mailbox: MailboxName,
    /// How much is looked at.
    pub depth: Depth,
}

/// Renames or deletes a mailbox. Mail for it is put off meanwhile.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), ChangeError>")]
pub struct ChangeMailbox(pub Change);

/// The state of each partition.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PartitionStatus>")]
pub struct DescribeStore;

/// Refuses what is new, finishes what has been taken, and makes the mailboxes durable. The actor
/// stops afterwards.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DrainStore;

/// A mailbox, and where it lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlacedMailbox {
    /// Its name.
    pub mailbox: MailboxName,
    /// Its Maildir.
    pub path: PathBuf,
}

/// The actor.
#[derive(Debug)]
pub struct Store {
    deliveries: Deliveries,
    threads: Vec<JoinHandle<()>>,
}

impl Store {
    /// Opens the partitions, and recovers what a power cut left unfinished; may take as long as
    /// reading their journals does. A partition that was there once and is not now is waited for, with
    /// its cause raised in the readiness; the file `known` remembers it. `host` goes into the names of
    /// files.
    pub fn open(
        config: &relais_config::Store,
        host: &str,
        known: &Path,
        metrics: &Metrics,
    ) -> Result<Self, PartitionError> {
        let blocking = Threads::new("spill", SPILL_THREADS)
            .map_err(|source| PartitionError::Io { path: config.path.clone(), source })?;
        let meter = metrics.actors.of(Self::NAME);
        let (mut sides, mut threads) = (Vec::new(), Vec::new());
        let others = config.partitions.iter().map(|(name, path)| (name.as_str(), path));
        for (name, path) in [("", &config.path)].into_iter().chain(others) {
            let its = relais_config::Store { path: path.clone(), ..config.clone() };
            let (spill, state) = (SpillSlot::default(), Arc::<PartitionState>::default());
            let meters = (metrics, meter.clone());
            let (writer, thread) = writer::start(&its, (host, known), meters, (&spill, &state))?;
            threads.push(thread);
            sides.push(PartitionSide {
                name: name.into(),
                root: path.clone(),
                writer,
                spill,
                known: state,
                meter: meter.clone(),
            });
        }
        Ok(Self { deliveries: Deliveries::new(sides, blocking, MAX_IN_FLIGHT), threads })
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
    fn handle(&mut self, ListMailboxes { domain, to }: ListMailboxes, _: &mut Ctx<Self>) {
        let partitions = self.deliveries.partitions();
        // A reader may take its time: the threads of deliveries do not wait for it.
        let list = move || {
            for partition in partitions {
                if let Err(error) = list(&partition, domain.as_deref(), &to) {
                    let missing = MissingPartition { path: partition.path, error };
                    // Nobody may be reading any more; here and below.
                    let _ = to.blocking_send(Err(missing));
                }
            }
        };
        if let Err(error) = thread::Builder::new().name("list".to_owned()).spawn(list) {
            error!(%error, "mailboxes cannot be listed");
        }
    }
}

/// The mailboxes of one partition.
pub fn list(
    partition: &PartitionStatus,
    domain: Option<&str>,
    to: &mpsc::Sender<ListPiece>,
) -> io::Result<()> {
    if partition.away {
        return Err(io::Error::other("it is away"));
    }
    let mut piece = Vec::new();
    let mut is_read = true;
    mailbox::each_mailbox(&partition.path, domain, |mailbox| {
        let path = partition.path.join(mailbox.maildir());
        piece.push(PlacedMailbox { mailbox, path });
        if piece.len() >= LISTED_AT_ONCE {
            is_read = to.blocking_send(Ok(std::mem::take(&mut piece))).is_ok();
        }
        if is_read { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    // Nobody may be reading any more.
    let _ = to.blocking_send(Ok(piece));
    Ok(())
}

impl Handle<LookIntoMailbox> for Store {
    fn handle(
        &mut self,
        LookIntoMailbox { mailbox, depth }: LookIntoMailbox,
        _: &mut Ctx<Self>,
    ) -> Later<io::Result<Option<Census>>> {
        let deliveries = self.deliveries.clone();
        Later::new(async move { deliveries.look_into(mailbox, depth).await })
    }
}

impl Handle<ChangeMailbox> for Store {
    fn handle(
        &mut self,
        ChangeMailbox(change): ChangeMailbox,
        _: &mut Ctx<Self>,
    ) -> Later<Result<(), ChangeError>> {
        let deliveries = self.deliveries.clone();
        Later::new(async move { deliveries.change(change).await })
    }
}

impl Handle<DescribeStore> for Store {
    fn handle(&mut self, _: DescribeStore, _: &mut Ctx<Self>) -> Vec<PartitionStatus> {
        self.deliveries.partitions()
    }
}

impl Handle<DrainStore> for Store {
    fn handle(&mut self, _: DrainStore, ctx: &mut Ctx<Self>) -> Later<()> {
        self.deliveries.close();
        let threads = std::mem::take(&mut self.threads);
        let deliveries = self.deliveries.clone();
        let drain = async move {
            let join = move || threads.into_iter().map(JoinHandle::join).collect::<Vec<_>>();
            if let Err(error) = deliveries.blocking(|| drop(join())).await {
                error!(%error, "the store could not be drained");
            }
        };
        ctx.later(drain, |_, (), ctx| ctx.stop())
    }
}

/// Deliveries that are waiting or under way at once.
pub(crate) const MAX_IN_FLIGHT: usize = 1_000;
/// For messages that are too large for memory, and look-ups of mailboxes.
const SPILL_THREADS: usize = 2;
/// Mailboxes of a piece of a list.
const LISTED_AT_ONCE: usize = 1_000;
