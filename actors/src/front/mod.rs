//! The front door: how connections come in, and what stands behind their sessions.
//!
//! The dispatcher owns the bound sockets and the services, a service its listeners and workers, a
//! worker starts its sessions and counts them. A session speaks SMTP or LMTP; behind it lies the
//! queue ([`to_queue`]) or the store ([`to_store`]).

pub mod admission;
pub mod authentication;
pub mod configured_service;
pub mod connection;
pub mod control;
pub mod descriptors;
pub mod dispatcher;
pub mod dns_lists;
pub mod filters;
mod handoff;
pub mod inherited;
pub mod listener;
pub mod listening;
pub mod origin;
mod presenter;
pub mod queue_side;
pub mod rates;
mod received;
pub mod recent;
mod scarcity;
mod seats;
pub mod service;
pub mod session;
mod socket;
mod submission;
pub mod switching;
pub mod to_queue;
pub mod to_store;
pub mod worker;
pub mod worker_life;
