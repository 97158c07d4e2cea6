//! The program as a library, so that tests can have it.
//!
//! [`cli`] understands the command line, [`life`] is what `relais run` runs, [`wiring`] starts the
//! actors, [`admin`] serves operators, who ask the [`console`].

pub mod admin;
pub mod cli;
pub mod console;
pub mod durable;
pub mod explain;
pub mod life;
pub mod limits;
pub mod lock;
pub mod logging;
pub mod loose;
mod obstacles;
pub mod order_book;
pub mod rerouting;
pub mod show;
pub mod shutdown;
pub mod stopped;
pub mod tallies;
pub mod wiring;
