//! A user's quota, as XQUOTA carries it over LMTP.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The user's quota as the directory has it; -1 is unlimited, -2 the store's default.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct XQuota {
    /// Octets.
    pub size: i64,
    /// Messages.
    pub messages: i64,
}

/// As the parameter has it: `size,number`.
impl fmt::Display for XQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.size, self.messages)
    }
}
