//! What a sender wants to hear of a message's fate (RFC 3461).

use serde::{Deserialize, Serialize};

/// Of one recipient: the parameter NOTIFY. The default is what a sender gets who says nothing:
/// failures and delays, and no successes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Notify {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// `NEVER`: no notice of any kind.
    Never,
    /// These and no others; at least one of them.
    On {
        /// `SUCCESS`: it was delivered.
        success: bool,
        /// `FAILURE`: it will never be.
        failure: bool,
        /// `DELAY`: it takes longer than expected.
        delay: bool,
    },
}

/// How much of the message a notice of failure brings back: the parameter RET.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Return {
    /// `FULL`: all of it.
    Full,
    /// `HDRS`: its header.
    Headers,
}

/// The recipient as the sender had it: the parameter ORCPT, decoded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct OriginalRecipient {
    /// `"rfc822"`, `"utf-8"`, ...; letters, digits and hyphens.
    pub address_type: String,
    /// Printable ASCII.
    pub address: String,
}

impl Notify {
    /// Whether the sender is told that the recipient cannot be reached.
    pub fn of_failure(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { failure: true, .. })
    }

    /// Whether the sender is told that it takes longer.
    pub fn of_delay(self) -> bool {
        matches!(self, Self::Unsaid | Self::On { delay: true, .. })
    }

    /// Whether the sender is told that it was delivered.
    pub fn of_success(self) -> bool {
        matches!(self, Self::On { success: true, .. })
    }
}
