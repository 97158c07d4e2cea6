//! A connection on its way from a listener to its session.

use std::net::IpAddr;

use relais_channels::mail::Address;
use tokio::sync::OwnedSemaphorePermit;

use super::socket::Socket;

/// A connection that nobody serves yet.
pub struct Connection {
    /// The socket, registered with no runtime.
    pub socket: Socket,
    /// Who talks to which of our addresses.
    pub ends: Ends,
    /// Returned to the service when the session is over: its bound on connections.
    pub permit: Permit,
}

/// Who talks to which of our addresses; nothing on a UNIX socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    /// The client.
    pub client: Option<IpAddr>,
    /// Which of our addresses it connected to.
    pub local: Option<IpAddr>,
}

/// Room for one connection, given back when the service no longer counts it.
#[derive(Debug)]
pub struct Permit(
    #[expect(dead_code, reason = "it is the holding that counts")] pub(super) OwnedSemaphorePermit,
);

/// The postmaster of our own address (RFC 1123 section 5.2.17) is that of this host. Who connects by
/// a UNIX socket sees the addresses of the loopback.
pub(crate) fn own_postmaster(address: &Address, local: Option<IpAddr>) -> Option<Address> {
    let ours = address.literal().map(|ip| ip.to_canonical());
    let is_ours = ours.is_some_and(|ip| local.map_or(ip.is_loopback(), |local| local == ip));
    let named = address.local().eq_ignore_ascii_case(POSTMASTER);
    let postmaster = is_ours && named && address.route().next().is_none();
    postmaster.then(|| Address::parse(POSTMASTER).ok()).flatten()
}

const POSTMASTER: &str = "postmaster";
