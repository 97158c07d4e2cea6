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

use super::{dane, error::CertificateError};
use crate::dns::Tlsa;

/// Judges by authorities and names, or by records.
#[derive(Debug)]
pub(super) struct Judge {
    provider: Arc<CryptoProvider>,
    by: By,
    /// A handshake with a server that is not good fails.
    insists: bool,
}

/// The ground on which a certificate is judged.
#[derive(Debug)]
enum By {
    Authorities {
        /// `None`: there is no authority that anything could be judged by.
        webpki: Option<Arc<WebPkiServerVerifier>>,
        /// In place of the name that is connected to.
        names: Vec<ServerName<'static>>,
    },
    Records {
        records: Arc<[Tlsa]>,
        names: Vec<ServerName<'static>>,
    },
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
        let by = By::Authorities { webpki: webpki.transpose()?, names: parsed(names)? };
        Ok(Self { provider: Arc::clone(provider), by, insists })
    }

    /// By these records, and no authority: a server that none of them is about fails.
    pub(super) fn by_records(
        provider: &Arc<CryptoProvider>,
        records: &Arc<[Tlsa]>,
        names: &[String],
    ) -> Result<Self, CertificateError> {
        let by = By::Records { records: Arc::clone(records), names: parsed(names)? };
        Ok(Self { provider: Arc::clone(provider), by, insists: true })
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
        let (webpki, names) = match &self.by {
            By::Authorities { webpki: Some(webpki), names } => (webpki, names),
            By::Authorities { webpki: None, .. } => return Err(Fault::UnknownIssuer.into()),
            By::Records { records, names } => {
                return dane::verify(records, (own, others), names, (&self.provider, now));
            }
        };
        let by_name = |name| webpki.verify_server_cert(own, others, name, ocsp, now).map(|_| ());
        let Some((first, more)) = names.split_first() else { return by_name(name) };
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

fn parsed(names: &[String]) -> Result<Vec<ServerName<'static>>, CertificateError> {
    let name = |name: &String| {
        ServerName::try_from(name.clone())
            .map_err(|error| CertificateError::Library(format!("{name}: {error}")))
    };
    names.iter().map(name).collect()
}
