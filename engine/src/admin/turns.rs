//! One request after another: the next is not read before the answer to the one before is written.
//!
//! The library reads requests ahead, each of which is some KiB of memory, however small it is on the wire.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
    rt::net::{ActixStream, Ready},
    web::Bytes,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::{Answering, Connection};

/// A stream that hands on one request at a time.
#[derive(Debug)]
pub(super) struct TurnStream<S> {
    pub(super) io: S,
    connection: Arc<Connection>,
    /// Octets of the client that were not handed on.
    ahead: Box<[u8; AHEAD]>,
    left: std::ops::Range<usize>,
    heads: Heads,
    /// A head was handed on just now: it is looked at first.
    pauses: bool,
    /// The client does not take what was written.
    is_blocked: bool,
}

/// Finds the ends of heads.
#[derive(Debug, Default)]
struct Heads {
    /// The line has nothing but CR so far.
    is_blank: bool,
}

impl Heads {
    /// How many of these octets go up to the end of a head.
    fn end(&mut self, octets: &[u8]) -> Option<usize> {
        let end = octets.iter().position(|octet| match octet {
            b'\n' => std::mem::replace(&mut self.is_blank, true),
            b'\r' => false,
            _ => {
                self.is_blank = false;
                false
            }
        })?;
        self.is_blank = false;
        Some(end + 1)
    }
}

impl<S> TurnStream<S> {
    pub(super) fn new(io: S, connection: Arc<Connection>) -> Self {
        let (ahead, heads) = (Box::new([0; AHEAD]), Heads::default());
        Self { io, connection, ahead, left: 0..0, heads, pauses: false, is_blocked: false }
    }

    fn unblock<T>(&mut self, written: Poll<T>) -> Poll<T> {
        if std::mem::replace(&mut self.is_blocked, written.is_pending()) && !self.is_blocked {
            self.connection.wake();
        }
        written
    }
}

impl<S: ActixStream> AsyncRead for TurnStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.connection.go_on(context)?;
        if this.is_blocked || this.connection.is_answering(context) {
            return Poll::Pending;
        }
        if std::mem::take(&mut this.pauses) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.left.is_empty() {
            let mut ahead = ReadBuf::new(&mut this.ahead[..]);
            ready!(Pin::new(&mut this.io).poll_read(context, &mut ahead))?;
            this.left = 0..ahead.filled().len();
        }
        let octets = &this.ahead[this.left.clone()];
        let octets = &octets[..octets.len().min(buffer.remaining())];
        let head = this.heads.end(octets);
        this.pauses = head.is_some();
        let octets = &octets[..head.unwrap_or(octets.len())];
        buffer.put_slice(octets);
        this.left.start += octets.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: ActixStream> AsyncWrite for TurnStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, octets);
        self.unblock(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.unblock(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl<S: ActixStream> ActixStream for TurnStream<S> {
    fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_read_ready(context)
    }

    fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_write_ready(context)
    }
}

/// The body of an answer: the next request is read when it is dropped.
pub(super) struct AnswerBody<B> {
    body: Pin<Box<B>>,
    _answering: Option<Answering>,
}

impl<B: MessageBody> MessageBody for AnswerBody<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.body.as_mut().poll_next(context)
    }
}

/// Has the next request wait for this one.
pub(super) async fn one_at_a_time<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<AnswerBody<B>>, Error> {
    let connection = request.request().conn_data::<Arc<Connection>>().cloned();
    // Of the others, which may be read by their handlers, the body is still to come.
    let is_whole = matches!(*request.method(), Method::GET | Method::HEAD);
    let answering = connection.filter(|_| is_whole).map(|its| its.answer());
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| AnswerBody { body: Box::pin(body), _answering: answering }))
}

/// Octets that are read of a client at once.
const AHEAD: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_a_blank_line_wherever_it_is_cut() {
        for text in ["GET / HTTP/1.1\r\nhost: a\r\n\r\nGET", "GET / HTTP/1.1\nhost: a\n\nGET"] {
            let octets = text.as_bytes();
            let want = Some(text.len() - 3);
            assert_eq!(Heads::default().end(octets), want);
            for cut in 0..text.len() - 3 {
                let mut heads = Heads::default();
                assert_eq!(heads.end(&octets[..cut]), None, "{cut}");
                assert_eq!(heads.end(&octets[cut..]).map(|end| end + cut), want, "{cut}");
            }
        }
    }
}
