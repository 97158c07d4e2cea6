//! The operator's endpoint.

use std::{net::SocketAddr, path::PathBuf};

use crate::file::{
    collections::{List, Maybe},
    kinds::{Choice, Count, Flag, Parsed, Path, Size},
    names::DOMAIN,
};

section! {
    /// Where metrics, health and the page are served. Orders go by `DATA/admin.sock`, and from the page
    /// over TLS by whoever has the token.
    pub struct Admin {
        /// The TCP address; without it there is only the UNIX socket.
        listen: Option<SocketAddr> = None, Maybe(ADDRESS);
        /// Names in URLs that are answered there beside `localhost`, `host` and its addresses.
        names: Vec<String> = Vec::new(), List(DOMAIN);
        /// TLS is spoken there, and nothing else, with the certificates of `tls`.
        tls: bool = false, Flag;
        /// A file with a word of 20 to 1024 visible ASCII characters (`openssl rand -hex 32` makes one):
        /// whoever shows it to the page over TLS may give orders there, for eight hours. It is read at
        /// each request; another word in it ends all sessions. With it, whoever has not logged in gets
        /// the login, `/metrics`, `/healthz` and `/readyz` by TCP, and nothing else.
        token_file: Option<PathBuf> = None, Maybe(Path);
        /// Octets of the disk, `DATA/recent` and `DATA/recent.old`, for the recipients of the last
        /// day, which `relais route --compare NEW.ron --recent` routes: the address as the client
        /// wrote it, when, by which channel, and whether the client may relay. Nothing of senders and
        /// clients; only the engine's user may read it. Those of more mail than there is room for
        /// count by the newest. 0: nothing is written, and what was is removed.
        recent: u64 = 4 << 20, Size(0..=1 << 30);
        /// Whether orders of operators are written to `DATA/audit.log` before they are carried out.
        audit: Audit = Audit::default(), Choice;
        /// Octets of `DATA/audit.log`: the order that would make it larger begins a new one.
        audit_size: u64 = 16 << 20, Size(64 << 10..=1 << 30);
        /// Older ones that are kept: `audit.log.1` is the newest of them.
        audit_files: usize = 9, Count(1..=99), unit("files");
    }
}

choice! {
    /// The fate of an order that cannot be written down.
    pub enum Audit = Required {
        /// It is refused.
        Required,
        /// It is carried out, with a warning in the log.
        Wanted,
        /// Nothing is written down.
        Off,
    }
}

const ADDRESS: Parsed =
    Parsed { expected: "an address and a port are expected, such as \"127.0.0.1:9225\"" };
