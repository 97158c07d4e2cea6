//! Certificates of servers that we connect to: by which authorities they are judged.

use std::{fs::File, io::Read, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::error::{CertificateError, LARGEST};

/// TLS towards servers whose certificates are signed by an authority of this PEM file; without one,
/// by an authority that the system trusts.
pub fn towards_servers(ca: Option<&Path>) -> Result<Arc<ClientConfig>, CertificateError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        let mut text = Vec::new();
        File::open(ca)?.take(LARGEST).read_to_end(&mut text)?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate =
                certificate.map_err(|error| CertificateError::Damaged(error.to_string()))?;
            let added = roots.add(certificate);
            added.map_err(|error| CertificateError::Library(error.to_string()))?;
        }
    } else {
        // A system has a few that the library does not take; the others count.
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
    }
    if roots.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    // A provider of its own: the process has none by default.
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| CertificateError::Library(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
