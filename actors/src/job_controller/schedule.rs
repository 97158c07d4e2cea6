//! Which jobs to start: the job controller's decisions, without actors and without a clock.
//!
//! A job serves one destination (channel and host). A channel runs at most `maxjobs`, a pool at
//! most `job_limit`; a destination gets one job for each `threaddepth` waiting entries. When the
//! pool is full, destinations wait in line and get their turn in the order they came. A
//! destination that cannot be talked to is suspended, longer each time, and then gets one job to
//! probe it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use relais_channels::mail::Reply;
use tokio::time::Instant;

use crate::{
    channels::{ChannelId, Channels},
    queue::{Destination, JobId},
};

/// Everything that is running, waiting or suspended.
#[derive(Debug)]
pub struct Schedule {
    channels: Arc<Channels>,
    pools: Vec<PoolState>,
    pool_of: HashMap<ChannelId, usize>,
    jobs_of_channel: HashMap<ChannelId, usize>,
    sites: HashMap<Destination, Site>,
    next_job: u32,
}

/// A job to start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Start {
    /// Its number.
    pub job: JobId,
    /// What it is for.
    pub destination: Destination,
    /// Index of the pool it runs in.
    pub pool: usize,
}

/// A pool as the schedule sees it.
#[derive(Debug)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Jobs at once.
    pub limit: usize,
    /// Jobs now.
    pub running: usize,
    waiting: VecDeque<Destination>,
}

/// A destination that could not be talked to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suspended {
    /// Which.
    pub destination: Destination,
    /// When it is probed.
    pub until: Instant,
    /// What it said last, or we in its place.
    pub reply: Reply,
}

#[derive(Debug, Default)]
struct Site {
    ready: usize,
    jobs: usize,
    in_line: bool,
    failures: u32,
    suspended: Option<(Instant, Reply)>,
}

impl Schedule {
    /// Nothing runs. `pools` are names and limits; a channel whose pool is not among them uses
    /// the first.
    pub fn new(channels: Arc<Channels>, pools: Vec<(String, usize)>) -> Self {
        let pools: Vec<_> = pools
            .into_iter()
            .map(|(name, limit)| PoolState { name, limit, running: 0, waiting: VecDeque::new() })
            .collect();
        let pool_of = channels
            .iter()
            .map(|(id, channel)| {
                let named = |pool: &PoolState| pool.name == channel.pool;
                (id, pools.iter().position(named).unwrap_or(0))
            })
            .collect();
        Self {
            channels,
            pools,
            pool_of,
            jobs_of_channel: HashMap::new(),
            sites: HashMap::new(),
            next_job: 0,
        }
    }

    /// The pools, as they are now.
    pub fn pools(&self) -> &[PoolState] {
        &self.pools
    }

    /// Jobs of a channel now.
    pub fn jobs_of(&self, channel: ChannelId) -> usize {
        self.jobs_of_channel.get(&channel).copied().unwrap_or(0)
    }

    fn channels_of(&self, pool: usize) -> Vec<ChannelId> {
        let of_pool = |(channel, its): (&ChannelId, &usize)| (*its == pool).then_some(*channel);
        self.pool_of.iter().filter_map(of_pool).collect()
    }

    /// Channels whose jobs should give way: all of a pool that is full and has a line, else those
    /// that have destinations in line because they are at their own `maxjobs`.
    pub fn contended(&self) -> HashSet<ChannelId> {
        let mut contended = HashSet::new();
        for (index, pool) in self.pools.iter().enumerate().filter(|(_, p)| !p.waiting.is_empty()) {
            if pool.running >= pool.limit {
                contended.extend(self.channels_of(index));
            } else {
                contended.extend(pool.waiting.iter().map(|destination| destination.channel));
            }
        }
        contended
    }

    /// Destinations of a channel that wait for a slot.
    pub fn waiting_of(&self, channel: ChannelId) -> usize {
        let pool = &self.pools[self.pool_of[&channel]];
        pool.waiting.iter().filter(|destination| destination.channel == channel).count()
    }

    /// Destinations that could not be talked to.
    pub fn suspended(&self) -> impl Iterator<Item = Suspended> {
        self.sites.iter().filter_map(|(destination, site)| {
            let (until, reply) = site.suspended.clone()?;
            Some(Suspended { destination: destination.clone(), until, reply })
        })
    }

    /// `ready` entries wait for `destination`. Returns the jobs to start for it.
    pub fn wanted(&mut self, destination: &Destination, ready: usize, now: Instant) -> Vec<Start> {
        self.site(destination).ready = ready;
        let mut starts = Vec::new();
        while self.deserves_job(destination, now) {
            let Some(start) = self.start(destination) else {
                self.stand_in_line(destination);
                break;
            };
            starts.push(start);
        }
        starts
    }

    /// A destination that was in trouble took a message: it gets what it deserves.
    pub fn revived(&mut self, destination: &Destination, now: Instant) -> Vec<Start> {
        let ready = self.sites.get(destination).map_or(0, |site| site.ready);
        self.wanted(destination, ready, now)
    }

    /// A job ended, with `ready` entries left for its destination. Returns the jobs to start in
    /// its place: those in line first.
    pub fn ended(&mut self, destination: &Destination, ready: usize, now: Instant) -> Vec<Start> {
        let pool = self.pool_of[&destination.channel];
        self.pools[pool].running = self.pools[pool].running.saturating_sub(1);
        if let Some(jobs) = self.jobs_of_channel.get_mut(&destination.channel) {
            *jobs = jobs.saturating_sub(1);
        }
        let site = self.site(destination);
        site.jobs = site.jobs.saturating_sub(1);
        site.ready = ready;
        if self.deserves_job(destination, now) {
            self.stand_in_line(destination);
        }
        let starts = self.call_in(pool, now);
        self.forget_if_quiet(destination);
        starts
    }

    /// The destination could not be talked to. Returns how long it is suspended, unless it is
    /// already.
    pub fn troubled(
        &mut self,
        destination: &Destination,
        reply: Reply,
        now: Instant,
    ) -> Option<Duration> {
        let site = self.site(destination);
        if site.suspended.as_ref().is_some_and(|(until, _)| *until > now) {
            return None;
        }
        let wait = (FIRST_SUSPENSION * 2u32.saturating_pow(site.failures)).min(LONGEST_SUSPENSION);
        site.failures = site.failures.saturating_add(1).min(MAX_DOUBLINGS);
        site.suspended = Some((now + wait, reply));
        Some(wait)
    }

    /// The destination took a message. Returns whether it had been in trouble.
    pub fn reached(&mut self, destination: &Destination) -> bool {
        let Some(site) = self.sites.get_mut(destination) else { return false };
        site.failures = 0;
        site.suspended.take().is_some()
    }

    /// Time has passed: suspended destinations whose time has come are probed.
    pub fn tick(&mut self, now: Instant) -> Vec<Start> {
        let over = |(_, site): &(&Destination, &Site)| {
            site.ready > 0
                && site.jobs == 0
                && site.suspended.as_ref().is_some_and(|(until, _)| *until <= now)
        };
        let probes: Vec<_> =
            self.sites.iter().filter(over).map(|(destination, _)| destination.clone()).collect();
        // A host that nobody writes to any more is not in trouble, it is gone.
        self.sites.retain(|_, site| {
            let long_ago = |(until, _): &(Instant, Reply)| *until + LONGEST_SUSPENSION <= now;
            let quiet = site.ready == 0 && site.jobs == 0 && !site.in_line;
            !quiet || site.suspended.as_ref().is_some_and(|suspended| !long_ago(suspended))
        });
        let mut starts = Vec::new();
        for destination in probes {
            self.stand_in_line(&destination);
        }
        for pool in 0..self.pools.len() {
            starts.append(&mut self.call_in(pool, now));
        }
        starts
    }

    /// An offer that the pool refused is taken back.
    pub fn refused(&mut self, start: &Start) {
        let pool = &mut self.pools[start.pool];
        pool.running = pool.running.saturating_sub(1);
        if let Some(jobs) = self.jobs_of_channel.get_mut(&start.destination.channel) {
            *jobs = jobs.saturating_sub(1);
        }
        let site = self.site(&start.destination);
        site.jobs = site.jobs.saturating_sub(1);
        self.stand_in_line(&start.destination);
    }

    fn call_in(&mut self, pool: usize, now: Instant) -> Vec<Start> {
        let mut starts = Vec::new();
        for _ in 0..self.pools[pool].waiting.len() {
            if self.pools[pool].running >= self.pools[pool].limit {
                break;
            }
            let Some(destination) = self.pools[pool].waiting.pop_front() else { break };
            self.site(&destination).in_line = false;
            if !self.deserves_job(&destination, now) {
                self.forget_if_quiet(&destination);
                continue;
            }
            match self.start(&destination) {
                Some(start) => starts.push(start),
                // The channel is at its own limit: others of the pool may still go.
                None => self.stand_in_line(&destination),
            }
        }
        starts
    }

    fn deserves_job(&self, destination: &Destination, now: Instant) -> bool {
        let Some(site) = self.sites.get(destination) else { return false };
        let depth = self.channels.channel(destination.channel).threaddepth.get();
        match &site.suspended {
            Some((until, _)) => *until <= now && site.jobs == 0 && site.ready > 0,
            None => site.jobs < site.ready.div_ceil(depth),
        }
    }

    fn start(&mut self, destination: &Destination) -> Option<Start> {
        let pool = self.pool_of[&destination.channel];
        let maxjobs = self.channels.channel(destination.channel).maxjobs.get();
        if self.pools[pool].running >= self.pools[pool].limit
            || self.jobs_of(destination.channel) >= maxjobs
        {
            return None;
        }
        self.pools[pool].running += 1;
        *self.jobs_of_channel.entry(destination.channel).or_default() += 1;
        self.site(destination).jobs += 1;
        let job = JobId(self.next_job);
        self.next_job = self.next_job.wrapping_add(1);
        Some(Start { job, destination: destination.clone(), pool })
    }

    /// Only who has nothing waits in line: a destination that is being served asks for more with
    /// its next message, and must not make its own jobs give way to it.
    fn stand_in_line(&mut self, destination: &Destination) {
        let site = self.site(destination);
        if site.jobs > 0 {
            return;
        }
        if !std::mem::replace(&mut site.in_line, true) {
            self.pools[self.pool_of[&destination.channel]].waiting.push_back(destination.clone());
        }
    }

    fn forget_if_quiet(&mut self, destination: &Destination) {
        let quiet = |site: &Site| {
            site.ready == 0 && site.jobs == 0 && !site.in_line && site.suspended.is_none()
        };
        if self.sites.get(destination).is_some_and(quiet) {
            self.sites.remove(destination);
        }
    }

    fn site(&mut self, destination: &Destination) -> &mut Site {
        self.sites.entry(destination.clone()).or_default()
    }
}

/// The first failure may be a restart: look again soon.
const FIRST_SUSPENSION: Duration = Duration::from_secs(1);
/// However long a host is dead, it is probed this often.
const LONGEST_SUSPENSION: Duration = Duration::from_secs(5 * 60);
const MAX_DOUBLINGS: u32 = 10;

#[cfg(test)]
mod tests {
    use relais_channels::mail::Enhanced;
    use relais_config::{Channel, channel::Program};

    use super::*;

    fn schedule(maxjobs: usize, job_limit: usize) -> Schedule {
        let channel = |name: &str| Channel {
            maxjobs: maxjobs.try_into().unwrap(),
            pool: "P".to_owned(),
            ..Channel::new(name, name, Program::Lmtp)
        };
        let channels = Channels::from(vec![channel("a"), channel("b")]);
        Schedule::new(Arc::new(channels), vec![("P".to_owned(), job_limit)])
    }

    fn to(channel: u16, host: &str) -> Destination {
        Destination { channel: ChannelId(channel), host: host.into() }
    }

    fn down() -> Reply {
        Reply::new(451, Enhanced(4, 4, 1), "connection refused")
    }

    #[tokio::test]
    async fn a_destination_gets_a_job_for_each_threaddepth_entries() {
        // ready, maxjobs, job_limit, jobs
        let rows =
            [(1, 7, 10, 1), (10, 7, 10, 1), (11, 7, 10, 2), (1_000, 7, 10, 7), (1_000, 7, 3, 3)];
        for (ready, maxjobs, limit, want) in rows {
            let mut schedule = schedule(maxjobs, limit);
            let starts = schedule.wanted(&to(0, "h"), ready, Instant::now());
            assert_eq!(starts.len(), want, "{ready} ready, maxjobs {maxjobs}, limit {limit}");
            assert!(schedule.wanted(&to(0, "h"), ready, Instant::now()).is_empty(), "only once");
        }
    }

    #[tokio::test]
    async fn a_full_pool_serves_its_line_in_turn() {
        let now = Instant::now();
        let mut schedule = schedule(10, 1);
        assert_eq!(schedule.wanted(&to(0, "busy"), 1_000, now).len(), 1);
        assert!(schedule.wanted(&to(0, "small"), 1, now).is_empty());
        assert!(schedule.wanted(&to(1, "other"), 1, now).is_empty());
        assert_eq!(schedule.contended().len(), 2, "both channels of the pool");
        let mut order = Vec::new();
        let mut last = to(0, "busy");
        for ready in [900, 0, 0, 800] {
            let starts = schedule.ended(&last, ready, now);
            assert_eq!(starts.len(), 1);
            last = starts[0].destination.clone();
            order.push(last.host.to_string());
        }
        assert_eq!(order, ["small", "other", "busy", "busy"]);
    }

    #[tokio::test]
    async fn a_dead_host_is_left_alone_and_then_probed_by_one_job() {
        let now = Instant::now();
        let mut schedule = schedule(10, 10);
        let (dead, alive) = (to(0, "dead"), to(0, "alive"));
        assert_eq!(schedule.wanted(&dead, 100, now).len(), 10);
        assert_eq!(schedule.troubled(&dead, down(), now), Some(FIRST_SUSPENSION));
        assert_eq!(schedule.troubled(&dead, down(), now), None, "one suspension at a time");
        let mut starts = Vec::new();
        for _ in 0..10 {
            starts.append(&mut schedule.ended(&dead, 90, now));
        }
        assert!(starts.is_empty(), "{starts:?}");
        assert_eq!(schedule.wanted(&alive, 100, now).len(), 10, "the other has all slots");
        for _ in 0..10 {
            schedule.ended(&alive, 0, now);
        }
        assert!(schedule.tick(now).is_empty());
        let later = now + FIRST_SUSPENSION;
        assert_eq!(schedule.tick(later).len(), 1, "one probe");
        assert!(schedule.tick(later).is_empty());
        assert_eq!(schedule.troubled(&dead, down(), later), Some(FIRST_SUSPENSION * 2));
        schedule.ended(&dead, 90, later);
        assert_eq!(schedule.tick(later + FIRST_SUSPENSION * 2).len(), 1);
        assert!(schedule.reached(&dead));
        let now = later + FIRST_SUSPENSION * 2;
        assert_eq!(schedule.wanted(&dead, 90, now).len(), 8, "at full speed again");
    }
}
