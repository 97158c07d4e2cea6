//! Which actors there are, on which thread each lives, and who knows whom. The one place that
//! decides it.
//!
//! A file for each floor, from the ground up; each hands on what the next one stands on.

mod adopt;
mod delivery;
mod error;
mod front;
mod ground;
pub(crate) mod obstacles;
mod spool;

use std::sync::Arc;

use actix::Arbiter;
use relais_actors::{
    actor::{Ground, Mailbox},
    channel_table::Channels,
    delivery::progress::ConnectionProgress,
    front::{dispatcher::Dispatcher, inherited::Inherited},
    job_controller::JobController,
    metrics::Metrics,
    notary::Notary,
    queue::Queue,
    rerouting::Rerouter,
    router::RouterHandle,
    store::Store,
};
use relais_channels::tls::ServerTls;
use relais_config::Config;
use relais_spool::Spool;
use tokio_util::sync::CancellationToken;

pub use self::{
    adopt::{AdoptError, Floors, NewConfig},
    error::StartError,
};
use self::{
    delivery::DeliveryFloor,
    front::{Doors, FrontFloor},
    ground::{Cellar, GroundFloor},
    spool::SpoolFloor,
};
pub(crate) use self::{
    delivery::{notice_templates, start_router},
    front::KNOWN_STORES,
};
use crate::state::{order_book::OrderBook, tallies::Tallies};

/// An engine whose actors run. Lives on the system's own thread.
pub struct Engine {
    /// Its floors, for another configuration.
    pub floors: Floors,
    /// Its channels.
    pub channels: Arc<Channels>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Certificates that clients are shown; `adopt` puts others in force.
    pub certificates: Arc<ServerTls>,
    /// Where messages are kept.
    pub spool: Spool,
    /// Routes of recipients.
    pub router: RouterHandle,
    /// Services.
    pub dispatcher: Mailbox<Dispatcher>,
    /// Ends every session, wherever its peer is.
    pub give_up: CancellationToken,
    /// Restarts what died.
    pub ground: Ground,
    /// The queue: entries that wait.
    pub queue: Mailbox<Queue>,
    /// The notary, which tells senders.
    pub notary: Mailbox<Notary>,
    /// The job controller, which decides what runs.
    pub controller: Mailbox<JobController>,
    /// The step at which each connection of a job waits.
    pub progress: ConnectionProgress,
    /// Mailboxes.
    pub store: Option<Mailbox<Store>>,
    /// The counters over restarts.
    pub tallies: Tallies,
    /// Threads to end and to join, in this order.
    pub arbiters: Vec<Arbiter>,
    /// Orders that were answered and are not carried out yet.
    pub orders: Arc<OrderBook>,
    /// Routes again what waits.
    pub rerouter: Rerouter,
    /// Where each service listens: its name and its places.
    pub listening: Vec<(String, Vec<String>)>,
}

impl Engine {
    /// Starts everything. Sockets are bound first and accepted from last, when the queue is ready
    /// for what they bring. `end` is told which actor died that the engine cannot be without.
    pub fn start(
        config: Arc<Config>,
        inherited: Inherited,
        end: Box<dyn Fn(&str) + Send>,
    ) -> Result<Self, StartError> {
        let doors = Doors::bind(&config, inherited)?;
        let (ground, cellar) = GroundFloor::start(config, end)?;
        let spool = SpoolFloor::open(&ground)?;
        let delivery = DeliveryFloor::start(&ground, &spool)?;
        let front = FrontFloor::open(doors, &ground, &spool, &delivery)?;
        let Cellar { tallies, arbiters } = cellar;
        Ok(Self::of(Floors { ground, spool, delivery, front }, tallies, arbiters))
    }

    fn of(floors: Floors, tallies: Tallies, arbiters: Vec<Arbiter>) -> Self {
        let Floors { ground, spool, delivery, front } = floors.clone();
        Self {
            floors,
            channels: ground.channels,
            metrics: ground.metrics,
            certificates: ground.certificates,
            spool: spool.spool,
            router: delivery.router,
            dispatcher: front.dispatcher,
            give_up: front.give_up,
            ground: ground.actors,
            queue: delivery.queue,
            notary: delivery.notary,
            controller: delivery.controller,
            progress: delivery.progress,
            store: front.store,
            tallies,
            arbiters,
            orders: spool.orders,
            rerouter: delivery.rerouter,
            listening: front.listening,
        }
    }
}
