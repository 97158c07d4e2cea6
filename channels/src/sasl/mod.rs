//! SASL (RFC 4422): exchanges as state machines, which ask for what they cannot know. As a server we
//! do not decide here who is let in; as a client a [`Proof`] shows that we have a password.

mod exchange;
mod fault;
mod login;
mod mechanism;
mod proof;
mod proof_fault;
mod scram;
mod scram_proof;

pub use exchange::{SaslExchange, Step};
pub use fault::SaslFault;
pub use login::Login;
pub use mechanism::Mechanism;
pub use proof::Proof;
pub use proof_fault::ProofFault;
pub use scram::ScramKeys;
