//! Facts that the queue announces: of destinations, for the job controller, which decides what runs; of
//! pieces of messages, for whoever puts them together.

use actix::Message;
use relais_channels::mail::Reply;
use relais_storage::Place;

use super::{entry::Key, limit_reached::LimitReached};
use crate::{
    actor::Outlet,
    ids::{ConnectionId, Destination},
};

/// News of destinations.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum DestinationEvent {
    /// Entries wait for these: how many for each.
    Waiting(Vec<(Destination, usize)>),
    /// A connection is gone, and this many entries wait for what it served.
    ConnectionSettled {
        /// Which.
        connection: ConnectionId,
        /// Entries that wait for its destination now.
        ready: usize,
    },
    /// A destination could not be talked to.
    Troubled {
        /// Which.
        destination: Destination,
        /// The reply of the host, or ours in its place.
        reply: Reply,
    },
    /// A destination answered: the first time after trouble, or one of its connections for the
    /// first, the second, the fourth time and so on.
    Reached {
        /// Which.
        destination: Destination,
        /// By which of its connections.
        connection: ConnectionId,
    },
    /// A destination, a store of ours, took a message, and said that it is slow.
    Stressed {
        /// Which.
        destination: Destination,
    },
    /// A courier found that a destination may have no more for now.
    Throttled {
        /// Which.
        destination: Destination,
        /// Why, and until when.
        denied: LimitReached,
    },
    /// An operator wants mail for these tried now: those that are left alone are probed.
    Probe(Vec<Destination>),
}

/// A piece of a message is safe, and an entry of it waits for the others.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct PieceStored {
    /// The entry.
    pub entry: Key,
    /// Where the message is.
    pub place: Place,
}

/// From now on what is stored of pieces goes to this outlet, in place of any before. What was stored before
/// is on the disk, and found there.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeToPieces(pub Outlet<PieceStored>);

/// From now on the events of destinations go to this outlet, in place of any before. It is told at
/// once what waits by then, so nothing is lost that was announced before.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Subscribe(pub Outlet<DestinationEvent>);
