//! One connection: the actor ("slave program") around a protocol driver.
//!
//! The bytes stay in the session's own task; the actor is what others see of it, and what tells
//! its worker when it is over. A panic in the task ends this session and is counted.

use std::{net::IpAddr, sync::Arc, time::Instant};

use relais_channels::{
    mail::{Address, MessageIds},
    server::{Farewell, Reason, Setup, Stop, serve},
};

use super::{
    socket::Socket,
    to_queue::SmtpIntake,
    to_store::{LmtpIntake, StoreSide},
};
use crate::{
    actor::{Actor, Ctx, Mailbox},
    events::{SessionEnd, SessionEnded},
    front::listener::Permit,
    front::worker::{SessionGone, Worker},
    metrics::Metrics,
    router::RouterHandle,
    spool::Spool,
};

/// A connection on its way from a service to its session.
pub struct Connection {
    /// The socket, registered with no runtime.
    pub socket: Socket,
    /// The client; `None` on a UNIX socket.
    pub client: Option<IpAddr>,
    /// Which of our addresses it connected to; `None` on a UNIX socket.
    pub local: Option<IpAddr>,
    /// Returned to the service when the session is over: its bound on connections.
    pub permit: Permit,
}

/// What every session of a service needs.
#[derive(Clone)]
pub struct SessionParts {
    /// The service's name, for the log.
    pub service: Arc<str>,
    /// Dialect, host and limits.
    pub setup: Arc<Setup>,
    /// What stands behind the protocol.
    pub behind: Behind,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// What stands behind the protocol.
#[derive(Clone)]
pub enum Behind {
    /// Mail is routed and queued.
    Queue(QueueSide),
    /// Mail goes into mailboxes.
    Store(StoreSide),
}

/// What an SMTP session needs of the engine.
#[derive(Clone)]
pub struct QueueSide {
    /// Our official name.
    pub host: Arc<str>,
    /// The domain of senders that clients we vouch for give without one.
    pub default_domain: Arc<str>,
    /// The channel mail comes in by.
    pub source_channel: Arc<str>,
    /// Where recipients go.
    pub router: RouterHandle,
    /// Where messages are kept.
    pub spool: Spool,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// How recipients are divided into entries.
    pub channels: Arc<crate::channels::Channels>,
    /// Messages above this go to a file of their own.
    pub large_message: u64,
    /// What is held instead of delivered.
    pub hold: HoldLimits,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A message with more of any of these is held for an operator to look at.
#[derive(Clone, Copy, Debug)]
pub struct HoldLimits {
    /// `Received:` lines.
    pub received_lines: usize,
    /// Of those, the ones that we wrote.
    pub received_here_lines: usize,
    /// Recipients, lists expanded; `None` is no limit.
    pub recipients: Option<usize>,
}

/// Who talks to which of our addresses; nothing on a UNIX socket.
#[derive(Clone, Copy)]
struct Ends {
    client: Option<IpAddr>,
    local: Option<IpAddr>,
}

/// The actor.
pub struct Session {
    /// The socket and its ends, until the session begins.
    connection: Option<(Socket, Ends)>,
    permit: Option<Permit>,
    parts: SessionParts,
    stop: Stop,
    worker: Mailbox<Worker>,
    finished: bool,
}

impl Session {
    /// A session that begins as soon as it is started.
    pub fn new(
        connection: Connection,
        parts: SessionParts,
        stop: Stop,
        worker: Mailbox<Worker>,
    ) -> Self {
        let Connection { socket, client, local, permit } = connection;
        Self {
            connection: Some((socket, Ends { client, local })),
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
        let converse = converse(socket, ends, self.parts.clone(), self.stop.clone());
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
async fn converse(socket: Socket, ends: Ends, parts: SessionParts, mut stop: Stop) {
    let begun = Instant::now();
    let early = socket.has_something_to_read();
    let farewell = match socket {
        Socket::Tcp(socket) => match tokio::net::TcpStream::from_std(socket) {
            Ok(socket) => speak(socket, early, ends, &parts, &mut stop).await,
            Err(_gone) => return,
        },
        Socket::Unix(socket) => match tokio::net::UnixStream::from_std(socket) {
            Ok(socket) => speak(socket, early, ends, &parts, &mut stop).await,
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
        Reason::OutOfTurn => SessionEnd::OutOfTurn,
        Reason::Foreign => SessionEnd::Foreign,
        Reason::Stopped => SessionEnd::Drained,
    }
}

/// The postmaster of our own address (RFC 1123 section 5.2.17) is that of this host. Who connects by
/// a UNIX socket sees the addresses of the loopback.
pub(crate) fn own_postmaster(address: &Address, local: Option<IpAddr>) -> Option<Address> {
    let ours = address.literal().map(|ip| ip.to_canonical());
    let is_ours = ours.is_some_and(|ip| local.map_or(ip.is_loopback(), |local| local == ip));
    let named = address.local().eq_ignore_ascii_case(POSTMASTER);
    let postmaster = is_ours && named && address.route().next().is_none();
    postmaster.then(|| Address::parse(POSTMASTER).ok()).flatten()
}

const POSTMASTER: &str = "postmaster";

async fn speak<S>(
    socket: S,
    early: bool,
    Ends { client, local }: Ends,
    parts: &SessionParts,
    stop: &mut Stop,
) -> Farewell
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    match &parts.behind {
        Behind::Queue(side) => {
            let mut intake = SmtpIntake::new(side.clone(), client, local);
            serve(socket, early, &parts.setup, &mut intake, stop).await
        }
        Behind::Store(store) => {
            let mut intake = LmtpIntake::new(store.clone(), client, local);
            serve(socket, early, &parts.setup, &mut intake, stop).await
        }
    }
}
