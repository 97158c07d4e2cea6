//! Certificates of servers that we connect to: by which authorities they are judged.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, crypto::ring::default_provider};

use super::{
    authorities::{read_authorities, system_authorities},
    error::CertificateError,
};

/// TLS towards servers whose certificates are signed by an authority of this PEM file; without one,
/// by an authority that the system trusts.
pub fn towards_servers(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CertificateError> {
    let roots = ca.map_or_else(system_authorities, read_authorities)?;
    // A provider of its own: the process has none by default.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CertificateError::Library(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
