//! A worker: some of a service's sessions, on one thread.

use actix::Message;
use relais_channels::server::Stop;
use tracing::warn;

use crate::{
    actor::{Actor, Ctx, Ground, Handle, Mailbox, RestartCause},
    front::listener::Permit,
    front::service::{ConnectionClosed, Service, WorkerId},
    front::session::{Connection, Session, SessionParts},
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
    service: Mailbox<Service>,
    ground: Ground,
}

impl Worker {
    /// A worker without sessions.
    pub fn new(
        id: WorkerId,
        parts: SessionParts,
        stop: Stop,
        service: Mailbox<Service>,
        ground: Ground,
    ) -> Self {
        Self { id, parts, stop, service, ground }
    }
}

impl Actor for Worker {
    const NAME: &'static str = "worker";
}

impl Handle<TakeConnection> for Worker {
    fn handle(&mut self, TakeConnection(connection): TakeConnection, ctx: &mut Ctx<Self>) {
        let (parts, stop) = (self.parts.clone(), self.stop.clone());
        self.ground.start(Session::new(connection, parts, stop, ctx.mailbox()));
    }
}

impl Handle<SessionGone> for Worker {
    fn handle(&mut self, gone: SessionGone, _: &mut Ctx<Self>) {
        if gone.panicked {
            warn!(service = &*self.parts.service, "a session panicked; its connection is closed");
            self.ground.meter::<Session>().restarted(RestartCause::Panic);
        }
        self.service.tell(ConnectionClosed { worker: self.id, permit: gone.permit });
    }
}
