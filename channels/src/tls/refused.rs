//! Handshakes with servers that came to nothing, in words and by kinds.

use std::io;

use rustls::Error;

/// A handshake with a server that came to nothing, in words.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{words}")]
pub struct HandshakeRefused {
    words: String,
    /// The kind of fault.
    pub kind: RefusalKind,
}

/// The kinds of faults of a handshake that reports tell apart (RFC 8460 section 4.3).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RefusalKind {
    /// The certificate is for other names.
    OtherNames,
    /// It is not valid any more, or not yet.
    Expired,
    /// No authority that is known has signed it, or no record is about it.
    NotTrusted,
    /// Anything else.
    Other,
}

impl HandshakeRefused {
    /// There is TLS already.
    pub(crate) fn twice() -> Self {
        Self::because("TLS is spoken already".to_owned())
    }

    pub(super) fn because(words: String) -> Self {
        Self { words, kind: RefusalKind::Other }
    }

    /// Why the library gave up.
    pub(super) fn of(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            None => Self::because(error.to_string()),
            Some(error) => Self { words: said(error), kind: RefusalKind::of(error) },
        }
    }
}

impl RefusalKind {
    pub(super) fn of(error: &Error) -> Self {
        use rustls::CertificateError as Fault;
        match error {
            Error::InvalidCertificate(
                Fault::NotValidForName | Fault::NotValidForNameContext { .. },
            ) => Self::OtherNames,
            Error::InvalidCertificate(
                Fault::Expired
                | Fault::ExpiredContext { .. }
                | Fault::NotValidYet
                | Fault::NotValidYetContext { .. },
            ) => Self::Expired,
            Error::InvalidCertificate(_) => Self::NotTrusted,
            _ => Self::Other,
        }
    }
}

/// In words for a log.
pub(super) fn said(error: &Error) -> String {
    use rustls::CertificateError::{
        ApplicationVerificationFailure, BadSignature, NotValidForName, NotValidForNameContext,
        UnknownIssuer,
    };
    match error {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
            "what came is no TLS".to_owned()
        }
        Error::InvalidCertificate(UnknownIssuer) => {
            "its certificate is signed by no authority that we know".to_owned()
        }
        Error::InvalidCertificate(BadSignature) => {
            "its certificate is not signed by the authority that it names, or that one has been \
             renewed"
                .to_owned()
        }
        Error::InvalidCertificate(NotValidForName) => {
            "its certificate is for other names".to_owned()
        }
        Error::InvalidCertificate(NotValidForNameContext { presented, .. }) => {
            let some: Vec<_> = presented.iter().take(MOST_SHOWN).map(String::as_str).collect();
            let plain = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
            let some: String = some.join(", ").chars().map(plain).take(MOST_CHARACTERS).collect();
            format!("its certificate is for other names: {some}")
        }
        Error::InvalidCertificate(ApplicationVerificationFailure) => {
            "none of the domain's TLSA records is about its certificate".to_owned()
        }
        Error::InvalidCertificate(why) if why.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate says CA:TRUE, and is for no host".to_owned()
        }
        Error::InvalidCertificate(why) => format!("its certificate is not good: {why}"),
        Error::AlertReceived(alert) => format!("the server gave up: {alert:?}"),
        error => error.to_string(),
    }
}

/// Names of a certificate that are shown.
const MOST_SHOWN: usize = 5;
const MOST_CHARACTERS: usize = 200;
