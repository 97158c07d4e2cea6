//! Who may change something: whoever may open the UNIX socket.

use std::{
    any::Any,
    future::{Ready, ready},
};

use actix_web::{
    Error, FromRequest, HttpRequest,
    dev::{Extensions, Payload},
    error::ErrorForbidden,
    rt::net::UnixStream,
};

/// Proof that a request came by the UNIX socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner(());

/// Remembers how a connection came in; called once for each.
pub(super) fn mark(io: &dyn Any, connection: &mut Extensions) {
    if io.is::<UnixStream>() {
        connection.insert(Owner(()));
    }
}

impl FromRequest for Owner {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let owner = request.conn_data::<Self>().copied();
        let refusal = || ErrorForbidden("changes are made through DATA/admin.sock only");
        ready(owner.ok_or_else(refusal))
    }
}
