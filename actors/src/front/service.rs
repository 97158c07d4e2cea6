//! A service: listening sockets, and the choice of the worker that serves each connection.
//!
//! At most `max_procs` x `max_conns` connections are open, fewer when open files are short; beyond
//! that they wait in the kernel's backlog, unaccepted. `PORT_ACCESS` is asked before the first byte.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::Message;
use relais_channels::server::Stop;
use relais_config::dispatcher::Limits;
use tokio::sync::{oneshot, watch};
use tracing::info;

use crate::{
    actor::{Actor, Ctx, Ground, Handle, Later, Mailbox, Placement},
    events::{ConnectionRefused, SessionStarted},
    front::listener::{Bound, Permit, Room, accept},
    front::listening::Listening,
    front::session::{Connection, SessionParts},
    front::worker::{TakeConnection, Worker},
    metrics::{Admission, ServiceMeter},
    readiness::Cause,
    router::{Access, RouteCache},
};

/// A worker of one service.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WorkerId(pub u32);

/// Somebody connected.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Accepted {
    /// The connection, and its permit.
    pub(crate) connection: Connection,
    /// Who; nothing on a UNIX socket.
    pub(crate) peer: Option<SocketAddr>,
    /// What the client connected to; nothing on a UNIX socket.
    pub(crate) local: Option<SocketAddr>,
}

/// A session is over, and its worker has room for another.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ConnectionClosed {
    /// Whose it was.
    pub worker: WorkerId,
    /// Its room, free only once it is no longer counted: who gets it finds a worker.
    pub permit: Option<Permit>,
}

/// Accept nothing more, let sessions finish what they are at; answered when the last is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainService;

/// Asks for numbers.
#[derive(Message)]
#[rtype(result = "ServiceDescription")]
pub struct DescribeService;

/// The answer to [`DescribeService`].
#[derive(Clone, Debug, Default)]
pub struct ServiceDescription {
    /// The key in the configuration.
    pub name: String,
    /// Connections since the start.
    pub accepted: u64,
    /// Connections that `PORT_ACCESS` or the want of room turned away.
    pub refused: u64,
    /// Its workers.
    pub workers: Vec<WorkerDescription>,
}

/// One worker of a service.
#[derive(Clone, Copy, Debug)]
pub struct WorkerDescription {
    /// Which.
    pub id: WorkerId,
    /// The arbiter it runs on.
    pub arbiter: usize,
    /// Open sessions.
    pub connections: usize,
    /// The most sessions that were ever open at once.
    pub peak: usize,
    /// Sessions since it was started.
    pub served: u64,
    /// How long ago it was started.
    pub age: Duration,
}

/// What a service is made of.
pub struct ServiceParts {
    /// Its workers' bounds.
    pub limits: Limits,
    /// What its sessions need.
    pub session: SessionParts,
    /// Who may connect.
    pub access: Arc<RouteCache>,
    /// Connections at most; less than `max_procs` x `max_conns` when open files are short.
    pub connections: usize,
    /// Which threads its workers run on.
    pub placement: Arc<Placement>,
    /// Starts workers.
    pub ground: Ground,
    /// Counters.
    pub meter: Arc<ServiceMeter>,
}

/// The actor.
pub struct Service {
    parts: ServiceParts,
    listening: Vec<Listening>,
    room: Arc<Room>,
    workers: HashMap<WorkerId, Slot>,
    next_worker: u32,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    draining: Vec<oneshot::Sender<()>>,
    accepted: u64,
    refused: u64,
}

struct Slot {
    worker: Mailbox<Worker>,
    arbiter: usize,
    connections: usize,
    peak: usize,
    served: u64,
    since: Instant,
}

impl Service {
    /// A service on sockets that are already bound.
    pub fn new(parts: ServiceParts, listening: Vec<Listening>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let bound = if parts.connections < parts.limits.connections() {
            Bound::Descriptors
        } else {
            Bound::Workers
        };
        Self {
            room: Arc::new(Room::new(parts.session.service.clone(), parts.connections, bound)),
            parts,
            listening,
            workers: HashMap::new(),
            next_worker: 0,
            stop,
            stopped,
            draining: Vec::new(),
            accepted: 0,
            refused: 0,
        }
    }

    fn start_worker(&mut self, ctx: &mut Ctx<Self>) -> WorkerId {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let name = format!("{}/{}", self.parts.session.service, id.0);
        let (session, stop) = (self.parts.session.clone(), Stop::new(self.stopped.clone()));
        let (service, ground) = (ctx.mailbox(), self.parts.ground.clone());
        let (arbiter, handle) = self.parts.placement.of_sessions();
        let worker = self
            .parts
            .ground
            .start_on(handle, &name, move || Worker::new(id, session, stop, service, ground));
        let slot =
            Slot { worker, arbiter, connections: 0, peak: 0, served: 0, since: Instant::now() };
        self.workers.insert(id, slot);
        id
    }

    /// The worker with the fewest sessions, of those that have room; another one when all are busy
    /// enough (seed 8.3; the exact choice is ours, see sun-mta-engine 1.3).
    fn choose(&mut self, ctx: &mut Ctx<Self>) -> Option<WorkerId> {
        self.workers.retain(|_, slot| slot.worker.connected());
        let limits = &self.parts.limits;
        let (min_conns, max_conns, max_procs) =
            (limits.min_conns, limits.max_conns, limits.max_procs);
        let idlest = self
            .workers
            .iter()
            .filter(|(_, slot)| slot.connections < max_conns)
            .min_by_key(|(id, slot)| (slot.connections, **id))
            .map(|(id, slot)| (*id, slot.connections));
        match idlest {
            Some((id, connections)) if connections < min_conns => Some(id),
            other if self.workers.len() >= max_procs => other.map(|(id, _)| id),
            _ => Some(self.start_worker(ctx)),
        }
    }

    fn port_access(&self, local: SocketAddr, peer: SocketAddr) -> Access {
        let routes = self.parts.access.routes();
        Access::port(&routes.tables(), local.ip(), local.port(), peer.ip(), peer.port())
    }

    fn refuse(&mut self, connection: Connection, peer: &Peer, why: Admission, text: &str) {
        self.refused += 1;
        let service = &self.parts.session.service;
        ConnectionRefused { service, peer: format_args!("{peer}"), why, text: Some(text) }
            .emit(&self.parts.session.metrics);
        connection.socket.refuse(text);
    }

    fn finish_drain(&mut self) {
        if *self.stopped.borrow() && self.workers.values().all(|slot| slot.connections == 0) {
            for waiting in self.draining.drain(..) {
                // Whoever asked may have run out of patience.
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for Service {
    const NAME: &'static str = "service";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        for _ in 0..self.parts.limits.min_procs {
            self.start_worker(ctx);
        }
        for listening in std::mem::take(&mut self.listening) {
            let accepting =
                accept(listening, self.room.clone(), self.stopped.clone(), ctx.mailbox());
            ctx.spawn(accepting);
        }
        let session = &self.parts.session;
        session.metrics.readiness.clear(Cause::Service, &life_of(&session.service));
    }
}

impl Handle<Accepted> for Service {
    fn handle(&mut self, accepted: Accepted, ctx: &mut Ctx<Self>) {
        let Accepted { connection, peer, local } = accepted;
        if let (Some(peer), Some(local)) = (peer, local)
            && let Access::Reject(text) = self.port_access(local, peer)
        {
            return self.refuse(connection, &Peer(Some(peer)), Admission::Refused, &text);
        }
        let Some(id) = self.choose(ctx) else {
            // The permits make this impossible while every worker counts right.
            let text = "421 4.3.2 too many connections, try again later";
            return self.refuse(connection, &Peer(peer), Admission::Full, text);
        };
        let Some(slot) = self.workers.get_mut(&id) else { return };
        slot.connections += 1;
        slot.peak = slot.peak.max(slot.connections);
        slot.served += 1;
        self.accepted += 1;
        let service = &self.parts.session.service;
        SessionStarted { service, peer: format_args!("{}", Peer(peer)) }
            .emit(&self.parts.session.metrics);
        slot.worker.tell(TakeConnection(connection));
    }
}

impl Handle<ConnectionClosed> for Service {
    fn handle(&mut self, closed: ConnectionClosed, _: &mut Ctx<Self>) {
        if let Some(slot) = self.workers.get_mut(&closed.worker) {
            slot.connections = slot.connections.saturating_sub(1);
        }
        drop(closed.permit);
        self.finish_drain();
    }
}

impl Handle<DrainService> for Service {
    fn handle(&mut self, _: DrainService, _: &mut Ctx<Self>) -> Later<()> {
        info!(service = &*self.parts.session.service, "no new connections; sessions finish");
        self.stop.send_replace(true);
        let (tell, told) = oneshot::channel();
        self.draining.push(tell);
        self.finish_drain();
        Later::new(async move {
            // The service itself going away also means that nothing runs any more.
            let _ = told.await;
        })
    }
}

impl Handle<DescribeService> for Service {
    fn handle(&mut self, _: DescribeService, _: &mut Ctx<Self>) -> ServiceDescription {
        let describe = |(id, slot): (&WorkerId, &Slot)| WorkerDescription {
            id: *id,
            arbiter: slot.arbiter,
            connections: slot.connections,
            peak: slot.peak,
            served: slot.served,
            age: slot.since.elapsed(),
        };
        let mut workers: Vec<_> = self.workers.iter().map(describe).collect();
        workers.sort_by_key(|worker| worker.id);
        ServiceDescription {
            name: self.parts.session.service.to_string(),
            accepted: self.accepted,
            refused: self.refused,
            workers,
        }
    }
}

/// What the end of a service is raised for, beside other alarms that it may have.
pub(crate) fn life_of(service: &str) -> String {
    format!("{service}: its life")
}

/// Whoever is at the other end.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("local"),
        }
    }
}
