//! Delivery carries out what the job controller has decided on.
//!
//! A pool bounds how many jobs run at once; a job ("master program") serves one channel by a
//! number of couriers, each with a connection of its own.

mod admission;
mod conversion;
mod courier;
pub mod crowds;
mod gatekeeper;
pub mod job;
pub mod lessons;
mod life;
mod local;
pub mod parts;
pub mod pool;
pub mod presence;
pub mod programs;
pub mod progress;
mod reply_rules;
mod signing;
mod stand_in;
mod standing_gate;
pub mod throttle;
mod turns;
