//! A user's quota, as XQUOTA carries it over LMTP.

/// The user's quota as the directory has it; -1 is unlimited, -2 the store's default.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct XQuota {
    /// Octets.
    pub size: i64,
    /// Messages.
    pub messages: i64,
}
