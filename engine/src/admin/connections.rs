//! Connections by TCP: as many as there may be at once, and the end of those whose clients have stopped.
//!
//! One whose client takes nothing of its answer for [`WRITE_TIME`] ends; where all places are taken, the one
//! that has moved no octet for the longest time makes room.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use actix_web::rt::net::{ActixStream, Ready, TcpStream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    all: Arc<Mutex<Vec<Arc<Connection>>>>,
    /// For a client to take some of its answer.
    write_time: Duration,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Connection(Mutex<ConnectionState>);

#[derive(Debug)]
struct ConnectionState {
    /// When an octet came or went.
    moved: Instant,
    /// It has made room.
    is_over: bool,
    /// Requests that are being answered.
    answering: u32,
    /// The task that serves it.
    waker: Option<Waker>,
}

/// Its stream; its place is free again when this is dropped.
#[derive(Debug)]
pub(super) struct BoundedStream {
    io: TcpStream,
    pub(super) connection: Arc<Connection>,
    all: Connections,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Answering(Arc<Connection>);

impl Connections {
    /// None yet, of clients that may take nothing for so long.
    pub(super) fn new(write_time: Duration) -> Self {
        Self { all: Arc::default(), write_time }
    }

    /// Takes a place for a stream.
    pub(super) fn admit(&self, io: TcpStream) -> BoundedStream {
        let connection = self.place(Instant::now());
        BoundedStream { io, connection, all: self.clone(), stalled: None }
    }

    fn place(&self, now: Instant) -> Arc<Connection> {
        let mut all = self.locked();
        if all.len() >= MAX_CONNECTIONS {
            let still = all.iter().enumerate().min_by_key(|(_, its)| its.state().moved);
            if let Some(place) = still.map(|(place, _)| place) {
                all.swap_remove(place).end();
            }
        }
        let state = ConnectionState { moved: now, is_over: false, answering: 0, waker: None };
        let connection = Arc::new(Connection(Mutex::new(state)));
        all.push(Arc::clone(&connection));
        connection
    }

    fn leave(&self, connection: &Arc<Connection>) {
        self.locked().retain(|its| !Arc::ptr_eq(its, connection));
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Arc<Connection>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Says that a request is answered, until the result is dropped.
    pub(super) fn answer(self: &Arc<Self>) -> Answering {
        self.state().answering += 1;
        Answering(Arc::clone(self))
    }

    /// Whether a request is being answered; the task is woken when it is not any more.
    pub(super) fn is_answering(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        state.waker = Some(context.waker().clone());
        state.answering > 0
    }

    /// An error where it is over; else the task is woken when it is.
    pub(super) fn go_on(&self, context: &Context<'_>) -> io::Result<()> {
        let mut state = self.state();
        if state.is_over {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.waker = Some(context.waker().clone());
        Ok(())
    }

    pub(super) fn wake(&self) {
        let waker = self.state().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn moved(&self) {
        self.state().moved = Instant::now();
    }

    fn end(&self) {
        self.state().is_over = true;
        self.wake();
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state().answering -= 1;
        self.0.wake();
    }
}

impl BoundedStream {
    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.io
    }

    /// Whether something was written; an error when the client has taken nothing for too long.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            self.connection.moved();
            return written;
        }
        let limit = self.all.write_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Drop for BoundedStream {
    fn drop(&mut self) {
        self.all.leave(&self.connection);
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.go_on(context)?;
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(context, buffer));
        if buffer.filled().len() > before {
            self.connection.moved();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.go_on(context)?;
        let written = Pin::new(&mut self.io).poll_write(context, octets);
        self.wrote(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl ActixStream for BoundedStream {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(&self.io, context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(&self.io, context)
    }
}

/// Operators and scrapers are few. So many at the socket, and so many at the TCP address.
pub(super) const MAX_CONNECTIONS: usize = 128;
/// For a client to take some of its answer.
pub(super) const WRITE_TIME: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn the_one_that_has_been_still_for_the_longest_time_makes_room() {
        let (all, now) = (Connections::new(WRITE_TIME), Instant::now());
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let places: Vec<_> = (0..MAX_CONNECTIONS).map(|n| all.place(at(n))).collect();
        places[0].state().moved = at(1_000);
        let (newer, over) = (all.place(at(1_001)), |its: &Arc<Connection>| its.state().is_over);
        assert!(over(&places[1]) && !over(&newer));
        assert_eq!(places.iter().filter(|its| over(its)).count(), 1);
        all.leave(&places[2]);
        all.place(at(1_002));
        assert_eq!(places.iter().filter(|its| over(its)).count(), 1, "there was room");
    }

    #[actix_rt::test]
    async fn a_client_that_takes_nothing_is_left_alone() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let all = Connections::new(Duration::from_millis(100));
        let mut stream = all.admit(listener.accept().await.unwrap().0);
        let lot = vec![0; 64 << 20];
        let begin = Instant::now();
        let error = stream.write_all(&lot).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() >= all.write_time);
        drop(stream);
        assert!(all.locked().is_empty());
    }
}
