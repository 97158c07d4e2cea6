//! Certificates, and what a channel asks of TLS and SASL.

use std::path::PathBuf;

use crate::file::{
    collections::Maybe,
    kinds::{Choice, Path},
};

section! {
    /// The certificate that every service shows.
    pub struct Tls {
        /// PEM chain, leaf first.
        certificate: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/host.crt""#);
        /// PEM private key.
        key: PathBuf = PathBuf::new(), Path, example(r#""/etc/relais/host.key""#);
    }
}

choice! {
    /// Whether TLS or SASL is refused, offered or insisted upon.
    pub enum Insist = No {
        /// Not offered, not tried.
        No,
        /// Offered, or tried when the peer offers it.
        May,
        /// Nothing moves without it.
        Must,
    }
}

section! {
    /// TLS, in each direction of a channel.
    pub struct TlsSides {
        /// When we are the server.
        server: Insist = Insist::default(), Choice;
        /// When we are the client.
        client: Insist = Insist::default(), Choice;
    }
}

section! {
    /// SASL, in each direction of a channel.
    pub struct SaslSides {
        /// When we are the server.
        server: Insist = Insist::default(), Choice;
        /// When we are the client.
        client: Insist = Insist::default(), Choice;
        /// The file with `host user password` lines, for us as the client.
        credentials: Option<PathBuf> = None, Maybe(Path);
    }
}
