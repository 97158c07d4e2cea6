//! The meter of certificates.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use relais_channels::tls::Certificate;

/// When certificates expire.
#[derive(Debug)]
pub struct CertificateMeter {
    expires: Family<FileLabels, Gauge>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct FileLabels {
    file: String,
}

impl CertificateMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let expires = Family::default();
        let help = "When a certificate in force expires, in seconds since 1970: too late is when \
                    this minus time() is small";
        registry.register("tls_certificate_expires_timestamp_seconds", help, expires.clone());
        Self { expires }
    }

    /// Shows these, and none of before.
    pub fn show(&self, certificates: &[Certificate]) {
        self.expires.clear();
        for certificate in certificates {
            self.show_file(&certificate.file.display().to_string(), certificate.expires());
        }
    }

    /// Shows that the certificate in `file` expires so many seconds behind 1970.
    pub(super) fn show_file(&self, file: &str, expires: i64) {
        self.expires.get_or_create_owned(&FileLabels { file: fit(file) }).set(expires);
    }
}

/// The library writes labels as they are.
pub(super) fn fit(file: &str) -> String {
    file.replace(|c: char| c.is_control() || "\"\\".contains(c), "?")
}
