//! A connection's place in its pool.

use actix::Message;

use crate::{
    actor::Outlet,
    ids::{ConnectionId, Destination, JobId},
};

/// A connection's last word, sent when its [`Presence`] is dropped: after its end, or by a panic.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ConnectionGone {
    /// Its number.
    pub connection: ConnectionId,
    /// The job it belonged to.
    pub job: JobId,
    /// The destination that it served.
    pub destination: Destination,
    /// It did not come to its end.
    pub panicked: bool,
}

/// A connection's place in its pool; whatever becomes of the connection, the pool learns that it is
/// gone.
pub struct Presence {
    /// Its number.
    pub connection: ConnectionId,
    /// The destination that it serves.
    pub destination: Destination,
    job: JobId,
    pool: Outlet<ConnectionGone>,
    finished: bool,
}

impl Presence {
    /// The place of a connection that is about to begin; `pool` is told of its end.
    pub fn new(
        connection: ConnectionId,
        job: JobId,
        destination: Destination,
        pool: Outlet<ConnectionGone>,
    ) -> Self {
        Self { connection, destination, job, pool, finished: false }
    }

    /// The connection came to its end.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let (connection, job, destination) = (self.connection, self.job, self.destination.clone());
        self.pool.tell(ConnectionGone { connection, job, destination, panicked: !self.finished });
    }
}
