//! Parts that the programs of this crate share: a load, a sink, a clock, the CPU time of a process.

// A benchmark reports by panicking, as a test does.
#![allow(clippy::missing_panics_doc)]

pub mod cpu;
mod drive;
pub mod packages;
mod source;
mod stores;
mod tls_sink;
mod tls_source;
mod tracked;

pub use drive::{Load, Measured, Server, Sink};
pub use source::Source;
pub use tracked::Population;
