//! The results of checks, in the words of RFC 8601.

use std::fmt;

use mail_auth::{DkimResult, DmarcResult, Error, SpfResult, dkim::DkimError};

/// The result of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthResult {
    /// There was nothing to check.
    None,
    /// It is as it says.
    Pass,
    /// It is not.
    Fail,
    /// It probably is not.
    SoftFail,
    /// Nothing is said about it.
    Neutral,
    /// It may be, but in a way that we do not accept.
    Policy,
    /// Nobody can tell now.
    TempError,
    /// Nobody will ever be able to tell.
    PermError,
}

impl AuthResult {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::Policy => "policy",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

impl fmt::Display for AuthResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<SpfResult> for AuthResult {
    fn from(result: SpfResult) -> Self {
        match result {
            SpfResult::Pass => Self::Pass,
            SpfResult::Fail => Self::Fail,
            SpfResult::SoftFail => Self::SoftFail,
            SpfResult::Neutral => Self::Neutral,
            SpfResult::TempError => Self::TempError,
            SpfResult::PermError => Self::PermError,
            SpfResult::None => Self::None,
        }
    }
}

impl From<&DmarcResult> for AuthResult {
    fn from(result: &DmarcResult) -> Self {
        match result {
            DmarcResult::Pass => Self::Pass,
            DmarcResult::Fail(_) => Self::Fail,
            DmarcResult::TempError(_) => Self::TempError,
            DmarcResult::PermError(_) => Self::PermError,
            DmarcResult::None => Self::None,
        }
    }
}

/// The result of a signature, and why. The library calls a body that was changed neutral; RFC 8601
/// section 2.7.1 calls it a failure.
pub(super) fn of_signature(result: &DkimResult) -> (AuthResult, &'static str) {
    match result {
        DkimResult::Pass => (AuthResult::Pass, ""),
        DkimResult::None => (AuthResult::None, ""),
        DkimResult::Neutral(Error::Dkim(DkimError::FailedBodyHashMatch)) => {
            (AuthResult::Fail, "the body has changed")
        }
        DkimResult::Neutral(Error::Dkim(DkimError::SignatureExpired)) => {
            (AuthResult::Fail, "the signature has expired")
        }
        DkimResult::Neutral(Error::Dkim(DkimError::SignatureLength)) => {
            (AuthResult::Policy, "only a part of the body is signed")
        }
        DkimResult::Neutral(_) => (AuthResult::Neutral, "the signature makes no sense"),
        DkimResult::Fail(_) => (AuthResult::Fail, "the signature does not hold"),
        DkimResult::PermError(Error::Dkim(DkimError::RevokedPublicKey)) => {
            (AuthResult::PermError, "the key is revoked")
        }
        DkimResult::PermError(Error::Dns(_)) => (AuthResult::PermError, "there is no key"),
        DkimResult::PermError(_) => (AuthResult::PermError, "the key makes no sense"),
        DkimResult::TempError(_) => (AuthResult::TempError, "the key cannot be asked for now"),
    }
}
