//! Certificates of servers that we connect to: by which authorities they are judged.

use std::{io, path::Path, sync::Arc};

use rustls::{ClientConfig, crypto::ring::default_provider, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{
    authorities::{read_authorities, system_authorities},
    error::CertificateError,
};

/// TLS towards servers that are no mail servers.
pub type WebTls = Arc<ClientConfig>;

/// TLS towards servers whose certificates are signed by an authority of this PEM file; without one,
/// by an authority that the system trusts.
pub fn towards_servers(ca: Option<&Path>) -> Result<WebTls, CertificateError> {
    let roots = ca.map_or_else(system_authorities, read_authorities)?;
    // A provider of its own: the process has none by default.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CertificateError::Library(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The handshake with the server of this name, or of this address.
pub async fn secured_towards<S>(
    config: &WebTls,
    host: &str,
    stream: S,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<S>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let name = ServerName::try_from(host).map_err(io::Error::other)?.to_owned();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}
