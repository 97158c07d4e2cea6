//! The certificates of servers, judged.

use std::sync::Arc;

use rustls::{
    CertificateError as Fault, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

use super::error::CertificateError;

/// Judges by authorities and names.
#[derive(Debug)]
pub(super) struct Judge {
    provider: Arc<CryptoProvider>,
    /// `None`: there is no authority that anything could be judged by.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    /// A handshake with a server that is not good fails.
    insists: bool,
    /// In place of the name that is connected to.
    names: Vec<ServerName<'static>>,
}

impl Judge {
    pub(super) fn new(
        provider: &Arc<CryptoProvider>,
        roots: Option<RootCertStore>,
        insists: bool,
        names: &[String],
    ) -> Result<Self, CertificateError> {
        let webpki = roots.map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| CertificateError::Library(error.to_string()))
        });
        let name = |name: &String| {
            ServerName::try_from(name.clone())
                .map_err(|error| CertificateError::Library(format!("{name}: {error}")))
        };
        Ok(Self {
            provider: Arc::clone(provider),
            webpki: webpki.transpose()?,
            insists,
            names: names.iter().map(name).collect::<Result<_, _>>()?,
        })
    }

    /// Whether a chain is good for the server of this name.
    pub(super) fn verdict(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        let (own, others) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.of_chain((own, others), name, (&[], UnixTime::now()))
    }

    fn of_chain(
        &self,
        (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        (ocsp, now): (&[u8], UnixTime),
    ) -> Result<(), Error> {
        let Some(webpki) = &self.webpki else { return Err(Fault::UnknownIssuer.into()) };
        let by_name = |name| webpki.verify_server_cert(own, others, name, ocsp, now).map(|_| ());
        let Some((first, more)) = self.names.split_first() else { return by_name(name) };
        let first = by_name(first);
        if first.is_ok() || more.iter().any(|name| by_name(name).is_ok()) { Ok(()) } else { first }
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.insists {
            self.of_chain((own, others), name, (ocsp, now))?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
