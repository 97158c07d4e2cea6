//! The dispatcher: owns the listening sockets and the services behind them.

use std::{io, sync::Arc};

use actix::prelude::*;
use relais_config::dispatcher;

use crate::{
    listening::Listening,
    metrics::{self, ActorMeter, Metrics},
    placement::Placement,
    router::RouteCache,
    service::{DescribeService, DrainService, Service, ServiceDescription, ServiceParts},
    session::SessionParts,
    watch::{Died, Guard, Lifeline, Remedy},
};

/// A service with its sockets bound; nothing is accepted yet.
pub struct Bound {
    /// From the configuration.
    pub service: dispatcher::Service,
    /// Bound sockets.
    pub listening: Vec<Listening>,
    /// What its sessions need.
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
            connections: bound.connections,
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
