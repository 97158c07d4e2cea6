//! A connection on its way from its service to a worker. A worker that dies before it takes the
//! connection gives it back by that, and the service hands it to another.

use std::net::SocketAddr;

use actix::Message;

use super::connection::{Connection, Permit};
use crate::{actor::Outlet, ids::WorkerId};

/// A connection that waits for a worker.
pub(super) struct Parked {
    /// The connection.
    pub(super) connection: Connection,
    /// Who; nothing on a UNIX socket.
    pub(super) peer: Option<SocketAddr>,
    /// How many workers it was handed to.
    pub(super) handoffs: usize,
}

/// News that a worker has for its service.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) enum WorkerNews {
    /// It is there, and takes connections.
    There(WorkerId),
    /// A session is over; its room is free only now that it is no longer counted: who gets the room
    /// finds a worker.
    Closed(WorkerId, Option<Permit>),
    /// It died before it took this connection.
    HandedBack(WorkerId, Parked),
}

/// Begin a session on this connection. The service counts, so a worker never has to refuse.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Handoff {
    parked: Option<Parked>,
    worker: WorkerId,
    service: Outlet<WorkerNews>,
}

impl Handoff {
    /// To this worker.
    pub(super) fn new(mut parked: Parked, worker: WorkerId, service: Outlet<WorkerNews>) -> Self {
        parked.handoffs += 1;
        Self { parked: Some(parked), worker, service }
    }

    /// The worker takes it.
    pub(super) fn take(mut self) -> Option<Connection> {
        self.parked.take().map(|parked| parked.connection)
    }
}

impl Drop for Handoff {
    fn drop(&mut self) {
        if let Some(parked) = self.parked.take() {
            self.service.tell(WorkerNews::HandedBack(self.worker, parked));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::UnixStream,
        sync::{Arc, Mutex},
    };

    use tokio::sync::Semaphore;

    use super::*;
    use crate::front::{
        connection::{Ends, Permit},
        seats::Seat,
        socket::Socket,
    };

    #[tokio::test]
    async fn a_connection_that_nobody_took_comes_back_and_one_that_was_taken_does_not() {
        let back = Arc::new(Mutex::new(Vec::new()));
        let heard = back.clone();
        let service = Outlet::scripted(move |news| {
            if let WorkerNews::HandedBack(worker, parked) = news {
                heard.lock().expect("no panic").push((worker, parked));
            }
        });
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("room");
        let (ours, _theirs) = UnixStream::pair().expect("sockets");
        let (socket, ends) = (Socket::Unix(ours), Ends::default());
        let connection = Connection { socket, ends, permit: Permit(permit), seat: Seat::default() };
        let mut parked = Parked { connection, peer: None, handoffs: 0 };
        for handoffs in 1..3 {
            drop(Handoff::new(parked, WorkerId(7), service.clone()));
            let (worker, again) = back.lock().expect("no panic").pop().expect("it came back");
            assert_eq!((worker, again.handoffs), (WorkerId(7), handoffs));
            parked = again;
        }
        assert!(Handoff::new(parked, WorkerId(7), service).take().is_some());
        assert!(back.lock().expect("no panic").is_empty());
    }
}
