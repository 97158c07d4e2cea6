//! Handshakes that came to nothing, by the reason.

use std::{fmt, io};

use rustls::{AlertDescription, Error, PeerIncompatible};

/// A handshake that came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HandshakeFailure {
    /// Why, for counters.
    pub reason: FailureReason,
    /// Why, for people.
    pub words: String,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FailureReason {
    /// It took too long.
    Timeout,
    /// The client closed the connection, or it broke.
    Closed,
    /// The octets that came are no TLS.
    NotTls,
    /// The client speaks older versions only.
    Version,
    /// No cipher suite, group or signature that both know.
    NothingInCommon,
    /// The client does not trust our certificate.
    CertificateRefused,
    /// The client gave up for another reason.
    Alert,
    /// Anything else.
    Other,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Timeout,
        Self::Closed,
        Self::NotTls,
        Self::Version,
        Self::NothingInCommon,
        Self::CertificateRefused,
        Self::Alert,
        Self::Other,
    ];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NotTls => "not_tls",
            Self::Version => "version",
            Self::NothingInCommon => "nothing_in_common",
            Self::CertificateRefused => "certificate_refused",
            Self::Alert => "alert",
            Self::Other => "other",
        }
    }
}

impl HandshakeFailure {
    /// Why the library gave up.
    pub(super) fn of(error: &io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        let Some(inner) = inner else {
            return Self { reason: FailureReason::Closed, words: error.to_string() };
        };
        Self { reason: reason(inner), words: words(inner) }
    }

    /// The last certificate was taken away meanwhile.
    pub(crate) fn unavailable() -> Self {
        Self { reason: FailureReason::Other, words: "there is no certificate".to_owned() }
    }

    /// It took too long.
    pub(super) fn timeout() -> Self {
        Self { reason: FailureReason::Timeout, words: "it took too long".to_owned() }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

fn reason(error: &Error) -> FailureReason {
    match error {
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => FailureReason::NotTls,
        Error::PeerIncompatible(incompatible) => match incompatible {
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon => FailureReason::NothingInCommon,
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired => FailureReason::Version,
            _ => FailureReason::Other,
        },
        Error::AlertReceived(alert) => match alert {
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA => FailureReason::CertificateRefused,
            AlertDescription::ProtocolVersion => FailureReason::Version,
            _ => FailureReason::Alert,
        },
        _ => FailureReason::Other,
    }
}

fn words(error: &Error) -> String {
    match (reason(error), error) {
        (FailureReason::NotTls, _) => "what came is no TLS".to_owned(),
        (FailureReason::Version, _) => {
            "the client speaks only versions that are too old".to_owned()
        }
        (FailureReason::NothingInCommon, error) => {
            format!("client and server have no algorithm in common: {error}")
        }
        (FailureReason::CertificateRefused, Error::AlertReceived(alert)) => {
            format!("the client refuses our certificate: {alert:?}")
        }
        (FailureReason::Alert, Error::AlertReceived(alert)) => {
            format!("the client gave up: {alert:?}")
        }
        _ => error.to_string(),
    }
}
