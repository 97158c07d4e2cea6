//! The program as a library, so that tests can have it.
//!
//! [`cli`] understands the command line, [`life`] is what `relais run` runs, [`start`] starts the
//! actors, [`admin`] serves operators, who ask the [`console`].

pub mod admin;
pub mod api;
pub mod cli;
pub mod console;
pub mod life;
pub mod limits;
pub mod logging;
pub mod show;
pub mod shutdown;
pub mod start;
pub mod state;
