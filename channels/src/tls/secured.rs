//! The outcome of a handshake, in words that know no library.

use rustls::{CommonState, HandshakeKind, ProtocolVersion, server::ServerConnection};

use super::clients::{ClientCertificate, KnownClients};

/// A connection that TLS protects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secured {
    /// `TLSv1.3`.
    pub version: &'static str,
    /// The suite's name at IANA: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// An earlier session went on.
    pub resumed: bool,
    /// The host that the client asked for.
    pub host: Option<String>,
    /// The certificate that the client has shown, if its authority is one of `tls.client_ca`.
    pub certificate: Option<ClientCertificate>,
    /// Octets that only this session has (RFC 9266); of TLS 1.3 alone.
    pub binding: Option<[u8; 32]>,
}

impl Secured {
    pub(super) fn of(connection: &ServerConnection, clients: Option<&KnownClients>) -> Self {
        Self {
            version: version_of(connection),
            cipher: cipher_of(connection),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            host: connection.server_name().map(str::to_owned),
            certificate: clients.and_then(|clients| clients.certificate_of(connection)),
            binding: binding_of(connection, |out, label| {
                connection.export_keying_material(out, label, None).ok()
            }),
        }
    }
}

pub(super) fn version_of(connection: &CommonState) -> &'static str {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    }
}

pub(super) fn cipher_of(connection: &CommonState) -> &'static str {
    let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
    suite.and_then(|suite| suite.as_str()).map_or("", at_iana)
}

/// `export`: fills octets for a label.
pub(super) fn binding_of(
    connection: &CommonState,
    export: impl FnOnce([u8; 32], &[u8]) -> Option<[u8; 32]>,
) -> Option<[u8; 32]> {
    let is_bound = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
    if is_bound { export([0; 32], BINDING) } else { None }
}

/// The label of channel bindings (RFC 9266 section 2).
const BINDING: &[u8] = b"EXPORTER-Channel-Binding";

/// The library has a prefix of its own for the suites of TLS 1.3.
fn at_iana(suite: &'static str) -> &'static str {
    match suite {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite,
    }
}
