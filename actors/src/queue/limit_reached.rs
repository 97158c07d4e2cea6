//! A limit of a destination that is reached, and until when.

use std::sync::Arc;

use relais_channels::mail::Reply;
use relais_config::rate::Rate;
use tokio::time::Instant;

/// A destination that gets fewer messages for a while, because of a reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SlowedDown {
    /// So many.
    pub rate: Rate,
    /// Until then.
    pub until: Instant,
    /// The last such reply.
    pub reply: Arc<Reply>,
}

/// A destination that gets nothing for a while, because of a reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoppedByReply {
    /// Until then.
    pub until: Instant,
    /// The reply.
    pub reply: Arc<Reply>,
}

/// The limit that keeps a courier from its destination now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LimitReached {
    /// The name that is counted.
    pub counted: Arc<str>,
    /// The limit.
    pub limit: Denial,
    /// When it is worth another try.
    pub until: Instant,
}

/// A limit of a destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Denial {
    /// It has so many connections, and may have no more.
    Connections(usize),
    /// It has had its messages.
    Rate(Rate),
    /// The same, at a rate to which a reply has led.
    SlowedDown(SlowedDown),
    /// A reply stopped it.
    Stopped(StoppedByReply),
    /// The server at the address keeps so many waiting that have called it before.
    SlowAddress(usize),
    /// Its servers said nothing, and others waited for its place.
    GaveWay,
}
