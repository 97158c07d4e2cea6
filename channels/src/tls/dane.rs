//! Certificates of servers, judged by TLSA records (RFC 7671, RFC 7672).

use ring::digest::{SHA256, SHA512, digest};
use rustls::{
    CertificateError as Fault, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::parse_x509_certificate;

use crate::dns::Tlsa;

/// Whether a chain is what one of the records says. Records of usage 3 ask for the server's own
/// certificate or key, whatever its names and dates; those of usage 2 for an authority in the chain, and
/// a certificate of it for one of the names.
pub(super) fn verify(
    records: &[Tlsa],
    chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
    names: &[ServerName<'_>],
    (provider, now): (&CryptoProvider, UnixTime),
) -> Result<(), Error> {
    let (own, others) = chain;
    if records.iter().any(|record| record.usage == 3 && matches(record, own)) {
        return Ok(());
    }
    let mut refused = Error::InvalidCertificate(Fault::ApplicationVerificationFailure);
    let anchors = others.iter().filter(|certificate| {
        records.iter().any(|record| record.usage == 2 && matches(record, certificate))
    });
    // A chain is as long as its sender likes.
    for anchor in anchors.take(MOST_ANCHORS) {
        match issued_by(anchor, chain, names, (provider, now)) {
            Ok(()) => return Ok(()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn issued_by(
    anchor: &CertificateDer<'_>,
    (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    names: &[ServerName<'_>],
    (provider, now): (&CryptoProvider, UnixTime),
) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    let own = ParsedCertificate::try_from(own)?;
    let known = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&own, &roots, others, now, known)?;
    let mut refused = Error::InvalidCertificate(Fault::NotValidForName);
    for name in names {
        match verify_server_name(&own, name) {
            Ok(()) => return Ok(()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Whether a certificate is the one that the record speaks of.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    match record.selector {
        0 => is_about(record, certificate),
        1 => parse_x509_certificate(certificate)
            .is_ok_and(|(_, parsed)| is_about(record, parsed.public_key().raw)),
        _ => false,
    }
}

fn is_about(record: &Tlsa, selected: &[u8]) -> bool {
    match record.matching {
        0 => *record.data == *selected,
        1 => *record.data == *digest(&SHA256, selected).as_ref(),
        2 => *record.data == *digest(&SHA512, selected).as_ref(),
        _ => false,
    }
}

/// Authorities of one chain that are tried.
const MOST_ANCHORS: usize = 4;

#[cfg(test)]
#[path = "dane_tests.rs"]
mod tests;
