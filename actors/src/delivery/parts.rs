//! Parts that every job of every pool needs.

use std::sync::Arc;

use relais_channels::{
    authenticity::Authenticity,
    client::{Finders, Securities},
};
use relais_storage::Storage;

use super::{
    crowds::Crowds, lessons::AllLessons, programs::Programs, progress::ConnectionProgress,
    throttle::Throttles,
};
use crate::{
    actor::{Ground, Outlet, Placement},
    autoreply::Responder,
    channel_table::Channels,
    directory::DirectoryHandle,
    metrics::Metrics,
    queue::{Pull, Settle, Throttled},
    rerouting::Rerouter,
    standing::StandingOrders,
    store::UnixMailboxes,
};

/// Parts that every job of every pool needs.
#[derive(Clone)]
pub struct JobParts {
    /// Our name in LHLO.
    pub host: Arc<str>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where messages are read.
    pub storage: Storage,
    /// Where work comes from.
    pub work: WorkSource,
    /// Runs mail through the router again.
    pub rerouter: Rerouter,
    /// Writes automatic replies.
    pub responder: Responder<DirectoryHandle>,
    /// TLS and AUTH of each channel's connections.
    pub securities: Securities,
    /// Keys that sign what leaves.
    pub authenticity: Authenticity,
    /// Where each channel's connections lead.
    pub finders: Finders,
    /// Programs that mail may be handed to.
    pub programs: Arc<Programs>,
    /// Mailboxes of this machine's accounts.
    pub unix_mailboxes: Option<UnixMailboxes>,
    /// Which arbiter a connection runs on.
    pub placement: Arc<Placement>,
    /// Starts jobs.
    pub ground: Ground,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Mailboxes that take few deliveries at once.
    pub crowds: Arc<Crowds>,
    /// Offers that destinations have shown not to bear.
    pub lessons: Arc<AllLessons>,
    /// Limits of destinations.
    pub throttles: Arc<Throttles>,
    /// Orders of operators that stand.
    pub standing: StandingOrders,
    /// The step at which each connection waits.
    pub progress: ConnectionProgress,
}

/// Where work comes from, and where it goes back to.
#[derive(Clone, Debug)]
pub struct WorkSource {
    /// Asked for the next entry.
    pub pull: Outlet<Pull>,
    /// Told what became of the last.
    pub settle: Outlet<Settle>,
    /// Told that a destination may have no more for now.
    pub throttled: Outlet<Throttled>,
}
