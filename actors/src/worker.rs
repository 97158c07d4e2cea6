//! A worker: some of a service's sessions, on one thread.

use actix::prelude::*;
use relais_channels::server::Stop;
use tracing::warn;

use crate::{
    accept::Permit,
    metrics::{self, ActorMeter, RestartCause},
    service::{ConnectionClosed, Service, WorkerId},
    session::{Connection, Session, SessionParts},
    watch::Lifeline,
};

/// Begin a session on this connection. The service counts, so a worker never has to refuse.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeConnection(pub Connection);

/// A session of this worker is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionGone {
    /// It did not end by itself.
    pub panicked: bool,
    /// The room of its connection.
    pub permit: Option<Permit>,
}

/// The actor.
pub struct Worker {
    id: WorkerId,
    parts: SessionParts,
    stop: Stop,
    service: Addr<Service>,
    meter: ActorMeter,
    _lifeline: Lifeline,
}

impl Worker {
    /// A worker without sessions.
    pub fn new(
        id: WorkerId,
        parts: SessionParts,
        stop: Stop,
        service: Addr<Service>,
        lifeline: Lifeline,
    ) -> Self {
        let meter = parts.metrics.actor(metrics::Actor::Worker);
        Self { id, parts, stop, service, meter, _lifeline: lifeline }
    }
}

impl Actor for Worker {
    type Context = Context<Self>;
}

impl Handler<TakeConnection> for Worker {
    type Result = ();

    fn handle(&mut self, TakeConnection(connection): TakeConnection, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("TakeConnection");
        let (parts, stop) = (self.parts.clone(), self.stop.clone());
        Session::new(connection, parts, stop, ctx.address()).start();
    }
}

impl Handler<SessionGone> for Worker {
    type Result = ();

    fn handle(&mut self, gone: SessionGone, _: &mut Self::Context) {
        let _busy = self.meter.handling("SessionGone");
        if gone.panicked {
            warn!(service = &*self.parts.service, "a session panicked; its connection is closed");
            self.parts.metrics.actor(metrics::Actor::Session).restarted(RestartCause::Panic);
        }
        self.service.do_send(ConnectionClosed { worker: self.id, permit: gone.permit });
    }
}
