//! Connections and sessions.

use std::{fmt, net::IpAddr, time::Duration};

use tracing::{debug, info, warn};

use super::{Printable, told::tell_client_tls};
use relais_channels::tls::{HandshakeFailure, Secured};

use crate::metrics::{AuthResult, ConnectionResult, HandshakeResult, Metrics};

/// A connection was turned away before its first byte.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRefused<'a> {
    /// The service.
    pub service: &'a str,
    /// The client's address and port.
    pub peer: fmt::Arguments<'a>,
    /// By `PORT_ACCESS`, or for want of room.
    pub why: ConnectionResult,
    /// The text that the client was told, if any.
    pub text: Option<&'a str>,
}

/// A connection got a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionStarted<'a> {
    /// The service.
    pub service: &'a str,
    /// The client's address and port.
    pub peer: fmt::Arguments<'a>,
}

/// A handshake is over, for better or worse. The session's span names the client.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeEnded<'a> {
    /// The service.
    pub service: &'a str,
    /// The client's address; none by a UNIX socket.
    pub client: Option<IpAddr>,
    /// TLS, or the reason why there is none.
    pub outcome: &'a Result<Secured, HandshakeFailure>,
}

/// A client said who it is. The session's span names it.
#[derive(Clone, Copy, Debug)]
pub struct AuthEnded<'a> {
    /// The service.
    pub service: &'a str,
    /// `name [address]`.
    pub client: &'a str,
    /// As the client says.
    pub user: &'a str,
    /// The mechanism's name.
    pub mechanism: &'a str,
    /// How it came out.
    pub result: AuthResult,
    /// Why nobody was let in.
    pub why: Option<&'a str>,
}

/// A session is over.
#[derive(Clone, Copy, Debug)]
pub struct SessionEnded<'a> {
    /// The service.
    pub service: &'a str,
    /// `name [address]`.
    pub client: &'a str,
    /// How it ended.
    pub end: SessionEnd,
    /// Messages that were accepted.
    pub messages: u64,
    /// How long it lasted.
    pub took: Duration,
}

/// How a session ended.
#[derive(Clone, Copy, Debug)]
pub enum SessionEnd {
    /// The client said QUIT.
    Quit,
    /// The client closed the connection without QUIT, or it broke.
    Closed,
    /// The client said nothing for too long.
    TimedOut,
    /// We had enough: too many commands, too many errors.
    Dismissed,
    /// It named recipients without end and sent no message.
    NoMessage,
    /// It had as much as one session may have.
    Spent,
    /// It did not wait for our replies.
    OutOfTurn,
    /// `PORT_ACCESS` or a limit of its client, whom a proxy named.
    Refused,
    /// It comes from a proxy, and named no client.
    NoProxyHeader,
    /// It would speak for others by XCLIENT, and may not.
    Untrusted,
    /// It spoke another protocol.
    Foreign,
    /// No TLS came of the handshake.
    Handshake,
    /// The engine stops.
    Drained,
    /// A bug ended it; nothing but this session was lost.
    Panicked,
}

impl ConnectionRefused<'_> {
    /// Writes a line at `info`; counts the connection.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, peer, why, text } = self;
        if let Some(meter) = metrics.service(service) {
            meter.connection(why);
        }
        let text = text.map(|text| tracing::field::display(Printable(text)));
        info!(service, %peer, why = why.name(), text, "connection refused");
    }
}

impl SessionStarted<'_> {
    /// Writes a line at `debug`; counts the connection, now and in total.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, peer } = self;
        if let Some(meter) = metrics.service(service) {
            meter.connection(ConnectionResult::Accepted);
            meter.connections.inc();
        }
        debug!(service, %peer, "session started");
    }
}

impl HandshakeEnded<'_> {
    /// Writes a line, at `debug` when TLS protects the session, else at `info`; counts the
    /// handshake by its result; tells others of a failure.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, client, outcome } = self;
        let result = HandshakeResult::of(outcome);
        if let Some(meter) = metrics.service(service) {
            meter.handshake(result);
        }
        match outcome {
            Ok(Secured { version, cipher, resumed, host, .. }) => {
                let host = host.as_deref().map(|host| tracing::field::display(Printable(host)));
                debug!(version, cipher, resumed, host, "TLS protects the session");
            }
            Err(failure) => {
                let error = Printable(&failure.words);
                info!(why = result.name(), %error, "no TLS: the handshake failed");
                tell_client_tls(service, client, failure, metrics);
            }
        }
    }
}

impl AuthEnded<'_> {
    /// Writes a line, at `warn` when the administrator must act, else at `info`; counts the attempt
    /// by its result.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, client, user, mechanism, result, why } = self;
        if let Some(meter) = metrics.service(service) {
            meter.auth(result);
        }
        let (client, user) = (Printable(client), Printable(user));
        let why = why.map(|why| tracing::field::display(Printable(why)));
        match result {
            AuthResult::Granted => info!(service, %client, %user, mechanism, "authenticated"),
            AuthResult::Unavailable => {
                warn!(service, %client, %user, mechanism, why, "authentication not available");
            }
            _ => info!(service, %client, %user, mechanism, why, "authentication failed"),
        }
    }
}

impl SessionEnded<'_> {
    /// Writes a line: at `debug` when all went as it should, at `warn` after a bug, else at
    /// `info`. Takes the session off the number of connections.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, client, end, messages, took } = self;
        if let Some(meter) = metrics.service(service) {
            meter.connections.dec();
        }
        let client = Printable(client);
        let seconds = took.as_secs_f64();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(service, %client, %end, messages, seconds, "session ended")
            };
        }
        match end {
            SessionEnd::Quit => line!(debug),
            SessionEnd::Panicked => line!(warn),
            _ => line!(info),
        }
    }
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quit => f.write_str("quit"),
            Self::Closed => f.write_str("closed by the client"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Dismissed => f.write_str("dismissed"),
            Self::NoMessage => f.write_str("dismissed: recipients without end, no message"),
            Self::Spent => f.write_str("dismissed: enough for one session"),
            Self::OutOfTurn => f.write_str("dismissed: commands before the reply to the last one"),
            Self::Refused => f.write_str("refused"),
            Self::NoProxyHeader => f.write_str("closed: no header of the PROXY protocol"),
            Self::Untrusted => f.write_str("dismissed: not to speak for that client"),
            Self::Foreign => f.write_str("dismissed: that was no mail command"),
            Self::Handshake => f.write_str("the TLS handshake failed"),
            Self::Drained => f.write_str("drained"),
            Self::Panicked => f.write_str("panicked"),
        }
    }
}
