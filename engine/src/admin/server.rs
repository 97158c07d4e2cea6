//! The servers of the endpoint: one behind the socket, and one behind the TCP address.

use std::{
    future::ready, io, net::TcpListener, os::unix::net::UnixListener, sync::Arc, time::Duration,
};

use actix_http::{HttpService, error::DispatchError};
use actix_server::ServerBuilder;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream, reexports::ServerConfig};
use actix_web::{
    App, Error, HttpServer,
    body::MessageBody,
    dev::{AppConfig, Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    middleware::{DefaultHeaders, from_fn},
    rt::net::{ActixStream, TcpStream},
    web::Data,
};

use super::{
    Console, HostNames,
    connections::{BoundedStream, Connections, MAX_CONNECTIONS, WRITE_TIME},
    guard::{self, Arrived},
    live::Streams,
    names, origin,
    page::{self, Gate},
    pages,
    turns::{TurnStream, one_at_a_time},
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
#[derive(Clone)]
pub(super) struct PageServer<C> {
    pub(super) console: C,
    pub(super) names: Data<HostNames>,
    pub(super) audit: Data<AuditLog>,
    pub(super) gate: Data<Gate>,
    pub(super) streams: Streams,
}

/// The TCP address.
pub(super) enum Entrance {
    Plain(TcpListener),
    Secured(TcpListener, Box<ServerConfig>),
}

impl<C: Console> PageServer<C> {
    /// A server of its own behind the socket. Whoever may open it may take their time to read.
    pub(super) fn socket(&self, listener: UnixListener) -> io::Result<Server> {
        let pages = self.clone();
        let server = HttpServer::new(move || pages.app())
            .workers(1)
            .on_connect(guard::mark)
            .disable_signals()
            .max_connections(MAX_CONNECTIONS)
            .backlog(BACKLOG)
            .client_request_timeout(REQUEST_TIME)
            .client_disconnect_timeout(REQUEST_TIME)
            .keep_alive(IDLE_TIME)
            .shutdown_timeout(SHUTDOWN_SECS);
        Ok(server.listen_uds(listener)?.run())
    }

    /// A server of its own behind the TCP address, which outlives clients that mean it ill.
    pub(super) fn tcp(&self, door: Entrance) -> io::Result<Server> {
        let server = ServerBuilder::new()
            .workers(1)
            .disable_signals()
            // Connections that make room need a moment to go.
            .max_concurrent_connections(MAX_CONNECTIONS + LEAVING)
            .backlog(BACKLOG)
            .shutdown_timeout(SHUTDOWN_SECS);
        let (pages, all) = (self.clone(), Connections::new(WRITE_TIME));
        let server = match door {
            Entrance::Plain(listener) => server.listen(NAME, listener, move || {
                let http = pages.http(|io: &BoundedStream| {
                    let local = io.socket().local_addr().ok().map(|address| address.ip());
                    (Arrived::Tcp { local }, io)
                });
                admitted(&all).and_then(http.map_err(drop))
            }),
            Entrance::Secured(listener, mut tls) => {
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                server.listen(NAME, listener, move || {
                    let secured = Acceptor::new((*tls).clone());
                    let http = pages.http(|io: &TlsStream<BoundedStream>| {
                        let below = io.get_ref().0;
                        let local = below.socket().local_addr().ok().map(|address| address.ip());
                        (Arrived::Tls { local }, below)
                    });
                    let secured = admitted(&all).and_then(secured.map_err(drop));
                    secured.and_then(http.map_err(drop))
                })
            }
        };
        Ok(server?.run())
    }

    fn app(
        &self,
    ) -> App<
        impl ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<impl MessageBody + use<C>>,
            Error = Error,
            InitError = (),
        > + use<C>,
    > {
        let Self { console, names, audit, gate, streams } = self.clone();
        App::new()
            .app_data(names)
            .app_data(audit)
            .app_data(gate)
            .wrap(from_fn(page::no_strangers))
            .wrap(from_fn(origin::same_site_only))
            .wrap(from_fn(names::known_only))
            .wrap(guarded())
            .wrap(from_fn(one_at_a_time))
            .configure(|app| pages::configure(app, console, streams))
    }

    /// The pages, on streams of which `below` tells how they came.
    fn http<S: ActixStream + 'static>(
        &self,
        below: fn(&S) -> (Arrived, &BoundedStream),
    ) -> impl ServiceFactory<S, Config = (), Response = (), Error = DispatchError, InitError = ()>
    + use<S, C> {
        let ends = self.streams.ending();
        let service = HttpService::build()
            .client_request_timeout(REQUEST_TIME)
            .client_disconnect_timeout(REQUEST_TIME)
            .keep_alive(IDLE_TIME)
            .graceful_shutdown_signal(move || {
                let mut ends = ends.clone();
                async move {
                    let _ = ends.wait_for(|ends| *ends).await;
                }
            })
            .on_connect_ext(move |stream: &TurnStream<S>, of_requests| {
                let (arrived, its) = below(&stream.io);
                of_requests.insert(arrived);
                of_requests.insert(Arc::clone(&its.connection));
            })
            .h1(map_config(self.app(), |()| AppConfig::default()));
        let in_turns = move |io: S| {
            let (_, its) = below(&io);
            let (peer, connection) = (its.socket().peer_addr().ok(), Arc::clone(&its.connection));
            ready(Ok((TurnStream::new(io, connection), peer)))
        };
        fn_service(in_turns).and_then(service)
    }
}

/// Gives each connection its place.
fn admitted(
    all: &Connections,
) -> impl ServiceFactory<TcpStream, Config = (), Response = BoundedStream, Error = (), InitError = ()>
+ use<> {
    let all = all.clone();
    fn_service(move |io: TcpStream| ready(Ok(all.admit(io))))
}

/// Lines of every answer that keep browsers to what is meant.
fn guarded() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CONTENT_SECURITY_POLICY, page::POLICY))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((REFERRER_POLICY, "no-referrer"))
}

/// Connections by TCP that end while others take their place.
const LEAVING: usize = 32;
const NAME: &str = "admin";
const BACKLOG: u32 = 64;
/// For a request's head to arrive.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(5);
/// Between requests.
const IDLE_TIME: Duration = Duration::from_secs(30);
const SHUTDOWN_SECS: u64 = 1;
