//! Certificates of clients: asked for, and judged when somebody wants to know.
//!
//! A client is never refused for the certificate that it shows: mail hosts show whatever they have.
//! Only a certificate of an authority that we know, and good at the moment, says who a client is.

use std::{path::Path, sync::Arc};

use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime},
    server::{
        ServerConnection, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::{authorities::read_authorities, error::CertificateError};

/// The certificate of a client, signed by an authority that we know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientCertificate {
    /// Mail addresses that it is for.
    pub addresses: Vec<String>,
}

/// The authorities whose certificates say who a client is.
#[derive(Clone, Debug)]
pub(super) struct KnownClients(Arc<dyn ClientCertVerifier>);

/// Asks for certificates, and takes any whose key the client has.
#[derive(Debug)]
struct Asking(Arc<dyn ClientCertVerifier>);

impl KnownClients {
    /// The authorities of a PEM file.
    pub(super) fn read(
        file: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, CertificateError> {
        let roots = read_authorities(file)?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .allow_unauthenticated()
                .build();
        verifier.map(Self).map_err(|error| CertificateError::Library(error.to_string()))
    }

    /// For the library: asks every client.
    pub(super) fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking(Arc::clone(&self.0)))
    }

    /// The certificate that a client has shown, if it is good now. Also of a session that was
    /// resumed.
    pub(super) fn certificate_of(&self, of: &ServerConnection) -> Option<ClientCertificate> {
        let (own, others) = of.peer_certificates()?.split_first()?;
        self.0.verify_client_cert(own, others, UnixTime::now()).ok()?;
        let (_, x509) = X509Certificate::from_der(own).ok()?;
        let extension = x509.subject_alternative_name().ok().flatten();
        let names = extension.iter().flat_map(|extension| &extension.value.general_names);
        let addresses = names.filter_map(|name| match name {
            GeneralName::RFC822Name(address) => Some((*address).to_owned()),
            _ => None,
        });
        Some(ClientCertificate { addresses: addresses.collect() })
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
