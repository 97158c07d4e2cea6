//! Limits that keep mail from a destination, as couriers meet them, for the job controller.

use std::sync::Arc;

use actix::Message;
use relais_channels::mail::Reply;
use relais_config::rate::Rate;
use tokio::time::Instant;

use super::{Queue, facts::DestinationEvent};
use crate::{
    actor::{Ctx, Handle},
    ids::Destination,
};

/// A courier says that its destination may have no more for now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Throttled {
    /// Which.
    pub destination: Destination,
    /// Why, and until when.
    pub denied: Denied,
}

/// Nothing leaves for these for a while, by an order or a limit: they make room in memory for others,
/// until they take something again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeRoom(pub Vec<Destination>);

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
pub struct Denied {
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
}

impl Queue {
    fn makes_room(&mut self, destination: &Destination) {
        self.hand_out.trouble(destination);
        self.tracker.trouble(destination);
    }
}

impl Handle<Throttled> for Queue {
    fn handle(&mut self, Throttled { destination, denied }: Throttled, _: &mut Ctx<Self>) {
        self.makes_room(&destination);
        self.announce(DestinationEvent::Throttled { destination, denied });
    }
}

impl Handle<MakeRoom> for Queue {
    fn handle(&mut self, MakeRoom(destinations): MakeRoom, _: &mut Ctx<Self>) {
        for destination in destinations {
            self.makes_room(&destination);
        }
    }
}
