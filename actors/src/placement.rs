//! Where actors live: the arbiters (threads) that sessions and jobs are spread over.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Arbiter, ArbiterHandle};

/// The arbiters for sessions and jobs. What strangers can flood never shares a thread with the
/// queue, the job controller and their timers (those live on the system's own arbiter).
#[derive(Debug)]
pub struct Placement {
    handles: Vec<ArbiterHandle>,
    next: AtomicUsize,
}

impl Placement {
    /// Starts `count` arbiters, at least one. The second value is for joining them at the end.
    pub fn start(count: usize) -> (Self, Vec<Arbiter>) {
        let arbiters: Vec<_> = (0..count.max(1)).map(|_| Arbiter::new()).collect();
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        (Self { handles, next: AtomicUsize::new(0) }, arbiters)
    }

    /// The next arbiter in turn.
    pub fn next(&self) -> &ArbiterHandle {
        self.next_numbered().1
    }

    /// The next arbiter in turn, and its number for operators.
    pub fn next_numbered(&self) -> (usize, &ArbiterHandle) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        (turn, &self.handles[turn])
    }
}
