//! A connected socket that may cross threads: nobody's runtime knows it yet.

use std::{io::Write, mem::MaybeUninit, net, os::unix};

use socket2::SockRef;

/// A connected, non-blocking socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(net::TcpStream),
    /// UNIX-domain stream.
    Unix(unix::net::UnixStream),
}

/// Whether octets have come already.
pub(super) fn has_something_to_read<'s, S>(socket: &'s S) -> bool
where
    SockRef<'s>: From<&'s S>,
{
    SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]).is_ok_and(|octets| octets > 0)
}

impl Socket {
    /// Whether octets have come already.
    pub fn has_something_to_read(&self) -> bool {
        match self {
            Self::Tcp(socket) => has_something_to_read(socket),
            Self::Unix(socket) => has_something_to_read(socket),
        }
    }

    /// Writes a line and closes. The socket is new, so its buffer takes the line at once; if it
    /// does not, the client is told nothing and that is all.
    pub fn refuse(self, text: &str) {
        let line = format!("{text}\r\n");
        let _ = match self {
            Self::Tcp(mut socket) => socket.write(line.as_bytes()),
            Self::Unix(mut socket) => socket.write(line.as_bytes()),
        };
    }
}
