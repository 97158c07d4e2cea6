//! Certificates.

use std::path::PathBuf;

/// The certificate that every service shows.
#[derive(Clone, Debug)]
pub struct Tls {
    /// PEM chain, leaf first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// Whether TLS or SASL is refused, offered or insisted upon.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Insist {
    /// Not offered, not tried.
    #[default]
    No,
    /// Offered, or tried when the peer offers it.
    May,
    /// Nothing moves without it.
    Must,
}

/// One [`Insist`] for each direction of a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sides {
    /// When we are the server.
    pub server: Insist,
    /// When we are the client.
    pub client: Insist,
    /// SASL client only: the file with `host user password` lines.
    pub credentials: Option<PathBuf>,
}
