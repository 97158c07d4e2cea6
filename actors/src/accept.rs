//! Accepting: one task for each listening socket.
//!
//! What is accepted is a plain descriptor that no runtime knows of yet: the thread that will serve
//! it may be another one.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    sync::Arc,
    time::Duration,
};

use actix::Addr;
use tokio::sync::{Semaphore, watch};
use tracing::warn;

use crate::{
    service::{Accepted, Service},
    session::{Connection, Socket},
};

/// A socket that listens, bound by the dispatcher, which keeps it beyond the life of a service.
#[derive(Debug)]
pub enum Listening {
    /// TCP, and the address it is bound to.
    Tcp(TcpListener, SocketAddr),
    /// A UNIX socket.
    Unix(UnixListener),
}

enum Listener {
    Tcp(tokio::net::TcpListener, SocketAddr),
    Unix(tokio::net::UnixListener),
}

/// A connection, who connected, and to which of our addresses.
type Arrival = (Socket, Option<SocketAddr>, Option<SocketAddr>);

/// Accepts connections for as long as there is room for them and nobody says stop.
pub(crate) async fn accept(
    listening: Listening,
    slots: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
    service: Addr<Service>,
) {
    let listener = match Listener::new(listening) {
        Ok(listener) => listener,
        Err(error) => return warn!(%error, "a listening socket is unusable"),
    };
    loop {
        let Ok(permit) = slots.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((socket, peer, local)) => {
                let client = peer.map(|peer| peer.ip().to_canonical());
                let connection = Connection { socket, client, permit };
                service.do_send(Accepted { connection, peer, local });
            }
            Err(error) => {
                // Out of descriptors, or a client that left again: neither may spin.
                warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Listener {
    fn new(listening: Listening) -> io::Result<Self> {
        Ok(match listening {
            Listening::Tcp(socket, bound) => {
                Self::Tcp(tokio::net::TcpListener::from_std(socket)?, bound)
            }
            Listening::Unix(socket) => Self::Unix(tokio::net::UnixListener::from_std(socket)?),
        })
    }

    async fn accept(&self) -> io::Result<Arrival> {
        match self {
            Self::Tcp(listener, bound) => {
                let (socket, peer) = listener.accept().await?;
                // Bound to every address, the listener does not know which one was meant.
                let any = bound.ip().is_unspecified();
                let local = if any { socket.local_addr()? } else { *bound };
                Ok((Socket::Tcp(socket.into_std()?), Some(peer), Some(local)))
            }
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Socket::Unix(socket.into_std()?), None, None))
            }
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
