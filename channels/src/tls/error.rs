//! Why certificates cannot be used, in words for whoever has to mend them.

use std::{io, path::PathBuf};

/// A file of the section `tls` that cannot be used. The administrator must act.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .file.display())]
pub struct TlsError {
    /// The setting that names the file: `tls.more_certificates[0].key`.
    pub field: String,
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: CertificateError,
}

/// Why a certificate or a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Larger than any chain.
    #[error("it is larger than {} KiB: that is no certificate and no key", LARGEST >> 10)]
    TooLarge,
    /// Not in the text form.
    #[error(
        "it is no PEM (a line -----BEGIN ...----- is missing): openssl x509 -inform DER -in FILE \
         makes PEM of a certificate in DER"
    )]
    NoPem,
    /// PEM that is cut off or no base64.
    #[error("its PEM is damaged: {0}")]
    Damaged(String),
    /// A certificate is expected, and only a key is there.
    #[error("it holds a private key and no certificate: are the two files interchanged?")]
    KeyForCertificate,
    /// A key is expected, and only a certificate is there.
    #[error("it holds a certificate and no private key: are the two files interchanged?")]
    CertificateForKey,
    /// PEM of something else.
    #[error("it holds no certificate")]
    NoCertificate,
    /// PEM of something else.
    #[error("it holds no private key")]
    NoKey,
    /// A key behind a passphrase.
    #[error(
        "the key is locked with a passphrase that nobody can type in at start: openssl pkey -in \
         FILE -out NEW unlocks it"
    )]
    Locked,
    /// Not DER of X.509.
    #[error("certificate {0} of the file cannot be read: it is no X.509")]
    NoX509(usize),
    /// A key that no client of today accepts.
    #[error("an RSA key of {0} bits is too short: 2048 at least are expected")]
    Short(usize),
    /// A kind of key that is not known.
    #[error("this kind of key is not supported: RSA, ECDSA P-256 or P-384, or Ed25519 is expected")]
    Unsupported,
    /// The two do not belong together.
    #[error("it is not the key of the certificate {0}")]
    Mismatch(String),
    /// The leaf is not the first of the chain.
    #[error(
        "it is the key of certificate {0} of the chain: the host's own certificate must be the \
         first in its file, those of its authorities behind it"
    )]
    WrongOrder(usize),
    /// The library refuses.
    #[error("{0}")]
    Library(String),
}

/// Octets of a file.
pub(super) const LARGEST: u64 = 1 << 20;
