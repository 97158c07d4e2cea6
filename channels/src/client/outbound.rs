//! The way out of a channel: what SMTP and LMTP share.
//!
//! An [`Outbound`] knows how a channel talks; [`Outbound::connect`] finds the addresses of a next hop
//! and tries one after the other until a server has introduced itself. From there on a [`Connection`]
//! carries messages. What the two protocols do not share is in `dialect`; what comes before the first
//! message, TLS and AUTH among it, in `opening`.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use relais_config::{Channel, channel::Program, destinations::DestinationLimits};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    connection::Connection,
    gate::{Approach, Gate, Passage},
    last_resort::{keeps_to_first, may_stand_in},
    opening::{FirstWords, NotOpened},
    owed::{self, DestinationTls, Errand},
    policy::{Lost, unreachable},
    progress::WaitsFor,
    security::{ClientHandshake, Security},
    settings::Settings,
    site::{ChosenBy, Finder, Pace, Race, Reached, Server, Site, connect},
    stream::Stream,
};
use crate::{
    mail::{Dialect, Enhanced, NextHop, NextHops, Outcome, Reply, SiteTrouble},
    tls_policy::{Barred, PolicyKind, Requirement, TlsNeed},
};

/// How the mail of one channel leaves.
#[derive(Clone, Debug)]
pub struct Outbound {
    pub(super) dialect: Dialect,
    port: u16,
    pub(super) settings: Settings,
    pub(super) security: Arc<Security>,
    gate: Option<Arc<dyn Gate>>,
    finder: Option<Arc<Finder>>,
}

/// A place to say the first words to.
struct Callee<'a> {
    hop: &'a NextHop,
    /// Not of a UNIX socket.
    site: Option<(&'a Site, &'a Server)>,
    /// As the log has it.
    peer: String,
    tls: &'a DestinationTls,
}

/// Why an address is left for the next.
pub(super) enum Left {
    /// Nothing was said there.
    Unreachable(SiteTrouble),
    /// A server was there.
    Answered(SiteTrouble),
}

impl Outbound {
    /// In this dialect, to this port of next hops that name none.
    pub fn new(dialect: Dialect, port: u16, settings: Settings) -> Self {
        Self { dialect, port, settings, security: Arc::default(), gate: None, finder: None }
    }

    /// As configured. `host`: who we are.
    pub fn of(host: &str, channel: &Channel) -> Self {
        Self::new(dialect_of(channel), channel.next_hop_port(), Settings::of(host, channel))
    }

    /// Asks this gate before each address.
    #[must_use]
    pub fn behind(self, gate: Arc<dyn Gate>) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Finds the servers of next hops so.
    #[must_use]
    pub fn finding(self, finder: Arc<Finder>) -> Self {
        Self { finder: Some(finder), ..self }
    }

    /// Protects its connections so.
    #[must_use]
    pub fn protected(self, security: Arc<Security>) -> Self {
        Self { security, ..self }
    }

    /// With the limits of its destination, as far as they are about a connection.
    #[must_use]
    pub fn limited(mut self, limits: &DestinationLimits) -> Self {
        if let Some(messages) = limits.messages {
            self.settings.limits.messages = messages;
        }
        if let Some(recipients) = limits.recipients {
            self.settings.max_rcpt = recipients;
        }
        self
    }

    /// The TLS handshakes of the channel that have ended since this was last asked.
    pub fn take_handshakes(&self) -> impl Iterator<Item = (ClientHandshake, u64)> {
        self.security.take_handshakes()
    }

    /// The connections of the channel since this was last asked, by the policy of TLS that they follow:
    /// whether the server kept to it, and how many.
    pub fn take_policies(&self) -> impl Iterator<Item = (PolicyKind, bool, u64)> {
        self.security.take_policies()
    }

    /// The settings of its connections.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether a server gives one reply to the content of a message, however many recipients it has.
    pub fn replies_once(&self) -> bool {
        self.dialect == Dialect::Smtp
    }

    /// Connects to the first of the next hops, from this place on, where a server takes messages.
    /// The first of them is `chosen_by` somebody, the others by the configuration. Returns the
    /// connection, and the place.
    pub async fn connect_from(
        &self,
        next_hops: &NextHops,
        from: usize,
        errand: Errand,
    ) -> Result<(Connection, usize), SiteTrouble> {
        let mut trouble = None;
        for (place, next_hop) in next_hops.iter().enumerate().skip(from) {
            let first = errand.chosen_by;
            let chosen_by = if place == 0 { first } else { ChosenBy::Configuration };
            match self.connect_chosen(next_hop, Errand { chosen_by, ..errand }).await {
                Ok(mut connection) => {
                    if trouble.is_some() {
                        connection.is_one_of_several();
                    }
                    return Ok((connection, place));
                }
                Err(trouble) if !may_stand_in(chosen_by, &trouble) => return Err(trouble),
                Err(other) => {
                    if place + 1 < next_hops.len() {
                        if self.keeps_to_first(next_hops, errand).await {
                            return Err(other);
                        }
                        tracing::info!(server = %next_hop, reason = %other, "the next server is tried");
                    }
                    trouble = Some(other);
                }
            }
        }
        Err(trouble.unwrap_or_else(|| SiteTrouble::deferred(NO_MORE)))
    }

    /// Whether none but the first of the next hops may be asked: the last resort is not for a domain whose
    /// own servers are owed TLS, or of which that cannot be told now.
    pub async fn keeps_to_first(&self, next_hops: &NextHops, errand: Errand) -> bool {
        let Some(tls) = self.security.tls.as_ref().filter(|_| self.dialect == Dialect::Smtp) else {
            return false;
        };
        self.settings.progress.waits(WaitsFor::LookUp);
        keeps_to_first(tls, next_hops, errand, self.port).await
    }

    /// Tells the gate which servers these are.
    fn meet<'s>(&self, servers: impl Iterator<Item = &'s str>) -> Result<(), SiteTrouble> {
        let mut servers = servers;
        match self.gate.as_ref().map(|gate| gate.meet(&mut servers)) {
            Some(Passage::Refused(reply) | Passage::Later(reply)) => Err(refused(reply)),
            _ => Ok(()),
        }
    }

    /// Connects to the first server of a next hop of the configuration that answers, and introduces
    /// us.
    pub async fn connect(&self, next_hop: &NextHop) -> Result<Connection, SiteTrouble> {
        self.connect_chosen(next_hop, Errand::USUAL).await
    }

    async fn connect_chosen(
        &self,
        next_hop: &NextHop,
        errand: Errand,
    ) -> Result<Connection, SiteTrouble> {
        if let NextHop::Unix(path) = next_hop {
            return self.connect_unix(next_hop, path).await;
        }
        // LMTP has no domains of strangers: its hosts are those of the configuration.
        let by_lmtp = self.dialect == Dialect::Lmtp;
        let chosen_by = if by_lmtp { ChosenBy::Configuration } else { errand.chosen_by };
        let finder = self.finder()?;
        if matches!(next_hop, NextHop::Host { .. }) {
            self.settings.progress.waits(WaitsFor::LookUp);
        }
        let site = self.site(next_hop, chosen_by, &finder).await?;
        let tls = match &self.security.tls {
            Some(tls) => tls.destination(&site, Errand { chosen_by, ..errand }).await,
            None => DestinationTls::unknown(errand.wish),
        };
        self.connect_site((next_hop, errand), (&site, &tls), &finder).await
    }

    pub(super) fn finder(&self) -> Result<Arc<Finder>, SiteTrouble> {
        match &self.finder {
            Some(finder) => Ok(Arc::clone(finder)),
            None => Finder::plain().map(Arc::new).map_err(|error| no_finder(&error)),
        }
    }

    /// The servers of a next hop that is no UNIX socket.
    pub(super) async fn site(
        &self,
        next_hop: &NextHop,
        chosen_by: ChosenBy,
        finder: &Finder,
    ) -> Result<Site, SiteTrouble> {
        match next_hop {
            NextHop::Unix(path) => {
                let path = path.display();
                Err(unreachable(&path.to_string(), &Lost::Io(io::ErrorKind::Unsupported.into())))
            }
            NextHop::Ip { address, port } => {
                Ok(Site::at(SocketAddr::new(*address, port.unwrap_or(self.port))))
            }
            NextHop::Host { name, port } => {
                let (port, limit) = (port.unwrap_or(self.port), self.settings.connect_time);
                let found = finder.find(name, port, chosen_by, limit).await;
                found.map_err(|none| none.trouble(name, chosen_by))
            }
        }
    }

    /// Connects to the servers of a site, one after the other, until one takes messages.
    async fn connect_site(
        &self,
        (hop, errand): (&NextHop, Errand),
        (site, tls): (&Site, &DestinationTls),
        finder: &Finder,
    ) -> Result<Connection, SiteTrouble> {
        self.settings.progress.waits(WaitsFor::Connect);
        let literals: Vec<String> = site.servers.iter().map(Server::called).collect();
        self.meet(literals.iter().map(String::as_str))?;
        let (mut trouble, mut answers) = (None, 0);
        let mut lacking: Option<Connection> = None;
        let gate = self.gate.as_deref();
        let one_by_one = gate.is_some_and(Gate::one_by_one);
        let is_over = |address: SocketAddr| gate.inspect(|gate| gate.is_over(address.ip()));
        let mut gate = GateKeeper { gate, site, asked: 0, skipped: None, refused: None };
        let pace = Pace::of(self.settings.connect_time);
        let mut race = Race::new(site.servers.clone(), (pace, one_by_one), &finder.sources);
        while let Some(called) = race.next(|server| gate.admit(server)).await {
            let Reached { server, stream, slower } = match called {
                Ok(reached) => reached,
                Err((server, lost)) => {
                    is_over(server.address);
                    finder.laggards.note(server.address);
                    trouble = Some(unreachable(&peer_of(&server), &lost));
                    continue;
                }
            };
            for address in slower {
                is_over(address);
                finder.laggards.note(address);
            }
            match self.connect_tcp(hop, (site, &server, tls), stream).await {
                Ok(mut connection) => {
                    finder.laggards.forget(server.address);
                    if connection.is_enough_for(errand) {
                        if let Some(other) = lacking {
                            other.quit().await;
                        }
                        if trouble.is_some() {
                            connection.is_one_of_several();
                        }
                        return Ok(connection);
                    }
                    // RFC 8689 section 4.2.1: each server of the list is asked.
                    match lacking {
                        Some(_) => drop(connection.quit().await),
                        None => lacking = Some(connection),
                    }
                    self.settings.progress.waits(WaitsFor::Connect);
                    continue;
                }
                // A refusal of our introduction is meant; anything else, another address may do better.
                Err(Left::Answered(refused)) if refused.is_final() => return Err(refused),
                Err(Left::Unreachable(other)) => trouble = Some(other),
                Err(Left::Answered(other)) => {
                    // TLS is a matter of each server: the others may have better certificates.
                    answers += usize::from(!other.is_of_tls());
                    trouble = Some(other);
                    if answers == MOST_ANSWERS {
                        break;
                    }
                }
            }
            is_over(server.address);
            finder.laggards.note(server.address);
            self.settings.progress.waits(WaitsFor::Connect);
        }
        let trouble = gate.refused.or(trouble).or(gate.skipped);
        if let Some(mut connection) = lacking {
            connection.best_of_site(errand.wish);
            if trouble.is_some() {
                connection.is_one_of_several();
            }
            return Ok(connection);
        }
        Err(trouble.unwrap_or_else(|| SiteTrouble::deferred(NO_MORE)))
    }

    pub(super) async fn connect_tcp(
        &self,
        hop: &NextHop,
        (site, server, tls): (&Site, &Server, &DestinationTls),
        stream: TcpStream,
    ) -> Result<Connection, Left> {
        let place = Callee { hop, site: Some((site, server)), peer: peer_of(server), tls };
        let local = stream.local_addr().map(|its| its.ip()).ok();
        let first = Mutex::new(Some(stream));
        let peer = place.peer.as_str();
        let open = || async {
            self.settings.progress.waits(WaitsFor::Connect);
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stream = match first {
                Some(stream) => Ok(stream),
                // Once more to the same place, from the same address of ours.
                None => limited(self.settings.connect_time, connect(server.address, local)).await,
            };
            let stream = stream.map_err(|lost| unreachable(peer, &lost))?;
            // Without it, commands and content wait for each other's acknowledgement.
            stream.set_nodelay(true).map_err(|error| unreachable(peer, &Lost::Io(error)))?;
            Ok(Stream::Tcp(stream))
        };
        let host = if server.host.is_empty() {
            format!("[{}]", server.address.ip()).into()
        } else {
            Arc::clone(&server.host)
        };
        self.opened(&place, host, open).await
    }

    async fn connect_unix(&self, hop: &NextHop, path: &Path) -> Result<Connection, SiteTrouble> {
        let peer = path.display().to_string();
        self.meet([peer.as_str()].into_iter())?;
        let host = peer.as_str().into();
        let tls = &DestinationTls::default();
        let place = Callee { hop, site: None, peer, tls };
        let open = || async {
            self.settings.progress.waits(WaitsFor::Connect);
            let stream = limited(self.settings.connect_time, UnixStream::connect(path)).await;
            stream.map(Stream::Unix).map_err(|lost| unreachable(&place.peer, &lost))
        };
        let opened = self.opened(&place, host, open).await;
        opened.map_err(|(Left::Unreachable(trouble) | Left::Answered(trouble))| trouble)
    }

    /// Says all that comes before the first message, as the server's policy of TLS has it.
    async fn opened<Opened>(
        &self,
        place: &Callee<'_>,
        host: Arc<str>,
        open: impl Fn() -> Opened,
    ) -> Result<Connection, Left>
    where
        Opened: Future<Output = Result<Stream, SiteTrouble>>,
    {
        let owed = match self.owed(place).await {
            Ok(owed) => owed,
            Err(why) => {
                self.security.count_policy(why.kind(), false);
                if let Some(tls) = &self.security.tls {
                    let host = place.site.map_or("", |(site, _)| &site.name);
                    tls.tell((host, &place.peer), why.result().name(), &why.to_string());
                }
                return Err(Left::Unreachable(owed::barred(&place.peer, &why)));
            }
        };
        let opened = self.opened_as(place, (&owed, host), open).await;
        let is_broken = matches!(opened, Err(Left::Answered(_))) && owed.need == TlsNeed::Must;
        if opened.is_ok() || is_broken {
            self.security.count_policy(owed.basis.kind(), !is_broken);
        }
        opened
    }

    /// The same once it is known, on a second connection in clear where TLS fails and need not be.
    async fn opened_as<Opened>(
        &self,
        place: &Callee<'_>,
        (owed, host): (&Requirement, Arc<str>),
        open: impl Fn() -> Opened,
    ) -> Result<Connection, Left>
    where
        Opened: Future<Output = Result<Stream, SiteTrouble>>,
    {
        let peer = place.peer.as_str();
        let tls = self.security.tls.as_ref();
        let is_needed = owed.need == TlsNeed::Must;
        let is_usual = !is_needed && !place.tls.is_required();
        let in_clear = tls.is_some_and(|tls| is_usual && tls.failed_lately(peer));
        let stream = open().await.map_err(Left::Unreachable)?;
        let opening = self.opening(place, (owed, in_clear));
        match opening.open(self.connection(stream, place, &host)).await {
            Ok(connection) => Ok(connection),
            Err(NotOpened::Trouble(trouble)) => Err(Left::Answered(trouble)),
            Err(NotOpened::WithoutTls(trouble)) => {
                tracing::warn!(peer, reason = %trouble, "TLS fails: mail leaves in clear for a while");
                if let Some(tls) = tls {
                    tls.has_failed(peer);
                }
                let stream = open().await.map_err(Left::Unreachable)?;
                let opening = self.opening(place, (owed, true));
                let opened = opening.open(self.connection(stream, place, &host)).await;
                opened.map_err(|(NotOpened::Trouble(trouble) | NotOpened::WithoutTls(trouble))| {
                    Left::Answered(trouble)
                })
            }
        }
    }

    /// The TLS that the server at this place is owed.
    async fn owed(&self, place: &Callee<'_>) -> Result<Requirement, Barred> {
        match &self.security.tls {
            Some(tls) => tls.requirement(place.tls, place.site.map(|(_, server)| server)).await,
            None => Ok(owed::nothing()),
        }
    }

    fn opening<'a>(
        &'a self,
        place: &Callee<'a>,
        (owed, in_clear): (&'a Requirement, bool),
    ) -> FirstWords<'a> {
        let Self { dialect, port, settings, security, .. } = self;
        let Callee { hop, site, .. } = *place;
        let (dialect, port) = (*dialect, *port);
        let destination = place.tls;
        FirstWords { dialect, settings, security, hop, site, port, owed, destination, in_clear }
    }

    fn connection(&self, stream: Stream, place: &Callee<'_>, host: &Arc<str>) -> Connection {
        let (peer, host) = (place.peer.clone(), Arc::clone(host));
        Connection::new(stream, peer, host, self.dialect, &self.settings)
    }

    /// Says all that comes before the first message to a server at the other end of a socket.
    #[cfg(test)]
    pub(super) async fn greet(
        &self,
        stream: Stream,
        peer: String,
        host: Arc<str>,
    ) -> Result<Connection, SiteTrouble> {
        let hop = NextHop::Unix("/test".into());
        let place = Callee { hop: &hop, site: None, peer, tls: &DestinationTls::default() };
        let owed = self.owed(&place).await.unwrap();
        let opened =
            self.opening(&place, (&owed, false)).open(self.connection(stream, &place, &host)).await;
        opened.map_err(|(NotOpened::Trouble(trouble) | NotOpened::WithoutTls(trouble))| trouble)
    }
}

/// Asks the gate, and remembers its words.
struct GateKeeper<'a> {
    gate: Option<&'a dyn Gate>,
    site: &'a Site,
    asked: usize,
    skipped: Option<SiteTrouble>,
    refused: Option<SiteTrouble>,
}

impl GateKeeper<'_> {
    /// Where to connect to in place of this server; nowhere, if it is to be left out.
    fn admit(&mut self, server: &Server) -> Option<SocketAddr> {
        let Some(gate) = self.gate else { return Some(server.address) };
        if self.refused.is_some() {
            return None;
        }
        self.asked += 1;
        let (count, address) = (self.site.servers.len(), server.address.ip());
        let index = self.asked.min(count);
        match gate.ask(&Approach { index, count, address, host: &server.host }) {
            Passage::Open => Some(server.address),
            Passage::Instead(other) => Some(SocketAddr::new(other, server.address.port())),
            Passage::Skip => {
                self.skipped.get_or_insert_with(|| skipped(&server.host, address));
                None
            }
            Passage::Later(reply) => {
                self.skipped.get_or_insert_with(|| SiteTrouble::deferred(reply));
                None
            }
            Passage::Refused(reply) => {
                self.refused = Some(refused(reply));
                None
            }
        }
    }
}

/// `host[address]:port`.
fn peer_of(server: &Server) -> String {
    format!("{}[{}]:{}", server.host, server.address.ip(), server.address.port())
}

/// The system's settings of name servers cannot be read.
fn no_finder(error: &crate::dns::Unanswered) -> SiteTrouble {
    let text = format!("name servers: {error}");
    SiteTrouble::deferred(Reply::with_text(451, Enhanced(4, 4, 3), text))
}

async fn limited<T>(
    limit: Duration,
    connect: impl Future<Output = io::Result<T>>,
) -> Result<T, Lost> {
    Ok(timeout(limit, connect).await.map_err(|_| Lost::TimedOut)??)
}

/// No address is left but those that the gate has skipped.
fn skipped(name: &str, address: IpAddr) -> SiteTrouble {
    let text = format!("connect to {name}[{address}]: skipped by IP_ACCESS");
    SiteTrouble::deferred(Reply::with_text(451, Enhanced(4, 4, 1), text))
}

fn refused(reply: Reply) -> SiteTrouble {
    let outcome =
        if reply.is_permanent() { Outcome::Failed(reply) } else { Outcome::Deferred(reply) };
    SiteTrouble { outcome }
}

fn dialect_of(channel: &Channel) -> Dialect {
    match channel.program {
        Program::Smtp => Dialect::Smtp,
        _ => Dialect::Lmtp,
    }
}

const NO_MORE: Reply = Reply::new(451, Enhanced(4, 4, 1), "there is no other server");
/// Servers of one host that answered and then would not take mail: the others are no better.
const MOST_ANSWERS: usize = 2;
