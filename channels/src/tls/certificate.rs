//! A certificate chain with its key, as two PEM files hold them, and the facts that operators ask
//! for.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::{
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::{CertifiedKey, SigningKey},
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};
use x509_parser::public_key::PublicKey;

use super::error::{CertificateError, LARGEST};
use crate::clock::since_1970;

/// A certificate that clients may be shown.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The setting that names its file: `tls.certificate`.
    pub field: String,
    /// The file of the chain.
    pub file: PathBuf,
    /// The file of the key.
    pub key_file: PathBuf,
    /// Host names that it is for, in lower case; `*.example.org` stands for one label.
    pub names: Vec<String>,
    /// The authority that signed it.
    pub issuer: String,
    /// In hexadecimal octets.
    pub serial: String,
    /// `RSA 2048`, `ECDSA P-256`.
    pub key: String,
    /// It is good from then on.
    pub not_before: SystemTime,
    /// It is good until then.
    pub not_after: SystemTime,
    /// It says of itself that it signs others.
    pub is_authority: bool,
    /// Certificates in the file.
    pub chain: usize,
}

impl Certificate {
    /// Days until it expires; negative when it has expired.
    pub fn days_left(&self, now: SystemTime) -> i64 {
        let seconds = seconds_of(self.not_after) - seconds_of(now);
        seconds.div_euclid(DAY)
    }

    /// Seconds since 1970 at which it expires.
    pub fn expires(&self) -> i64 {
        seconds_of(self.not_after)
    }

    /// Whether it is for this host.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let above = host.split_once('.').map(|(_, above)| above);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => above == Some(domain),
            None => *name == host,
        })
    }

    /// Everything that clients will dislike about it, in words.
    pub fn remarks(&self, now: SystemTime) -> Vec<String> {
        let days = self.days_left(now);
        let mut remarks = Vec::new();
        if now > self.not_after {
            remarks.push(format!("the certificate expired {} days ago", -days));
        } else if now < self.not_before {
            remarks.push("the certificate is not good yet: is the clock right?".to_owned());
        } else if days < SOON {
            remarks.push(format!("the certificate expires in {days} days"));
        }
        if self.is_authority {
            remarks.push(
                "the certificate says CA:TRUE, as openssl req -x509 makes it by default: some \
                 clients refuse it; -addext basicConstraints=CA:FALSE makes one for a host"
                    .to_owned(),
            );
        }
        if self.names.is_empty() {
            remarks.push("the certificate names no host (subjectAltName)".to_owned());
        }
        remarks
    }
}

/// Which of the two files is at fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    Certificate,
    Key,
}

/// Reads a chain and its key.
pub(super) fn load(
    file: &Path,
    key_file: &Path,
    field: &str,
) -> Result<(Certificate, CertifiedKey), (Part, CertificateError)> {
    let of = |part| move |error| (part, error);
    let chain = read(file).and_then(|text| chain_of(&text)).map_err(of(Part::Certificate))?;
    let mut certificate = describe(&chain, 0).map_err(of(Part::Certificate))?;
    let key = read(key_file).and_then(|text| key_of(&text)).map_err(of(Part::Key))?;
    field.clone_into(&mut certificate.field);
    file.clone_into(&mut certificate.file);
    key_file.clone_into(&mut certificate.key_file);
    match owner(&chain, &key) {
        Some(0) => Ok((certificate, CertifiedKey::new(chain, key))),
        Some(other) => Err((Part::Key, CertificateError::WrongOrder(other + 1))),
        None => {
            let whose = certificate.names.first().map_or("", String::as_str);
            Err((Part::Key, CertificateError::Mismatch(whose.to_owned())))
        }
    }
}

/// The place in the chain of the certificate that this key belongs to.
fn owner(chain: &[CertificateDer<'static>], key: &Arc<dyn SigningKey>) -> Option<usize> {
    let fits = |one: &CertificateDer<'static>| {
        CertifiedKey::new(vec![one.clone()], Arc::clone(key)).keys_match().is_ok()
    };
    chain.iter().position(fits)
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut text = Vec::new();
    File::open(file)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(CertificateError::TooLarge);
    }
    Ok(text)
}

fn chain_of(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) if !holds(text, "-----BEGIN ") => Err(CertificateError::NoPem),
        Ok(_) if holds(text, "PRIVATE KEY-----") => Err(CertificateError::KeyForCertificate),
        Ok(_) => Err(CertificateError::NoCertificate),
        Err(error) => Err(damaged(&error)),
    }
}

fn key_of(text: &[u8]) -> Result<Arc<dyn SigningKey>, CertificateError> {
    if holds(text, "BEGIN ENCRYPTED PRIVATE KEY") || holds(text, "Proc-Type: 4,ENCRYPTED") {
        return Err(CertificateError::Locked);
    }
    let key = match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => key,
        Err(pem::Error::NoItemsFound) if !holds(text, "-----BEGIN ") => {
            return Err(CertificateError::NoPem);
        }
        Err(pem::Error::NoItemsFound) if holds(text, "BEGIN CERTIFICATE") => {
            return Err(CertificateError::CertificateForKey);
        }
        Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
        Err(error) => return Err(damaged(&error)),
    };
    // The library's own word is "failed to parse private key", whatever it is.
    any_supported_type(&key).map_err(|_| CertificateError::Unsupported)
}

fn damaged(error: &pem::Error) -> CertificateError {
    CertificateError::Damaged(match error {
        pem::Error::MissingSectionEnd { .. } => "a line -----END ...----- is missing".to_owned(),
        pem::Error::Base64Decode(_) => "what is between its lines is no base64".to_owned(),
        error => error.to_string(),
    })
}

fn holds(text: &[u8], words: &str) -> bool {
    text.windows(words.len()).any(|window| window == words.as_bytes())
}

/// The facts of the certificate at this place of a chain.
fn describe(
    chain: &[CertificateDer<'static>],
    place: usize,
) -> Result<Certificate, CertificateError> {
    let Ok((_, x509)) = X509Certificate::from_der(&chain[place]) else {
        return Err(CertificateError::NoX509(place + 1));
    };
    Ok(Certificate {
        field: String::new(),
        file: PathBuf::new(),
        key_file: PathBuf::new(),
        names: names_of(&x509),
        issuer: common_name(x509.issuer()),
        serial: x509.raw_serial_as_string(),
        key: kind_of_key(&x509)?,
        not_before: moment(x509.validity().not_before.timestamp()),
        not_after: moment(x509.validity().not_after.timestamp()),
        is_authority: x509.is_ca(),
        chain: chain.len(),
    })
}

/// Names of hosts; the common name only where no other is.
fn names_of(x509: &X509Certificate<'_>) -> Vec<String> {
    let extension = x509.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    let hosts = names.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        _ => None,
    });
    let mut hosts: Vec<_> = hosts.take(MOST_NAMES).collect();
    if hosts.is_empty() {
        let name = common_name(x509.subject()).to_ascii_lowercase();
        hosts.extend(name.contains('.').then_some(name));
    }
    hosts
}

/// The common name, or the whole where there is none.
fn common_name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|name| name.as_str().ok());
    common.map_or_else(|| name.to_string(), str::to_owned)
}

fn kind_of_key(x509: &X509Certificate<'_>) -> Result<String, CertificateError> {
    Ok(match x509.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < SHORTEST_RSA => {
            return Err(CertificateError::Short(key.key_size()));
        }
        Ok(PublicKey::RSA(key)) => format!("RSA {}", key.key_size()),
        Ok(PublicKey::EC(key)) => format!("ECDSA P-{}", key.key_size()),
        _ => "Ed25519".to_owned(),
    })
}

fn moment(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn seconds_of(moment: SystemTime) -> i64 {
    i64::try_from(since_1970(moment).as_secs()).unwrap_or(i64::MAX)
}

const SHORTEST_RSA: usize = 2_048;
/// Of one certificate.
const MOST_NAMES: usize = 1_000;
/// Seconds.
const DAY: i64 = 86_400;
/// Days.
const SOON: i64 = 14;
