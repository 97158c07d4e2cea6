//! The transport of one peer with its buffer and its clock.
//!
//! The buffer is small while a peer is idle and grows once, for content that comes in bulk. The
//! timer is set again only when it goes off, not for each read.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, Sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Reason, transport::Transport};
use crate::tls::{HandshakeFailure, Secured, ServerTls};

/// One peer's connection.
pub(super) struct Link<S> {
    transport: Transport<S>,
    inbound: Vec<u8>,
    /// Octets at the front of `inbound` that are done with.
    done: usize,
    /// A read has filled the buffer since [`Link::settle`].
    bulk: bool,
    timer: Timer,
}

/// Goes off at a deadline that moves; armed for an earlier one, never for a later.
struct Timer(Pin<Box<Sleep>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(socket: S) -> Self {
        let timer = Timer(Box::pin(sleep_until(Instant::now() + FIRST_DEADLINE)));
        Self {
            transport: Transport::Plain(socket),
            inbound: Vec::with_capacity(IDLE),
            done: 0,
            bulk: false,
            timer,
        }
    }

    /// Puts TLS on the connection. After a failure it is gone. The peer must have said nothing yet
    /// that is not consumed.
    pub(super) async fn start_tls(&mut self, tls: &ServerTls) -> Result<Secured, HandshakeFailure> {
        debug_assert!(self.received().is_empty(), "said in clear, heard behind the handshake");
        match mem::replace(&mut self.transport, Transport::Gone) {
            Transport::Plain(socket) => {
                let (stream, secured) = tls.accept(socket).await?;
                self.transport = Transport::Tls(Box::new(stream));
                Ok(secured)
            }
            Transport::Tls(_) | Transport::Gone => Err(HandshakeFailure::unavailable()),
        }
    }

    /// Says that nothing more comes, where TLS has a word for it: a peer cannot tell the end of what
    /// we say from a connection that somebody else cut.
    pub(super) async fn close(mut self) {
        if let Transport::Tls(stream) = &mut self.transport {
            let _ = timeout(LAST_WORD, stream.shutdown()).await;
        }
    }

    /// The octets that were read and not yet consumed.
    pub(super) fn received(&self) -> &[u8] {
        &self.inbound[self.done..]
    }

    /// The first `count` octets are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.done += count;
    }

    /// No content is to be expected: a large buffer may be given back.
    pub(super) fn settle(&mut self) {
        self.bulk = false;
    }

    /// Waits for octets, at least one; `stop` ends the wait if it is given.
    pub(super) async fn read(
        &mut self,
        deadline: Instant,
        stop: Option<&CancellationToken>,
    ) -> Result<usize, Reason> {
        if stop.is_some_and(CancellationToken::is_cancelled) {
            return Err(Reason::Stopped);
        }
        self.make_room();
        let Self { transport, inbound, timer, .. } = self;
        let spare = inbound.capacity() - inbound.len();
        let mut read = pin!(transport.read_buf(inbound));
        let mut stopped = pin!(cancelled(stop));
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(read) = read.as_mut().poll(cx) {
                return Poll::Ready(read.map_err(|_| Reason::Lost));
            }
            if stopped.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Reason::Stopped));
            }
            timer.poll(cx, deadline).map(|()| Err(Reason::Timeout))
        });
        match outcome.await? {
            0 => Err(Reason::Lost),
            count => {
                self.bulk |= count == spare;
                Ok(count)
            }
        }
    }

    /// Writes all of `octets`; a peer that does not read them within `patience` is given up.
    pub(super) async fn write(
        &mut self,
        mut octets: &[u8],
        patience: Duration,
    ) -> Result<(), Reason> {
        let mut deadline = None;
        poll_fn(|cx| {
            let written = self.poll_write(cx, &mut octets);
            if written.is_pending() {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + patience);
                return self.timer.poll(cx, deadline).map(|()| Err(Reason::Timeout));
            }
            written
        })
        .await
    }

    /// Closes without losing what was written last: a close while the peer still sends would
    /// make its system throw our words away.
    pub(super) async fn linger(mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let _ = timeout(patience, self.transport.shutdown()).await;
        while self.read(deadline, None).await.is_ok() {
            self.done = self.inbound.len();
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, octets: &mut &[u8]) -> Poll<Result<(), Reason>> {
        while !octets.is_empty() {
            match ready!(Pin::new(&mut self.transport).poll_write(cx, octets)) {
                Ok(count) if count > 0 => *octets = &octets[count..],
                _ => return Poll::Ready(Err(Reason::Lost)),
            }
        }
        Pin::new(&mut self.transport).poll_flush(cx).map_err(|_| Reason::Lost)
    }

    /// Makes the buffer fit what is to be expected. What is kept is never more than a piece of
    /// a command line, whose length the session limits.
    fn make_room(&mut self) {
        let kept = self.inbound.len() - self.done;
        let want = if self.bulk { BULK } else { IDLE };
        if kept == 0 && self.inbound.capacity() > want {
            self.inbound = Vec::with_capacity(want);
        } else {
            self.inbound.drain(..self.done);
            self.inbound.reserve_exact(want.max(2 * kept) - kept);
        }
        self.done = 0;
    }
}

impl Timer {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        loop {
            if self.0.deadline() > deadline {
                self.0.as_mut().reset(deadline);
            }
            ready!(self.0.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

async fn cancelled(stop: Option<&CancellationToken>) {
    match stop {
        Some(stop) => stop.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Octets of buffer for an idle peer: a message of 4 KiB comes in one read.
const IDLE: usize = 8 << 10;
/// Octets of buffer for a peer that sends more than that at once.
const BULK: usize = 64 << 10;
/// How long a peer has for the last word of TLS.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Any time will do: the first wait brings it forward.
const FIRST_DEADLINE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn the_buffer_grows_once_for_bulk_and_shrinks_when_the_peer_is_idle() {
        let (mut peer, ours) = duplex(1 << 20);
        let mut link = Link::new(ours);
        let deadline = Instant::now() + Duration::from_secs(60);
        peer.write_all(&vec![b'x'; 1 << 19]).await.expect("room");
        let (mut total, mut largest) = (0, 0);
        while total < 1 << 19 {
            total += link.read(deadline, None).await.expect("octets");
            // All but a little is consumed, as a session does.
            link.consume(link.received().len().saturating_sub(100));
            largest = largest.max(link.inbound.capacity());
        }
        assert_eq!(largest, BULK);
        link.consume(link.received().len());
        link.settle();
        peer.write_all(b"QUIT").await.expect("room");
        link.read(deadline, None).await.expect("octets");
        assert_eq!((link.received(), link.inbound.capacity()), (b"QUIT".as_slice(), IDLE));
    }
}
