//! The sections of the file, one module each.

pub mod admin;
pub mod channel;
pub(crate) mod channel_fields;
pub(crate) mod config;
pub mod directory;
pub mod dispatcher;
pub mod job_controller;
pub mod notary;
pub mod spool;
pub mod store;
pub mod tls;
