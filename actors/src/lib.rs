//! Who owns which state, and who talks to whom.

pub mod directory;
pub mod dispatcher;
pub mod events;
pub mod job;
pub mod job_controller;
pub mod metrics;
pub mod pool;
pub mod queue;
pub mod router;
pub mod service;
pub mod session;
pub mod spool;
pub mod status;
pub mod store;
pub mod watch;
pub mod worker;
