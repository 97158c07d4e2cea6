//! How mail comes in, as access tables see it, and the names of these tables.

use std::{borrow::Cow, fmt, net::SocketAddr};

use relais_channels::mail::Address;
use relais_config::facts::Facts;

/// Both ends of a connection, as the tables see them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TcpEnds {
    /// Our end.
    pub server: SocketAddr,
    /// The client's.
    pub client: SocketAddr,
}

/// How mail comes in, as the tables see it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Submission<'a> {
    /// Of a client that did not come by a UNIX socket.
    pub ends: Option<TcpEnds>,
    /// The name that the client gave itself.
    pub hello: &'a str,
    /// The user that the client logged in as; empty when it did not.
    pub authenticated: &'a str,
    /// Facts about its origin.
    pub facts: Facts,
}

/// `connection|application|MAIL`.
impl fmt::Display for Submission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ends) = self.ends {
            ends.fmt(f)?;
        }
        write!(f, "|SMTP/{}|MAIL", one_field(self.hello))
    }
}

/// `TCP|server|port|client|client port`.
impl fmt::Display for TcpEnds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, client } = self;
        let (to, from) = (server.ip().to_canonical(), client.ip().to_canonical());
        write!(f, "TCP|{to}|{}|{from}|{}", server.port(), client.port())
    }
}

/// A text of a peer's as one field of a probe: a bar in it would begin another, and who writes one
/// into it would choose what the entries behind it see.
pub(super) fn one_field(text: &str) -> Cow<'_, str> {
    if text.contains('|') { text.replace('|', "%7C").into() } else { text.into() }
}

/// An address as one field of a probe, in its one spelling: needless quotes or a final dot would keep
/// it from the entry that is about it. What is no address, or names no domain, stays as it is.
pub(super) fn address_field(text: &str) -> Cow<'_, str> {
    let address = Address::parse(text).ok().filter(|address| address.domain().is_some());
    match address {
        Some(address) => one_field(&address.normal()).into_owned().into(),
        None => one_field(text),
    }
}

pub(super) const PORT_ACCESS: &str = "PORT_ACCESS";
pub(super) const IP_ACCESS: &str = "IP_ACCESS";
pub(super) const INTERNAL_IP: &str = "INTERNAL_IP";
pub(super) const FROM_ACCESS: &str = "FROM_ACCESS";
pub(super) const ORIGIN_ACCESS: &str = "ORIGIN_ACCESS";
pub(super) const ORIG_SEND_ACCESS: &str = "ORIG_SEND_ACCESS";
pub(super) const ORIG_MAIL_ACCESS: &str = "ORIG_MAIL_ACCESS";
pub(super) const SEND_ACCESS: &str = "SEND_ACCESS";
pub(super) const MAIL_ACCESS: &str = "MAIL_ACCESS";
pub(super) const REVERSE: &str = "REVERSE";
pub(super) const FORWARD: &str = "FORWARD";
/// Every table that access goes by.
pub(super) const ACCESS_TABLES: [&str; 9] = [
    ORIGIN_ACCESS,
    IP_ACCESS,
    PORT_ACCESS,
    INTERNAL_IP,
    FROM_ACCESS,
    ORIG_SEND_ACCESS,
    ORIG_MAIL_ACCESS,
    SEND_ACCESS,
    MAIL_ACCESS,
];
