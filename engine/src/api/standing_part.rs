//! The part of standing orders in orders for the queue.

use relais_actors::standing::{RerouteTarget, StandingOrder};

/// The part that a standing order has in an order about entries of the queue.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StandingPart {
    /// The number of the order.
    pub id: u64,
    /// Where it has mail go.
    pub target: Option<RerouteTarget>,
    /// Only what this order has held or put off.
    pub only_its_own: bool,
    /// The order itself, while it does not stand yet.
    pub would_be: Option<Box<StandingOrder>>,
}
