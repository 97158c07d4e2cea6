//! Sockets that somebody else has bound: the engine before this one, or the service manager. A
//! service listens on those that are where it is to listen, and no connection is refused meanwhile.

use std::{
    ffi::OsStr,
    io,
    net::SocketAddr,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::net::{SocketAddrAny, getsockname, sockopt::socket_acceptconn};

/// Sockets that listen already, until a service takes them.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Place, OwnedFd)>,
    /// The lender keeps them, whatever becomes of us.
    lent: bool,
}

#[derive(Debug, Eq, PartialEq)]
enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Inherited {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// Of the service manager, which keeps them.
    pub fn lent(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        Ok(Self { lent: true, ..Self::of(sockets)? })
    }

    /// Of the engine before this one. What does not listen is an error.
    pub fn of(sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let placed = sockets.into_iter().map(|socket| Ok((place_of(&socket)?, socket)));
        Ok(Self { sockets: placed.collect::<io::Result<_>>()?, lent: false })
    }

    /// Whether they stay with whoever has lent them.
    pub fn are_lent(&self) -> bool {
        self.lent
    }

    /// How many nobody has taken.
    pub fn left(&self) -> usize {
        self.sockets.len()
    }

    /// Where the sockets listen that nobody has taken, for people.
    pub fn places(&self) -> Vec<String> {
        let place = |(place, _): &(Place, OwnedFd)| match place {
            Place::Tcp(address) => address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        };
        self.sockets.iter().map(place).collect()
    }

    pub(super) fn take_tcp(&mut self, wanted: SocketAddr) -> Option<OwnedFd> {
        self.take(|place| match place {
            Place::Tcp(address) => is_same(*address, wanted),
            Place::Unix(_) => false,
        })
    }

    pub(super) fn take_unix(&mut self, wanted: &Path) -> Option<OwnedFd> {
        self.take(|place| matches!(place, Place::Unix(path) if path == wanted))
    }

    fn take(&mut self, is_it: impl Fn(&Place) -> bool) -> Option<OwnedFd> {
        let index = self.sockets.iter().position(|(place, _)| is_it(place))?;
        Some(self.sockets.swap_remove(index).1)
    }
}

/// Every address of IPv6 is every address of IPv4, too.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() && other.ip().is_unspecified();
    one.port() == other.port() && (everywhere || one.ip() == other.ip())
}

fn place_of(socket: &OwnedFd) -> io::Result<Place> {
    let other = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);
    if !socket_acceptconn(socket)? {
        return Err(other("a socket was handed over that does not listen"));
    }
    let address: SocketAddrAny = getsockname(socket)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(Place::Tcp(address));
    }
    let unix = rustix::net::SocketAddrUnix::try_from(address).ok();
    let path = unix.as_ref().and_then(|unix| unix.path_bytes());
    let path =
        path.ok_or_else(|| other("a socket was handed over that is neither TCP nor a file"))?;
    Ok(Place::Unix(OsStr::from_bytes(path).into()))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, UdpSocket},
        os::unix::net::UnixListener,
    };

    use super::*;

    #[test]
    fn a_socket_is_taken_once_by_who_is_to_listen_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let (tcp, unix) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&path).unwrap());
        let everywhere = TcpListener::bind("[::]:0").unwrap();
        let (address, port) = (tcp.local_addr().unwrap(), everywhere.local_addr().unwrap().port());
        let mut inherited =
            Inherited::of(vec![tcp.into(), unix.into(), everywhere.into()]).unwrap();
        assert!(inherited.take_tcp(([127, 0, 0, 1], 1).into()).is_none());
        assert!(inherited.take_tcp(([127, 0, 0, 2], address.port()).into()).is_none());
        assert!(inherited.take_tcp(([0, 0, 0, 0], port).into()).is_some());
        assert!(inherited.take_tcp(address).is_some() && inherited.take_tcp(address).is_none());
        assert_eq!(inherited.places(), [format!("unix:{}", path.display())]);
        assert!(inherited.take_unix(&path).is_some());
        assert_eq!(inherited.left(), 0);
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(Inherited::of(vec![udp.into()]).is_err());
    }
}
