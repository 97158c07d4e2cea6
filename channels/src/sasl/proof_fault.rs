//! Why an exchange of ours as a client comes to nothing.

/// Why an exchange comes to nothing on our side.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofFault {
    /// A challenge that the mechanism does not have.
    #[error("the server's challenge is malformed")]
    Malformed,
    /// The server answers somebody else.
    #[error("the server's nonce is not ours")]
    Nonce,
    /// Proofs of so few rounds can be broken, those of so many stop us.
    #[error("the server asks for {0} rounds of hashing")]
    Iterations(u32),
    /// The server lets us in, but does not have the keys of the password.
    #[error("the server has not proved that it knows the password")]
    Server,
    /// More challenges than any mechanism has.
    #[error("too many challenges")]
    Endless,
    /// No random numbers.
    #[error("no random numbers")]
    Random,
}
