//! The operator's endpoint.

use std::net::SocketAddr;

/// Where metrics, health and read-only pages are served. Writes go by `DATA/admin.sock` only.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    /// TCP address; `None` leaves only the UNIX socket.
    pub listen: Option<SocketAddr>,
}
