//! A socket of either kind, in clear or behind TLS.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::tls::{ClientStream, ClientTls, HandshakeRefused, TlsDemand, Towards};

/// Connected to a server.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// UNIX-domain stream.
    Unix(UnixStream),
    /// TLS over TCP.
    TcpTls(Box<ClientStream<TcpStream>>),
    /// TLS over a UNIX-domain stream.
    UnixTls(Box<ClientStream<UnixStream>>),
}

/// How far away a server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nearness {
    /// On this machine, by a UNIX socket.
    Unix,
    /// On this machine.
    Loopback,
    /// Somebody may listen on the way.
    Elsewhere,
}

impl Stream {
    pub(super) async fn read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
            Self::TcpTls(stream) => closed_anyhow(stream.read(buffer).await),
            Self::UnixTls(stream) => closed_anyhow(stream.read(buffer).await),
        }
    }

    pub(super) async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(slices).await,
            Self::Unix(stream) => stream.write_vectored(slices).await,
            Self::TcpTls(stream) => stream.write_vectored(slices).await,
            Self::UnixTls(stream) => stream.write_vectored(slices).await,
        }
    }

    /// Sends what TLS has kept back.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
            Self::TcpTls(stream) => stream.flush().await,
            Self::UnixTls(stream) => stream.flush().await,
        }
    }

    /// Says that nothing more comes, as far as that can be said.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
            Self::TcpTls(stream) => stream.close().await,
            Self::UnixTls(stream) => stream.close().await,
        }
    }

    /// Reads the octets that have come, without waiting; 0 when the peer has closed.
    pub(super) fn try_read(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer),
            Self::TcpTls(stream) => closed_anyhow(stream.try_read(buffer)),
            Self::UnixTls(stream) => closed_anyhow(stream.try_read(buffer)),
        }
    }

    /// Open, with nothing to read. If there is something, a piece of it is gone.
    pub(super) fn is_silent(&mut self) -> bool {
        let mut octet = [0];
        let read = match self {
            Self::Tcp(stream) => stream.try_read(&mut octet),
            Self::Unix(stream) => stream.try_read(&mut octet),
            Self::TcpTls(stream) => stream.try_read(&mut Vec::new()),
            Self::UnixTls(stream) => stream.try_read(&mut Vec::new()),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(super) fn nearness(&self) -> Nearness {
        let of_tcp = |stream: &TcpStream| match stream.peer_addr() {
            Ok(peer) if peer.ip().to_canonical().is_loopback() => Nearness::Loopback,
            _ => Nearness::Elsewhere,
        };
        match self {
            Self::Tcp(stream) => of_tcp(stream),
            Self::TcpTls(stream) => of_tcp(stream.socket()),
            Self::Unix(_) | Self::UnixTls(_) => Nearness::Unix,
        }
    }

    /// Acknowledges what has come, now. A server that sends its replies in two small pieces keeps the second
    /// until the first is acknowledged (RFC 896), and the system does so up to 40 ms late as long as we
    /// have nothing to send (RFC 1122 section 4.2.3.2).
    pub(super) fn acknowledge(&self) {
        let now = |stream: &TcpStream| stream.set_quickack(true);
        // Where it cannot be done, the reply comes a little later.
        let _ = match self {
            Self::Tcp(stream) => now(stream),
            Self::TcpTls(stream) => now(stream.socket()),
            Self::Unix(_) | Self::UnixTls(_) => Ok(()),
        };
    }

    /// Our end and the server's, of a connection over TCP.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let Self::Tcp(stream) = self else { return None };
        stream.local_addr().ok().zip(stream.peer_addr().ok())
    }

    /// Shakes hands with the server of this name.
    pub(super) async fn secure(
        self,
        tls: &ClientTls,
        (host, demand): (&str, &TlsDemand),
    ) -> Result<(Self, Towards), HandshakeRefused> {
        Ok(match self {
            Self::Tcp(stream) => {
                let (stream, towards) = tls.connect(host, demand, stream).await?;
                (Self::TcpTls(Box::new(stream)), towards)
            }
            Self::Unix(stream) => {
                let (stream, towards) = tls.connect(host, demand, stream).await?;
                (Self::UnixTls(Box::new(stream)), towards)
            }
            Self::TcpTls(_) | Self::UnixTls(_) => return Err(HandshakeRefused::twice()),
        })
    }
}

/// A server that closes without the farewell of TLS has closed: whatever mattered had its own end.
fn closed_anyhow(read: io::Result<usize>) -> io::Result<usize> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        read => read,
    }
}
