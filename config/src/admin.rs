//! The operator's endpoint.

use std::net::SocketAddr;

use crate::{
    kinds::{Maybe, Parsed},
    section::{Form, Section},
};

/// Where metrics, health and read-only pages are served. Writes go by `DATA/admin.sock` only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Admin {
    /// TCP address; `None` leaves only the UNIX socket.
    pub listen: Option<SocketAddr>,
}

impl Section for Admin {
    fn fields(&mut self, form: &mut impl Form) {
        let expected = "an address and a port are expected, such as \"127.0.0.1:9225\"";
        form.field("listen", Maybe(Parsed { expected }), &mut self.listen);
    }
}
