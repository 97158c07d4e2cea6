//! One connection: the actor ("slave program") around a protocol driver.
//!
//! The bytes stay in the session's own task; the actor is what others see of it, and what tells
//! its worker when it is over. A panic in the task ends this session and is counted.

use std::{sync::Arc, time::Instant};

use actix::Message;
use relais_channels::{
    server::{Farewell, Opening, Reason, Setups, Stop, forwarded, serve},
    wire::proxy::{Forwarded, NoHeader},
};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field, info_span};

use super::{
    admission::{ClientAdmission, ClientRefusal},
    connection::{Connection, Ends, Permit},
    presenter::Presenter,
    seats::Seat,
    socket::{Socket, has_something_to_read},
    switching::QueueSides,
    to_queue::SmtpIntake,
    to_store::{LmtpIntake, StoreSide},
};
use crate::{
    actor::{Actor, Ctx, Outlet},
    events::{ConnectionRefused, SessionEnd, SessionEnded},
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
    /// Dialect, host and limits, by channel.
    pub setups: Arc<Setups>,
    /// Ports where a handshake comes before the greeting.
    pub tls_ports: Arc<[u16]>,
    /// The side behind the protocol.
    pub behind: Behind,
    /// Which clients are taken.
    pub admission: Arc<ClientAdmission>,
    /// The engine waits for no session any longer.
    pub give_up: CancellationToken,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The side behind the protocol: queue or store.
#[derive(Clone)]
pub enum Behind {
    /// Mail is routed and queued.
    Queue(Arc<QueueSides>),
    /// Mail goes into mailboxes.
    Store(Arc<StoreSide>),
}

/// The actor.
pub struct Session {
    /// The socket, its ends and its place, until the session begins.
    connection: Option<(Socket, Ends, Seat)>,
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
        let Connection { socket, ends, permit, seat } = connection;
        Self {
            connection: Some((socket, ends, seat)),
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
        let Some((socket, ends, seat)) = self.connection.take() else { return ctx.stop() };
        let span = info_span!(
            "session",
            service = %self.parts.service,
            client = field::Empty
        );
        let stop = Stop {
            at_boundary: self.stop.clone(),
            at_once: self.parts.give_up.clone(),
            stress: self.parts.admission.stress.clone(),
        };
        if !self.parts.admission.is_proxy(&ends) {
            record(&span, &ends);
        }
        // Large, and handed on several times before it is polled.
        let converse = Box::pin(converse(socket, ends, seat, self.parts.clone(), stop));
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

/// From the greeting, or what a proxy says before it, to the end of one connection.
async fn converse(socket: Socket, mut ends: Ends, seat: Seat, parts: SessionParts, stop: Stop) {
    let begun = Instant::now();
    let opening = if ends.local.is_some_and(|local| parts.tls_ports.contains(&local.port())) {
        Opening::Tls
    } else if socket.has_something_to_read() {
        Opening::Early
    } else {
        Opening::Greeting
    };
    let ended = match socket {
        Socket::Tcp(socket) => match TcpStream::from_std(socket) {
            Ok(socket) if parts.admission.is_proxy(&ends) => {
                speak_behind_proxy(socket, opening, &mut ends, &parts, &stop).await
            }
            Ok(socket) => speak(socket, opening, &ends, &parts, &stop).await.into(),
            Err(_gone) => return,
        },
        Socket::Unix(socket) => match UnixStream::from_std(socket) {
            Ok(socket) => speak(socket, opening, &ends, &parts, &stop).await.into(),
            Err(_gone) => return,
        },
    };
    drop(seat);
    let client = ends.client_ip();
    let client = client.map_or_else(|| "local".to_owned(), |client| format!("[{client}]"));
    SessionEnded {
        service: &parts.service,
        client: &client,
        end: ended.end,
        messages: ended.messages,
        took: begun.elapsed(),
    }
    .emit(&parts.metrics);
}

/// The same for a connection that a proxy hands on, with the client that the proxy names. A proxy
/// that asks whether we are there is its own client.
async fn speak_behind_proxy(
    mut socket: TcpStream,
    opening: Opening,
    ends: &mut Ends,
    parts: &SessionParts,
    stop: &Stop,
) -> Ended {
    match forwarded(&mut socket).await {
        Ok(Forwarded::From { client, server }) => *ends = Ends::new(Some(client), Some(server)),
        Ok(Forwarded::Own) => {}
        Err(NoHeader) => return SessionEnd::NoProxyHeader.into(),
    }
    record(&Span::current(), ends);
    let _seat = match parts.admission.admit_unlisted(ends).await {
        Ok(seat) => seat,
        Err(ClientRefusal { why, text }) => {
            let peer = ends.client.map_or_else(String::new, |client| client.to_string());
            let (service, peer) = (&*parts.service, format_args!("{peer}"));
            ConnectionRefused { service, peer, why, text: Some(&text) }.emit(&parts.metrics);
            // The socket is new, so its buffer takes the line at once, or the client is told nothing.
            let _ = socket.try_write(format!("{text}\r\n").as_bytes());
            return SessionEnd::Refused.into();
        }
    };
    let opening = match opening {
        Opening::Tls => Opening::Tls,
        _ if has_something_to_read(&socket) => Opening::Early,
        _ => Opening::Greeting,
    };
    speak(socket, opening, ends, parts, stop).await.into()
}

/// Names the client in what the session logs.
fn record(span: &Span, ends: &Ends) {
    if let Some(client) = ends.client_ip() {
        span.record("client", field::display(client));
    }
}

/// How a connection ended, with a session or before there was one.
struct Ended {
    end: SessionEnd,
    messages: u64,
}

impl From<Farewell> for Ended {
    fn from(farewell: Farewell) -> Self {
        Self { end: session_end(farewell.reason), messages: farewell.messages }
    }
}

impl From<SessionEnd> for Ended {
    fn from(end: SessionEnd) -> Self {
        Self { end, messages: 0 }
    }
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
        Reason::Untrusted => SessionEnd::Untrusted,
        Reason::TurnedAway => SessionEnd::Refused,
        Reason::Foreign => SessionEnd::Foreign,
        Reason::Handshake => SessionEnd::Handshake,
        Reason::Stopped => SessionEnd::Drained,
    }
}

async fn speak<S>(
    socket: S,
    opening: Opening,
    ends: &Ends,
    parts: &SessionParts,
    stop: &Stop,
) -> Farewell
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match &parts.behind {
        Behind::Queue(sides) => {
            let mut intake = SmtpIntake::new(Arc::clone(sides), *ends).await;
            intake.presenter =
                Presenter::of(&parts.admission, (&parts.service, &parts.metrics), ends);
            let farewell = serve(socket, opening, &parts.setups, &mut intake, stop).await;
            intake.leave_filters().await;
            farewell
        }
        Behind::Store(store) => {
            let (client, local) = (ends.client_ip(), ends.local_ip());
            let mut intake = LmtpIntake::new(Arc::clone(store), client, local);
            intake.presenter =
                Presenter::of(&parts.admission, (&parts.service, &parts.metrics), ends);
            serve(socket, opening, &parts.setups, &mut intake, stop).await
        }
    }
}
