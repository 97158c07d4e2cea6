//! The operator's endpoint.

use std::net::SocketAddr;

use crate::file::{
    collections::{List, Maybe},
    form::{Form, Section},
    kinds::Parsed,
    names::DOMAIN,
};

/// Where metrics, health and read-only pages are served. Writes go by `DATA/admin.sock` only.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    /// TCP address; `None` leaves only the UNIX socket.
    pub listen: Option<SocketAddr>,
    /// Names in URLs that are answered there beside `localhost`, `host` and its addresses.
    pub names: Vec<String>,
}

impl Section for Admin {
    fn fields(&mut self, form: &mut impl Form) {
        let expected = "an address and a port are expected, such as \"127.0.0.1:9225\"";
        form.field("listen", Maybe(Parsed { expected }), &mut self.listen);
        form.field("names", List(DOMAIN), &mut self.names);
    }
}
