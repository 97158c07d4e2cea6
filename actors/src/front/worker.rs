//! A worker: some of a service's sessions, on one thread. They end with it.

use actix::Message;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::{
    handoff::{Handoff, WorkerNews},
    session::{Session, SessionGone, SessionParts},
};
use crate::{
    actor::{Actor, Ctx, Ground, Handle, Outlet, RestartCause},
    ids::WorkerId,
};

/// The worker has drained: it ends.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EndWorker;

/// The actor.
pub struct Worker {
    id: WorkerId,
    parts: SessionParts,
    stop: CancellationToken,
    /// The sessions of a worker that died stop: a service that has forgotten them holds no peers.
    _end: DropGuard,
    service: Outlet<WorkerNews>,
    ground: Ground,
}

impl Worker {
    /// A worker without sessions. `stop` is its own.
    pub(super) fn new(
        id: WorkerId,
        parts: SessionParts,
        stop: CancellationToken,
        service: Outlet<WorkerNews>,
        ground: Ground,
    ) -> Self {
        let end = stop.clone().drop_guard();
        Self { id, parts, stop, _end: end, service, ground }
    }
}

impl Actor for Worker {
    const NAME: &'static str = "worker";

    fn started(&mut self, _: &mut Ctx<Self>) {
        self.service.tell(WorkerNews::There(self.id));
    }
}

impl Handle<Handoff> for Worker {
    fn handle(&mut self, handoff: Handoff, ctx: &mut Ctx<Self>) {
        let Some(connection) = handoff.take() else { return };
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
        self.service.tell(WorkerNews::Closed(self.id, gone.permit));
    }
}

impl Handle<EndWorker> for Worker {
    fn handle(&mut self, _: EndWorker, ctx: &mut Ctx<Self>) {
        ctx.stop();
    }
}
