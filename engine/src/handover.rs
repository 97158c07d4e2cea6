//! The place of a running engine is taken by another process: sockets pass from one to the other over
//! `DATA/handover.sock` (unix(7), `SCM_RIGHTS`), and no connection is refused in between. Whoever asks
//! has read its configuration already; it waits for the lock of the data directory, and connections
//! wait in the sockets.

use std::{
    fs, io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    time::Duration,
};

use relais_actors::front::inherited::Inherited;
use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::task::spawn_blocking;
use tracing::warn;

/// Where an engine is asked for its sockets.
#[derive(Debug)]
pub struct Desk {
    listener: tokio::net::UnixListener,
    path: PathBuf,
}

impl Desk {
    /// Listens, for the owner of the data directory alone. The caller holds its lock: what lies there
    /// is left over.
    pub fn open(data: &Path) -> io::Result<Self> {
        let path = path(data);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&path)?)?;
        // Nobody can connect before it listens.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from(OwnedFd::from(socket));
        Ok(Self { listener: tokio::net::UnixListener::from_std(listener)?, path })
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) -> Asker {
        loop {
            let accepted = self.listener.accept().await;
            let stream = accepted.and_then(|(stream, _)| stream.into_std());
            match stream.and_then(Asker::of) {
                Ok(asker) => return asker,
                Err(error) => warn!(%error, "somebody asked for the sockets in vain"),
            }
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // One that stays behind is removed by the next engine.
        let _ = fs::remove_file(&self.path);
    }
}

/// A process that is to take this one's place.
#[derive(Debug)]
pub struct Asker(UnixStream);

impl Asker {
    fn of(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(stream))
    }

    /// Gives it the sockets.
    pub async fn give(self, sockets: Vec<OwnedFd>) -> io::Result<()> {
        spawn_blocking(move || {
            let sockets: Vec<_> = sockets.iter().map(OwnedFd::as_fd).collect();
            for some in sockets.chunks(AT_ONCE) {
                send(&self.0, some)?;
            }
            send(&self.0, &[])
        })
        .await?
    }
}

/// Asks the engine that runs on `data` for its sockets; it ends when it has given them. `None`: no
/// engine runs there.
pub fn ask(data: &Path) -> io::Result<Option<Inherited>> {
    let stream = match UnixStream::connect(path(data)) {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut sockets = Vec::new();
    while let Some(some) = receive(&stream)? {
        sockets.extend(some);
    }
    Inherited::of(sockets).map(Some)
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// One octet says how many there are; none is the end.
fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
    let mut along = SendAncillaryBuffer::new(&mut space);
    if !sockets.is_empty() {
        along.push(SendAncillaryMessage::ScmRights(sockets));
    }
    let count = [sockets.len() as u8];
    sendmsg(stream, &[io::IoSlice::new(&count)], &mut along, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(AT_ONCE))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0];
    let buffer = &mut [io::IoSliceMut::new(&mut count)];
    let received = recvmsg(stream, buffer, &mut along, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            sockets.extend(some);
        }
    }
    match (received.bytes, usize::from(count[0])) {
        (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, 0) => Ok(None),
        (_, count) if count == sockets.len() => Ok(Some(sockets)),
        _ => Err(io::Error::other("not all sockets came through: are there open files left?")),
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("handover.sock")
}

/// Sockets in one message; unix(7) has 253.
const AT_ONCE: usize = 200;
/// Processes that may ask at once.
const BACKLOG: i32 = 4;
/// For the other process to do its part.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn sockets_pass_to_who_asks_and_connections_wait_in_them() {
        let data = tempfile::tempdir().unwrap();
        assert!(ask(data.path()).unwrap().is_none(), "nobody runs");
        let desk = Desk::open(data.path()).unwrap();
        let listeners: Vec<_> =
            (0..300).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = listeners[299].local_addr().unwrap();
        let folder = data.path().to_owned();
        let asking = spawn_blocking(move || ask(&folder));
        let asker = desk.asked().await;
        asker.give(listeners.into_iter().map(OwnedFd::from).collect()).await.unwrap();
        let inherited = asking.await.unwrap().unwrap().unwrap();
        assert_eq!(inherited.left(), 300);
        assert!(TcpStream::connect(address).is_ok(), "it still listens");
        drop(desk);
        assert!(ask(data.path()).unwrap().is_none());
    }
}
