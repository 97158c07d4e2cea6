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
    sync::Arc,
    time::Duration,
};

use relais_config::{Channel, channel::Program};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};

use super::{
    connection::Connection,
    gate::{Approach, Gate, Passage},
    opening::{FirstWords, NotOpened},
    policy::{Lost, unreachable},
    progress::WaitsFor,
    resolve::{Unresolved, look_up, unresolved},
    security::{ClientHandshake, Security},
    settings::Settings,
    stream::Stream,
};
use crate::mail::{Dialect, Enhanced, NextHop, NextHops, Outcome, Reply, SiteTrouble};

/// How the mail of one channel leaves.
#[derive(Clone, Debug)]
pub struct Outbound {
    dialect: Dialect,
    port: u16,
    settings: Settings,
    security: Arc<Security>,
    gate: Option<Arc<dyn Gate>>,
}

/// Why an address is left for the next.
enum Left {
    /// Nothing was said there.
    Unreachable(SiteTrouble),
    /// A server was there.
    Answered(SiteTrouble),
}

/// The time that is left for addresses of a host.
struct Patience {
    until: Instant,
    each: Duration,
}

impl Outbound {
    /// In this dialect, to this port of next hops that name none.
    pub fn new(dialect: Dialect, port: u16, settings: Settings) -> Self {
        Self { dialect, port, settings, security: Arc::default(), gate: None }
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

    /// Protects its connections so.
    #[must_use]
    pub fn protected(self, security: Arc<Security>) -> Self {
        Self { security, ..self }
    }

    /// The TLS handshakes of the channel that have ended since this was last asked.
    pub fn take_handshakes(&self) -> impl Iterator<Item = (ClientHandshake, u64)> {
        self.security.take_handshakes()
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
    /// Returns the connection, and the place.
    pub async fn connect_from(
        &self,
        next_hops: &NextHops,
        from: usize,
    ) -> Result<(Connection, usize), SiteTrouble> {
        let mut trouble = None;
        for (place, next_hop) in next_hops.iter().enumerate().skip(from) {
            match self.connect(next_hop).await {
                Ok(connection) => return Ok((connection, place)),
                // A refusal of our introduction is meant; anything else, another server may do better.
                Err(refused) if refused.is_final() => return Err(refused),
                Err(other) => {
                    if place + 1 < next_hops.len() {
                        tracing::info!(server = %next_hop, reason = %other, "the next server is tried");
                    }
                    trouble = Some(other);
                }
            }
        }
        Err(trouble.unwrap_or_else(|| SiteTrouble::deferred(NO_MORE)))
    }

    /// Connects to the first address of the next hop that answers, and introduces us.
    pub async fn connect(&self, next_hop: &NextHop) -> Result<Connection, SiteTrouble> {
        self.settings.progress.waits(WaitsFor::Connect);
        let (name, addresses) = match next_hop {
            NextHop::Unix(path) => return self.connect_unix(next_hop, path).await,
            NextHop::Ip { address, port } => {
                ("", vec![SocketAddr::new(*address, port.unwrap_or(self.port))])
            }
            NextHop::Host { name, port } => {
                let found = look_up(name, port.unwrap_or(self.port), self.settings.connect_time);
                (name.as_str(), found.await.map_err(|error| unresolved(name, &error))?)
            }
        };
        let (mut trouble, mut answers, count) = (None, 0, addresses.len());
        let patience = Patience::of(self.settings.connect_time);
        for (i, address) in addresses.into_iter().enumerate() {
            let approach = Approach { index: i + 1, count, address: address.ip(), host: name };
            let address = match self.gate.as_ref().map_or(Passage::Open, |it| it.ask(&approach)) {
                Passage::Open => address,
                Passage::Instead(other) => SocketAddr::new(other, address.port()),
                Passage::Skip => {
                    trouble.get_or_insert_with(|| skipped(name, address.ip()));
                    continue;
                }
                Passage::Refused(reply) => return Err(refused(reply)),
            };
            match self.connect_tcp(next_hop, address, patience.share(count - i)).await {
                Ok(connection) => return Ok(connection),
                // A refusal of our introduction is meant; anything else, another address may do better.
                Err(Left::Answered(refused)) if refused.is_final() => return Err(refused),
                Err(Left::Unreachable(other)) => trouble = Some(other),
                Err(Left::Answered(other)) => {
                    trouble = Some(other);
                    answers += 1;
                    if answers == MOST_ANSWERS {
                        break;
                    }
                }
            }
        }
        let none = || unresolved(name, &Unresolved::NoSuchHost(io::ErrorKind::NotFound.into()));
        Err(trouble.unwrap_or_else(none))
    }

    async fn connect_tcp(
        &self,
        hop: &NextHop,
        address: SocketAddr,
        limit: Duration,
    ) -> Result<Connection, Left> {
        let name = if let NextHop::Host { name, .. } = hop { name.as_str() } else { "" };
        let peer = format!("{name}[{}]:{}", address.ip(), address.port());
        let open = || async {
            let stream = limited(limit, TcpStream::connect(address)).await;
            let stream = stream.map_err(|lost| unreachable(&peer, &lost))?;
            // Without it, commands and content wait for each other's acknowledgement.
            stream.set_nodelay(true).map_err(|error| unreachable(&peer, &Lost::Io(error)))?;
            Ok(Stream::Tcp(stream))
        };
        let host = if name.is_empty() { format!("[{}]", address.ip()) } else { name.to_owned() };
        self.opened(hop, (&peer, host.into()), open).await
    }

    async fn connect_unix(&self, hop: &NextHop, path: &Path) -> Result<Connection, SiteTrouble> {
        let peer = path.display().to_string();
        let open = || async {
            let stream = limited(self.settings.connect_time, UnixStream::connect(path)).await;
            stream.map(Stream::Unix).map_err(|lost| unreachable(&peer, &lost))
        };
        let opened = self.opened(hop, (&peer, peer.as_str().into()), open).await;
        opened.map_err(|(Left::Unreachable(trouble) | Left::Answered(trouble))| trouble)
    }

    /// Says all that comes before the first message, on a second connection in clear where TLS fails
    /// and need not be.
    async fn opened<Opened>(
        &self,
        hop: &NextHop,
        (peer, host): (&str, Arc<str>),
        open: impl Fn() -> Opened,
    ) -> Result<Connection, Left>
    where
        Opened: Future<Output = Result<Stream, SiteTrouble>>,
    {
        let tls = self.security.tls.as_ref();
        let in_clear = tls.is_some_and(|tls| !tls.must && tls.failed_lately(peer));
        let stream = open().await.map_err(Left::Unreachable)?;
        let opening = self.opening(hop, in_clear);
        match opening.open(self.connection(stream, peer, &host)).await {
            Ok(connection) => Ok(connection),
            Err(NotOpened::Trouble(trouble)) => Err(Left::Answered(trouble)),
            Err(NotOpened::WithoutTls(trouble)) => {
                tracing::warn!(peer, reason = %trouble, "TLS fails: mail leaves in clear for a while");
                if let Some(tls) = tls {
                    tls.has_failed(peer);
                }
                let stream = open().await.map_err(Left::Unreachable)?;
                let opening = self.opening(hop, true);
                let opened = opening.open(self.connection(stream, peer, &host)).await;
                opened.map_err(|(NotOpened::Trouble(trouble) | NotOpened::WithoutTls(trouble))| {
                    Left::Answered(trouble)
                })
            }
        }
    }

    fn opening<'a>(&'a self, hop: &'a NextHop, in_clear: bool) -> FirstWords<'a> {
        let Self { dialect, port, settings, security, .. } = self;
        FirstWords { dialect: *dialect, settings, security, hop, port: *port, in_clear }
    }

    fn connection(&self, stream: Stream, peer: &str, host: &Arc<str>) -> Connection {
        let host = Arc::clone(host);
        Connection::new(stream, peer.to_owned(), host, self.dialect, &self.settings)
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
        let opened = self.opening(&hop, false).open(self.connection(stream, &peer, &host)).await;
        opened.map_err(|(NotOpened::Trouble(trouble) | NotOpened::WithoutTls(trouble))| trouble)
    }
}

impl Patience {
    fn of(each: Duration) -> Self {
        Self { until: Instant::now() + each * MOST_TIMES, each }
    }

    /// For one address of so many that are left: never so long that nothing is left for the last.
    fn share(&self, left: usize) -> Duration {
        let rest = self.until.saturating_duration_since(Instant::now());
        let share = rest / u32::try_from(left).unwrap_or(1).max(1);
        self.each.min(share.max(LEAST))
    }
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
/// All addresses of a host together take as long as so many that do not answer.
const MOST_TIMES: u32 = 4;
const LEAST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_dead_addresses_take_no_longer_than_four() {
        for count in 1..=8_usize {
            let patience = Patience::of(Duration::from_secs(30));
            let begun = Instant::now();
            for left in (1..=count).rev() {
                let share = patience.share(left);
                assert!(share >= Duration::from_secs(10), "{count} {left}: {share:?}");
                tokio::time::advance(share).await;
            }
            let most = Duration::from_secs(30 * count.min(4) as u64);
            assert!(begun.elapsed() <= most, "{count}: {:?}", begun.elapsed());
        }
    }
}
