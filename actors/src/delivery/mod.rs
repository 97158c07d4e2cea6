//! What carries out the deliveries that the job controller has decided on.
//!
//! A pool bounds how many jobs run at once; a job ("master program") serves one channel over a
//! number of connections.

pub mod job;
mod life;
pub mod pool;
