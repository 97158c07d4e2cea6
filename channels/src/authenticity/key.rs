//! A private key that signs, as a PEM file holds it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use mail_auth::common::crypto::{DkimKey, Ed25519Key, RsaKey, Sha256};
use rustls::pki_types::{PrivateKeyDer, pem, pem::PemObject};
use zeroize::Zeroizing;

/// A key file that cannot be used. The administrator must act.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .file.display())]
pub struct KeyFileFault {
    /// The setting that names the file: `dkim.keys[0].key`.
    pub field: String,
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub why: KeyFault,
}

/// Why a key cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// The file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// Larger than any key.
    #[error("it is larger than {} KiB: that is no key", LARGEST >> 10)]
    TooLarge,
    /// Not in the text form, or PEM of something else.
    #[error("it holds no private key in PEM (-----BEGIN PRIVATE KEY-----)")]
    NoKey,
    /// PEM that is cut off or no base64.
    #[error("its PEM is damaged: {0}")]
    Damaged(String),
    /// A key behind a passphrase.
    #[error("the key is locked with a passphrase: openssl pkey -in FILE -out NEW unlocks it")]
    Locked,
    /// A key that receivers do not trust any more (RFC 8301).
    #[error("the RSA key is too short: 2048 bits at least are expected")]
    Short,
    /// A file of secrets without a line.
    #[error("it holds no secret: a line of text is expected")]
    NoSecret,
    /// A kind of key that does not sign mail.
    #[error("this kind of key signs no mail: RSA or Ed25519 is expected ({0})")]
    Unsupported(String),
}

/// Reads the key of a file.
pub(super) fn read(file: &Path) -> Result<DkimKey, KeyFault> {
    let mut text = Zeroizing::new(Vec::new());
    File::open(file)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(KeyFault::TooLarge);
    }
    parse(&text)
}

fn parse(text: &[u8]) -> Result<DkimKey, KeyFault> {
    let holds = |words: &str| memchr::memmem::find(text, words.as_bytes()).is_some();
    if holds("BEGIN ENCRYPTED PRIVATE KEY") || holds("Proc-Type: 4,ENCRYPTED") {
        return Err(KeyFault::Locked);
    }
    let der = match PrivateKeyDer::from_pem_slice(text) {
        Ok(der) => der,
        Err(pem::Error::NoItemsFound) => return Err(KeyFault::NoKey),
        Err(error) => return Err(KeyFault::Damaged(error.to_string())),
    };
    if let PrivateKeyDer::Pkcs8(its) = &der
        && let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(its.secret_pkcs8_der())
    {
        return Ok(DkimKey::Ed25519(key));
    }
    match RsaKey::<Sha256>::from_key_der(der) {
        Ok(key) => Ok(DkimKey::Rsa(key)),
        Err(error) => {
            let words = error.to_string();
            let is_short = words.contains("TooSmall");
            Err(if is_short { KeyFault::Short } else { KeyFault::Unsupported(words) })
        }
    }
}

/// Octets of a file.
const LARGEST: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_key_is_told_in_words() {
        let rows = [
            ("", "it holds no private key"),
            ("nothing", "it holds no private key"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "its PEM is damaged"),
            ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE", "a passphrase"),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "this kind of key signs no mail",
            ),
        ];
        for (text, want) in rows {
            let Err(fault) = parse(text.as_bytes()) else { panic!("a key: {text}") };
            assert!(fault.to_string().contains(want), "{text:?}: {fault}");
        }
    }
}
