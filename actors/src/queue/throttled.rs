//! Limits that keep mail from a destination, as couriers meet them, for the job controller.

use actix::Message;

use super::{Queue, facts::DestinationEvent, limit_reached::LimitReached};
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
    pub denied: LimitReached,
}

/// Nothing leaves for these for a while, by an order or a limit: they make room in memory for others,
/// until they take something again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeRoom(pub Vec<Destination>);

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
