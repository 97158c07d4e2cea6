//! The dispatcher: owns the bound sockets and the services that listen on clones of them, so that a
//! service can be started again without a socket being closed. Operators stop, start and restart
//! services through it.

use std::{collections::HashMap, io, os::fd::OwnedFd, path::PathBuf, sync::Arc};

use actix::Message;
use relais_config::dispatcher;

use super::{
    configured_service::{AdoptedService, BoundService, ConfiguredService},
    control::{Control, ControlError, ControlOrder, Controlled, ServiceState, Which},
    inherited::Inherited,
    listening::{ListenError, Listening},
    service::{
        CloseDoor, DescribeService, DrainService, EndService, RestartWorkers, Service,
        ServiceDescription, ServiceParts, life_of,
    },
};
use crate::{
    actor::{Actor, Adopt, Ctx, Ground, Handle, Later, Mailbox, Placement, Remedy},
    metrics::Metrics,
    readiness::Cause,
};

/// The parts of the dispatcher.
pub struct DispatcherParts {
    /// Where relative paths of UNIX sockets lie.
    pub data: PathBuf,
    /// Which threads services and workers run on.
    pub placement: Arc<Placement>,
    /// Starts them.
    pub ground: Ground,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// Drains every service; answered when the last session is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainDispatcher;

/// Asks for the sockets, for the engine that takes this one's place. Connections wait in them from
/// [`CloseDoors`] on.
#[derive(Message)]
#[rtype(result = "io::Result<Vec<OwnedFd>>")]
pub struct HandOver;

/// Accept nothing more; sessions go on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseDoors;

/// Asks every service for its numbers.
#[derive(Message)]
#[rtype(result = "Vec<ServiceDescription>")]
pub struct DescribeDispatcher;

/// Binds the sockets of services that another configuration has and this one has not, for
/// [`Adopt`] to follow. Nothing is accepted from them yet.
#[derive(Message)]
#[rtype(result = "Result<(), ListenError>")]
pub struct BindNew(pub Vec<dispatcher::Service>);

/// Starts a service again after it died.
#[derive(Message)]
#[rtype(result = "()")]
struct Revive {
    index: usize,
    generation: u32,
}

/// The actor.
pub struct Dispatcher {
    services: Vec<ConfiguredService>,
    /// Sockets of services that another configuration will bring.
    bound: HashMap<String, Vec<Listening>>,
    parts: DispatcherParts,
}

impl Dispatcher {
    /// Starts listening as soon as it is started.
    pub fn new(bound: Vec<BoundService>, parts: DispatcherParts) -> Self {
        let services = bound.into_iter().map(ConfiguredService::new).collect();
        Self { services, bound: HashMap::new(), parts }
    }

    /// Sockets of services that are not among `all` any more, where new ones are to listen: a service
    /// that has another name keeps its place, and nobody is refused meanwhile.
    fn left_to(&self, new: &[&dispatcher::Service], all: &[dispatcher::Service]) -> Inherited {
        let stays = |its: &ConfiguredService| all.iter().any(|one| one.name == its.name());
        let leaving = self.services.iter().filter(|its| !its.is_gone && !stays(its));
        let wanted = |socket: &&Listening| {
            new.iter().any(|service| socket.is_where(service, &self.parts.data))
        };
        let sockets = leaving.flat_map(|its| &its.bound.listening).filter(wanted);
        let sockets = sockets.filter_map(|socket| socket.hand_over().ok()).collect();
        Inherited::of(sockets).unwrap_or_default()
    }

    /// A service on clones of the sockets: connections wait in them while none serves.
    fn start_service(&self, its: &ConfiguredService) -> Option<Mailbox<Service>> {
        let bound = &its.bound;
        let name = &bound.service.name;
        let listening: io::Result<Vec<_>> =
            bound.listening.iter().map(Listening::try_clone).collect();
        let listening = match listening {
            Ok(listening) => listening,
            Err(error) => {
                tracing::error!(service = name, %error, "a listening socket cannot be used");
                return None;
            }
        };
        let parts = ServiceParts {
            watched: its.watched(),
            limits: bound.service.limits.clone(),
            session: bound.session.clone(),
            connections: bound.connections,
            placement: self.parts.placement.clone(),
            ground: self.parts.ground.clone(),
            meter: self.parts.metrics.service(name)?,
        };
        let (_, arbiter) = self.parts.placement.of_sessions();
        let start = move || Service::new(parts, listening);
        Some(self.parts.ground.start_on(arbiter, &its.watched(), start))
    }

    /// Starts a service of the configuration for the first time, or again as an operator says.
    fn open(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let its = &self.services[index];
        let (generation, name, watched) = (its.generation, its.name().to_owned(), its.watched());
        self.services[index].service = self.start_service(its);
        let dispatcher = ctx.mailbox();
        let again = Box::new(move || dispatcher.tell(Revive { index, generation }));
        let metrics = self.parts.metrics.clone();
        let told = Box::new(move |cause: &str| {
            let words = format!(
                "service {name} does not take connections: it ended ({cause}), and is started again"
            );
            metrics.readiness.raise(Cause::Service, &life_of(&name), words);
        });
        self.parts.ground.guard(&watched, Remedy::Restart { told, again });
    }

    fn start(&mut self, index: usize, ctx: &mut Ctx<Self>) -> Result<(), ControlError> {
        let its = &mut self.services[index];
        if its.service.is_none() {
            if its.bound.listening.is_empty() {
                let (service, data) = (&its.bound.service, &self.parts.data);
                its.bound.listening = Listening::bind(service, data, &mut Inherited::none())?;
            }
            its.generation += 1;
            its.keep_ports();
            self.open(index, ctx);
        }
        Ok(())
    }

    /// A service that another configuration brought. One of its name that is gone and may have
    /// sessions left lends it its place.
    fn add(&mut self, adopted: AdoptedService, ctx: &mut Ctx<Self>) {
        let AdoptedService { service, session, connections } = adopted;
        let listening = self.bound.remove(&service.name).unwrap_or_default();
        let new = ConfiguredService::new(BoundService {
            service,
            listening,
            session,
            connections,
            are_lent: false,
        });
        let gone = self.services.iter().position(|its| its.name() == new.name());
        let index = gone.unwrap_or(self.services.len());
        if let Some(its) = gone.map(|index| &mut self.services[index]) {
            let (ending, generation) = (std::mem::take(&mut its.ending), its.generation + 1);
            *its = new.in_place_of(ending, generation);
        } else {
            self.services.push(new);
        }
        self.open(index, ctx);
    }

    /// Closes the sockets of a service, so that newcomers are refused at once; its sessions finish
    /// what they are at.
    fn stop(&mut self, index: usize, ctx: &mut Ctx<Self>) {
        let its = &mut self.services[index];
        let Some(service) = its.service.take() else { return };
        // Others listen on a socket that is lent, too: connections wait in it.
        if !its.bound.are_lent {
            its.bound.listening.clear();
        }
        let (generation, watched, name) = (its.generation, its.watched(), its.name().to_owned());
        let words = format!("service {name} is stopped: `relais start {name}` starts it");
        self.parts.metrics.readiness.raise(Cause::Service, &life_of(&name), words);
        let drained = service.ask(DrainService);
        its.ending.push((generation, service.clone()));
        ctx.when(drained, move |dispatcher, _, _| {
            dispatcher.parts.ground.dismiss(&watched);
            service.tell(EndService);
            dispatcher.services[index].ending.retain(|(ending, _)| *ending != generation);
        });
    }

    /// The services that an order means.
    fn meant(&self, which: &Which) -> Result<Vec<usize>, ControlError> {
        let name = match which {
            Which::All => {
                let all = (0..self.services.len()).filter(|index| !self.services[*index].is_gone);
                return Ok(all.collect());
            }
            Which::Service(name) | Which::Worker(name, _) => name,
        };
        let is_it = |its: &ConfiguredService| its.name() == name && !its.is_gone;
        let found = self.services.iter().position(is_it);
        found.map(|index| vec![index]).ok_or_else(|| ControlError::NoSuchService(name.clone()))
    }

    /// Carries an order out on one service; how many workers end by it is still to come.
    fn control(
        &mut self,
        index: usize,
        control: &Control,
        ctx: &mut Ctx<Self>,
    ) -> Result<(Controlled, Option<WorkersAsked>), ControlError> {
        let Control { order, which } = control;
        let its = &self.services[index];
        let before = its.state();
        let worker = if let Which::Worker(_, worker) = which { Some(*worker) } else { None };
        let mut asked = None;
        match (order, &its.service) {
            (ControlOrder::Restart, Some(service)) => {
                asked = Some(Box::pin(service.ask(RestartWorkers(worker))) as WorkersAsked);
            }
            (_, _) if worker.is_some() => {
                return Err(ControlError::OnlyRestarted(its.name().to_owned()));
            }
            (ControlOrder::Start | ControlOrder::Restart, _) => {
                self.start(index, ctx)?;
            }
            (ControlOrder::Stop, _) => self.stop(index, ctx),
        }
        let its = &self.services[index];
        let name = its.name().to_owned();
        Ok((Controlled { name, before, now: its.state(), workers: 0 }, asked))
    }
}

type WorkersAsked = std::pin::Pin<Box<dyn Future<Output = Result<usize, crate::actor::Gone>>>>;

impl Actor for Dispatcher {
    const NAME: &'static str = "dispatcher";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        for index in 0..self.services.len() {
            self.open(index, ctx);
        }
    }
}

impl Handle<Revive> for Dispatcher {
    fn handle(&mut self, Revive { index, generation }: Revive, _: &mut Ctx<Self>) {
        let is_wanted = |its: &&ConfiguredService| {
            its.generation == generation && its.state() == ServiceState::Running
        };
        let its = self.services.get(index).filter(is_wanted);
        if let Some(service) = its.and_then(|its| self.start_service(its)) {
            self.services[index].service = Some(service);
        }
    }
}

impl Handle<BindNew> for Dispatcher {
    fn handle(&mut self, BindNew(all): BindNew, _: &mut Ctx<Self>) -> Result<(), ListenError> {
        self.bound.clear();
        let is_new = |service: &dispatcher::Service| {
            !self.services.iter().any(|its| !its.is_gone && its.name() == service.name)
        };
        let new: Vec<_> = all.iter().filter(|service| is_new(service)).collect();
        let mut inherited = self.left_to(&new, &all);
        let bound = new.into_iter().map(|service| {
            let listening = Listening::bind(service, &self.parts.data, &mut inherited)?;
            Ok((service.name.clone(), listening))
        });
        self.bound = bound.collect::<Result<_, ListenError>>()?;
        Ok(())
    }
}

impl Handle<Adopt<Vec<AdoptedService>>> for Dispatcher {
    fn handle(&mut self, Adopt(adopted): Adopt<Vec<AdoptedService>>, ctx: &mut Ctx<Self>) {
        for index in 0..self.services.len() {
            let name = self.services[index].name();
            if !adopted.iter().any(|its| its.service.name == name) {
                self.stop(index, ctx);
                let its = &mut self.services[index];
                its.is_gone = true;
                self.parts.metrics.readiness.clear(Cause::Service, &life_of(its.name()));
            }
        }
        for service in adopted {
            let is_it =
                |its: &ConfiguredService| !its.is_gone && its.name() == service.service.name;
            if let Some(its) = self.services.iter_mut().find(|its| is_it(its)) {
                its.adopt(service);
            } else {
                self.add(service, ctx);
            }
        }
    }
}

impl Handle<Control> for Dispatcher {
    fn handle(
        &mut self,
        control: Control,
        ctx: &mut Ctx<Self>,
    ) -> Later<Result<Vec<Controlled>, ControlError>> {
        let meant = self.meant(&control.which);
        let done = meant.and_then(|meant| {
            let each = meant.into_iter().map(|index| self.control(index, &control, ctx));
            each.collect::<Result<Vec<_>, _>>()
        });
        Later::new(async move {
            let mut controlled = Vec::new();
            for (mut service, asked) in done? {
                if let Some(asked) = asked {
                    // A service that died meanwhile has no workers left to be ended.
                    service.workers = asked.await.unwrap_or(0);
                }
                if let (Which::Worker(_, worker), 0) = (&control.which, service.workers) {
                    return Err(ControlError::NoSuchWorker(service.name, worker.0));
                }
                controlled.push(service);
            }
            Ok(controlled)
        })
    }
}

impl Handle<HandOver> for Dispatcher {
    fn handle(&mut self, _: HandOver, _: &mut Ctx<Self>) -> io::Result<Vec<OwnedFd>> {
        let all = self.services.iter().flat_map(|its| &its.bound.listening);
        all.map(Listening::hand_over).collect()
    }
}

impl Handle<CloseDoors> for Dispatcher {
    fn handle(&mut self, _: CloseDoors, _: &mut Ctx<Self>) -> Later<()> {
        for its in &mut self.services {
            its.bound.listening.clear();
        }
        let services = self.services.iter().filter_map(|its| its.service.as_ref());
        let closing: Vec<_> = services.map(|service| service.ask(CloseDoor)).collect();
        Later::new(async move {
            for closed in closing {
                // A service that is gone accepts nothing.
                let _ = closed.await;
            }
        })
    }
}

impl Handle<DrainDispatcher> for Dispatcher {
    fn handle(&mut self, _: DrainDispatcher, _: &mut Ctx<Self>) -> Later<()> {
        // Closing the sockets refuses newcomers at once, rather than when the process ends.
        for its in &mut self.services {
            its.bound.listening.clear();
        }
        let services = self.services.iter().flat_map(|its| {
            its.service.iter().chain(its.ending.iter().map(|(_, service)| service))
        });
        let drains: Vec<_> = services.map(|service| service.ask(DrainService)).collect();
        Later::new(async move {
            for drain in drains {
                // A service that is gone has no sessions.
                let _ = drain.await;
            }
        })
    }
}

impl Handle<DescribeDispatcher> for Dispatcher {
    fn handle(
        &mut self,
        _: DescribeDispatcher,
        _: &mut Ctx<Self>,
    ) -> Later<Vec<ServiceDescription>> {
        let ask = |its: &ConfiguredService| {
            let nothing = ServiceDescription {
                name: its.name().to_owned(),
                state: its.state(),
                places: its.bound.listening.iter().map(Listening::place).collect(),
                ..ServiceDescription::default()
            };
            let all = its.service.iter().chain(its.ending.iter().map(|(_, service)| service));
            (nothing, all.map(|service| service.ask(DescribeService)).collect::<Vec<_>>())
        };
        let shown = self.services.iter().filter(|its| !its.is_gone || !its.ending.is_empty());
        let asked: Vec<_> = shown.map(ask).collect();
        Later::new(async move {
            let mut descriptions = Vec::with_capacity(asked.len());
            for (mut described, services) in asked {
                for service in services {
                    if let Ok(numbers) = service.await {
                        described.add(numbers);
                    }
                }
                descriptions.push(described);
            }
            descriptions
        })
    }
}
