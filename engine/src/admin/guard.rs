//! How a request came, and who may change something: whoever may open the UNIX socket.

use std::{
    any::Any,
    future::{Ready, ready},
    net::IpAddr,
};

use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::{Extensions, Payload},
    error::ErrorForbidden,
    http::Method,
    rt::net::{TcpStream, UnixStream},
};

/// How a connection came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Arrived {
    /// By `DATA/admin.sock`.
    Unix,
    /// By TCP, to this address of ours.
    Tcp {
        /// Nothing when it is gone again.
        local: Option<IpAddr>,
    },
}

/// Proof that a request came by the UNIX socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner(());

/// Remembers how a connection came in; called once for each.
pub(super) fn mark(io: &dyn Any, connection: &mut Extensions) {
    if io.is::<UnixStream>() {
        connection.insert(Arrived::Unix);
    } else {
        let tcp = io.downcast_ref::<TcpStream>();
        let local = tcp.and_then(|tcp| tcp.local_addr().ok()).map(|address| address.ip());
        connection.insert(Arrived::Tcp { local });
    }
}

impl FromRequest for Owner {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let is_owner = request.conn_data::<Arrived>() == Some(&Arrived::Unix);
        let words = if request.method() == Method::GET {
            "this is shown through DATA/admin.sock only"
        } else {
            "changes are made through DATA/admin.sock only"
        };
        ready(is_owner.then_some(Self(())).ok_or_else(|| ErrorForbidden(words)))
    }
}
