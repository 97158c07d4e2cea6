//! How a request came, and who may change something: whoever may open the UNIX socket.

use std::{
    any::Any,
    fs,
    future::{Ready, ready},
    net::{IpAddr, SocketAddr},
};

use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::{Extensions, Payload},
    error::ErrorForbidden,
    http::Method,
    rt::net::UnixStream,
};
use nix::unistd::User;

use crate::api::{OrderWay, Who};

/// How a connection came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrived {
    /// By `DATA/admin.sock`.
    Unix(Peer),
    /// By TCP, to this address of ours.
    Tcp {
        /// Nothing when it is gone again.
        local: Option<IpAddr>,
    },
    /// The same by TLS.
    Tls {
        /// As above.
        local: Option<IpAddr>,
    },
}

/// The process at the other end of the UNIX socket, as the kernel tells; nothing where it does not.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Peer {
    uid: Option<u32>,
    gid: Option<u32>,
    pid: Option<i32>,
}

/// An operator, by the way that orders come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Giver {
    /// By the socket.
    Owner(Owner),
    /// With the token, from this address.
    Token(Option<SocketAddr>),
}

impl Giver {
    /// The operator behind it. Asks the system for names, which may take a while.
    pub(super) fn who(self) -> Who {
        match self {
            Self::Owner(owner) => owner.who(),
            Self::Token(address) => Who { way: OrderWay::Token, address, ..Who::default() },
        }
    }
}

/// Proof that a request came by the UNIX socket, and from whom.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Owner(Peer);

impl Owner {
    /// The number of its user.
    pub(super) fn uid(self) -> Option<u32> {
        self.0.uid
    }

    /// The operator behind it. Asks the system for names, which may take a while.
    pub(super) fn who(self) -> Who {
        let Peer { uid, gid, pid } = self.0;
        let user = uid.and_then(|uid| User::from_uid(uid.into()).ok().flatten());
        let user = user.map(|user| user.name);
        Who { uid, gid, user, pid, program: pid.and_then(program), ..Who::default() }
    }
}

/// The program of a process. Its file is told to nobody but its user and root; its name to all.
fn program(pid: i32) -> Option<String> {
    let of = |what: &str| format!("/proc/{pid}/{what}");
    let file = fs::read_link(of("exe")).map(|file| file.display().to_string());
    let name = file.or_else(|_| fs::read_to_string(of("comm"))).ok()?;
    Some(name.trim_end().chars().take(LONGEST_PROGRAM).collect())
}

/// Characters of a program's name.
const LONGEST_PROGRAM: usize = 255;

/// Remembers that a connection came in by the socket, and from whom; called once for each.
pub(super) fn mark(io: &dyn Any, connection: &mut Extensions) {
    let Some(unix) = io.downcast_ref::<UnixStream>() else { return };
    let peer = unix.peer_cred().map_or_else(
        |_| Peer::default(),
        |its| Peer { uid: Some(its.uid()), gid: Some(its.gid()), pid: its.pid() },
    );
    connection.insert(Arrived::Unix(peer));
}

impl FromRequest for Owner {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let owner = match request.conn_data::<Arrived>() {
            Some(Arrived::Unix(peer)) => Some(Self(*peer)),
            Some(Arrived::Tcp { .. } | Arrived::Tls { .. }) | None => None,
        };
        let words = if request.method() == Method::GET {
            "this is shown through DATA/admin.sock only"
        } else {
            "changes are made through DATA/admin.sock only"
        };
        ready(owner.ok_or_else(|| ErrorForbidden(words)))
    }
}
