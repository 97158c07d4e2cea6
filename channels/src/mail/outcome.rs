//! What an attempt to deliver came to.

use serde::{Deserialize, Serialize};

use super::Reply;

/// What became of one recipient in one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// The next hop has taken responsibility.
    Delivered(Reply),
    /// To be tried again.
    Deferred(Reply),
    /// Trying again is useless.
    Failed(Reply),
}

/// What one attempt at a queue entry came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// One for each recipient that was tried, in order.
    pub outcomes: Vec<Outcome>,
    /// Set when the destination itself is in trouble, and not only this message.
    pub trouble: Option<SiteTrouble>,
}

/// The destination could not be talked to. Its other messages would fare no better now.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reply}")]
pub struct SiteTrouble {
    /// The peer's own words, or ours (4.4.1, 4.4.2, ...) when it had none.
    pub reply: Reply,
}

impl Outcome {
    /// What the peer said, or what we say in its place.
    pub fn reply(&self) -> &Reply {
        match self {
            Self::Delivered(reply) | Self::Deferred(reply) | Self::Failed(reply) => reply,
        }
    }
}

impl SiteTrouble {
    /// What it means for every recipient that was to go there: refused for good when the peer
    /// said so (a 5xx to LHLO), else deferred.
    pub fn outcome(&self) -> Outcome {
        let reply = self.reply.clone();
        if reply.is_permanent() { Outcome::Failed(reply) } else { Outcome::Deferred(reply) }
    }
}
