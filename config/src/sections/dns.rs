//! Name servers.

use std::{net::SocketAddr, path::PathBuf};

use crate::file::{
    collections::{Few, List, Maybe},
    kinds::{Parsed, Path},
};

section! {
    /// Name servers that are asked for hosts and for block lists.
    pub struct Dns {
        /// Addresses and ports of name servers; without them those of `/etc/resolv.conf`.
        servers: Vec<SocketAddr> = Vec::new(), Few(List(SERVER), 8);
        /// DNSKEY records, as in a zone file, of the keys that DNSSEC proofs begin with, for closed
        /// networks. Without it, the keys of the root zone.
        trust_anchor: Option<PathBuf> = None, Maybe(Path);
    }
}

pub(crate) const SERVER: Parsed =
    Parsed { expected: "an address and a port are expected, such as \"127.0.0.1:53\"" };
