//! Where actors live: the arbiters (threads) that sessions and jobs are spread over.
//!
//! More threads than cores cost more than they bring, and so does every crossing from one to
//! another. So the threads follow the cores: half of them serve sessions; jobs share the rest
//! with the system's own arbiter, where the queue they ask for work lives. What strangers can
//! flood never shares a thread with the queue, the job controller and their timers.

use std::sync::atomic::{AtomicUsize, Ordering};

use actix::{Arbiter, ArbiterHandle};

/// The arbiters of sessions and of jobs.
#[derive(Debug)]
pub struct Placement {
    sessions: Turns,
    jobs: Turns,
}

/// Arbiters that take turns.
#[derive(Debug)]
struct Turns {
    handles: Vec<ArbiterHandle>,
    next: AtomicUsize,
}

impl Placement {
    /// Starts arbiters for a machine of `cores`; called on the system's own. The second value is
    /// for ending and joining them.
    pub fn start(cores: usize) -> (Self, Vec<Arbiter>) {
        let of_sessions = (cores / 2).max(1);
        let of_jobs = cores.saturating_sub(of_sessions + 1);
        let arbiters: Vec<_> = (0..of_sessions + of_jobs).map(|_| Arbiter::new()).collect();
        let mut sessions: Vec<_> = arbiters.iter().map(Arbiter::handle).collect();
        let mut jobs = sessions.split_off(of_sessions);
        jobs.push(Arbiter::current());
        (Self { sessions: Turns::of(sessions), jobs: Turns::of(jobs) }, arbiters)
    }

    /// For a worker or a service, and its number for operators.
    pub fn of_sessions(&self) -> (usize, &ArbiterHandle) {
        self.sessions.next()
    }

    /// For a job.
    pub fn of_jobs(&self) -> &ArbiterHandle {
        self.jobs.next().1
    }
}

impl Turns {
    fn of(handles: Vec<ArbiterHandle>) -> Self {
        Self { handles, next: AtomicUsize::new(0) }
    }

    fn next(&self) -> (usize, &ArbiterHandle) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        (turn, &self.handles[turn])
    }
}
