//! The outcome of a handshake with a server.

use std::fmt;

use rustls::{HandshakeKind, client::ClientConnection};

use super::refused::RefusalKind;
use super::secured::{binding_of, cipher_of, version_of};

/// A connection to a server that TLS protects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Towards {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// The suite's name at IANA: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// An earlier session went on.
    pub resumed: bool,
    /// Why the server's certificate is not good, if it is not.
    pub doubt: Option<String>,
    /// The same, as reports tell it.
    pub doubt_kind: Option<RefusalKind>,
    /// Octets that only this session has (RFC 9266); of TLS 1.3 alone.
    pub binding: Option<[u8; 32]>,
}

impl Towards {
    pub(super) fn of(
        connection: &ClientConnection,
        verdict: Result<(), (String, RefusalKind)>,
    ) -> Self {
        let (doubt, doubt_kind) = verdict.err().unzip();
        Self {
            version: version_of(connection),
            cipher: cipher_of(connection),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            doubt,
            doubt_kind,
            binding: binding_of(connection, |out, label| {
                connection.export_keying_material(out, label, None).ok()
            }),
        }
    }
}

/// `TLSv1.3 TLS_AES_256_GCM_SHA384, verified`, or `not verified (why)`.
impl fmt::Display for Towards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, ", self.version, self.cipher)?;
        match &self.doubt {
            None => f.write_str("verified"),
            Some(why) => write!(f, "not verified ({why})"),
        }
    }
}
