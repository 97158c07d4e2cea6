//! The life of a service's workers (seed 8.3): which of them serves the next connection, when
//! another one is started, and when one ends. Decided here, carried out by the service; pure.
//!
//! | state | since | takes connections |
//! | --- | --- | --- |
//! | starting | it was started, and has not said yet that it is there | no, they wait |
//! | active | it is there | while it has fewer than `max_conns` |
//! | full | it has `max_conns` sessions | no |
//! | eligible | it is `max_life_time` old, has served `max_life_conns`, or was idle for `max_idle_time` while there are more than `min_procs` | when no active one can |
//! | draining | it was eligible and fewer than `max_shutdown` were draining, or an operator says so | no; it ends with its last session |
//! | exited | it ended | no; it is shown for `historical_time` |
//!
//! A draining worker is not counted among `min_procs` and `max_procs`: whoever replaces workers
//! loses no room by it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use relais_config::dispatcher::Limits;

use crate::{ids::WorkerId, metrics::WorkerState};

/// The workers of a service. `W` is what a worker is reached by.
#[derive(Debug)]
pub(super) struct Workers<W> {
    limits: Limits,
    living: BTreeMap<WorkerId, Living<W>>,
    /// The last one that ended is the last.
    exited: VecDeque<(WorkerDescription, Instant)>,
    next: u32,
}

#[derive(Debug)]
struct Living<W> {
    worker: W,
    arbiter: usize,
    stage: Stage,
    connections: usize,
    peak: usize,
    served: u64,
    since: Instant,
    /// When it was started, or its last session ended.
    idle_since: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Starting,
    Serving,
    Draining,
}

/// One worker of a service, for those who ask.
#[derive(Clone, Copy, Debug)]
pub struct WorkerDescription {
    /// The number that its service gave it.
    pub id: WorkerId,
    /// Where it is in its life.
    pub state: WorkerState,
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
        Self { limits, living: BTreeMap::new(), exited: VecDeque::new(), next: 0 }
    }

    /// Other limits from now on.
    pub(super) fn adopt(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The number of the next worker that is started.
    pub(super) fn number(&mut self) -> WorkerId {
        let id = WorkerId(self.next);
        self.next += 1;
        id
    }

    /// A worker has been started, and says later that it is there.
    pub(super) fn add(&mut self, id: WorkerId, arbiter: usize, worker: W, now: Instant) {
        let living = Living {
            worker,
            arbiter,
            stage: Stage::Starting,
            connections: 0,
            peak: 0,
            served: 0,
            since: now,
            idle_since: now,
        };
        self.living.insert(id, living);
    }

    /// A worker says that it is there.
    pub(super) fn greet(&mut self, id: WorkerId) {
        if let Some(its) = self.living.get_mut(&id)
            && its.stage == Stage::Starting
        {
            its.stage = Stage::Serving;
        }
    }

    /// Whether another worker is to be started: fewer than `min_procs` are left, every one has
    /// `min_conns` sessions, or somebody waits and there is none at all.
    pub(super) fn wants_another(&self, somebody_waits: bool) -> bool {
        let wanted = self.wanted();
        if wanted < self.limits.min_procs {
            return true;
        }
        let are_busy = self.taking().all(|(_, its)| its.connections >= self.limits.min_conns);
        are_busy && wanted < self.limits.max_procs && (wanted > 0 || somebody_waits)
    }

    /// The worker that serves the next connection, if one can: the one with the fewest sessions,
    /// active ones before eligible ones, the youngest of several.
    pub(super) fn choose(&self, now: Instant) -> Option<WorkerId> {
        let able = self.taking().filter(|(_, its)| {
            its.stage == Stage::Serving && its.connections < self.limits.max_conns
        });
        let rank = |(id, its): &(&WorkerId, &Living<W>)| {
            (self.is_eligible(its, now), its.connections, Reverse(**id))
        };
        able.min_by_key(rank).map(|(id, _)| *id)
    }

    /// A worker gets one more session; how it is reached.
    pub(super) fn open(&mut self, id: WorkerId) -> Option<&W> {
        let its = self.living.get_mut(&id)?;
        its.connections += 1;
        its.peak = its.peak.max(its.connections);
        its.served += 1;
        Some(&its.worker)
    }

    /// A session of a worker is over.
    pub(super) fn close(&mut self, id: WorkerId, now: Instant) {
        // A worker that died took the count of its sessions with it.
        let Some(its) = self.living.get_mut(&id) else { return };
        debug_assert!(its.connections > 0, "a session that was never opened is over");
        its.connections = its.connections.saturating_sub(1);
        if its.connections == 0 {
            its.idle_since = now;
        }
    }

    /// Has eligible workers drain, the oldest first, `max_shutdown` at once; which.
    pub(super) fn retire(&mut self, now: Instant) -> Vec<WorkerId> {
        let mut retired = Vec::new();
        let mut draining = self.living.values().filter(|its| its.stage == Stage::Draining).count();
        while draining < self.limits.max_shutdown
            && let Some(id) = self.oldest_eligible(now)
        {
            self.drain(Some(id));
            retired.push(id);
            draining += 1;
        }
        retired
    }

    /// Has a worker drain, or all of them, as an operator says; how many did not before.
    pub(super) fn drain(&mut self, which: Option<WorkerId>) -> usize {
        let meant = self.living.iter_mut().filter(|(id, its)| {
            which.is_none_or(|which| which == **id) && its.stage != Stage::Draining
        });
        meant.map(|(_, its)| its.stage = Stage::Draining).count()
    }

    /// Takes out the workers that have drained, to be ended.
    pub(super) fn take_drained(&mut self, now: Instant) -> Vec<(WorkerId, W)> {
        self.take(now, |its| its.stage == Stage::Draining && its.connections == 0)
    }

    /// Takes out the workers that died.
    pub(super) fn take_dead(
        &mut self,
        now: Instant,
        lives: impl Fn(&W) -> bool,
    ) -> Vec<(WorkerId, W)> {
        self.take(now, |its| !lives(&its.worker))
    }

    /// Takes out all of them: their service ends.
    pub(super) fn take_all(&mut self, now: Instant) -> Vec<(WorkerId, W)> {
        self.take(now, |_| true)
    }

    /// Whether no session is open.
    pub(super) fn are_idle(&self) -> bool {
        self.living.values().all(|its| its.connections == 0)
    }

    /// All of them, the oldest first; those that ended before those that live.
    pub(super) fn describe(&self, now: Instant) -> Vec<WorkerDescription> {
        let until = |at: &Instant| now.saturating_duration_since(*at) < self.limits.historical_time;
        let exited = self.exited.iter().filter(|(_, at)| until(at)).map(|(it, _)| *it);
        let living = self.living.iter().map(|(id, its)| self.description(*id, its, now));
        exited.chain(living).collect()
    }

    fn description(&self, id: WorkerId, its: &Living<W>, now: Instant) -> WorkerDescription {
        let state = match its.stage {
            Stage::Starting => WorkerState::Starting,
            Stage::Draining => WorkerState::Draining,
            Stage::Serving if its.connections >= self.limits.max_conns => WorkerState::Full,
            Stage::Serving if self.is_eligible(its, now) => WorkerState::Eligible,
            Stage::Serving => WorkerState::Active,
        };
        WorkerDescription {
            id,
            state,
            arbiter: its.arbiter,
            connections: its.connections,
            peak: its.peak,
            served: its.served,
            age: now.saturating_duration_since(its.since),
        }
    }

    fn take(&mut self, now: Instant, whom: impl Fn(&Living<W>) -> bool) -> Vec<(WorkerId, W)> {
        let ids: Vec<_> =
            self.living.iter().filter(|(_, its)| whom(its)).map(|(id, _)| *id).collect();
        let mut taken = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(its) = self.living.remove(&id) else { continue };
            let seen = self.description(id, &its, now);
            self.remember(WorkerDescription { state: WorkerState::Exited, ..seen }, now);
            taken.push((id, its.worker));
        }
        taken
    }

    fn remember(&mut self, exited: WorkerDescription, now: Instant) {
        let Limits { historical_time, .. } = self.limits;
        self.exited.retain(|(_, at)| now.saturating_duration_since(*at) < historical_time);
        if historical_time.is_zero() {
            return;
        }
        if self.exited.len() == MAX_EXITED {
            self.exited.pop_front();
        }
        self.exited.push_back((exited, now));
    }

    /// Workers that take connections, or will.
    fn taking(&self) -> impl Iterator<Item = (&WorkerId, &Living<W>)> {
        self.living.iter().filter(|(_, its)| its.stage != Stage::Draining)
    }

    /// How many workers there are for `min_procs` and `max_procs`.
    fn wanted(&self) -> usize {
        self.taking().count()
    }

    fn is_eligible(&self, its: &Living<W>, now: Instant) -> bool {
        let Limits { max_life_time, max_life_conns, max_idle_time, min_procs, .. } = self.limits;
        let since = |at: Instant| now.saturating_duration_since(at);
        its.stage == Stage::Serving
            && (since(its.since) >= max_life_time
                || its.served >= max_life_conns
                || its.connections == 0
                    && since(its.idle_since) >= max_idle_time
                    && self.wanted() > min_procs)
    }

    fn oldest_eligible(&self, now: Instant) -> Option<WorkerId> {
        self.living.iter().find(|(_, its)| self.is_eligible(its, now)).map(|(id, _)| *id)
    }
}

/// Workers of a service that ended, and are shown for a while.
const MAX_EXITED: usize = 1_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(min_conns: usize, max_conns: usize, max_procs: usize) -> Limits {
        Limits { min_procs: 0, min_conns, max_conns, max_procs, ..Limits::default() }
    }

    /// Workers that are there, each with so many sessions.
    fn there(limits: Limits, sessions: &[usize], now: Instant) -> Workers<()> {
        let mut workers = Workers::new(limits);
        for open in sessions {
            let id = workers.number();
            workers.add(id, 0, (), now);
            workers.greet(id);
            for _ in 0..*open {
                workers.open(id);
            }
        }
        workers
    }

    fn states<W>(workers: &Workers<W>, now: Instant) -> Vec<&'static str> {
        workers.describe(now).iter().map(|it| it.state.name()).collect()
    }

    #[test]
    fn a_connection_goes_to_the_idlest_and_workers_are_started_when_all_have_enough() {
        let now = Instant::now();
        // sessions of each worker, (min_conns, max_conns, max_procs), who serves the next, whether
        // another is started
        let rows = [
            ("the first", &[][..], (3, 10, 4), None, true),
            ("the only one", &[2], (3, 10, 4), Some(0), false),
            ("all have enough", &[3, 3], (3, 10, 4), Some(1), true),
            ("the idlest", &[3, 1, 2], (3, 10, 4), Some(1), false),
            ("the youngest of the idlest", &[2, 1, 1], (3, 10, 4), Some(2), false),
            ("no more workers, but room", &[5, 4], (3, 10, 2), Some(1), false),
            ("full, and there may be another", &[10, 10], (3, 10, 4), None, true),
            ("full", &[10, 10], (3, 10, 2), None, false),
        ];
        for (name, sessions, (min_conns, max_conns, max_procs), who, another) in rows {
            let workers = there(limits(min_conns, max_conns, max_procs), sessions, now);
            assert_eq!(workers.choose(now), who.map(WorkerId), "{name}");
            assert_eq!(workers.wants_another(true), another, "{name}");
        }
        assert!(!there(limits(3, 10, 4), &[], now).wants_another(false), "nobody waits");
        let alive = Limits { min_procs: 2, ..limits(3, 10, 4) };
        assert!(there(alive.clone(), &[1], now).wants_another(false), "two are kept alive");
        assert!(!there(alive, &[1, 1], now).wants_another(false));
    }

    #[test]
    fn a_worker_takes_connections_when_it_is_there_and_only_then_is_another_one_started() {
        let now = Instant::now();
        let mut workers = there(limits(1, 10, 4), &[], now);
        let id = workers.number();
        workers.add(id, 0, (), now);
        assert_eq!((workers.choose(now), workers.wants_another(true)), (None, false));
        assert_eq!(states(&workers, now), ["starting"]);
        workers.greet(id);
        assert_eq!((workers.choose(now), states(&workers, now)), (Some(id), vec!["active"]));
    }

    #[test]
    fn a_worker_is_eligible_by_age_by_number_and_by_idleness() {
        let start = Instant::now();
        let seconds = |n| start + n * SECOND;
        let limits = Limits {
            max_life_time: 100 * SECOND,
            max_life_conns: 5,
            max_idle_time: 10 * SECOND,
            max_shutdown: 0,
            ..limits(3, 10, 4)
        };
        let mut workers = there(limits.clone(), &[1, 5, 0], start);
        assert_eq!(states(&workers, seconds(0)), ["active", "eligible", "active"]);
        assert_eq!(states(&workers, seconds(10)), ["active", "eligible", "eligible"]);
        assert_eq!(states(&workers, seconds(100)), ["eligible"; 3]);
        workers.close(WorkerId(0), seconds(20));
        assert_eq!(states(&workers, seconds(29)), ["active", "eligible", "eligible"]);
        assert_eq!(states(&workers, seconds(30)), ["eligible", "eligible", "eligible"]);
        // Eligible ones serve as the last choice.
        let workers = there(limits.clone(), &[5, 4], start);
        assert_eq!(workers.choose(start), Some(WorkerId(1)));
        assert_eq!(there(limits.clone(), &[5, 6], start).choose(start), Some(WorkerId(0)));
        // Workers that are kept alive are never too idle.
        let workers = there(Limits { min_procs: 2, ..limits }, &[0, 0], start);
        assert_eq!(states(&workers, seconds(50)), ["active", "active"]);
    }

    #[test]
    fn old_workers_are_replaced_so_many_at_a_time_and_end_with_their_last_session() {
        let start = Instant::now();
        let limits =
            Limits { max_life_conns: 1, max_shutdown: 2, min_procs: 3, ..limits(3, 10, 4) };
        let mut workers = there(limits, &[1, 1, 1], start);
        assert_eq!(workers.retire(start), [WorkerId(0), WorkerId(1)]);
        assert_eq!(states(&workers, start), ["draining", "draining", "eligible"]);
        assert!(workers.wants_another(false), "the draining ones do not count");
        assert!(workers.take_drained(start).is_empty());
        workers.close(WorkerId(1), start);
        assert_eq!(workers.take_drained(start), [(WorkerId(1), ())]);
        assert_eq!(workers.retire(start), [WorkerId(2)]);
        assert_eq!(workers.choose(start), None);
    }

    #[test]
    fn idle_workers_end_down_to_those_that_are_kept_alive() {
        let start = Instant::now();
        let idle = SECOND;
        let limits =
            Limits { min_procs: 1, max_idle_time: idle, max_shutdown: 9, ..limits(3, 10, 4) };
        let mut workers = there(limits, &[0, 0, 0], start);
        assert_eq!(workers.retire(start + idle), [WorkerId(0), WorkerId(1)]);
        assert_eq!(workers.take_drained(start + idle).len(), 2);
        assert!(!workers.wants_another(false));
    }

    #[test]
    fn who_ended_is_shown_for_a_while() {
        let start = Instant::now();
        let limits = Limits { historical_time: 10 * SECOND, ..limits(3, 10, 4) };
        let mut workers = there(limits.clone(), &[2, 1], start);
        assert_eq!(workers.take_dead(start, |()| false).len(), 2);
        assert!(workers.are_idle(), "a worker that died took its sessions with it");
        workers.close(WorkerId(0), start);
        assert_eq!(states(&workers, start + 9 * SECOND), ["exited", "exited"]);
        assert_eq!(workers.describe(start)[0].served, 2);
        assert!(states(&workers, start + 10 * SECOND).is_empty());
        assert_eq!(workers.number(), WorkerId(2), "a number is not given again");
        let mut workers = there(Limits { historical_time: Duration::ZERO, ..limits }, &[0], start);
        workers.take_dead(start, |()| false);
        assert!(states(&workers, start).is_empty());
    }

    #[test]
    fn an_operator_has_any_worker_drain_once() {
        let now = Instant::now();
        let mut workers = there(Limits { max_shutdown: 0, ..limits(3, 10, 4) }, &[1, 0], now);
        let drained = [0, 0, 7].map(|id| workers.drain(Some(WorkerId(id))));
        assert_eq!(drained, [1, 0, 0]);
        assert_eq!(workers.choose(now), Some(WorkerId(1)));
        assert_eq!(workers.drain(None), 1);
        assert_eq!(workers.choose(now), None);
        assert_eq!(workers.take_drained(now), [(WorkerId(1), ())]);
    }

    #[derive(Clone, Debug)]
    enum Event {
        Connect,
        Close(usize),
        Wait(u8),
        Drain(usize),
        Die(usize),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = prop_oneof![
            8 => Just(Event::Connect),
            6 => any::<usize>().prop_map(Event::Close),
            3 => any::<u8>().prop_map(Event::Wait),
            1 => any::<usize>().prop_map(Event::Drain),
            1 => any::<usize>().prop_map(Event::Die),
        ];
        prop::collection::vec(event, 0..300)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_limits_hold_and_whoever_comes_is_served_while_there_is_room(
            events in events(),
            (min_procs, max_procs, min_conns, max_conns) in (0..3_usize, 1..5_usize, 1..4_usize, 1..6_usize),
            (max_shutdown, max_life_conns, idle) in (0..3_usize, 1..20_u64, 1..50_u32),
        ) {
            let limits = Limits {
                min_procs: min_procs.min(max_procs), max_procs, min_conns, max_conns, max_shutdown,
                max_life_conns, max_idle_time: idle * SECOND, ..Limits::default()
            };
            let mut now = Instant::now();
            let mut workers = Workers::<()>::new(limits.clone());
            let mut open: Vec<WorkerId> = Vec::new();
            for event in events {
                match event {
                    Event::Connect => {
                        if workers.wants_another(true) {
                            let id = workers.number();
                            workers.add(id, 0, (), now);
                            workers.greet(id);
                        }
                        if let Some(id) = workers.choose(now) {
                            workers.open(id);
                            open.push(id);
                        } else {
                            let takes_none = |its: &Living<()>| {
                                its.stage == Stage::Draining || its.connections == max_conns
                            };
                            prop_assert!(workers.living.values().all(takes_none));
                        }
                    }
                    Event::Close(n) if !open.is_empty() => {
                        workers.close(open.swap_remove(n % open.len()), now);
                    }
                    Event::Wait(seconds) => now += u32::from(seconds) * SECOND,
                    Event::Drain(n) => { workers.drain(Some(WorkerId(n as u32 % workers.next.max(1)))); }
                    Event::Die(n) => {
                        let id = WorkerId(n as u32 % workers.next.max(1));
                        if workers.living.remove(&id).is_some() { open.retain(|of| *of != id); }
                    }
                    Event::Close(_) => {}
                }
                let before = workers.living.values().filter(|its| its.stage == Stage::Draining).count();
                let retired = workers.retire(now).len();
                prop_assert!(retired == 0 || before + retired <= max_shutdown);
                workers.take_drained(now);
                while workers.wants_another(false) {
                    let id = workers.number();
                    workers.add(id, 0, (), now);
                    workers.greet(id);
                }
                let taking = workers.wanted();
                prop_assert!((limits.min_procs..=max_procs).contains(&taking));
                prop_assert!(workers.living.values().all(|its| its.connections <= max_conns));
                let sessions: usize = workers.living.values().map(|its| its.connections).sum();
                prop_assert_eq!(sessions, open.len());
            }
        }
    }
}
