//! SASL as a server speaks it (RFC 4422): exchanges as state machines, which ask for what they
//! cannot know. Who is let in is not decided here.

mod exchange;
mod fault;
mod mechanism;
mod scram;

pub use exchange::{SaslExchange, Step};
pub use fault::SaslFault;
pub use mechanism::Mechanism;
pub use scram::ScramKeys;
