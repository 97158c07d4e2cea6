//! Authorities: whose signature makes a certificate good.

use std::{fs::File, io::Read, path::Path};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::error::{CertificateError, LARGEST};

/// The authorities of a PEM file, at least one.
pub(super) fn read_authorities(file: &Path) -> Result<RootCertStore, CertificateError> {
    let mut text = Vec::new();
    File::open(file)?.take(LARGEST).read_to_end(&mut text)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate =
            certificate.map_err(|error| CertificateError::Damaged(error.to_string()))?;
        let added = roots.add(certificate);
        added.map_err(|error| CertificateError::Library(error.to_string()))?;
    }
    at_least_one(roots)
}

/// The authorities that the system trusts, at least one.
pub(super) fn system_authorities() -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    // A system has a few that the library does not take; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    at_least_one(roots)
}

fn at_least_one(roots: RootCertStore) -> Result<RootCertStore, CertificateError> {
    if roots.is_empty() { Err(CertificateError::NoCertificate) } else { Ok(roots) }
}
