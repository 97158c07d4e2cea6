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
mod open_files;
mod storage;

use std::sync::Arc;

use actix::Arbiter;
use relais_actors::front::inherited::Inherited;
use relais_config::Config;

pub use self::{
    adopt::{AdoptError, Floors, NewConfig},
    error::StartError,
};
use self::{
    delivery::DeliveryFloor,
    front::{Doors, FrontFloor},
    ground::{Cellar, GroundFloor},
    storage::StorageFloor,
};
pub(crate) use self::{
    delivery::{notice_templates, start_router},
    front::{KNOWN_STORES, absolute_store},
};
use crate::state::{recent::RecentFile, tallies::Tallies};

/// An engine whose actors run. Lives on the system's own thread.
pub struct Engine {
    /// Its floors.
    pub floors: Floors,
    /// The counters over restarts.
    pub tallies: Tallies,
    /// Recipients that were taken.
    pub recent: RecentFile,
    /// Threads to end and to join, in this order.
    pub arbiters: Vec<Arbiter>,
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
        let storage = StorageFloor::open(&ground)?;
        let delivery = DeliveryFloor::start(&ground, &storage)?;
        let front = FrontFloor::open(doors, &ground, &storage, &delivery)?;
        let Cellar { tallies, recent, arbiters } = cellar;
        let floors = Floors { ground, storage, delivery, front };
        Ok(Self { floors, tallies, recent, arbiters })
    }
}
