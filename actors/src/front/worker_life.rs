//! Which worker serves the next connection, and when another worker is started: decided here,
//! carried out by the service.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use relais_config::dispatcher::Limits;

use crate::ids::WorkerId;

/// The workers of a service. `W` is what a worker is reached by.
#[derive(Debug)]
pub(super) struct Workers<W> {
    limits: Limits,
    serving: BTreeMap<WorkerId, Serving<W>>,
    next: u32,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Serving<W> {
    pub(super) worker: W,
    pub(super) arbiter: usize,
    connections: usize,
    peak: usize,
    served: u64,
    since: Instant,
}

/// The worker that serves a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    /// A worker that runs.
    Of(WorkerId),
    /// A worker that has yet to be started.
    Another,
    /// Every worker is full, and there may be no other.
    Nobody,
}

/// One worker of a service, for those who ask.
#[derive(Clone, Copy, Debug)]
pub struct WorkerDescription {
    /// Which.
    pub id: WorkerId,
    /// The arbiter it runs on.
    pub arbiter: usize,
    /// Open sessions.
    pub connections: usize,
    /// The most sessions that were ever open at once.
    pub peak: usize,
    /// Sessions since it was started.
    pub served: u64,
    /// How long ago it was started.
    pub age: Duration,
}

impl<W> Workers<W> {
    /// None yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, serving: BTreeMap::new(), next: 0 }
    }

    /// The number of the next worker that is started.
    pub(super) fn number(&mut self) -> WorkerId {
        let id = WorkerId(self.next);
        self.next += 1;
        id
    }

    /// A worker has been started.
    pub(super) fn add(&mut self, id: WorkerId, arbiter: usize, worker: W, since: Instant) {
        let serving = Serving { worker, arbiter, connections: 0, peak: 0, served: 0, since };
        self.serving.insert(id, serving);
    }

    /// Forgets the workers that died.
    pub(super) fn keep_living(&mut self, lives: impl Fn(&W) -> bool) {
        self.serving.retain(|_, serving| lives(&serving.worker));
    }

    /// The worker with the fewest sessions, the oldest of several, of those that have room; another
    /// one when all have `min_conns` sessions and there may be one more (seed 8.3).
    pub(super) fn choose(&self) -> Choice {
        let with_room =
            self.serving.iter().filter(|(_, its)| its.connections < self.limits.max_conns);
        let idlest = with_room.min_by_key(|(id, its)| (its.connections, **id));
        match idlest {
            Some((id, its)) if its.connections < self.limits.min_conns => Choice::Of(*id),
            _ if self.serving.len() < self.limits.max_procs => Choice::Another,
            Some((id, _)) => Choice::Of(*id),
            None => Choice::Nobody,
        }
    }

    /// A worker gets one more session; who that is.
    pub(super) fn open(&mut self, id: WorkerId) -> Option<&W> {
        let serving = self.serving.get_mut(&id)?;
        serving.connections += 1;
        serving.peak = serving.peak.max(serving.connections);
        serving.served += 1;
        Some(&serving.worker)
    }

    /// A session of a worker is over.
    pub(super) fn close(&mut self, id: WorkerId) {
        // A worker that died took the count of its sessions with it.
        if let Some(serving) = self.serving.get_mut(&id) {
            debug_assert!(serving.connections > 0, "a session that was never opened is over");
            serving.connections = serving.connections.saturating_sub(1);
        }
    }

    /// Whether no session is open.
    pub(super) fn are_idle(&self) -> bool {
        self.serving.values().all(|serving| serving.connections == 0)
    }

    /// All of them, the oldest first.
    pub(super) fn describe(&self) -> Vec<WorkerDescription> {
        let describe = |(id, its): (&WorkerId, &Serving<W>)| WorkerDescription {
            id: *id,
            arbiter: its.arbiter,
            connections: its.connections,
            peak: its.peak,
            served: its.served,
            age: its.since.elapsed(),
        };
        self.serving.iter().map(describe).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(min_conns: usize, max_conns: usize, max_procs: usize) -> Workers<()> {
        Workers::new(Limits { min_conns, max_conns, max_procs, ..Limits::default() })
    }

    #[test]
    fn a_connection_goes_to_the_idlest_and_workers_are_started_when_all_have_enough() {
        // sessions of each worker, (min_conns, max_conns, max_procs), who serves the next
        let rows = [
            ("the first", &[][..], (3, 10, 4), Choice::Another),
            ("the only one", &[2], (3, 10, 4), Choice::Of(WorkerId(0))),
            ("all have enough", &[3, 3], (3, 10, 4), Choice::Another),
            ("the idlest", &[3, 1, 2], (3, 10, 4), Choice::Of(WorkerId(1))),
            ("the oldest of the idlest", &[2, 1, 1], (3, 10, 4), Choice::Of(WorkerId(1))),
            ("no more workers, but room", &[5, 4], (3, 10, 2), Choice::Of(WorkerId(1))),
            ("full, and there may be another", &[10, 10], (3, 10, 4), Choice::Another),
            ("full", &[10, 10], (3, 10, 2), Choice::Nobody),
        ];
        for (name, sessions, (min_conns, max_conns, max_procs), want) in rows {
            let mut workers = workers(min_conns, max_conns, max_procs);
            for open in sessions {
                let id = workers.number();
                workers.add(id, 0, (), Instant::now());
                for _ in 0..*open {
                    workers.open(id);
                }
            }
            assert_eq!(workers.choose(), want, "{name}");
        }
    }

    #[test]
    fn a_worker_that_died_is_forgotten_with_its_sessions() {
        let mut workers = Workers::new(Limits { max_procs: 1, ..Limits::default() });
        let id = workers.number();
        workers.add(id, 0, "dead", Instant::now());
        workers.open(id);
        workers.keep_living(|worker| *worker != "dead");
        workers.close(id);
        assert!(workers.are_idle());
        assert_eq!(workers.choose(), Choice::Another);
        assert_eq!(workers.number(), WorkerId(1), "its number is not given again");
    }

    #[test]
    fn peak_and_served_outlive_the_sessions() {
        let mut workers = workers(1, 10, 1);
        let id = workers.number();
        workers.add(id, 7, (), Instant::now());
        for _ in 0..3 {
            workers.open(id);
        }
        for _ in 0..2 {
            workers.close(id);
        }
        workers.open(id);
        let seen = workers.describe()[0];
        assert_eq!((seen.arbiter, seen.connections, seen.peak, seen.served), (7, 2, 3, 4));
    }
}
