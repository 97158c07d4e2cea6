//! TLS: certificates and their files, handshakes, and the streams that come of them.
//!
//! The one room that knows rustls. A [`ServerTls`] holds the certificates that clients are shown,
//! and changes them as a whole while connections are open; nothing here decides when TLS begins.

mod authorities;
mod certificate;
mod choice;
mod clients;
mod error;
mod failure;
mod secured;
mod server;
mod servers;
mod stream;
#[cfg(test)]
mod tests;

pub use certificate::Certificate;
pub use clients::ClientCertificate;
pub use error::{CertificateError, TlsError};
pub use failure::{FailureReason, HandshakeFailure};
pub use secured::Secured;
pub use server::ServerTls;
pub use servers::{secured_towards, towards_servers};
pub(crate) use stream::TlsStream;
