//! Name servers.

use std::net::SocketAddr;

use crate::file::{
    collections::{Few, List},
    kinds::Parsed,
};

section! {
    /// Name servers that are asked for hosts and for block lists.
    pub struct Dns {
        /// Addresses and ports of name servers; without them those of `/etc/resolv.conf`.
        servers: Vec<SocketAddr> = Vec::new(), Few(List(SERVER), 8);
    }
}

pub(crate) const SERVER: Parsed =
    Parsed { expected: "an address and a port are expected, such as \"127.0.0.1:53\"" };
