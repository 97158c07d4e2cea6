//! A socket of either kind.

use std::io::{self, IoSlice};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// Connected to an LMTP server.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX-domain stream.
    Unix(UnixStream),
}

impl Stream {
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
        }
    }

    pub(super) async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices).await,
            Self::Unix(stream) => stream.write_vectored(slices).await,
        }
    }

    /// Reads the octets that have come, without waiting; 0 when the peer has closed.
    pub(super) fn try_read(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Open, with nothing to read. If there is something, an octet of it is gone.
    pub(super) fn is_silent(&self) -> bool {
        let mut octet = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut octet),
            Self::Unix(stream) => stream.try_read(&mut octet),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
