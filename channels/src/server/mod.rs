//! The server side of SMTP and LMTP: one state machine without sockets, two dialects of it, and
//! the driver that gives it a socket.

mod budget;
mod clock;
pub mod command;
pub mod dialect;
pub mod driver;
pub mod intake;
mod link;
mod path;
mod proxied;
mod replies;
pub mod session;
pub mod setup;
mod stop;
mod stress;
mod transaction;
mod transport;
mod xclient;

pub use crate::mail::Dialect;
pub use budget::SessionLimits;
pub use driver::{Farewell, serve};
pub use intake::{AuthAnswer, AuthSaid, Intake, MailFrom, RcptTo, Verdict};
pub use path::PathError;
pub use proxied::forwarded;
pub use replies::NOT_OFFERED;
pub use session::{Hello, Reason, Session};
pub use setup::{BeyondAscii, DataRate, Limits, Opening, SaslOffer, Setup, Setups, TlsOffer};
pub use stop::Stop;
pub use stress::Stress;
pub use xclient::XClient;
