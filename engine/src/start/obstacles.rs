//! Obstacles that would keep the engine from starting on this machine: found without making a
//! folder, without listening, and without a word to those who listen.
//!
//! Nothing here is asked when the engine starts: it finds out by itself, and says the same.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::{fs::FileTypeExt, net::SocketAddr as UnixAddr},
    path::Path,
};

use relais_actors::{
    front::listening::{self, BindError, Ours},
    store::check_files_user,
};
use relais_channels::mailbox;
use relais_config::{Config, Service, Store};
use rustix::fs::{Access, access, statfs};

use super::KNOWN_STORES;
use crate::{admin::socket, state::lock};

/// Something in the way of a start.
#[derive(Debug)]
pub(crate) struct Obstacle {
    /// Of the configuration.
    pub(crate) field: String,
    /// Why the engine cannot start with it.
    pub(crate) why: String,
    /// The remedy.
    pub(crate) accepted: String,
}

/// The process that has the data directory.
#[derive(Debug)]
pub(crate) enum Running {
    /// Nobody.
    Nobody,
    /// An engine, with this configuration if it says so.
    Engine(Option<Box<Config>>),
}

/// All there is.
pub(crate) fn find(config: &Config, running: &Running) -> Vec<Obstacle> {
    let mut found = Vec::new();
    found.extend(data(config));
    found.extend(store(config, running));
    found.extend(native(config));
    found.extend(native_files(config));
    for service in config.dispatcher.enabled() {
        found.extend(sockets(config, service, running));
    }
    let admin = config.admin.listen.filter(|listen| !running.listens(Ours::Port(listen.port())));
    if let Some((listen, why)) = admin.and_then(|at| Some((at, listening::tcp_obstacle(at)?))) {
        let (why, accepted) = in_words(&listen.ip().to_string(), &listen.to_string(), why);
        found.push(obstacle("admin.listen", why, accepted));
    }
    found
}

impl Running {
    /// Whether the engine that runs listens there. One that does not say so is believed to.
    fn listens(&self, place: Ours<'_>) -> bool {
        let Self::Engine(config) = self else { return false };
        let Some(config) = config else { return true };
        let mut services = config.dispatcher.enabled();
        match place {
            Ours::Port(port) => {
                let of_admin = config.admin.listen.is_some_and(|listen| listen.port() == port);
                let of = |service: &Service| {
                    service.ports.contains(&port) || service.tls_ports.contains(&port)
                };
                of_admin || services.any(of)
            }
            Ours::Socket(path) => {
                let mut sockets = services.filter_map(|service| service.socket.as_ref());
                sockets.any(|socket| config.path(socket) == path)
            }
        }
    }

    /// Whether the engine that runs has this store.
    fn has_store(&self, path: &Path) -> bool {
        let Self::Engine(config) = self else { return false };
        let Some(config) = config else { return true };
        let mut roots = config.store.iter().flat_map(Store::roots);
        roots.any(|(_, root)| is_same(&config.path(root), path))
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    std::path::absolute(one).is_ok_and(|one| one == other)
}

fn data(config: &Config) -> Option<Obstacle> {
    let data = &config.data;
    let found = folder(data).err().or_else(|| inside(data, DATA_FOLDERS, DATA_FILES).err());
    let found = found.or_else(|| {
        let own = |name: &String| [".msg", ".st"].iter().any(|end| name.ends_with(end));
        let storage = data.join("spool");
        let names = fs::read_dir(&storage).into_iter().flatten().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        let mut segments = names.filter(own).map(|name| storage.join(name));
        segments.find_map(|path| file(&path).err())
    });
    if let Some(why) = found {
        return Some(obstacle("data", why, FOLDER));
    }
    if data.join("admin.sock").is_dir() {
        let why = format!("{} is a folder", socket::path(data).display());
        return Some(obstacle("data", why, "it must be removed: the admin socket lies there"));
    }
    UnixAddr::from_pathname(socket::birthplace(data, LARGEST_PROCESS)).is_err().then(|| {
        let why = "the path is too long for the admin socket in it".to_owned();
        obstacle("data", why, "a shorter path is expected: some 80 octets do")
    })
}

fn store(config: &Config, running: &Running) -> Option<Obstacle> {
    config
        .store
        .as_ref()?
        .roots()
        .find_map(|(field, root)| partition(config, running, &field, root))
}

fn partition(config: &Config, running: &Running, field: &str, root: &Path) -> Option<Obstacle> {
    let path = config.path(root);
    let path = std::path::absolute(&path).unwrap_or(path);
    let known = config.data.join(KNOWN_STORES);
    let refused = |why, accepted: &str| Some(obstacle(field, why, accepted));
    // One that was there and is not now is waited for.
    if !path.exists() && mailbox::was_there(&path, &known) {
        return None;
    }
    let found = file(&known).and_then(|()| folder(&path));
    let found = found.and_then(|()| inside(&path, mailbox::FOLDERS, mailbox::FILES));
    if let Err(why) = found {
        return refused(why, FOLDER);
    }
    if !running.has_store(&path) && lock::is_locked(&path.join(mailbox::LOCK)) {
        let why = "another process has this store".to_owned();
        return refused(why, "each engine needs a store of its own");
    }
    None
}

/// The folder of mailboxes is the system's: none is made in its place.
fn native(config: &Config) -> Option<Obstacle> {
    let path = config.path(&config.native.as_ref()?.path);
    let why = if path.exists() {
        folder(&path).err()?
    } else {
        format!("there is no folder {}", path.display())
    };
    let accepted = "the folder of mailboxes is expected, which the engine can write to";
    Some(obstacle("native.path", why, accepted))
}

/// The account whose rights files of aliases are written with.
fn native_files(config: &Config) -> Option<Obstacle> {
    let files = &config.native.as_ref()?.files;
    let error = check_files_user(files.user.as_deref(), &files.folders).err()?;
    Some(obstacle("native.files.user", error.to_string(), "an account of this machine is expected"))
}

fn sockets(config: &Config, service: &Service, running: &Running) -> Vec<Obstacle> {
    let ours = |place: Ours<'_>| running.listens(place);
    // Accounts that are not there are told by themselves.
    let found = listening::obstacles(service, &config.data, &ours).into_iter();
    let told = found.map(|listening::Obstacle { field, place, why }| {
        let (why, accepted) = in_words(&place, &place, why);
        obstacle(&format!("dispatcher.services[{:?}].{field}", service.name), why, accepted)
    });
    told.collect()
}

/// Why a place cannot be listened on, and what is to be done.
fn in_words(host: &str, place: &str, why: BindError) -> (String, &'static str) {
    match why {
        BindError::System(error) => match error.kind() {
            io::ErrorKind::AddrInUse => (
                format!("another program listens on {place}"),
                "it must be stopped first (ss -ltnp shows which), or another port is expected",
            ),
            io::ErrorKind::AddrNotAvailable => (
                format!("this machine has no address {host}"),
                "one of its own is expected (ip address shows them); without the field it is all of them",
            ),
            io::ErrorKind::PermissionDenied => (
                format!("listening on {place} is not allowed"),
                match place.parse::<SocketAddr>() {
                    Ok(_) => {
                        "ports below 1024 are for root and for those with CAP_NET_BIND_SERVICE"
                    }
                    Err(_) => "check as the user whom the engine runs as",
                },
            ),
            _ => (format!("cannot listen on {place}: {error}"), "another place is expected"),
        },
        BindError::NoFolder(folder) => (
            format!("cannot listen on {place}: there is no folder {}", folder.display()),
            "it must be made: the engine makes none but data",
        ),
        BindError::NoSocket => (
            format!("cannot listen on {place}: what is there is no socket"),
            "it must be removed, or another path is expected",
        ),
        BindError::Alive => (
            format!("another program listens on {place}"),
            "it must be stopped first, or another path is expected",
        ),
        BindError::Access(_) => (
            format!("the owner or group of {place} cannot be set"),
            "only root gives files away: leave it out, or check as the user whom the engine runs as",
        ),
        error @ BindError::NoAccount { .. } => {
            (error.to_string(), "the name or number of an account of this machine is expected")
        }
    }
}

fn obstacle(field: &str, why: String, accepted: impl Into<String>) -> Obstacle {
    Obstacle { field: field.to_owned(), why, accepted: accepted.into() }
}

/// Whether a folder is there that can be used, or can be made.
fn folder(path: &Path) -> Result<(), String> {
    // Where it is made, as far as it is not there.
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let is_there = |above: &&Path| fs::symlink_metadata(above).is_ok();
    let there = absolute.ancestors().find(is_there).unwrap_or(Path::new("/"));
    match fs::metadata(there) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) if there == absolute => return Err(format!("{} is no folder", there.display())),
        Ok(_) => return Err(cannot_make(&absolute, &format!("{} is no folder", there.display()))),
        Err(error) => return Err(format!("{}: {error}", there.display())),
    }
    let is_made = there != absolute;
    let mut wanted = Access::WRITE_OK | Access::EXEC_OK;
    if !is_made {
        wanted |= Access::READ_OK;
    }
    let told = |why: &str| {
        if is_made { cannot_make(&absolute, why) } else { format!("{}: {why}", there.display()) }
    };
    // Some of them say of folders that they can be written to.
    let kind = statfs(there).ok().and_then(|of| u64::try_from(of.f_type).ok());
    if let Some((_, name)) = KERNEL_FILE_SYSTEMS.iter().find(|(magic, _)| kind == Some(*magic)) {
        let there = there.display();
        return Err(told(&format!("{there} is of the kernel ({name}), and keeps no files")));
    }
    access(there, wanted).map_err(|error| {
        let error = io::Error::from(error);
        match error.kind() {
            io::ErrorKind::PermissionDenied => {
                let there = there.display();
                told(&format!(
                    "this user may not write to {there} (check as the user whom the engine runs as)"
                ))
            }
            _ => told(&error.to_string()),
        }
    })
}

fn cannot_make(path: &Path, why: &str) -> String {
    format!("{} cannot be made: {why}", path.display())
}

/// Whether what is in a folder of ours, as far as it is there, is what it has to be.
fn inside(path: &Path, folders: &[&str], files: &[&str]) -> Result<(), String> {
    let there = |name: &&&str| fs::symlink_metadata(path.join(name)).is_ok();
    folders.iter().filter(there).try_for_each(|name| folder(&path.join(name)))?;
    files.iter().try_for_each(|name| file(&path.join(name)))
}

/// Whether a file, if it is there, is one and can be used.
fn file(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::metadata(path) else { return Ok(()) };
    let kind = meta.file_type();
    if kind.is_dir() || kind.is_fifo() || kind.is_socket() {
        return Err(format!("{} is no file", path.display()));
    }
    access(path, Access::READ_OK | Access::WRITE_OK).map_err(|error| match error {
        rustix::io::Errno::ACCESS => format!("this user may not write to {}", path.display()),
        error => format!("{}: {}", path.display(), io::Error::from(error)),
    })
}

const FOLDER: &str =
    "a folder is expected that the engine can use, or a path where it can make one";
/// Of Linux (`PID_MAX_LIMIT`).
const LARGEST_PROCESS: u32 = 4_194_304;
/// Of the data directory.
const DATA_FOLDERS: &[&str] = &["spool", "spool/large", "spool/quarantine", "native"];
const DATA_FILES: &[&str] = &["lock", "stopped", "autoreplies"];
/// In which no folder of ours can be (`statfs(2)`).
const KERNEL_FILE_SYSTEMS: &[(u64, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x1cd1, "devpts"),
    (0x6367_7270, "cgroup2"),
    (0x0027_e0eb, "cgroup"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xcafe_4a11, "bpf"),
];
