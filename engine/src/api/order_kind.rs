//! Kinds of orders that operators may give for entries of the queue.

use relais_actors::{queue, standing::StandingKind};
use serde::{Deserialize, Serialize};

/// The kind of an order for entries of the queue.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderKind {
    /// Keep them until they are released.
    Hold,
    /// Deliver what was held, before all else.
    Release,
    /// Try them now, whenever they are due.
    Retry,
    /// Return them to their senders.
    Return,
    /// Forget them.
    Delete,
    /// Run them through the router again.
    Reroute,
}

impl OrderKind {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Return => "return",
            Self::Delete => "delete",
            Self::Reroute => "reroute",
        }
    }

    /// The order for entries that a standing order stands for; of those that act on nothing, one that counts
    /// what is not held.
    pub const fn of_standing(kind: StandingKind) -> Self {
        match kind {
            StandingKind::Hold | StandingKind::Suspend | StandingKind::Slow => Self::Hold,
            StandingKind::Return => Self::Return,
            StandingKind::Reroute => Self::Reroute,
        }
    }

    /// The state that would be: `held`, `released`, `tried now`, ...
    pub fn would_be(self) -> &'static str {
        self.done().trim_start_matches("to be ")
    }

    /// The state of entries with which it was done: `held`, `released`, ...
    pub const fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Retry => "to be tried now",
            Self::Return => "returned",
            Self::Delete => "deleted",
            Self::Reroute => "routed again",
        }
    }
}

impl From<queue::OrderKind> for OrderKind {
    fn from(kind: queue::OrderKind) -> Self {
        match kind {
            queue::OrderKind::Hold => Self::Hold,
            queue::OrderKind::Release => Self::Release,
            queue::OrderKind::Retry => Self::Retry,
            queue::OrderKind::Return => Self::Return,
            queue::OrderKind::Delete => Self::Delete,
        }
    }
}
