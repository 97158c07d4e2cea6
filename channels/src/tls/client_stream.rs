//! A connection to a server behind a handshake, as octets in clear.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// A socket with TLS on it.
#[derive(Debug)]
pub(crate) struct ClientStream<S>(pub(super) tokio_rustls::client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> ClientStream<S> {
    pub(crate) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        self.0.read_buf(buffer).await
    }

    /// The library may keep what it takes, until it is told to [flush](Self::flush).
    pub(crate) async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(slices).await
    }

    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    /// Ends the session, then the connection.
    pub(crate) async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &S {
        self.0.get_ref().0
    }

    /// Reads the octets that have come, without waiting; 0 when the peer has closed.
    pub(crate) fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let mut piece = [0; PIECE];
        let mut read = ReadBuf::new(&mut piece);
        // The next reader that waits makes itself known to the socket again.
        let mut nobody = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.0).poll_read(&mut nobody, &mut read) {
            Poll::Ready(Ok(())) => {
                buffer.extend_from_slice(read.filled());
                Ok(read.filled().len())
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

const PIECE: usize = 4 << 10;
