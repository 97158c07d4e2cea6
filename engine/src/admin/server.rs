//! The servers of the endpoint: one behind the socket, and one behind the TCP address.

use std::{io, net::TcpListener, os::unix::net::UnixListener, time::Duration};

use actix_tls::accept::rustls_0_23::reexports::ServerConfig;
use actix_web::{
    App, HttpServer,
    dev::{Server, ServerHandle},
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    middleware::{DefaultHeaders, from_fn},
    web::Data,
};

use super::{
    Console, HostNames, guard,
    live::Streams,
    names, origin,
    page::{self, Gate},
    pages,
};
use crate::state::audit::AuditLog;

/// The server of the socket, and that of the TCP address when there is one: connections to the one are none of
/// the other's, whose limit they would reach.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) socket: ServerHandle,
    pub(super) tcp: Option<ServerHandle>,
}

/// The pages, and what all of them share.
pub(super) struct PageServer<C> {
    pub(super) console: C,
    pub(super) names: Data<HostNames>,
    pub(super) audit: Data<AuditLog>,
    pub(super) gate: Data<Gate>,
    pub(super) streams: Streams,
}

/// A place where pages are served.
pub(super) enum Entrance {
    Socket(UnixListener),
    Plain(TcpListener),
    Secured(TcpListener, Box<ServerConfig>),
}

impl<C: Console> PageServer<C> {
    /// A server of its own behind this door.
    pub(super) fn server(&self, door: Entrance) -> io::Result<Server> {
        let Self { console, names, audit, gate, streams } = self;
        let (console, streams) = (console.clone(), streams.clone());
        let (names, audit, gate) = (names.clone(), audit.clone(), gate.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(names.clone())
                .app_data(audit.clone())
                .app_data(gate.clone())
                .wrap(from_fn(page::no_strangers))
                .wrap(from_fn(origin::same_site_only))
                .wrap(from_fn(names::known_only))
                .wrap(guarded())
                .configure(|app| pages::configure(app, console.clone(), streams.clone()))
        })
        .workers(1)
        .on_connect(guard::mark)
        .disable_signals()
        .max_connections(MAX_CONNECTIONS)
        .backlog(BACKLOG)
        .client_request_timeout(REQUEST_TIME)
        .client_disconnect_timeout(REQUEST_TIME)
        .keep_alive(IDLE_TIME)
        .shutdown_timeout(SHUTDOWN_SECS);
        let server = match door {
            Entrance::Socket(unix) => server.listen_uds(unix)?,
            Entrance::Plain(tcp) => server.listen(tcp)?,
            Entrance::Secured(tcp, tls) => server.listen_rustls_0_23(tcp, *tls)?,
        };
        Ok(server.run())
    }
}

/// Lines of every answer that keep browsers to what is meant.
fn guarded() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CONTENT_SECURITY_POLICY, page::POLICY))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((REFERRER_POLICY, "no-referrer"))
}

/// Operators and scrapers are few. So many at the socket, and so many at the TCP address.
pub(super) const MAX_CONNECTIONS: usize = 128;
const BACKLOG: u32 = 64;
/// For a request's head to arrive.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Between requests.
const IDLE_TIME: Duration = Duration::from_secs(30);
const SHUTDOWN_SECS: u64 = 1;
