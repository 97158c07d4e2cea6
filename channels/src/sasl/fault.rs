//! Why an exchange lets nobody in, and names that may come out of one.

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SaslFault {
    /// A message that the mechanism does not have.
    #[error("malformed message")]
    Malformed,
    /// The client wants to act for somebody else than it is.
    #[error("no user may act for another")]
    OtherIdentity,
    /// The proof is not bound to this TLS session, or not in the way that both sides know.
    #[error("channel bindings do not match")]
    Binding,
    /// Not the password.
    #[error("wrong proof")]
    Proof,
    /// Nothing in the place of the password.
    #[error("empty password")]
    NoPassword,
}

/// A name as it may go into look-ups and logs.
pub(super) fn name(octets: &[u8]) -> Result<String, SaslFault> {
    let text = str::from_utf8(octets).map_err(|_| SaslFault::Malformed)?;
    if text.is_empty() || text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
        return Err(SaslFault::Malformed);
    }
    Ok(text.to_owned())
}

/// Octets.
const LONGEST_NAME: usize = 320;
