//! The dispatcher: owns the listening sockets and the services behind them.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use actix::prelude::*;
use relais_config::dispatcher;

use crate::{
    accept::Listening,
    metrics::{self, ActorMeter, Metrics},
    placement::Placement,
    router::RouteCache,
    service::{DescribeService, DrainService, Service, ServiceDescription, ServiceParts},
    session::SessionParts,
    watch::{Died, Guard, Lifeline, Remedy},
};

/// A service that cannot listen where the configuration says. The administrator must act.
#[derive(Debug, thiserror::Error)]
#[error("service {service}: cannot listen on {place}: {source}")]
pub struct ListenError {
    service: String,
    place: String,
    source: io::Error,
}

/// A service with its sockets bound; nothing is accepted yet.
pub struct Bound {
    /// From the configuration.
    pub service: dispatcher::Service,
    /// Bound sockets.
    pub listening: Vec<Listening>,
    /// What its sessions need.
    pub session: SessionParts,
}

/// Drains every service; answered when the last session is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainDispatcher;

/// Asks every service for its numbers.
#[derive(Message)]
#[rtype(result = "Vec<ServiceDescription>")]
pub struct DescribeDispatcher;

/// Starts a service again after it died.
#[derive(Message)]
#[rtype(result = "()")]
struct Revive {
    index: usize,
}

/// The actor.
pub struct Dispatcher {
    bound: Vec<Bound>,
    services: Vec<Addr<Service>>,
    access: Arc<RouteCache>,
    placement: Arc<Placement>,
    watch: Addr<crate::watch::Watch>,
    metrics: Arc<Metrics>,
    meter: ActorMeter,
}

impl Dispatcher {
    /// Starts listening as soon as it is started.
    pub fn new(
        bound: Vec<Bound>,
        access: Arc<RouteCache>,
        placement: Arc<Placement>,
        watch: Addr<crate::watch::Watch>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let meter = metrics.actor(metrics::Actor::Dispatcher);
        Self { bound, services: Vec::new(), access, placement, watch, metrics, meter }
    }

    /// A service on clones of the sockets: connections wait in them while none serves.
    fn start_service(&self, index: usize) -> Option<Addr<Service>> {
        let bound = self.bound.get(index)?;
        let name = bound.service.name.clone();
        let listening: io::Result<Vec<_>> =
            bound.listening.iter().map(Listening::try_clone).collect();
        let listening = match listening {
            Ok(listening) => listening,
            Err(error) => {
                tracing::error!(service = name, %error, "a listening socket cannot be used");
                return None;
            }
        };
        let watch: Recipient<Died> = self.watch.clone().recipient();
        let parts = ServiceParts {
            limits: bound.service.limits.clone(),
            session: bound.session.clone(),
            access: self.access.clone(),
            placement: self.placement.clone(),
            watch: watch.clone(),
            meter: self.metrics.service(&name)?,
        };
        let lifeline = Lifeline::new(watch, metrics::Actor::Service, name);
        Some(Service::start_in_arbiter(self.placement.of_sessions().1, move |_| {
            Service::new(parts, listening, lifeline)
        }))
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        for index in 0..self.bound.len() {
            self.services.extend(self.start_service(index));
            let dispatcher = ctx.address();
            let restart = move || dispatcher.do_send(Revive { index });
            self.watch.do_send(Guard {
                name: self.bound[index].service.name.clone(),
                remedy: Remedy::Restart(Box::new(restart)),
            });
        }
    }
}

impl Handler<Revive> for Dispatcher {
    type Result = ();

    fn handle(&mut self, Revive { index }: Revive, _: &mut Self::Context) {
        let _busy = self.meter.handling("Revive");
        if let (Some(service), Some(slot)) =
            (self.start_service(index), self.services.get_mut(index))
        {
            *slot = service;
        }
    }
}

impl Handler<DrainDispatcher> for Dispatcher {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: DrainDispatcher, _: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("DrainDispatcher");
        // Closing the sockets refuses newcomers at once, rather than when the process ends.
        for bound in &mut self.bound {
            bound.listening.clear();
        }
        let drains: Vec<_> = self.services.iter().map(|s| s.send(DrainService)).collect();
        Box::pin(async move {
            for drain in drains {
                // A service that is gone has no sessions.
                let _ = drain.await;
            }
        })
    }
}

impl Handler<DescribeDispatcher> for Dispatcher {
    type Result = ResponseFuture<Vec<ServiceDescription>>;

    fn handle(&mut self, _: DescribeDispatcher, _: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("DescribeDispatcher");
        let asked: Vec<_> = self.services.iter().map(|s| s.send(DescribeService)).collect();
        Box::pin(async move {
            let mut descriptions = Vec::with_capacity(asked.len());
            for answer in asked {
                descriptions.extend(answer.await);
            }
            descriptions
        })
    }
}

impl Listening {
    /// Binds every socket of a service.
    pub fn bind(service: &dispatcher::Service) -> Result<Vec<Self>, ListenError> {
        let error = |place: String| {
            let service = service.name.clone();
            move |source| ListenError { service, place, source }
        };
        let limits = &service.limits;
        let most = limits.max_procs.saturating_mul(limits.max_conns).max(5);
        let backlog = limits.backlog.unwrap_or(u32::try_from(most).unwrap_or(u32::MAX));
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        if let Some(path) = &service.socket {
            return bind_unix(path).map(|l| vec![l]).map_err(error(path.display().to_string()));
        }
        let mut listening = Vec::new();
        for &port in &service.ports {
            // Without an address: every interface, IPv4 as well where the system maps it.
            let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            let address = SocketAddr::new(service.interface_address.unwrap_or(any), port);
            let bound = bind_tcp(address, backlog).or_else(|failed| {
                let v4 = SocketAddr::from(([0, 0, 0, 0], port));
                if service.interface_address.is_none() {
                    bind_tcp(v4, backlog)
                } else {
                    Err(failed)
                }
            });
            listening.push(bound.map_err(error(address.to_string()))?);
        }
        Ok(listening)
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket, address) => socket.try_clone().map(|s| Self::Tcp(s, *address)),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(_, address) => address.to_string(),
            Self::Unix(socket) => {
                let address = socket.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                path.map_or_else(|| "a UNIX socket".to_owned(), |path| path.display().to_string())
            }
        }
    }
}

fn bind_tcp(address: SocketAddr, backlog: i32) -> io::Result<Listening> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Replies are small and answered at once: nothing is gained by waiting for more. What is
    // accepted inherits it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    let socket = std::net::TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listening::Tcp(socket, address))
}

/// A socket file left behind by an engine that is gone is in the way; the data directory's lock
/// says that it is gone.
fn bind_unix(path: &PathBuf) -> io::Result<Listening> {
    use std::os::unix::{fs::FileTypeExt, net::UnixListener};
    if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(Listening::Unix(socket))
}
