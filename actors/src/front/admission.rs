//! Which clients a service takes: `PORT_ACCESS`, and how often one client may be connected. Asked
//! before the first byte, with the client that a proxy names where one does.

use std::{net::IpAddr, sync::Arc};

use relais_channels::server::Stress;
use relais_config::{Service, dispatcher::Clients, grammar::Network};

use super::{
    connection::Ends,
    dns_lists::DnsLists,
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
    lists: Option<DnsLists>,
}

/// A client that `PORT_ACCESS` does not keep out.
pub(super) struct AdmittedClient {
    pub(super) seat: Seat,
    /// Lists that are to be asked about it first.
    pub(super) lists: Option<(DnsLists, IpAddr)>,
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
    pub fn new(service: &Service, route_cache: Arc<RouteCache>, lists: Option<DnsLists>) -> Self {
        let clients = service.clients.clone();
        let each = clients.connections(service.program);
        Self { route_cache, clients, each, seats: Arc::default(), stress: Arc::default(), lists }
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
    pub(super) fn admit(&self, ends: &Ends) -> Result<AdmittedClient, ClientRefusal> {
        let free = AdmittedClient { seat: Seat::default(), lists: None };
        // A proxy speaks for many clients, each of which is counted by itself.
        let is_presenter = self.takes_xclient(ends);
        let Some(ends) = ends.tcp() else { return Ok(free) };
        let routes = self.route_cache.routes();
        let ruling = port_access(&routes, ends, false);
        let matched = ruling.as_ref().is_some_and(|ruling| ruling.entry.is_some());
        if let Some(Access::Reject(text)) = ruling.map(|ruling| ruling.access) {
            let text = parting_lines(&text);
            return Err(ClientRefusal { why: ConnectionResult::Refused, text });
        }
        let client = ends.client.ip();
        let asks_lists = self.lists.is_some() && !matched;
        let is_unlimited = is_presenter || self.is_unlimited(client);
        if (asks_lists || !is_unlimited) && internal_ip(&routes, client) {
            return Ok(free);
        }
        let lists = if asks_lists { self.lists_to_ask(client)? } else { None };
        if is_unlimited {
            return Ok(AdmittedClient { lists, ..free });
        }
        match self.seats.clone().take(self.places(client)) {
            Some(seat) => Ok(AdmittedClient { seat, lists }),
            None => {
                Err(ClientRefusal { why: ConnectionResult::Limited, text: TOO_MANY.to_owned() })
            }
        }
    }

    /// The lists that are to be asked about a client; none when the answer is known, or when the
    /// service has little left.
    fn lists_to_ask(&self, client: IpAddr) -> Result<Option<(DnsLists, IpAddr)>, ClientRefusal> {
        let Some(lists) = &self.lists else { return Ok(None) };
        match lists.remembered(client) {
            Some(Err(text)) => Err(ClientRefusal { why: ConnectionResult::Listed, text }),
            Some(Ok(())) => Ok(None),
            None if self.stress.is_on() => Ok(None),
            None => Ok(Some((lists.clone(), client))),
        }
    }

    /// Takes a client in once block lists have been asked, or says why not.
    pub(super) async fn admit_unlisted(&self, ends: &Ends) -> Result<Seat, ClientRefusal> {
        let AdmittedClient { seat, lists } = self.admit(ends)?;
        let Some((lists, client)) = lists else { return Ok(seat) };
        match lists.refusal(client).await {
            Some(text) => Err(ClientRefusal { why: ConnectionResult::Listed, text }),
            None => Ok(seat),
        }
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
