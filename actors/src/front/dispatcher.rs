//! The dispatcher: owns the bound sockets and the services that listen on clones of them, so that a
//! service can be started again without a socket being closed.

use std::{io, sync::Arc};

use actix::Message;
use relais_config::dispatcher;

use super::{
    listening::Listening,
    service::{DescribeService, DrainService, Service, ServiceDescription, ServiceParts, life_of},
    session::SessionParts,
};
use crate::{
    actor::{Actor, Ctx, Ground, Handle, Later, Mailbox, Placement, Remedy},
    metrics::Metrics,
    readiness::Cause,
    router::RouteCache,
};

/// A service with its sockets bound; nothing is accepted yet.
pub struct BoundService {
    /// From the configuration.
    pub service: dispatcher::Service,
    /// Bound sockets.
    pub listening: Vec<Listening>,
    /// The parts that its sessions need.
    pub session: SessionParts,
    /// Connections at most.
    pub connections: usize,
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
    bound: Vec<BoundService>,
    services: Vec<Mailbox<Service>>,
    route_cache: Arc<RouteCache>,
    placement: Arc<Placement>,
    ground: Ground,
    metrics: Arc<Metrics>,
}

impl Dispatcher {
    /// Starts listening as soon as it is started.
    pub fn new(
        bound: Vec<BoundService>,
        route_cache: Arc<RouteCache>,
        placement: Arc<Placement>,
        ground: Ground,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { bound, services: Vec::new(), route_cache, placement, ground, metrics }
    }

    /// A service on clones of the sockets: connections wait in them while none serves.
    fn start_service(&self, index: usize) -> Option<Mailbox<Service>> {
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
        let parts = ServiceParts {
            limits: bound.service.limits.clone(),
            session: bound.session.clone(),
            route_cache: self.route_cache.clone(),
            connections: bound.connections,
            placement: self.placement.clone(),
            ground: self.ground.clone(),
            meter: self.metrics.service(&name)?,
        };
        let (_, arbiter) = self.placement.of_sessions();
        Some(self.ground.start_on(arbiter, &name, move || Service::new(parts, listening)))
    }
}

impl Actor for Dispatcher {
    const NAME: &'static str = "dispatcher";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        for index in 0..self.bound.len() {
            self.services.extend(self.start_service(index));
            let name = self.bound[index].service.name.clone();
            let dispatcher = ctx.mailbox();
            let again = Box::new(move || dispatcher.tell(Revive { index }));
            let (metrics, service) = (self.metrics.clone(), name.clone());
            let told = Box::new(move |cause: &str| {
                let words = format!(
                    "service {service} does not take connections: it ended ({cause}), and is \
                     started again"
                );
                metrics.readiness.raise(Cause::Service, &life_of(&service), words);
            });
            self.ground.guard(&name, Remedy::Restart { told, again });
        }
    }
}

impl Handle<Revive> for Dispatcher {
    fn handle(&mut self, Revive { index }: Revive, _: &mut Ctx<Self>) {
        if let (Some(service), Some(slot)) =
            (self.start_service(index), self.services.get_mut(index))
        {
            *slot = service;
        }
    }
}

impl Handle<DrainDispatcher> for Dispatcher {
    fn handle(&mut self, _: DrainDispatcher, _: &mut Ctx<Self>) -> Later<()> {
        // Closing the sockets refuses newcomers at once, rather than when the process ends.
        for bound in &mut self.bound {
            bound.listening.clear();
        }
        let drains: Vec<_> = self.services.iter().map(|s| s.ask(DrainService)).collect();
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
        let asked: Vec<_> = self.services.iter().map(|s| s.ask(DescribeService)).collect();
        Later::new(async move {
            let mut descriptions = Vec::with_capacity(asked.len());
            for answer in asked {
                descriptions.extend(answer.await);
            }
            descriptions
        })
    }
}
