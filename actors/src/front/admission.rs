//! Which clients a service takes: `PORT_ACCESS`, and how often one client may be connected. Asked
//! before the first byte, with the client that a proxy names where one does.

use std::{net::IpAddr, sync::Arc};

use relais_channels::server::Stress;
use relais_config::{Service, dispatcher::Clients, grammar::Network};

use super::{
    connection::Ends,
    seats::{Seat, SeatOf, Seats, host},
};
use crate::{
    metrics::ConnectionResult,
    router::{Access, RouteCache, internal_ip, parting_lines, port_access},
};

/// The door of one service.
#[derive(Clone)]
pub struct ClientAdmission {
    route_cache: Arc<RouteCache>,
    clients: Clients,
    /// Connections of one client at once.
    each: usize,
    seats: Arc<Seats>,
    /// Whether the service has little left.
    pub(super) stress: Arc<Stress>,
}

/// Why a client is not taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ClientRefusal {
    pub(super) why: ConnectionResult,
    /// The whole line for the client.
    pub(super) text: String,
}

impl ClientAdmission {
    /// The door of a service.
    pub fn new(service: &Service, route_cache: Arc<RouteCache>) -> Self {
        let clients = service.clients.clone();
        let each = clients.connections(service.program);
        Self { route_cache, clients, each, seats: Arc::default(), stress: Arc::default() }
    }

    /// The same door under another configuration: clients that are connected count on.
    #[must_use]
    pub(super) fn succeeding(&self, before: &Self) -> Self {
        let (seats, stress) = (before.seats.clone(), before.stress.clone());
        Self { seats, stress, ..self.clone() }
    }

    /// Whether little room makes the service less patient.
    pub(super) fn heeds_stress(&self) -> bool {
        self.clients.stress
    }

    /// Whether a connection from there begins with a header that names the client.
    pub(super) fn is_proxy(&self, ends: &Ends) -> bool {
        lists(&self.clients.proxy_protocol, ends)
    }

    /// Whether a client may say XCLIENT.
    pub(super) fn takes_xclient(&self, ends: &Ends) -> bool {
        lists(&self.clients.xclient, ends)
    }

    /// Takes a client in, or says why not. Whoever comes by a UNIX socket is on this machine.
    pub(super) fn admit(&self, ends: &Ends) -> Result<Seat, ClientRefusal> {
        let Some(ends) = ends.tcp() else { return Ok(Seat::default()) };
        let routes = self.route_cache.routes();
        let ruling = port_access(&routes, ends, false);
        if let Some(Access::Reject(text)) = ruling.map(|ruling| ruling.access) {
            let text = parting_lines(&text);
            return Err(ClientRefusal { why: ConnectionResult::Refused, text });
        }
        let client = ends.client.ip();
        if self.is_unlimited(client) || internal_ip(&routes, client) {
            return Ok(Seat::default());
        }
        self.seats.clone().take(self.places(client)).ok_or_else(|| ClientRefusal {
            why: ConnectionResult::Limited,
            text: TOO_MANY.to_owned(),
        })
    }

    fn is_unlimited(&self, client: IpAddr) -> bool {
        let is_limited = self.each < usize::MAX || self.clients.prefix_conns.is_some();
        !is_limited || self.clients.are_unlimited(client)
    }

    /// The places that a connection takes, and how many of each there are.
    fn places(&self, client: IpAddr) -> [Option<(SeatOf, usize)>; 2] {
        let bits = match client {
            IpAddr::V4(_) => self.clients.prefix_ipv4,
            IpAddr::V6(_) => self.clients.prefix_ipv6,
        };
        let bits = u8::try_from(bits).unwrap_or(u8::MAX);
        let prefix = |most| (SeatOf::Prefix(Network::around(client, bits)), most);
        [Some((SeatOf::Client(host(client)), self.each)), self.clients.prefix_conns.map(prefix)]
    }
}

fn lists(networks: &[Network], ends: &Ends) -> bool {
    ends.client.is_some_and(|client| networks.iter().any(|its| its.contains(client.ip())))
}

const TOO_MANY: &str = "421 4.7.0 too many connections from you, try again later";
