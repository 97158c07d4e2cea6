//! LMTP, the client's side (RFC 2033): what to say is in [`exchange`], without sockets; what an
//! answer means is in [`trouble`]; [`client`] gives both a connection.

pub mod client;
mod exchange;
mod handover;
mod line_ends;
mod lookup;
mod offer;
mod progress;
mod replies;
mod settings;
mod stream;
mod trouble;

pub use client::{Connection, Stale};
pub use exchange::{Delivery, Rcpt, Transacted};
pub use handover::Handover;
pub use progress::{Progress, WaitsFor};
pub use settings::Settings;
