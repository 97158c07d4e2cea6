//! The operator's endpoint: HTTP on a UNIX socket and, for reading only, on a TCP address.
//!
//! Runs on threads of its own, so that it answers while the engine is busy, starting or
//! stopping. Whatever changes something takes `guard::Owner` as an argument and so is
//! refused unless the request came by the UNIX socket, whose file belongs to the engine's user.

mod audited;
pub mod client;
mod connections;
pub mod console;
mod content;
mod discreet;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
pub(crate) mod fake_overview;
mod guard;
mod http_error;
mod lines;
mod listing;
mod live;
mod names;
mod orders;
mod origin;
mod page;
mod pages;
mod patience;
mod queue_work;
mod server;
pub mod socket;
#[cfg(test)]
mod tests;
mod turns;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use actix_web::{dev::Server, web::Data};
use relais_channels::tls::ServerTls;
use relais_config::tls::Tls;
use tokio::sync::watch;

use self::{
    live::Streams,
    server::{Entrance, PageServer, Servers},
};
use crate::state::audit::AuditLog;

pub use audited::Ordered;
pub use names::HostNames;
pub(crate) use orders::NOT_IN_FORCE;

pub use console::{
    AccessQuestion, Answer, Console, Frozen, MailboxDenied, MappingQuestion, Nonsense, QueuePage,
    RouteQuestion, RoutesQuestion, Stage, StageQuestion, Unavailable,
};
pub use lines::JsonLines;
pub(crate) use page::read_token;

/// The endpoint while it serves.
pub struct Endpoint {
    servers: Servers,
    thread: thread::JoinHandle<()>,
    socket: PathBuf,
    /// Told when it ends: streams, which have no end, would hold it up.
    ending: watch::Sender<bool>,
    /// `"unix:DATA/admin.sock"`, and the TCP address when there is one.
    pub places: Vec<String>,
}

/// Where an endpoint serves beside its socket, and to whom.
#[derive(Debug, Default)]
pub struct Offer {
    /// The TCP address.
    pub listen: Option<SocketAddr>,
    /// The names that are answered there.
    pub names: HostNames,
    /// TLS is spoken there, by these settings and with these certificates, as long as the engine has
    /// none in force.
    pub tls: Option<(Tls, Arc<ServerTls>)>,
    /// The file of the token that lets operators in there, and nobody else beyond the login.
    pub token_file: Option<PathBuf>,
}

/// The endpoint cannot serve. The administrator must act.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The socket.
    #[error("cannot listen on {path}: {source}")]
    Socket {
        /// Its file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The TCP address.
    #[error("cannot listen on {address} (admin.listen): {source}")]
    Tcp {
        /// As configured.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Its TLS.
    #[error("admin.tls cannot be spoken: {0}")]
    Tls(String),
    /// Threads cannot be had.
    #[error("cannot start the admin endpoint: {0}")]
    Thread(io::Error),
}

impl Endpoint {
    /// Serves `console` on `DATA/admin.sock` and where `offer` says. Orders are written down in `audit`.
    pub fn start(
        console: impl Console,
        data: &Path,
        offer: Offer,
        audit: AuditLog,
    ) -> Result<Self, EndpointError> {
        let Offer { listen, names, tls, token_file } = offer;
        let tcp = listen.map(|address| {
            TcpListener::bind(address).map_err(|source| EndpointError::Tcp { address, source })
        });
        // The commoner mistake first: it leaves no socket file behind.
        let tcp = tcp.transpose()?;
        let path = socket::path(data).display().to_string();
        let unix = socket::bind(data)
            .map_err(|source| EndpointError::Socket { path: path.clone(), source })?;
        let mut places = vec![format!("unix:{path}")];
        if let Some(address) = tcp.as_ref().and_then(|tcp| tcp.local_addr().ok()) {
            let scheme = if tls.is_some() { "https" } else { "http" };
            places.push(format!("{scheme}://{address}"));
        }
        let (ending, ends) = watch::channel(false);
        let secured = tls.map(|(settings, first)| {
            let console = console.clone();
            let current = move || console.server_tls().unwrap_or_else(|| first.clone());
            ServerTls::for_web(&settings, current)
        });
        let secured = secured.transpose().map_err(|error| EndpointError::Tls(error.to_string()))?;
        let pages = PageServer {
            console,
            names: Data::new(names),
            audit: Data::new(audit),
            gate: Data::new(page::Gate::new(token_file)),
            streams: Streams::new(ends),
        };
        let tcp = tcp.map(|tcp| match secured {
            Some(tls) => Entrance::Secured(tcp, Box::new(tls)),
            None => Entrance::Plain(tcp),
        });
        let (started, handles) = mpsc::channel();
        let serve = move || {
            let served = actix_rt::System::new().block_on(async move {
                let unix = pages.socket(unix)?;
                let tcp = tcp.map(|door| pages.tcp(door)).transpose()?;
                let tcp_handle = tcp.as_ref().map(Server::handle);
                let _ = started.send(Servers { socket: unix.handle(), tcp: tcp_handle });
                match tcp {
                    Some(tcp) => tokio::try_join!(unix, tcp).map(drop),
                    None => unix.await,
                }
            });
            if let Err(error) = served {
                tracing::error!(%error, "admin endpoint ended");
            }
        };
        let thread = thread::Builder::new().name("admin".to_owned()).spawn(serve);
        let thread = thread.map_err(EndpointError::Thread)?;
        let gone = |_| EndpointError::Thread(io::Error::other("its thread ended at once"));
        let servers = handles.recv().map_err(gone)?;
        Ok(Self { servers, thread, places, socket: socket::path(data), ending })
    }

    /// Stops serving; requests that are being answered have a second to finish.
    pub async fn stop(self) {
        // The lock of the data directory is still held, so this is no other engine's.
        let _ = fs::remove_file(&self.socket);
        self.ending.send_replace(true);
        let Servers { socket, tcp } = self.servers;
        let tcp = async {
            if let Some(tcp) = tcp {
                tcp.stop(true).await;
            }
        };
        tokio::join!(socket.stop(true), tcp);
        // It has nothing left to do; joined so that no thread outlives its engine.
        let _ = self.thread.join();
    }
}
