//! Orders to the parts of a running engine: stop, start, restart.

use relais_actors::front::control::{ControlOrder, Controlled};
use serde::{Deserialize, Serialize};

/// An order to a part of the engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PartOrder {
    /// The order.
    pub order: ControlOrder,
    /// The part that it is for: [`DISPATCHER`], [`JOB_CONTROLLER`], a service, or `SERVICE/N` for one of its
    /// workers; without it, the first two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
}

/// The parts that an order reached, as they are now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PartsOrdered {
    /// Services.
    pub services: Vec<Controlled>,
    /// The job controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_controller: Option<Controlled>,
    /// The name that was given is obsolete; the one to use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obsolete: Option<String>,
}

/// All services.
pub const DISPATCHER: &str = "dispatcher";
/// All that leaves.
pub const JOB_CONTROLLER: &str = "job_controller";
