//! Accepting: one task for each listening socket.
//!
//! What is accepted is a plain descriptor that no runtime knows of yet: the thread that will serve
//! it may be another one. A connection that there is no room for waits in the kernel, unaccepted.
//! Room is taken only for somebody who is there, so that a quiet port keeps none from a busy one.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::Message;
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use tokio::{
    io::Interest,
    sync::Semaphore,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    connection::{Connection, Ends, Permit},
    listening::{Listening, SocketFile},
    scarcity::RoomLeft,
    seats::Seat,
    socket::Socket,
};
use crate::actor::Outlet;

/// Somebody connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Accepted {
    /// The connection, and its permit.
    pub(crate) connection: Connection,
    /// Who; nothing on a UNIX socket.
    pub(crate) peer: Option<SocketAddr>,
}

/// The bound on the connections of a service, shared by its listening sockets.
pub(crate) struct Room {
    service: Arc<str>,
    most: AtomicUsize,
    bound: LimitedBy,
    free: Arc<Semaphore>,
    /// Since connections have been waiting now and then.
    full: Mutex<Option<Full>>,
}

/// A time in which connections had to wait, up to a quiet minute.
struct Full {
    /// How many.
    waited: u64,
    /// When the last one did.
    last: Instant,
}

/// The reason why a service's room is as large as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LimitedBy {
    /// `max_procs` x `max_conns`.
    Workers,
    /// Its share of the open files.
    Descriptors,
}

enum Listener {
    Tcp(Waiter, SocketAddr),
    Unix { socket: Waiter, _file: Arc<SocketFile> },
}

/// Waits for connections that no runtime is told of: the runtime's own listeners register each with
/// this thread, and the thread that serves it registers it once more. Of the runtime's sockets only
/// streams can be waited for without being read, whatever kind of socket the descriptor is.
struct Waiter(tokio::net::UnixStream);

/// A connection, who connected, and to which of our addresses.
type Arrival = (Socket, Option<SocketAddr>, Option<SocketAddr>);

/// Accepts connections for as long as there is room for them and nobody says stop.
pub(crate) async fn accept(
    listening: Listening,
    room: Arc<Room>,
    stop: CancellationToken,
    service: Outlet<Accepted>,
) {
    let listener = match Listener::new(listening) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "a listening socket is unusable"),
    };
    let mut told = false;
    loop {
        let next = async {
            drop(room.take().await?);
            let arrival = listener.accept().await;
            // Another listener may have taken the room meanwhile.
            Some((arrival, room.take().await?))
        };
        let next = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            next = next => next,
        };
        match next {
            Some((Ok((socket, peer, local)), permit)) => {
                told = false;
                let (ends, seat) = (Ends::new(peer, local), Seat::default());
                let connection = Connection { socket, ends, permit, seat };
                service.tell(Accepted { connection, peer });
            }
            Some((Err(error), permit)) => {
                // Out of descriptors, or a client that left again: neither may spin.
                if !std::mem::replace(&mut told, true) {
                    warn!(%error, "could not accept a connection");
                }
                drop(permit);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => return,
        }
    }
}

impl Room {
    /// Room for so many connections.
    pub(crate) fn new(service: Arc<str>, most: usize, bound: LimitedBy) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(most));
        Self { service, most: most.into(), bound, free, full: Mutex::new(None) }
    }

    /// Room for another number of connections. Where it is less, those that are too many are let
    /// finish before anybody else gets in.
    pub(crate) fn resize(&self, most: usize) {
        let most = most.min(Semaphore::MAX_PERMITS);
        let was = self.most.swap(most, Relaxed);
        if most >= was {
            return self.free.add_permits(most - was);
        }
        let (free, fewer) = (self.free.clone(), u32::try_from(was - most).unwrap_or(u32::MAX));
        actix::spawn(async move {
            if let Ok(taken) = free.acquire_many(fewer).await {
                taken.forget();
            }
        });
    }

    /// How much of the room is free.
    pub(super) fn left(&self) -> RoomLeft {
        let free = self.free.available_permits() as u64;
        RoomLeft { free, most: self.most.load(Relaxed) as u64 }
    }

    /// Waits until there is room for another connection; says once that others have to wait, and once
    /// that they need not any more.
    async fn take(self: &Arc<Self>) -> Option<Permit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Some(Permit(permit));
        }
        if self.note_full() {
            self.tell();
            actix::spawn(self.clone().tell_the_end());
        }
        self.free.clone().acquire_owned().await.ok().map(Permit)
    }

    /// Somebody has to wait; whether nobody had to for a while.
    fn note_full(&self) -> bool {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = full.as_ref().map_or(0, |full| full.waited);
        *full = Some(Full { waited: waited + 1, last: Instant::now() });
        waited == 0
    }

    /// How many had to wait, when nobody does any more and nobody had to for [`QUIET`]; else when to
    /// ask again.
    fn note_quiet(&self) -> Result<u64, Instant> {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Full { waited, last }) = &*full else { return Ok(0) };
        let (waited, now) = (*waited, Instant::now());
        if self.free.available_permits() == 0 {
            return Err(now + QUIET);
        }
        if now < *last + QUIET {
            return Err(*last + QUIET);
        }
        *full = None;
        Ok(waited)
    }

    fn tell(&self) {
        let (service, most) = (&self.service, self.most.load(Relaxed));
        let cure = match self.bound {
            LimitedBy::Workers => "raise max_procs or max_conns",
            LimitedBy::Descriptors => "raise the limit of open files (LimitNOFILE=, ulimit -n)",
        };
        warn!(
            service = &**service,
            connections = most,
            cure,
            "no room for more connections: they wait"
        );
    }

    async fn tell_the_end(self: Arc<Self>) {
        let mut next = Instant::now() + QUIET;
        loop {
            sleep_until(next).await;
            match self.note_quiet() {
                Ok(waited) => {
                    let service = &*self.service;
                    return info!(service, waited, "there is room for all connections again");
                }
                Err(later) => next = later,
            }
        }
    }
}

impl Listener {
    fn new(listening: Listening) -> io::Result<Self> {
        Ok(match listening {
            Listening::Tcp(socket, bound) => Self::Tcp(Waiter::new(socket.into())?, bound),
            Listening::Unix(socket, file) => {
                Self::Unix { socket: Waiter::new(socket.into())?, _file: file }
            }
        })
    }

    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener, bound) => {
                let (socket, peer) = listener.accept().await?;
                let socket = TcpStream::from(socket);
                let peer = peer.and_then(|peer| peer.try_into().ok());
                // Bound to every address, the listener does not know which one was meant.
                let any = bound.ip().is_unspecified();
                let local = if any { socket.local_addr()? } else { *bound };
                Ok((Socket::Tcp(socket), peer, Some(local)))
            }
            Self::Unix { socket, .. } => {
                let (socket, _) = socket.accept().await?;
                Ok((Socket::Unix(socket.into()), None, None))
            }
        }
    }
}

impl Waiter {
    fn new(listener: OwnedFd) -> io::Result<Self> {
        Ok(Self(tokio::net::UnixStream::from_std(listener.into())?))
    }

    async fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddrAny>)> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let accept = || acceptfrom_with(&self.0, flags).map_err(io::Error::from);
        self.0.async_io(Interest::READABLE, accept).await
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For so long nobody had to wait: the next time that somebody has to is worth another line.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_full_is_told_of_once_until_a_quiet_minute() {
        let room = Room::new("smtp".into(), 1, LimitedBy::Workers);
        let held = room.free.clone().try_acquire_owned().expect("room");
        assert!(room.note_full(), "the first time");
        for _ in 0..300 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(!room.note_full(), "told already");
        }
        drop(held);
        tokio::time::advance(QUIET / 2).await;
        let later = room.note_quiet().expect_err("too soon");
        assert_eq!(later - Instant::now(), QUIET / 2);
        tokio::time::advance(QUIET / 2).await;
        let held = room.free.clone().try_acquire_owned().expect("room");
        assert!(room.note_quiet().is_err(), "somebody may wait");
        drop(held);
        assert_eq!(room.note_quiet(), Ok(301));
        assert!(room.note_full(), "another time");
    }
}
