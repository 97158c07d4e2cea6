//! Slots bound what may run at once: the jobs of each pool and channel, and the connections inside
//! the jobs. Pure.
//!
//! A job takes a slot of its channel's pool, and holds up to `max_client_threads` connections; a
//! connection serves one destination. Whatever asks for a connection gets it here or not at
//! all, so the limits hold whoever asks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use relais_config::Channel;
use tokio::time::Instant;

use crate::{
    channel_table::Channels,
    ids::{ChannelId, ConnectionId, Destination, JobId},
};

/// Pools, channels, jobs and connections.
#[derive(Debug)]
pub struct Slots {
    pools: Vec<PoolState>,
    lanes: Vec<Lane>,
    connections: BTreeMap<ConnectionId, Running>,
    next_job: u32,
    next_connection: u64,
}

/// A connection to start, in a new job or in one that runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Start {
    /// Its number.
    pub connection: ConnectionId,
    /// The job it belongs to.
    pub job: JobId,
    /// The destination to connect to.
    pub destination: Destination,
    /// Index of the pool it runs in.
    pub pool: usize,
}

/// A job that takes no more connections, and whose connections end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retire {
    /// Which.
    pub job: JobId,
    /// Index of its pool.
    pub pool: usize,
}

/// The destination that asks for a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asker {
    /// A destination without one.
    Newcomer,
    /// A destination that has one: it leaves the last free connection to newcomers, and the last
    /// free slot to the channels of the pool that have none.
    Served,
}

/// The limit that keeps a destination from another connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limited {
    /// All jobs of the pool run.
    JobLimit,
    /// All jobs of the channel run, with all their connections.
    Maxjobs,
    /// The last one is kept free for destinations and channels that have none.
    LastSlot,
    /// Its own limits allow no more now, or an operator has suspended it.
    KeptBack,
    /// It has as many connections as its waiting entries deserve, or as it has shown to bear.
    Connections,
}

/// A pool.
#[derive(Debug)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// Jobs at once.
    pub limit: usize,
    /// Jobs now, those that end included.
    pub running: usize,
    /// Jobs that end.
    pub retiring: usize,
    /// The channels that run here.
    pub channels: Vec<ChannelId>,
    /// A destination that is served leaves the last free connection, and the last free slot, to one
    /// that is not.
    pub keeps_last: bool,
}

/// A channel's part.
#[derive(Debug)]
pub struct Lane {
    /// Index of its pool.
    pub pool: usize,
    /// Jobs at once.
    pub maxjobs: usize,
    /// Waiting entries of a destination for each of its connections.
    pub threaddepth: usize,
    /// Waiting entries for each job, if jobs are started for their number.
    pub filesperjob: Option<usize>,
    /// An operator stopped it: nothing runs, and nothing is started.
    pub frozen: bool,
    /// The same, because the whole job controller is stopped.
    pub halted: bool,
    /// The same, until its last job has ended: then it belongs to this pool.
    moves_to: Option<usize>,
    /// Entries that wait, of all its destinations.
    pub ready: usize,
    /// Connections of a job.
    pub max_client_threads: usize,
    jobs: BTreeMap<JobId, JobSlot>,
    retiring: usize,
    /// Connections without an answer so far.
    unanswered: BTreeSet<ConnectionId>,
    /// Connections that its jobs can still take.
    room: usize,
}

/// The slot of a job that runs.
#[derive(Debug)]
pub struct JobSlot {
    /// When it started.
    pub since: Instant,
    /// Connections now.
    pub connections: usize,
    /// It takes no more, and ends with the last.
    pub retiring: bool,
}

/// A connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Running {
    /// The job it belongs to.
    pub job: JobId,
    /// The destination that it serves.
    pub destination: Destination,
    /// When it started.
    pub since: Instant,
    /// It got an answer.
    pub answered: bool,
}

impl PoolState {
    fn new(name: &str, limit: usize) -> Self {
        Self {
            name: name.to_owned(),
            limit,
            running: 0,
            retiring: 0,
            channels: Vec::new(),
            keeps_last: true,
        }
    }

    /// Slots that nobody has.
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.running)
    }
}

impl Lane {
    fn of(channel: &Channel, pool: usize) -> Self {
        Self {
            pool,
            maxjobs: channel.maxjobs.get(),
            threaddepth: channel.threaddepth.get(),
            filesperjob: channel.filesperjob.map(Into::into),
            frozen: false,
            halted: false,
            moves_to: None,
            ready: 0,
            max_client_threads: channel.max_client_threads.get(),
            jobs: BTreeMap::new(),
            retiring: 0,
            unanswered: BTreeSet::new(),
            room: 0,
        }
    }

    /// Takes the settings of another configuration, as far as they differ.
    fn follow(&mut self, was: &Channel, now: &Channel) {
        if was.maxjobs != now.maxjobs {
            self.maxjobs = now.maxjobs.get();
        }
        if was.threaddepth != now.threaddepth {
            self.threaddepth = now.threaddepth.get();
        }
        self.filesperjob = now.filesperjob.map(Into::into);
    }

    /// Whether nothing runs, and nothing is started.
    pub fn is_still(&self) -> bool {
        self.frozen || self.halted || self.moves_to.is_some()
    }

    /// Jobs now, those that end included.
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Connections of each of its jobs at most.
    pub fn max_client_threads(&self) -> usize {
        self.max_client_threads
    }

    /// Whether its jobs can take another connection.
    pub fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Jobs that take connections.
    pub fn active(&self) -> usize {
        self.jobs.len() - self.retiring
    }

    fn wants_more_jobs(&self) -> bool {
        self.filesperjob.is_some_and(|files| self.jobs.len() < self.ready.div_ceil(files))
    }

    /// The job with most connections of those that have room, so that others can run empty and end.
    fn roomy_job(&self) -> Option<JobId> {
        let has_room = |job: &JobSlot| !job.retiring && job.connections < self.max_client_threads;
        let roomy = self.jobs.iter().filter(|(_, job)| has_room(job));
        roomy.max_by_key(|(_, job)| job.connections).map(|(id, _)| *id)
    }

    /// The job that costs least to end.
    fn smallest_job(&self) -> Option<JobId> {
        let active = self.jobs.iter().filter(|(_, job)| !job.retiring);
        active.min_by_key(|(_, job)| job.connections).map(|(id, _)| *id)
    }
}

impl Slots {
    /// Nothing runs. `pools` are names and limits; a channel whose pool is not among them uses
    /// the first. Where there are none, nothing is ever run: every channel is in a pool without a
    /// name and without slots.
    pub fn new(channels: &Channels, pools: &[(String, usize)]) -> Self {
        let none = [(String::new(), 0)];
        let pools = if pools.is_empty() { &none } else { pools };
        let pools = pools.iter().map(|(name, limit)| PoolState::new(name, *limit));
        let mut slots = Self {
            pools: pools.collect(),
            lanes: Vec::new(),
            connections: BTreeMap::new(),
            next_job: 0,
            next_connection: 0,
        };
        slots.add_lanes(channels);
        slots
    }

    /// Another pool.
    pub fn add_pool(&mut self, name: &str, limit: usize) {
        self.pools.push(PoolState::new(name, limit));
    }

    /// Puts the settings of another configuration in place of those of `was`. A limit that the file
    /// does not change stays as an operator set it. A channel changes its pool when its jobs have
    /// ended.
    pub fn adopt(&mut self, was: &Channels, channels: &Channels) {
        let known = self.lanes.len();
        for (id, channel) in channels.by_number().take(known) {
            let before = was.channel(id);
            let lane = self.lane_mut(id);
            lane.follow(before, channel);
            if before.max_client_threads != channel.max_client_threads {
                self.set_client_threads(id, channel.max_client_threads.get());
            }
            let pool = self.pool_named(&channel.pool);
            let lane = self.lane_mut(id);
            lane.moves_to = (lane.pool != pool).then_some(pool);
            self.settle_in(id);
        }
        self.add_lanes(channels);
    }

    /// Lanes of the channels that have none yet.
    fn add_lanes(&mut self, channels: &Channels) {
        let halted = !self.lanes.is_empty() && self.is_halted();
        for (id, channel) in channels.by_number().skip(self.lanes.len()) {
            let pool = self.pool_named(&channel.pool);
            self.lanes.push(Lane { halted, ..Lane::of(channel, pool) });
            self.settle_in(id);
        }
    }

    /// Has the channel's pool know it, and no other. A lane whose jobs have ended moves first.
    fn settle_in(&mut self, channel: ChannelId) {
        let lane = &mut self.lanes[usize::from(channel.0)];
        if lane.jobs.is_empty()
            && let Some(pool) = lane.moves_to.take()
        {
            lane.pool = pool;
        }
        let pool = lane.pool;
        for (index, state) in self.pools.iter_mut().enumerate() {
            let (is_here, belongs) = (state.channels.contains(&channel), index == pool);
            match (is_here, belongs) {
                (true, false) => state.channels.retain(|other| *other != channel),
                (false, true) => state.channels.push(channel),
                _ => {}
            }
        }
    }

    fn pool_named(&self, name: &str) -> usize {
        self.pools.iter().position(|pool| pool.name == name).unwrap_or(0)
    }

    /// The pools; at least one.
    pub fn pools(&self) -> &[PoolState] {
        &self.pools
    }

    /// A channel's part.
    pub fn lane(&self, channel: ChannelId) -> &Lane {
        &self.lanes[usize::from(channel.0)]
    }

    /// A channel's part, to be tuned. [`Self::surplus`] says which jobs are then too many.
    pub fn lane_mut(&mut self, channel: ChannelId) -> &mut Lane {
        &mut self.lanes[usize::from(channel.0)]
    }

    /// The pool a channel runs in.
    pub fn pool_of(&self, channel: ChannelId) -> &PoolState {
        &self.pools[self.lane(channel).pool]
    }

    /// Halts every lane, or lets it go on; returns whether they were halted.
    pub fn halt(&mut self, halted: bool) -> bool {
        let was = self.is_halted();
        self.lanes.iter_mut().for_each(|lane| lane.halted = halted);
        was
    }

    /// Whether every lane is halted.
    pub fn is_halted(&self) -> bool {
        self.lanes.iter().all(|lane| lane.halted)
    }

    /// Every connection, the oldest first.
    pub fn connections(&self) -> impl Iterator<Item = (ConnectionId, &Running)> {
        self.connections.iter().map(|(connection, running)| (*connection, running))
    }

    /// Jobs of a channel.
    pub fn jobs_of(&self, channel: ChannelId) -> impl Iterator<Item = (JobId, &JobSlot)> {
        self.lane(channel).jobs.iter().map(|(id, job)| (*id, job))
    }

    /// Connections that a destination of `channel` could be given now.
    pub fn free(&self, channel: ChannelId, asker: Asker) -> usize {
        let lane = self.lane(channel);
        if lane.is_still() {
            return 0;
        }
        let slots = |free: usize| lane.maxjobs.saturating_sub(lane.jobs.len()).min(free);
        let connections = |free| lane.room + slots(free) * lane.max_client_threads;
        let free = self.pool_of(channel).free();
        match asker {
            Asker::Newcomer => connections(free),
            Asker::Served => {
                let kept = usize::from(self.pool_of(channel).keeps_last);
                let unreserved = free.saturating_sub(self.reserved(channel));
                connections(unreserved).min(connections(free).saturating_sub(kept))
            }
        }
    }

    /// Connections that the channel may have at most.
    pub fn capacity(&self, channel: ChannelId) -> usize {
        let lane = self.lane(channel);
        lane.maxjobs.min(self.pool_of(channel).limit) * lane.max_client_threads
    }

    /// A connection got an answer; if it was the first, returns how long that took.
    pub fn answered(&mut self, connection: ConnectionId, now: Instant) -> Option<Duration> {
        let running = self.connections.get_mut(&connection)?;
        let first = !std::mem::replace(&mut running.answered, true);
        let lane = &mut self.lanes[usize::from(running.destination.channel.0)];
        lane.unanswered.remove(&connection);
        first.then(|| now.saturating_duration_since(running.since))
    }

    /// Connections, of all channels, without an answer for so long at least.
    pub fn unanswered_for(
        &self,
        time: Duration,
        now: Instant,
    ) -> impl Iterator<Item = (ConnectionId, &Running)> {
        self.lanes.iter().flat_map(move |lane| {
            let those = lane.unanswered.iter().filter_map(|id| Some((*id, self.running(*id)?)));
            those.take_while(move |(_, running)| running.since + time <= now)
        })
    }

    /// A connection that has not ended.
    pub fn running(&self, connection: ConnectionId) -> Option<&Running> {
        self.connections.get(&connection)
    }

    /// Whether the job of a connection takes no more and ends with the last.
    pub fn is_retiring(&self, running: &Running) -> bool {
        let job = self.lane(running.destination.channel).jobs.get(&running.job);
        job.is_some_and(|job| job.retiring)
    }

    /// Slots of the pool that `channel` leaves to others once it is served: one, if another
    /// channel has none.
    pub fn reserved(&self, channel: ChannelId) -> usize {
        let idle = |other: &&ChannelId| **other != channel && self.lane(**other).jobs.is_empty();
        if !self.pool_of(channel).keeps_last {
            return 0;
        }
        usize::from(self.pool_of(channel).channels.iter().any(|other| idle(&other)))
    }

    /// Takes a connection for `destination`, if one is free.
    pub fn start(
        &mut self,
        destination: &Destination,
        asker: Asker,
        now: Instant,
    ) -> Option<Start> {
        let channel = destination.channel;
        if self.free(channel, asker) == 0 {
            return None;
        }
        let lane = self.lane(channel);
        let pool = lane.pool;
        let reserved = if asker == Asker::Served { self.reserved(channel) } else { 0 };
        let opens = lane.jobs.len() < lane.maxjobs && self.pools[pool].free() > reserved;
        let roomy = if opens && lane.wants_more_jobs() { None } else { lane.roomy_job() };
        let job = match roomy {
            Some(job) => job,
            None if opens => self.open(channel, now),
            None => return None,
        };
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let lane = self.lane_mut(channel);
        lane.room -= 1;
        lane.jobs.get_mut(&job)?.connections += 1;
        lane.unanswered.insert(connection);
        let running =
            Running { job, destination: destination.clone(), since: now, answered: false };
        self.connections.insert(connection, running);
        Some(Start { connection, job, destination: destination.clone(), pool })
    }

    /// The channel that a connection serves.
    pub fn channel_of(&self, connection: ConnectionId) -> Option<ChannelId> {
        self.connections.get(&connection).map(|running| running.destination.channel)
    }

    /// A connection is gone, and with the last of its connections the job. Returns what it was.
    pub fn end(&mut self, connection: ConnectionId) -> Option<Running> {
        let running = self.connections.remove(&connection)?;
        let lane = &mut self.lanes[usize::from(running.destination.channel.0)];
        lane.unanswered.remove(&connection);
        let pool = &mut self.pools[lane.pool];
        let job = lane.jobs.get_mut(&running.job)?;
        job.connections -= 1;
        let (empty, retiring) = (job.connections == 0, job.retiring);
        if !retiring {
            // Of a job that has more than it may have, one less makes no room.
            lane.room += usize::from(job.connections < lane.max_client_threads);
        }
        if empty {
            lane.jobs.remove(&running.job);
            pool.running -= 1;
            if retiring {
                lane.retiring -= 1;
                pool.retiring -= 1;
            } else {
                lane.room -= lane.max_client_threads;
            }
            if lane.moves_to.is_some() {
                self.settle_in(running.destination.channel);
            }
        }
        Some(running)
    }

    /// Whether the last slot of a pool is kept free for who has none.
    pub fn keep_last(&mut self, pool: &str, keeps: bool) {
        for state in self.pools.iter_mut().filter(|state| state.name == pool) {
            state.keeps_last = keeps;
        }
    }

    /// Which limit keeps a destination of `channel` from another connection now.
    pub fn binds(&self, channel: ChannelId, asker: Asker) -> Option<Limited> {
        if self.free(channel, asker) > 0 {
            return None;
        }
        let lane = self.lane(channel);
        Some(if self.free(channel, Asker::Newcomer) > 0 {
            Limited::LastSlot
        } else if lane.jobs.len() >= lane.maxjobs {
            Limited::Maxjobs
        } else {
            Limited::JobLimit
        })
    }

    /// Sets a pool's limit; returns the old one.
    pub fn set_limit(&mut self, pool: usize, limit: usize) -> usize {
        std::mem::replace(&mut self.pools[pool].limit, limit)
    }

    /// Sets `max_client_threads` of a channel; returns the old one. [`Self::surplus`] says which
    /// jobs then have too many.
    pub fn set_client_threads(&mut self, channel: ChannelId, connections: usize) -> usize {
        let lane = self.lane_mut(channel);
        let active = lane.jobs.values().filter(|job| !job.retiring);
        lane.room = active.map(|job| connections.saturating_sub(job.connections)).sum();
        std::mem::replace(&mut lane.max_client_threads, connections)
    }

    /// Ends the job of `channel` that costs least, if it has any that is not ending.
    pub fn retire_smallest(&mut self, channel: ChannelId) -> Option<Retire> {
        let job = self.lane(channel).smallest_job()?;
        self.retire(channel, job)
    }

    /// Ends a job, unless it does already.
    pub fn retire(&mut self, channel: ChannelId, job: JobId) -> Option<Retire> {
        let lane = &mut self.lanes[usize::from(channel.0)];
        let state = lane.jobs.get_mut(&job).filter(|state| !state.retiring)?;
        state.retiring = true;
        lane.room -= lane.max_client_threads.saturating_sub(state.connections);
        lane.retiring += 1;
        self.pools[lane.pool].retiring += 1;
        Some(Retire { job, pool: lane.pool })
    }

    /// Ends the jobs beyond the limits, and all of channels that stand still.
    pub fn surplus(&mut self) -> Vec<Retire> {
        let mut retired = Vec::new();
        for channel in (0..self.lanes.len()).map(|index| ChannelId(index as u16)) {
            let lane = self.lane(channel);
            let crowded = |(_, job): &(&JobId, &JobSlot)| job.connections > lane.max_client_threads;
            let crowded: Vec<_> = lane.jobs.iter().filter(crowded).map(|(id, _)| *id).collect();
            retired.extend(crowded.into_iter().filter_map(|job| self.retire(channel, job)));
            let lane = self.lane(channel);
            let most = if lane.is_still() { 0 } else { lane.maxjobs };
            let surplus = lane.active().saturating_sub(most);
            retired.extend((0..surplus).filter_map(|_| self.retire_smallest(channel)));
        }
        for pool in 0..self.pools.len() {
            while self.pools[pool].running - self.pools[pool].retiring > self.pools[pool].limit {
                let Some(retire) =
                    self.busiest(pool).and_then(|channel| self.retire_smallest(channel))
                else {
                    break;
                };
                retired.push(retire);
            }
        }
        retired
    }

    /// The channel of the pool with most jobs that are not ending.
    pub fn busiest(&self, pool: usize) -> Option<ChannelId> {
        let channels = self.pools[pool].channels.iter().copied();
        channels.max_by_key(|channel| self.lane(*channel).active())
    }

    /// Jobs in which `destination` has connections. For a question now and then: it looks at all.
    pub fn jobs_serving(&self, destination: &Destination) -> usize {
        let of = self.connections.values().filter(|running| running.destination == *destination);
        of.map(|running| running.job).collect::<BTreeSet<_>>().len()
    }

    fn open(&mut self, channel: ChannelId, now: Instant) -> JobId {
        let job = JobId(self.next_job);
        self.next_job = self.next_job.wrapping_add(1);
        let lane = &mut self.lanes[usize::from(channel.0)];
        lane.jobs.insert(job, JobSlot { since: now, connections: 0, retiring: false });
        lane.room += lane.max_client_threads;
        self.pools[lane.pool].running += 1;
        job
    }
}
