//! TLS: certificates and their files, handshakes, and the streams that come of them.
//!
//! The one room that knows rustls. A [`ServerTls`] holds the certificates that clients are shown,
//! and changes them as a whole while connections are open; a [`ClientTls`] judges those of servers.
//! Nothing here decides when TLS begins.

mod authorities;
mod certificate;
mod choice;
mod client;
mod client_stream;
mod clients;
mod dane;
mod demand;
mod error;
mod failure;
mod judge;
mod refused;
mod secured;
mod server;
mod servers;
mod stream;
#[cfg(test)]
mod tests;
mod towards;

pub use certificate::Certificate;
pub use client::{ClientFiles, ClientTls};
pub(crate) use client_stream::ClientStream;
pub use clients::ClientCertificate;
pub use demand::{Assurance, TlsDemand};
pub use error::{CertificateError, TlsError};
pub use failure::{FailureReason, HandshakeFailure};
pub use refused::{HandshakeRefused, RefusalKind};
pub use secured::Secured;
pub use server::ServerTls;
pub use servers::{WebTls, secured_towards, towards_servers};
pub(crate) use stream::TlsStream;
pub use towards::Towards;
