//! The way out of a channel: what SMTP and LMTP share.
//!
//! An [`Outbound`] knows how a channel talks; [`Outbound::connect`] finds the addresses of a next hop
//! and tries one after the other until a server has introduced itself. From there on a [`Connection`]
//! carries messages. What the two protocols do not share is in `dialect`.
//!
//! TLS has its place in [`Outbound::greet`]: a server that offers STARTTLS is introduced to once more
//! over the [`Stream`] that took the place of the first, and what it offered before counts no more.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use relais_config::{Channel, channel::Program};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    connection::Connection,
    gate::{Approach, Gate, Passage},
    introduction::{Introduced, Introduction},
    policy::{Lost, unreachable},
    progress::WaitsFor,
    resolve::{Unresolved, look_up, unresolved},
    settings::Settings,
    stream::Stream,
};
use crate::mail::{Dialect, Enhanced, NextHop, Outcome, Reply, SiteTrouble};

/// How the mail of one channel leaves.
#[derive(Clone, Debug)]
pub struct Outbound {
    dialect: Dialect,
    port: u16,
    settings: Settings,
    gate: Option<Arc<dyn Gate>>,
}

impl Outbound {
    /// In this dialect, to this port of next hops that name none.
    pub fn new(dialect: Dialect, port: u16, settings: Settings) -> Self {
        Self { dialect, port, settings, gate: None }
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

    /// The settings of its connections.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Connects to the first address of the next hop that answers, and introduces us.
    pub async fn connect(&self, next_hop: &NextHop) -> Result<Connection, SiteTrouble> {
        self.settings.progress.waits(WaitsFor::Connect);
        let (name, addresses) = match next_hop {
            NextHop::Unix(path) => return self.connect_unix(path).await,
            NextHop::Ip { address, port } => {
                ("", vec![SocketAddr::new(*address, port.unwrap_or(self.port))])
            }
            NextHop::Host { name, port } => {
                let found = look_up(name, port.unwrap_or(self.port), self.settings.connect_time);
                (name.as_str(), found.await.map_err(|error| unresolved(name, &error))?)
            }
        };
        let (mut trouble, count) = (None, addresses.len());
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
            match self.connect_tcp(name, address).await {
                // A refusal of our introduction is meant; anything else, another address may do better.
                Err(other) if !other.is_final() => trouble = Some(other),
                result => return result,
            }
        }
        let none = || unresolved(name, &Unresolved::NoSuchHost(io::ErrorKind::NotFound.into()));
        Err(trouble.unwrap_or_else(none))
    }

    async fn connect_tcp(
        &self,
        name: &str,
        address: SocketAddr,
    ) -> Result<Connection, SiteTrouble> {
        let peer = format!("{name}[{}]:{}", address.ip(), address.port());
        let stream = self.limited(TcpStream::connect(address)).await;
        let stream = stream.map_err(|lost| unreachable(&peer, &lost))?;
        // Without it, commands and content wait for each other's acknowledgement.
        stream.set_nodelay(true).map_err(|error| unreachable(&peer, &Lost::Io(error)))?;
        let host = if name.is_empty() { format!("[{}]", address.ip()) } else { name.to_owned() };
        self.greet(Stream::Tcp(stream), peer, host.into()).await
    }

    async fn connect_unix(&self, path: &Path) -> Result<Connection, SiteTrouble> {
        let peer = path.display().to_string();
        let stream = self.limited(UnixStream::connect(path)).await;
        let stream = stream.map_err(|lost| unreachable(&peer, &lost))?;
        let host = peer.as_str().into();
        self.greet(Stream::Unix(stream), peer, host).await
    }

    async fn limited<T>(&self, connect: impl Future<Output = io::Result<T>>) -> Result<T, Lost> {
        let connected = timeout(self.settings.connect_time, connect).await;
        Ok(connected.map_err(|_| Lost::TimedOut)??)
    }

    /// Hears who the server is, and says who we are.
    pub(super) async fn greet(
        &self,
        stream: Stream,
        peer: String,
        host: Arc<str>,
    ) -> Result<Connection, SiteTrouble> {
        let Self { dialect, settings, .. } = self;
        let mut connection = Connection::new(stream, peer, host, *dialect, settings);
        let mut introduction = Introduction::new(*dialect, settings.private);
        loop {
            let command = introduction.command(&settings.host);
            let reply = connection.ask(introduction.stage(), command.as_bytes()).await?;
            match introduction.take(reply) {
                Introduced::Say => {}
                Introduced::Ready(offer) => {
                    connection.offered(offer);
                    return Ok(connection);
                }
                Introduced::Refused(outcome) => return Err(SiteTrouble { outcome }),
            }
        }
    }
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
