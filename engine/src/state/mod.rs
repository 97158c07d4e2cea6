//! State of the engine in its data directory beside the spool: small files, each with one owner.
//! Limits and the list of stores lie there, too, and are kept by `limits` and `start`.

pub mod audit;
pub mod durable;
pub mod history;
pub mod lock;
pub mod order_book;
pub mod permissions;
pub mod recent;
pub mod rerouting;
pub mod standing;
pub mod stopped;
pub mod suspended;
pub mod tallies;
