//! The operator's endpoint.

use std::net::SocketAddr;

use crate::file::{
    collections::{List, Maybe},
    kinds::Parsed,
    names::DOMAIN,
};

section! {
    /// Where metrics, health and read-only pages are served. Orders go by `DATA/admin.sock` only.
    pub struct Admin {
        /// The TCP address; without it there is only the UNIX socket.
        listen: Option<SocketAddr> = None, Maybe(ADDRESS);
        /// Names in URLs that are answered there beside `localhost`, `host` and its addresses.
        names: Vec<String> = Vec::new(), List(DOMAIN);
    }
}

const ADDRESS: Parsed =
    Parsed { expected: "an address and a port are expected, such as \"127.0.0.1:9225\"" };
