//! Faults of an operation, in words.

use std::{io, time::Duration};

/// Why an operation came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Connection(String),
    /// It did not answer in time.
    #[error("no answer in {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// It does not let us in.
    #[error("login as {dn:?}: {why}")]
    Login {
        /// The account.
        dn: String,
        /// The server's words; or those about the password's file.
        why: String,
    },
    /// It answers that it cannot.
    #[error("{}{}{text}", meaning(*code), if text.is_empty() { "" } else { ": " })]
    Refused {
        /// RFC 4511 appendix A.
        code: u32,
        /// Its diagnostic message.
        text: String,
    },
    /// Nothing is there to search in, or we may not see it.
    #[error(
        "there is no {0:?}, or it may not be read: look at user_base, domain_base and the bases of URLs"
    )]
    NoBase(String),
    /// It says that others know.
    #[error("it refers to {0}, and referrals are not followed: ask that server, or move user_base")]
    Referral(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Connection(error.to_string())
    }
}

/// A result code in words (RFC 4511 appendix A).
pub(super) fn meaning(code: u32) -> String {
    let words = match code {
        3 => "it took too long (timeLimitExceeded)",
        4 => "it found more than it may tell (sizeLimitExceeded)",
        8 => "it wants a stronger login (strongerAuthRequired)",
        11 => "beyond a limit of the server (adminLimitExceeded)",
        13 => "it wants TLS (confidentialityRequired)",
        INVALID_CREDENTIALS => "the name or the password is wrong (invalidCredentials)",
        50 => "it does not allow that (insufficientAccessRights)",
        51 => "busy",
        52 => "unavailable",
        53 => "it does not want to (unwillingToPerform)",
        code => return format!("result code {code}"),
    };
    words.to_owned()
}

/// RFC 4511 appendix A.1: the password is wrong.
pub(super) const INVALID_CREDENTIALS: u32 = 49;
