//! A run: scripts, one message, one recipient, and what comes of it.

mod actions;
mod conditions;
mod delivery;
mod machine;
mod state;
mod trace;
mod vacation;

pub use delivery::{Delivery, Environment, RunError, RunErrorKind};
pub(crate) use machine::run_all;
pub use trace::{TraceStep, Traced};
