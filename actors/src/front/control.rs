//! Orders of operators to the dispatcher: which service, or which of its workers, is to stop, start
//! or be restarted (seed 8.3.2).

use std::fmt;

use actix::Message;
use serde::{Deserialize, Serialize};

use super::listening::ListenError;
use crate::ids::WorkerId;

/// Stops, starts or restarts services.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<Vec<Controlled>, ControlError>")]
pub struct Control {
    /// The order.
    pub order: ControlOrder,
    /// The services that it is for.
    pub which: Which,
}

/// The wish of an operator for a part of the engine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlOrder {
    /// Take nothing new; what runs finishes.
    Stop,
    /// Go on after a stop.
    Start,
    /// New things go to new workers; what runs finishes with the old ones.
    Restart,
}

/// The services that an order means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Which {
    /// All that the configuration has.
    All,
    /// The one of this name.
    Service(String),
    /// One worker of a service.
    Worker(String, WorkerId),
}

/// Whether a service takes connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// It does.
    Running,
    /// An operator stopped it: its sockets are closed.
    #[default]
    Stopped,
    /// It is off in the configuration.
    Off,
}

/// A service after an order.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Controlled {
    /// Its name.
    pub name: String,
    /// Whether it took connections before.
    pub before: ServiceState,
    /// Whether it does now.
    pub now: ServiceState,
    /// Workers that take nothing new by the order, and end with their last session.
    pub workers: usize,
}

/// Why an order was not carried out. The operator must act.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No service has this name.
    #[error("there is no service {0:?}")]
    NoSuchService(String),
    /// No worker of the service has this number, or it ends already.
    #[error("service {0} has no worker {1} that takes connections; `relais status` shows them")]
    NoSuchWorker(String, u32),
    /// A worker is meant, and the order is not to restart it.
    #[error("a worker of {0} can only be restarted, while the service runs")]
    OnlyRestarted(String),
    /// Somebody else listens there meanwhile.
    #[error(transparent)]
    Listen(#[from] ListenError),
}

impl ControlOrder {
    /// In lower case, as operators type it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
        }
    }
}

impl ServiceState {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
