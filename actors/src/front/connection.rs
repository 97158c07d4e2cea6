//! A connection on its way from a listener to its session.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use relais_channels::mail::Address;
use tokio::sync::OwnedSemaphorePermit;

use super::{seats::Seat, socket::Socket};
use crate::router::{self, TcpEnds};

/// A connection that nobody serves yet.
pub struct Connection {
    /// The socket, registered with no runtime.
    pub socket: Socket,
    /// The peer, and the address of ours that it talks to.
    pub ends: Ends,
    /// Returned to the service when the session is over: its bound on connections.
    pub permit: Permit,
    /// Its place among the connections of its client.
    pub(super) seat: Seat,
}

/// The two ends of a connection; nothing on a UNIX socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// The client.
    pub client: Option<SocketAddr>,
    /// Which of our addresses it connected to.
    pub local: Option<SocketAddr>,
}

impl Ends {
    /// The ends of a connection; an address of IPv4 in IPv6 is one of IPv4.
    pub(super) fn new(client: Option<SocketAddr>, local: Option<SocketAddr>) -> Self {
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        Self { client: client.map(plain), local: local.map(plain) }
    }

    /// The address of the client.
    pub(super) fn client_ip(&self) -> Option<IpAddr> {
        self.client.map(|client| client.ip())
    }

    /// The address of ours.
    pub(super) fn local_ip(&self) -> Option<IpAddr> {
        self.local.map(|local| local.ip())
    }

    /// As access tables see them; nothing on a UNIX socket.
    pub fn tcp(&self) -> Option<TcpEnds> {
        Some(TcpEnds { server: self.local?, client: self.client? })
    }
}

/// Room for one connection, given back when the service no longer counts it.
#[derive(Debug)]
pub struct Permit(
    #[expect(dead_code, reason = "it is the holding that counts")] pub(super) OwnedSemaphorePermit,
);

/// The postmaster of the address that the client has connected to. Who connects by a UNIX socket
/// sees the addresses of the loopback.
pub(crate) fn own_postmaster(address: &Address, local: Option<IpAddr>) -> Option<Address> {
    router::own_postmaster(address, |ip| local.map_or(ip.is_loopback(), |local| local == ip))
}

/// The client as logs and envelopes have it: `name [address]`, with the name that it gave itself.
pub(super) fn client_text(hello: &str, client: Option<IpAddr>) -> Arc<str> {
    let Some(client) = client else { return hello.into() };
    let mut text = String::with_capacity(hello.len() + ADDRESS_ROOM);
    // Writing to a string cannot fail.
    let _ = write!(text, "{hello} [{client}]");
    text.into()
}

/// Bytes of an address in brackets.
const ADDRESS_ROOM: usize = 48;
