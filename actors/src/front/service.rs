//! A service: listening sockets, and the choice of the worker that serves each connection.
//!
//! At most `max_procs` x `max_conns` connections are open, fewer when open files are short; beyond
//! that they wait in the kernel's backlog, unaccepted. `PORT_ACCESS` is asked before the first byte.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use actix::Message;
use relais_config::dispatcher::Limits;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    admission::{AdmittedClient, ClientRefusal},
    connection::Connection,
    control::ServiceState,
    handoff::{Handoff, Parked, WorkerNews},
    listener::{Accepted, LimitedBy, Room, accept},
    listening::Listening,
    scarcity::shortage,
    session::SessionParts,
    worker::{EndWorker, Worker},
    worker_life::{WorkerDescription, Workers},
};
use crate::{
    actor::{Actor, Adopt, Ctx, Ground, Handle, Later, Mailbox, Placement},
    events::{ConnectionRefused, SessionStarted},
    ids::WorkerId,
    metrics::{ConnectionResult, ServiceMeter},
    readiness::Cause,
};

/// Accept nothing more, let sessions finish what they are at; answered when the last is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainService;

/// Accept nothing more; sessions go on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseDoor;

/// Has one worker, or all of them, take nothing new, finish their sessions and end; others take
/// their place. Answered with how many.
#[derive(Message)]
#[rtype(result = "usize")]
pub struct RestartWorkers(pub Option<WorkerId>);

/// The settings of a service in another configuration.
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) session: SessionParts,
    pub(super) connections: usize,
}

/// Asks for numbers.
#[derive(Message)]
#[rtype(result = "ServiceDescription")]
pub struct DescribeService;

/// The service has drained, and ends.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EndService;

/// The answer to [`DescribeService`].
#[derive(Clone, Debug, Default)]
pub struct ServiceDescription {
    /// The key in the configuration.
    pub name: String,
    /// Whether it takes connections.
    pub state: ServiceState,
    /// Where it listens.
    pub places: Vec<String>,
    /// Sessions at once, as far as workers and open files go.
    pub most: usize,
    /// Connections since the start.
    pub accepted: u64,
    /// Connections that `PORT_ACCESS`, a limit of their client or the want of room turned away.
    pub refused: u64,
    /// Its workers.
    pub workers: Vec<WorkerDescription>,
}

impl ServiceDescription {
    /// Adds the numbers of another service that runs, or ends, under the same name.
    pub(super) fn add(&mut self, other: Self) {
        self.most = self.most.max(other.most);
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.workers.extend(other.workers);
    }
}

/// The parts of a service.
#[derive(Clone)]
pub struct ServiceParts {
    /// Its name for the watch.
    pub watched: String,
    /// Its workers' bounds.
    pub limits: Limits,
    /// The parts that its sessions need.
    pub session: SessionParts,
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
    workers: Workers<Mailbox<Worker>>,
    /// Connections that wait for a worker to be there.
    parked: VecDeque<Parked>,
    /// Cancelled when nothing more is accepted.
    closed: CancellationToken,
    /// Cancelled when sessions are to end, too.
    stop: CancellationToken,
    draining: Vec<oneshot::Sender<()>>,
    accepted: u64,
    refused: u64,
}

impl Service {
    /// A service on sockets that are already bound.
    pub fn new(parts: ServiceParts, listening: Vec<Listening>) -> Self {
        let bound = if parts.connections < parts.limits.connections() {
            LimitedBy::Descriptors
        } else {
            LimitedBy::Workers
        };
        Self {
            room: Arc::new(Room::new(parts.session.service.clone(), parts.connections, bound)),
            workers: Workers::new(parts.limits.clone()),
            parked: VecDeque::new(),
            parts,
            listening,
            closed: CancellationToken::new(),
            stop: CancellationToken::new(),
            draining: Vec::new(),
            accepted: 0,
            refused: 0,
        }
    }

    fn start_worker(&mut self, ctx: &mut Ctx<Self>) {
        let id = self.workers.number();
        let (session, stop) = (self.parts.session.clone(), self.stop.child_token());
        let (service, ground) = (ctx.mailbox().outlet(), self.parts.ground.clone());
        let (arbiter, handle) = self.parts.placement.of_sessions();
        let name = self.name_of(id);
        let worker = self
            .parts
            .ground
            .start_on(handle, &name, move || Worker::new(id, session, stop, service, ground));
        self.workers.add(id, arbiter, worker, Instant::now());
    }

    /// Brings the workers to where they should be: ends those that have drained, starts those that
    /// are missing, and hands them the connections that wait.
    fn tend(&mut self, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        self.workers.take_dead(now, Mailbox::connected);
        self.workers.retire(now);
        for (id, worker) in self.workers.take_drained(now) {
            self.end_worker(id, &worker);
        }
        self.hand_out(ctx, now);
        while !self.stop.is_cancelled() && self.workers.wants_another(!self.parked.is_empty()) {
            self.start_worker(ctx);
        }
    }

    fn end_worker(&self, id: WorkerId, worker: &Mailbox<Worker>) {
        self.parts.ground.dismiss(&self.name_of(id));
        worker.tell(EndWorker);
    }

    fn hand_out(&mut self, ctx: &mut Ctx<Self>, now: Instant) {
        while !self.parked.is_empty()
            && let Some(id) = self.workers.choose(now)
            && let Some(worker) = self.workers.open(id)
            && let Some(parked) = self.parked.pop_front()
        {
            worker.tell(Handoff::new(parked, id, ctx.mailbox().outlet()));
        }
    }

    fn hand_again(&mut self, parked: Parked) {
        if self.stop.is_cancelled() || parked.handoffs >= self.parts.limits.max_handoffs {
            let Parked { connection, peer, .. } = parked;
            return self.refuse(connection, &Peer(peer), ConnectionResult::Full, NOBODY);
        }
        self.parked.push_back(parked);
    }

    /// Makes sessions less patient when little is left, and patient again when there is enough.
    fn feel_stress(&self) {
        let SessionParts { service, admission, .. } = &self.parts.session;
        let was_short = admission.stress.is_on();
        let short = shortage(self.room.left(), was_short).filter(|_| admission.heeds_stress());
        if !admission.stress.set(short.is_some()) {
            return;
        }
        self.parts.meter.stress.set(short.is_some().into());
        let service = &**service;
        let Some(short) = short else { return info!(service, "the stress is over") };
        let short = short.name();
        warn!(
            service,
            short, "under stress: clients have 10 s for a command, and one error ends a session"
        );
    }

    /// The name of a worker, for the watch.
    fn name_of(&self, id: WorkerId) -> String {
        format!("{}/{}", self.parts.watched, id.0)
    }

    fn refuse(&mut self, connection: Connection, peer: &Peer, why: ConnectionResult, text: &str) {
        self.refused += 1;
        let service = &self.parts.session.service;
        ConnectionRefused { service, peer: format_args!("{peer}"), why, text: Some(text) }
            .emit(&self.parts.session.metrics);
        connection.socket.refuse(text);
    }

    /// Somebody else can take the names of UNIX sockets away, and clients cannot find them then.
    fn have_sockets_looked_for(&self) {
        let files: Vec<_> = self.listening.iter().filter_map(Listening::file).collect();
        let SessionParts { service, metrics, .. } = &self.parts.session;
        let (name, readiness) = (service.clone(), &metrics.readiness);
        readiness.probe(Cause::Service, service, move || {
            let mut files = files.iter().filter_map(Weak::upgrade);
            files.find(|file| !file.is_there()).map(|file| file.words_of_absence(&name))
        });
    }

    fn finish_drain(&mut self) {
        if self.stop.is_cancelled() && self.workers.are_idle() {
            for waiting in self.draining.drain(..) {
                // The receiver may be gone: its patience can end before the drain does.
                let _ = waiting.send(());
            }
        }
    }
}

impl Actor for Service {
    const NAME: &'static str = "service";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        self.tend(ctx);
        ctx.every(TENDED, |service, ctx| {
            service.tend(ctx);
            service.feel_stress();
        });
        self.have_sockets_looked_for();
        for listening in std::mem::take(&mut self.listening) {
            let accepting =
                accept(listening, self.room.clone(), self.closed.clone(), ctx.mailbox().outlet());
            ctx.spawn(accepting);
        }
        let session = &self.parts.session;
        session.metrics.readiness.clear(Cause::Service, &life_of(&session.service));
    }
}

impl Handle<Accepted> for Service {
    fn handle(&mut self, accepted: Accepted, ctx: &mut Ctx<Self>) {
        let Accepted { mut connection, peer } = accepted;
        let admission = &self.parts.session.admission;
        // Of a proxy's connection the client is known when its session has begun.
        if admission.is_proxy(&connection.ends) {
            return self.take(connection, peer, ctx);
        }
        let lists = match admission.admit(&connection.ends) {
            Ok(AdmittedClient { seat, lists }) => {
                connection.seat = seat;
                lists
            }
            Err(ClientRefusal { why, text }) => {
                return self.refuse(connection, &Peer(peer), why, &text);
            }
        };
        let Some((lists, client)) = lists else { return self.take(connection, peer, ctx) };
        ctx.when(lists.refusal(client), move |service, refusal, ctx| match refusal {
            Some(text) => {
                service.refuse(connection, &Peer(peer), ConnectionResult::Listed, &text);
            }
            None => service.take(connection, peer, ctx),
        });
    }
}

impl Service {
    /// Hands a connection on to a worker.
    fn take(&mut self, connection: Connection, peer: Option<SocketAddr>, ctx: &mut Ctx<Self>) {
        self.accepted += 1;
        let service = &self.parts.session.service;
        SessionStarted { service, peer: format_args!("{}", Peer(peer)) }
            .emit(&self.parts.session.metrics);
        self.parked.push_back(Parked { connection, peer, handoffs: 0 });
        self.tend(ctx);
    }
}

impl Handle<WorkerNews> for Service {
    fn handle(&mut self, news: WorkerNews, ctx: &mut Ctx<Self>) {
        match news {
            WorkerNews::There(worker) => self.workers.greet(worker),
            WorkerNews::Closed(worker, permit) => {
                self.workers.close(worker, Instant::now());
                drop(permit);
            }
            WorkerNews::HandedBack(worker, parked) => {
                self.workers.close(worker, Instant::now());
                self.hand_again(parked);
            }
        }
        self.tend(ctx);
        self.finish_drain();
    }
}

impl Handle<CloseDoor> for Service {
    fn handle(&mut self, _: CloseDoor, _: &mut Ctx<Self>) {
        self.closed.cancel();
    }
}

impl Handle<RestartWorkers> for Service {
    fn handle(&mut self, RestartWorkers(which): RestartWorkers, ctx: &mut Ctx<Self>) -> usize {
        let drained = self.workers.drain(which);
        self.tend(ctx);
        drained
    }
}

impl Handle<DrainService> for Service {
    fn handle(&mut self, _: DrainService, _: &mut Ctx<Self>) -> Later<()> {
        info!(service = &*self.parts.session.service, "no new connections; sessions finish");
        self.closed.cancel();
        self.stop.cancel();
        for Parked { connection, peer, .. } in std::mem::take(&mut self.parked) {
            self.refuse(connection, &Peer(peer), ConnectionResult::Full, NOBODY);
        }
        let (tell, told) = oneshot::channel();
        self.draining.push(tell);
        self.finish_drain();
        Later::new(async move {
            // The service itself going away also means that nothing runs any more.
            let _ = told.await;
        })
    }
}

/// Sessions that run go on with the settings that they began with, and with their workers.
impl Handle<Adopt<Settings>> for Service {
    fn handle(&mut self, Adopt(settings): Adopt<Settings>, ctx: &mut Ctx<Self>) {
        let Settings { limits, mut session, connections } = settings;
        let admission = session.admission.succeeding(&self.parts.session.admission);
        session.admission = Arc::new(admission);
        self.room.resize(connections);
        self.workers.adopt(limits.clone());
        self.parts = ServiceParts { limits, session, connections, ..self.parts.clone() };
        self.workers.drain(None);
        self.tend(ctx);
    }
}

impl Handle<EndService> for Service {
    fn handle(&mut self, _: EndService, ctx: &mut Ctx<Self>) {
        for (id, worker) in self.workers.take_all(Instant::now()) {
            self.end_worker(id, &worker);
        }
        ctx.stop();
    }
}

impl Handle<DescribeService> for Service {
    fn handle(&mut self, _: DescribeService, _: &mut Ctx<Self>) -> ServiceDescription {
        ServiceDescription {
            name: self.parts.session.service.to_string(),
            state: ServiceState::default(),
            places: Vec::new(),
            most: self.parts.connections,
            accepted: self.accepted,
            refused: self.refused,
            workers: self.workers.describe(Instant::now()),
        }
    }
}

/// The name of the alarm for the end of a service, beside other alarms that it may have.
pub(crate) fn life_of(service: &str) -> String {
    format!("{service}: its life")
}

/// The client as the log shows it.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("local"),
        }
    }
}

/// The answer to a connection that no worker took.
const NOBODY: &str = "421 4.3.2 nobody can serve you now, try again later";
/// How often age and idleness of workers are looked at.
const TENDED: Duration = Duration::from_secs(1);
