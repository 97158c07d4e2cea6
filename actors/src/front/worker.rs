//! A worker: some of a service's sessions, on one thread.

use actix::Message;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    connection::{Connection, Permit},
    session::{Session, SessionGone, SessionParts},
};
use crate::{
    actor::{Actor, Ctx, Ground, Handle, Outlet, RestartCause},
    ids::WorkerId,
};

/// A session is over, and its worker has room for another.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ConnectionClosed {
    /// The worker that served the connection.
    pub worker: WorkerId,
    /// Its room, free only once it is no longer counted: who gets it finds a worker.
    pub permit: Option<Permit>,
}

/// Begin a session on this connection. The service counts, so a worker never has to refuse.
#[derive(Message)]
#[rtype(result = "()")]
pub struct TakeConnection(pub Connection);

/// The actor.
pub struct Worker {
    id: WorkerId,
    parts: SessionParts,
    stop: CancellationToken,
    service: Outlet<ConnectionClosed>,
    ground: Ground,
}

impl Worker {
    /// A worker without sessions.
    pub fn new(
        id: WorkerId,
        parts: SessionParts,
        stop: CancellationToken,
        service: Outlet<ConnectionClosed>,
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
        self.ground.start(Session::new(connection, parts, stop, ctx.mailbox().outlet()));
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
