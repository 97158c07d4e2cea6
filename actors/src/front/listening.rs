//! Sockets that listen: bound before anything else happens, so that the commonest mistake is told
//! at once.

use std::{
    fs, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    os::fd::OwnedFd,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use relais_config::dispatcher::Service;
use rustix::fs::Access;

use super::inherited::Inherited;
use crate::accounts;

/// A socket that listens. The dispatcher keeps it beyond the life of a service: connections wait in
/// it while none serves.
#[derive(Debug)]
pub enum Listening {
    /// TCP, and the address it is bound to.
    Tcp(TcpListener, SocketAddr),
    /// A UNIX socket.
    Unix(UnixListener, Arc<SocketFile>),
}

/// The name of a UNIX socket, taken away with the last listener on it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Somebody else takes it away.
    is_given: AtomicBool,
}

/// A service that cannot listen where the configuration says. The administrator must act.
#[derive(Debug, thiserror::Error)]
#[error("service {service}: cannot listen on {place}: {source}")]
pub struct ListenError {
    service: String,
    place: String,
    source: BindError,
}

/// Why a place cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The system refuses.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The socket is there, and somebody answers on it.
    #[error("another program listens there")]
    Alive,
    /// Neither a socket nor nothing.
    #[error("what is there is no socket")]
    NoSocket,
    /// Its folder is not there.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// `socket_owner` or `socket_group`.
    #[error("this machine has no {kind} {name}")]
    NoAccount {
        /// User or group.
        kind: &'static str,
        /// As it stands in the configuration.
        name: String,
    },
    /// Only root gives files away.
    #[error("its owner, group or mode cannot be set: {0}")]
    Access(io::Error),
}

impl Listening {
    /// Binds every socket of a service, or takes it from those that listen there already. A relative
    /// path of a UNIX socket lies below `data`.
    pub fn bind(
        service: &Service,
        data: &Path,
        inherited: &mut Inherited,
    ) -> Result<Vec<Self>, ListenError> {
        let error = |place: String| {
            let service = service.name.clone();
            move |source: BindError| ListenError { service, place, source }
        };
        let backlog = backlog(service);
        if let Some(path) = &service.socket {
            let path = data.join(path);
            let bound = match inherited.take_unix(&path) {
                Some(socket) => {
                    let is_lent = inherited.are_lent();
                    inherit_unix(socket, &path, backlog, is_lent).map_err(BindError::from)
                }
                None => bind_unix(&path, backlog, service),
            };
            return bound.map(|bound| vec![bound]).map_err(error(path.display().to_string()));
        }
        let mut listening = Vec::new();
        for &port in service.ports.iter().chain(&service.tls_ports) {
            // Without an address: every interface, IPv4 as well where the system maps it.
            let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            let address = SocketAddr::new(service.interface_address.unwrap_or(any), port);
            let bound = match inherited.take_tcp(address) {
                Some(socket) => inherit_tcp(socket, backlog),
                None => bound_tcp(address, service).and_then(|it| listen_tcp(it, backlog)),
            };
            listening.push(bound.map_err(|e| error(address.to_string())(e.into()))?);
        }
        Ok(listening)
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket, address) => socket.try_clone().map(|s| Self::Tcp(s, *address)),
            Self::Unix(socket, file) => socket.try_clone().map(|s| Self::Unix(s, file.clone())),
        }
    }

    /// The name of a UNIX socket, for as long as somebody listens on it.
    pub(crate) fn file(&self) -> Option<Weak<SocketFile>> {
        match self {
            Self::Tcp(..) => None,
            Self::Unix(_, file) => Some(Arc::downgrade(file)),
        }
    }

    /// The socket for the engine that takes this one's place. Connections wait in it meanwhile, as
    /// many as the kernel lets; the name of a UNIX socket is that engine's from now on.
    pub(crate) fn hand_over(&self) -> io::Result<OwnedFd> {
        let socket: OwnedFd = match self {
            Self::Tcp(socket, _) => socket.try_clone()?.into(),
            Self::Unix(socket, file) => {
                file.is_given.store(true, Relaxed);
                socket.try_clone()?.into()
            }
        };
        rustix::net::listen(&socket, i32::from(u16::MAX))?;
        Ok(socket)
    }

    /// Whether a service is to listen there.
    pub(super) fn is_where(&self, service: &Service, data: &Path) -> bool {
        match self {
            Self::Tcp(_, address) => {
                let mut ports = service.ports.iter().chain(&service.tls_ports);
                ports.any(|port| *port == address.port())
            }
            Self::Unix(_, file) => {
                service.socket.as_ref().is_some_and(|path| data.join(path) == file.path)
            }
        }
    }

    /// The port of TCP.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(_, address) => Some(address.port()),
            Self::Unix(..) => None,
        }
    }

    /// Where it listens, for people.
    pub fn place(&self) -> String {
        match self {
            Self::Tcp(_, address) => address.to_string(),
            Self::Unix(_, file) => format!("unix:{}", file.path.display()),
        }
    }
}

/// Whether the accounts of a service's socket are there.
pub fn accounts(service: &Service) -> Result<(), BindError> {
    owner(service).and(group(service)).map(|_| ())
}

/// A field of a service because of which [`Listening::bind`] would fail.
#[derive(Debug)]
pub struct Obstacle {
    /// `socket`, `ports[0]`.
    pub field: String,
    /// Where it was to listen.
    pub place: String,
    /// Why it cannot.
    pub why: BindError,
}

/// Why [`Listening::bind`] would fail, found without listening and without leaving anything behind.
/// What `ours` knows of is where an engine of this configuration listens already. The accounts of a
/// socket are taken to be there.
pub fn obstacles(service: &Service, data: &Path, ours: &dyn Fn(Ours<'_>) -> bool) -> Vec<Obstacle> {
    if let Some(path) = &service.socket {
        let path = data.join(path);
        let found = if ours(Ours::Socket(&path)) { Ok(()) } else { probe_unix(&path, data) };
        let found = found.map_err(|why| ("socket", why)).and_then(|()| may_be_given(service));
        let place = path.display().to_string();
        let obstacle = |(field, why)| Obstacle { field: String::from(field), place, why };
        return found.map_err(obstacle).err().into_iter().collect();
    }
    let listed = |field: &'static str, ports: &'_ [u16]| {
        let numbered = ports.iter().enumerate();
        numbered.map(|(i, port)| (format!("{field}[{i}]"), *port)).collect::<Vec<_>>()
    };
    let ports = [listed("ports", &service.ports), listed("tls_ports", &service.tls_ports)].concat();
    let mut found = Vec::new();
    for (named, port) in ports.into_iter().filter(|(_, port)| !ours(Ours::Port(*port))) {
        let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let address = SocketAddr::new(service.interface_address.unwrap_or(any), port);
        let Err(error) = bound_tcp(address, service) else { continue };
        let elsewhere = error.kind() == io::ErrorKind::AddrNotAvailable;
        let (field, place) = if elsewhere {
            ("interface_address".to_owned(), address.ip().to_string())
        } else {
            (named, address.to_string())
        };
        found.push(Obstacle { field, place, why: error.into() });
        if elsewhere {
            break;
        }
    }
    found
}

/// Why [`obstacles`] would be found for a TCP address that something else than a service is to
/// listen on.
pub fn tcp_obstacle(address: SocketAddr) -> Option<BindError> {
    bind_only(address).err().map(BindError::from)
}

/// Sockets that an engine may be listening on already.
#[derive(Clone, Copy, Debug)]
pub enum Ours<'a> {
    /// Of any address.
    Port(u16),
    /// The file of a socket.
    Socket(&'a Path),
}

fn backlog(service: &Service) -> i32 {
    let limits = &service.limits;
    let most = limits.connections().max(5);
    let backlog = limits.backlog.unwrap_or(u32::try_from(most).unwrap_or(u32::MAX));
    i32::try_from(backlog).unwrap_or(i32::MAX)
}

/// Bound to the address; without one in the configuration to that of IPv4 where there is no IPv6.
fn bound_tcp(address: SocketAddr, service: &Service) -> io::Result<socket2::Socket> {
    bind_only(address).or_else(|failed| match service.interface_address {
        None => bind_only(SocketAddr::from(([0, 0, 0, 0], address.port()))),
        Some(_) => Err(failed),
    })
}

/// Nobody notices a socket that is bound and does not listen: others may be bound to the same place.
fn bind_only(address: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Replies are small and answered at once: nothing is gained by waiting for more. What is
    // accepted inherits it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen_tcp(socket: socket2::Socket, backlog: i32) -> io::Result<Listening> {
    socket.listen(backlog)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok(Listening::Tcp(socket, address))
}

fn inherit_tcp(socket: OwnedFd, backlog: i32) -> io::Result<Listening> {
    let socket = socket2::Socket::from(socket);
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    listen_tcp(socket, backlog)
}

/// The lender of a socket takes its name away, too.
fn inherit_unix(
    socket: OwnedFd,
    path: &Path,
    backlog: i32,
    is_lent: bool,
) -> io::Result<Listening> {
    let socket = socket2::Socket::from(socket);
    socket.set_nonblocking(true)?;
    socket.listen(backlog)?;
    let file = SocketFile::of(path)?;
    file.is_given.store(is_lent, Relaxed);
    Ok(Listening::Unix(UnixListener::from(OwnedFd::from(socket)), Arc::new(file)))
}

/// Nobody can connect before the socket listens, and it listens only when its owner, group and mode
/// are right.
fn bind_unix(path: &Path, backlog: i32, service: &Service) -> Result<Listening, BindError> {
    let (owner, group) = (owner(service)?, group(service)?);
    make_way(path)?;
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    if owner.is_some() || group.is_some() {
        lchown(path, owner, group).map_err(BindError::Access)?;
    }
    let mode = fs::Permissions::from_mode(service.socket_mode);
    fs::set_permissions(path, mode).map_err(BindError::Access)?;
    socket.listen(backlog)?;
    Ok(Listening::Unix(UnixListener::from(OwnedFd::from(socket)), Arc::new(file)))
}

/// A socket that nobody listens on was left behind by a program that is gone; anything else stays.
fn make_way(path: &Path) -> Result<(), BindError> {
    if is_left_over(path)? { Ok(fs::remove_file(path)?) } else { Ok(()) }
}

/// Whether a socket is there that nobody listens on; nothing is there otherwise.
fn is_left_over(path: &Path) -> Result<bool, BindError> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.exists());
            return folder.map_or(Ok(false), |folder| Err(BindError::NoFolder(folder.to_owned())));
        }
        Err(error) => return Err(error.into()),
    };
    if !meta.file_type().is_socket() {
        return Err(BindError::NoSocket);
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        // Also a socket of another type, or one that we may not connect to: it is not ours.
        Ok(_) | Err(_) => Err(BindError::Alive),
    }
}

/// Whether a socket could be bound to this path. The engine makes `data`, and no other folder.
fn probe_unix(path: &Path, data: &Path) -> Result<(), BindError> {
    match is_left_over(path) {
        Err(BindError::NoFolder(folder)) if folder == data => return Ok(()),
        found => found?,
    };
    let folder = path.parent().unwrap_or(path);
    let allowed = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::access(folder, allowed).map_err(io::Error::from)?)
}

/// Whether this process may give the socket to those whom the configuration names.
fn may_be_given(service: &Service) -> Result<(), (&'static str, BindError)> {
    let refused = || BindError::Access(rustix::io::Errno::PERM.into());
    if gives_files_away() {
        return Ok(());
    }
    let others = |uid: u32| uid != rustix::process::geteuid().as_raw();
    if owner(service).is_ok_and(|owner| owner.is_some_and(others)) {
        return Err(("socket_owner", refused()));
    }
    let groups = rustix::process::getgroups().unwrap_or_default();
    let mut own: Vec<_> = groups.iter().map(|gid| gid.as_raw()).collect();
    own.push(rustix::process::getegid().as_raw());
    if group(service).is_ok_and(|group| group.is_some_and(|gid| !own.contains(&gid))) {
        return Err(("socket_group", refused()));
    }
    Ok(())
}

/// Whether this process has `CAP_CHOWN`; said to be so where that cannot be told.
fn gives_files_away() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    capabilities.is_none_or(|capabilities| capabilities & 1 != 0)
}

fn owner(service: &Service) -> Result<Option<u32>, BindError> {
    account("user", service.socket_owner.as_deref(), accounts::user_id)
}

fn group(service: &Service) -> Result<Option<u32>, BindError> {
    account("group", service.socket_group.as_deref(), accounts::group_id)
}

fn account(
    kind: &'static str,
    name: Option<&str>,
    find: impl Fn(&str) -> Result<Option<u32>, nix::Error>,
) -> Result<Option<u32>, BindError> {
    let Some(name) = name else { return Ok(None) };
    let id = find(name).map_err(io::Error::from)?;
    id.map(Some).ok_or_else(|| BindError::NoAccount { kind, name: name.to_owned() })
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        let (device, inode) = (meta.dev(), meta.ino());
        Ok(Self { path: path.to_owned(), device, inode, is_given: false.into() })
    }

    /// Whether clients that connect to it come to us.
    pub(crate) fn is_there(&self) -> bool {
        let ours = |meta: &fs::Metadata| (meta.dev(), meta.ino()) == (self.device, self.inode);
        fs::symlink_metadata(&self.path).is_ok_and(|meta| ours(&meta))
    }

    /// The words for an operator when it is not.
    pub(crate) fn words_of_absence(&self, service: &str) -> String {
        let path = self.path.display();
        format!(
            "service {service} cannot be reached: somebody has removed or replaced its socket \
             {path}; `relais stop {service}` and `relais start {service}` make it again"
        )
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if !*self.is_given.get_mut() && self.is_there() {
            // A socket file that stays behind is made way for at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use relais_config::Config;

    use super::*;

    /// A service on a socket `name`, with further fields.
    fn service(fields: &str) -> Service {
        let ports = r#"interface_address: "127.0.0.1", ports: [2525]"#;
        let text = relais_config::STANDALONE.replace(ports, fields);
        let (config, _) = Config::parse("f", &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        config.dispatcher.services.into_iter().find(|service| service.name == "SMTP").unwrap()
    }

    #[test]
    fn a_socket_lies_below_data_with_its_mode_and_goes_with_its_last_listener() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("lmtp");
        let service = service(r#"socket: "lmtp", socket_mode: "0620""#);
        let bound = Listening::bind(&service, data.path(), &mut Inherited::none()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o620);
        assert!(UnixStream::connect(&path).is_ok());
        let again =
            Listening::bind(&service, data.path(), &mut Inherited::none()).unwrap_err().to_string();
        assert!(again.ends_with("/lmtp: another program listens there"), "{again}");
        let clone = bound[0].try_clone().unwrap();
        drop(bound);
        assert!(UnixStream::connect(&path).is_ok());
        drop(clone);
        assert!(!path.exists());
    }

    #[test]
    fn the_name_of_a_socket_that_is_lent_stays_with_whoever_has_lent_it() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("lmtp");
        let service = service(r#"socket: "lmtp""#);
        for (is_lent, stays) in [(true, true), (false, false)] {
            let lender: OwnedFd = UnixListener::bind(&path).unwrap().into();
            let sockets = vec![lender.try_clone().unwrap()];
            let inherited = if is_lent { Inherited::lent(sockets) } else { Inherited::of(sockets) };
            let bound = Listening::bind(&service, data.path(), &mut inherited.unwrap()).unwrap();
            assert!(UnixStream::connect(&path).is_ok());
            drop(bound);
            assert_eq!(path.exists(), stays, "lent: {is_lent}");
            let _ = fs::remove_file(&path);
        }
    }

    #[test]
    fn a_socket_that_was_left_over_is_replaced_and_nothing_else_is() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("lmtp");
        let service = service(r#"socket: "lmtp""#);
        // The listener of the standard library leaves its name behind.
        drop(UnixListener::bind(&path).unwrap());
        let bound = Listening::bind(&service, data.path(), &mut Inherited::none()).unwrap();
        // Another socket at this path is not removed.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        let refused =
            Listening::bind(&service, data.path(), &mut Inherited::none()).unwrap_err().to_string();
        assert!(refused.ends_with("what is there is no socket"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }

    #[test]
    fn what_keeps_a_socket_from_being_there_is_named() {
        let data = tempfile::tempdir().unwrap();
        let rows = [
            (r#"socket: "a/lmtp""#, "there is no folder"),
            (r#"socket: "s", socket_group: "nobody-of-that-name""#, "has no group nobody-of-"),
            (r#"socket: "s", socket_owner: "nobody-of-that-name""#, "has no user nobody-of-"),
        ];
        for (fields, want) in rows {
            let error = Listening::bind(&service(fields), data.path(), &mut Inherited::none())
                .unwrap_err()
                .to_string();
            assert!(error.contains(want), "{fields}: {error}");
            assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "{fields}");
        }
    }
}
