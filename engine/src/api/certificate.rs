//! Certificates, as `relais cert --json` tells them.

use std::time::SystemTime;

use relais_actors::timestamp::Timestamp;
use relais_channels::tls::Certificate;
use serde::{Deserialize, Serialize};

/// A certificate that clients are shown.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct CertificateShown {
    /// The file of its chain.
    pub file: String,
    /// The file of its key.
    pub key_file: String,
    /// Host names that it is for.
    pub names: Vec<String>,
    /// The authority that signed it.
    pub issuer: String,
    /// Its number with that authority.
    pub serial: String,
    /// The kind of its key: `"ECDSA P-256"`.
    pub key: String,
    /// Certificates in its file.
    pub chain: usize,
    /// It is good from then on.
    pub not_before: Timestamp,
    /// It is good until then.
    pub not_after: Timestamp,
    /// Days until then; negative when it has expired.
    pub days_left: i64,
    /// Everything that clients will dislike about it.
    pub remarks: Vec<String>,
}

impl CertificateShown {
    /// As it is now.
    pub fn of(certificate: &Certificate) -> Self {
        let now = SystemTime::now();
        Self {
            file: certificate.file.display().to_string(),
            key_file: certificate.key_file.display().to_string(),
            names: certificate.names.clone(),
            issuer: certificate.issuer.clone(),
            serial: certificate.serial.clone(),
            key: certificate.key.clone(),
            chain: certificate.chain,
            not_before: certificate.not_before.into(),
            not_after: certificate.not_after.into(),
            days_left: certificate.days_left(now),
            remarks: certificate.remarks(now),
        }
    }
}
