//! LMTP, the client's side (RFC 2033): what to say is in [`exchange`], without sockets; what an
//! answer means is in [`policy`]; [`connection`] gives both a connection.

pub mod connection;
mod exchange;
mod handover;
mod line_ends;
mod offer;
mod policy;
mod progress;
mod resolve;
mod settings;
mod stream;

pub use connection::{Connection, Stale};
pub use exchange::{Outgoing, OutgoingRcpt, Transacted};
pub use handover::Handover;
pub use progress::{Progress, WaitsFor};
pub use settings::Settings;
