//! One connection: the actor ("slave program") around a protocol driver.
//!
//! The bytes stay in the session's own task; the actor is what others see of it, and what tells
//! its worker when it is over. A panic in the task ends this session and is counted.

use std::{sync::Arc, time::Instant};

use actix::Message;
use relais_channels::server::{Farewell, Opening, Reason, Setup, Stop, serve};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::{
    connection::{Connection, Ends, Permit},
    socket::Socket,
    to_queue::{QueueSide, SmtpIntake},
    to_store::{LmtpIntake, StoreSide},
};
use crate::{
    actor::{Actor, Ctx, Outlet},
    events::{SessionEnd, SessionEnded},
    in_hand::with_hand,
    metrics::Metrics,
};

/// A session is over.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SessionGone {
    /// It did not end by itself.
    pub panicked: bool,
    /// The room of its connection.
    pub permit: Option<Permit>,
}

/// Parts that every session of a service needs.
#[derive(Clone)]
pub struct SessionParts {
    /// The service's name, for the log.
    pub service: Arc<str>,
    /// Dialect, host and limits.
    pub setup: Arc<Setup>,
    /// Ports where a handshake comes before the greeting.
    pub tls_ports: Arc<[u16]>,
    /// The side behind the protocol.
    pub behind: Behind,
    /// The engine waits for no session any longer.
    pub give_up: CancellationToken,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The side behind the protocol: queue or store.
#[derive(Clone)]
pub enum Behind {
    /// Mail is routed and queued.
    Queue(Arc<QueueSide>),
    /// Mail goes into mailboxes.
    Store(Arc<StoreSide>),
}

/// The actor.
pub struct Session {
    /// The socket and its ends, until the session begins.
    connection: Option<(Socket, Ends)>,
    permit: Option<Permit>,
    parts: SessionParts,
    stop: CancellationToken,
    worker: Outlet<SessionGone>,
    finished: bool,
}

impl Session {
    /// A session that begins as soon as it is started.
    pub fn new(
        connection: Connection,
        parts: SessionParts,
        stop: CancellationToken,
        worker: Outlet<SessionGone>,
    ) -> Self {
        let Connection { socket, ends, permit } = connection;
        Self {
            connection: Some((socket, ends)),
            permit: Some(permit),
            parts,
            stop,
            worker,
            finished: false,
        }
    }
}

impl Actor for Session {
    const NAME: &'static str = "session";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let Some((socket, ends)) = self.connection.take() else { return ctx.stop() };
        let span = info_span!(
            "session",
            service = %self.parts.service,
            client = ends.client.map(tracing::field::display)
        );
        let stop = Stop { at_boundary: self.stop.clone(), at_once: self.parts.give_up.clone() };
        // Large, and handed on several times before it is polled.
        let converse = Box::pin(converse(socket, ends, self.parts.clone(), stop));
        let converse = with_hand(converse).instrument(span);
        let meter = ctx.meter().clone();
        let task = actix::spawn(async move { meter.timed(converse).await });
        ctx.when(task, |session, ended, ctx| {
            session.finished = ended.is_ok();
            ctx.stop();
        });
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let permit = self.permit.take();
        self.worker.tell(SessionGone { panicked: !self.finished, permit });
    }
}

/// From the greeting to the end of one connection.
async fn converse(socket: Socket, ends: Ends, parts: SessionParts, stop: Stop) {
    let begun = Instant::now();
    let opening = if ends.port.is_some_and(|port| parts.tls_ports.contains(&port)) {
        Opening::Tls
    } else if socket.has_something_to_read() {
        Opening::Early
    } else {
        Opening::Greeting
    };
    let farewell = match socket {
        Socket::Tcp(socket) => match tokio::net::TcpStream::from_std(socket) {
            Ok(socket) => speak(socket, opening, ends, &parts, &stop).await,
            Err(_gone) => return,
        },
        Socket::Unix(socket) => match tokio::net::UnixStream::from_std(socket) {
            Ok(socket) => speak(socket, opening, ends, &parts, &stop).await,
            Err(_gone) => return,
        },
    };
    let client = ends.client.map_or_else(|| "local".to_owned(), |client| format!("[{client}]"));
    SessionEnded {
        service: &parts.service,
        client: &client,
        end: session_end(farewell.reason),
        messages: farewell.messages,
        took: begun.elapsed(),
    }
    .emit(&parts.metrics);
}

fn session_end(reason: Reason) -> SessionEnd {
    match reason {
        Reason::Quit => SessionEnd::Quit,
        Reason::Lost => SessionEnd::Closed,
        Reason::Timeout => SessionEnd::TimedOut,
        Reason::Abuse => SessionEnd::Dismissed,
        Reason::NoMessage => SessionEnd::NoMessage,
        Reason::Spent => SessionEnd::Spent,
        Reason::OutOfTurn => SessionEnd::OutOfTurn,
        Reason::Foreign => SessionEnd::Foreign,
        Reason::Handshake => SessionEnd::Handshake,
        Reason::Stopped => SessionEnd::Drained,
    }
}

async fn speak<S>(
    socket: S,
    opening: Opening,
    Ends { client, local, .. }: Ends,
    parts: &SessionParts,
    stop: &Stop,
) -> Farewell
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match &parts.behind {
        Behind::Queue(side) => {
            let mut intake = SmtpIntake::new(Arc::clone(side), client, local);
            serve(socket, opening, &parts.setup, &mut intake, stop).await
        }
        Behind::Store(store) => {
            let mut intake = LmtpIntake::new(Arc::clone(store), client, local);
            serve(socket, opening, &parts.setup, &mut intake, stop).await
        }
    }
}
