//! Guard of a connection: stands between the library and the server, and ends the connection when the
//! server sends what is not taken.
//!
//! The library reads whatever comes into memory, however long it says that it will be, and panics on
//! some of what is no LDAP. It talks to one end of a pair of sockets; the guard carries octets between
//! the other end and the server, a bufferful at a time, each looked at before it is passed on.

use std::{
    io,
    os::unix::net::UnixStream as StdUnixStream,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    task::AbortHandle,
};

use super::answers::{Answers, Excess};

/// The guard of one connection. Dropping it ends the connection.
#[derive(Debug)]
pub(super) struct LinkGuard {
    ended: LinkEnd,
    carrying: AbortHandle,
}

/// Why a guard ended its connection, once it has.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkEnd(Arc<OnceLock<Excess>>);

impl LinkGuard {
    /// Stands before a server; the library gets the socket. An answer may have so many octets.
    pub(super) fn stand<S>(server: S, largest: u64) -> io::Result<(Self, StdUnixStream)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut ours = UnixStream::from_std(ours)?;
        let ended = LinkEnd::default();
        let reason = ended.clone();
        let carrying = tokio::spawn(async move {
            // Before the sockets are closed: the library fails by that, and its caller asks why.
            if let Err(excess) = carry(server, &mut ours, largest).await {
                let _ = reason.0.set(excess);
            }
            drop(ours);
        });
        Ok((Self { ended, carrying: carrying.abort_handle() }, theirs))
    }

    /// Why it ended the connection, once it has.
    pub(super) fn ended(&self) -> LinkEnd {
        self.ended.clone()
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl LinkEnd {
    /// The reason in words.
    pub(super) fn why(&self) -> Option<String> {
        self.0.get().map(ToString::to_string)
    }
}

/// Carries octets both ways until either end closes.
async fn carry<S>(server: S, ours: &mut UnixStream, largest: u64) -> Result<(), Excess>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let answers = Mutex::new(Answers::new(largest));
    let lock = || answers.lock().unwrap_or_else(PoisonError::into_inner);
    let (from_server, to_server) = tokio::io::split(server);
    let (from_us, to_us) = ours.split();
    tokio::select! {
        ended = pass(from_server, to_us, |octets| lock().hear(octets)) => ended,
        ended = pass(from_us, to_server, |octets| lock().ask(octets)) => ended,
    }
}

/// Carries octets one way; an end that closes, in whatever way, is the end.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut look_at: impl FnMut(&[u8]) -> Result<(), Excess>,
) -> Result<(), Excess> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let octets = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(length) => &buffer[..length],
        };
        look_at(octets)?;
        if to.write_all(octets).await.is_err() || to.flush().await.is_err() {
            return Ok(());
        }
    }
}

const BUFFER: usize = 16 << 10;
