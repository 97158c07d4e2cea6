//! A connection's place in its pool.

use actix::Message;

use crate::{
    actor::Outlet,
    ids::{ConnectionId, Destination, JobId},
};

/// A thread's last word, sent when its [`Presence`] is dropped: after its end, or by a panic.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ThreadGone {
    /// Its number.
    pub thread: ConnectionId,
    /// The job it belonged to.
    pub job: JobId,
    /// What it served.
    pub destination: Destination,
    /// It did not come to its end.
    pub panicked: bool,
}

/// A thread's place in its pool; whatever becomes of the thread, the pool learns that it is gone.
pub struct Presence {
    /// Its number.
    pub thread: ConnectionId,
    /// What it serves.
    pub destination: Destination,
    job: JobId,
    pool: Outlet<ThreadGone>,
    finished: bool,
}

impl Presence {
    /// The place of a thread that is about to begin; `pool` is told of its end.
    pub fn new(
        thread: ConnectionId,
        job: JobId,
        destination: Destination,
        pool: Outlet<ThreadGone>,
    ) -> Self {
        Self { thread, destination, job, pool, finished: false }
    }

    /// The thread came to its end.
    pub fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let (thread, job, destination) = (self.thread, self.job, self.destination.clone());
        self.pool.tell(ThreadGone { thread, job, destination, panicked: !self.finished });
    }
}
