//! Questions that operators ask the job controller: which jobs run, and why something does not.

use std::collections::{BTreeMap, HashMap, HashSet};

use actix::Message;
use tokio::time::Instant;

use super::{
    JobController, hosts::SuspendedHost, relief::Relief, rests::DestinationRest,
    schedule::DestinationStanding, slots::Limited, suspension::Suspension,
};
use crate::{
    actor::{Ctx, Handle},
    delivery::throttle::SetLimits,
    ids::{ChannelId, Destination, JobId},
    queue::Denial,
};

/// Asks for numbers.
#[derive(Message)]
#[rtype(result = "ControllerDescription")]
pub struct DescribeController;

/// The answer to [`DescribeController`].
#[derive(Clone, Debug, Default)]
pub struct ControllerDescription {
    /// An operator stopped all channels.
    pub halted: bool,
    /// Name, limit, running.
    pub pools: Vec<(String, usize, usize)>,
    /// In file order.
    pub channels: Vec<ChannelJobs>,
    /// Every job with its connections, the oldest first.
    pub jobs: Vec<RunningJob>,
    /// Destinations in trouble.
    pub suspended: Vec<Suspended>,
    /// Stores of ours that are slow.
    pub relieved: Vec<Relieved>,
    /// Connections that an operator lets single destinations have at most.
    pub host_limits: Vec<(Destination, usize)>,
    /// Limits that an operator has set for what couriers count.
    pub set_limits: Vec<(Destination, SetLimits)>,
    /// Destinations whose limits allow no more for now.
    pub limited: Vec<(Destination, DestinationRest)>,
    /// Hosts that operators have suspended.
    pub suspended_hosts: Vec<SuspendedHost>,
    /// Limits to which replies have led.
    pub by_replies: Vec<(Destination, Denial)>,
}

/// The jobs of a channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelJobs {
    /// Which.
    pub channel: ChannelId,
    /// It is stopped.
    pub frozen: bool,
    /// Jobs now.
    pub jobs: usize,
    /// Jobs at once, as it is tuned now.
    pub maxjobs: usize,
    /// Waiting entries of one host for each of its connections, as it is tuned now.
    pub threaddepth: usize,
    /// Connections of each job, as it is tuned now.
    pub max_client_threads: usize,
    /// Connections of all its jobs.
    pub connections: usize,
    /// Connections that its jobs may have at most.
    pub connection_limit: usize,
    /// Destinations that wait for their first connection.
    pub waiting: usize,
}

/// A job and its connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunningJob {
    /// Its number.
    pub job: JobId,
    /// The channel it serves.
    pub channel: ChannelId,
    /// When it started.
    pub since: Instant,
    /// It takes no more connections and ends with the last.
    pub retiring: bool,
    /// The oldest first.
    pub connections: Vec<RunningConnection>,
}

/// One connection to one destination.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunningConnection {
    /// The destination that it serves.
    pub destination: Destination,
    /// When it started.
    pub since: Instant,
}

/// A destination that could not be talked to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suspended {
    /// Which.
    pub destination: Destination,
    /// Until when, and why.
    pub suspension: Suspension,
}

/// A store of ours that is slow, and has fewer connections for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Relieved {
    /// Which.
    pub destination: Destination,
    /// How few, and until when.
    pub relief: Relief,
}

/// Asks why the entries of a destination do not move.
#[derive(Message)]
#[rtype(result = "DestinationExplained")]
pub struct ExplainDestination(pub Destination);

/// The answer to [`ExplainDestination`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DestinationExplained {
    /// An operator stopped the channel.
    pub frozen: bool,
    /// An operator stopped all channels.
    pub halted: bool,
    /// How the destination itself stands.
    pub standing: DestinationStanding,
    /// Jobs of the channel now.
    pub channel_jobs: usize,
    /// Jobs of the channel at once.
    pub maxjobs: usize,
    /// The pool of the channel.
    pub pool: String,
    /// Jobs of the pool now.
    pub pool_jobs: usize,
    /// Jobs of the pool at once.
    pub job_limit: usize,
    /// Connections of all jobs of the channel.
    pub channel_connections: usize,
    /// Connections of each of them at most.
    pub max_client_threads: usize,
    /// Waiting entries for each connection.
    pub threaddepth: usize,
    /// Connections that an operator allows it.
    pub host_limit: Option<usize>,
    /// Connections that the configuration allows it.
    pub configured_limit: Option<usize>,
    /// The limit that allows no more for now.
    pub rest: Option<DestinationRest>,
    /// The order by which an operator has suspended it.
    pub order: Option<SuspendedHost>,
    /// It is a store of ours, and slow.
    pub relief: Option<Relief>,
    /// The limit that keeps it from another connection, if any does.
    pub limited: Option<Limited>,
    /// Channels that hold slots of the pool, and how many.
    pub pool_held_by: Vec<(ChannelId, usize)>,
}

/// Asks which of these destinations are in trouble, suspended or at the end of a limit, and when each of
/// those is tried again: then all that waits for it goes, or nothing does.
#[derive(Message)]
#[rtype(result = "HashMap<Destination, Instant>")]
pub struct ProbedAt(pub HashSet<Destination>);

impl DestinationExplained {
    /// The channel has all the jobs it may have.
    pub fn maxjobs_reached(&self) -> bool {
        self.channel_jobs >= self.maxjobs
    }

    /// The pool has all the jobs it may have.
    pub fn job_limit_reached(&self) -> bool {
        self.pool_jobs >= self.job_limit
    }
}

impl JobController {
    pub(super) fn describe_channels(&self) -> Vec<ChannelJobs> {
        let slots = self.schedule.slots();
        let describe = |channel| {
            let lane = slots.lane(channel);
            ChannelJobs {
                channel,
                frozen: lane.frozen,
                jobs: lane.jobs(),
                maxjobs: lane.maxjobs,
                threaddepth: lane.threaddepth,
                max_client_threads: lane.max_client_threads,
                connections: slots.jobs_of(channel).map(|(_, job)| job.connections).sum(),
                connection_limit: slots.capacity(channel),
                waiting: self.schedule.waiting_of(channel),
            }
        };
        self.channels.by_number().map(|(channel, _)| describe(channel)).collect()
    }

    fn describe_jobs(&self) -> Vec<RunningJob> {
        let slots = self.schedule.slots();
        let mut jobs = BTreeMap::new();
        for (channel, _) in self.channels.by_number() {
            for (job, state) in slots.jobs_of(channel) {
                let (since, retiring) = (state.since, state.retiring);
                let connections = Vec::with_capacity(state.connections);
                jobs.insert(job, RunningJob { job, channel, since, retiring, connections });
            }
        }
        for (_, running) in slots.connections() {
            if let Some(job) = jobs.get_mut(&running.job) {
                let (destination, since) = (running.destination.clone(), running.since);
                job.connections.push(RunningConnection { destination, since });
            }
        }
        jobs.into_values().collect()
    }
}

impl Handle<DescribeController> for JobController {
    fn handle(&mut self, _: DescribeController, _: &mut Ctx<Self>) -> ControllerDescription {
        let pools = self.schedule.slots().pools().iter();
        let pools = pools.filter(|pool| !pool.name.is_empty());
        let suspended = self.schedule.suspensions().iter();
        let host_limits = self.schedule.host_limits();
        ControllerDescription {
            halted: self.schedule.slots().is_halted(),
            host_limits: host_limits.map(|(host, limit)| (host.clone(), limit)).collect(),
            set_limits: self.throttles.set_limits(),
            limited: self.schedule.rests().map(|(to, rest)| (to.clone(), rest.clone())).collect(),
            suspended_hosts: self.schedule.host_orders().map(|its| self.shown(its)).collect(),
            by_replies: self.throttles.by_replies(),
            pools: pools.map(|pool| (pool.name.clone(), pool.limit, pool.running)).collect(),
            channels: self.describe_channels(),
            jobs: self.describe_jobs(),
            relieved: self
                .schedule
                .reliefs()
                .map(|(destination, relief)| Relieved {
                    destination: destination.clone(),
                    relief: *relief,
                })
                .collect(),
            suspended: suspended
                .map(|(destination, suspension)| Suspended {
                    destination: destination.clone(),
                    suspension: suspension.clone(),
                })
                .collect(),
        }
    }
}

impl Handle<ProbedAt> for JobController {
    fn handle(
        &mut self,
        ProbedAt(asked): ProbedAt,
        _: &mut Ctx<Self>,
    ) -> HashMap<Destination, Instant> {
        let suspensions = self.schedule.suspensions();
        let at = |destination: Destination| {
            let trouble = suspensions.get(&destination).map(|its| its.until);
            let limit = self.schedule.rest_of(&destination).map(|its| its.denied.until);
            let order = self.schedule.order_of(&destination).map(|(_, its)| its.ends);
            let until = [trouble, limit, order].into_iter().flatten().max()?;
            Some((destination, until))
        };
        asked.into_iter().filter_map(at).collect()
    }
}

impl Handle<ExplainDestination> for JobController {
    fn handle(&mut self, asked: ExplainDestination, _: &mut Ctx<Self>) -> DestinationExplained {
        let ExplainDestination(destination) = asked;
        let slots = self.schedule.slots();
        let lane = slots.lane(destination.channel);
        let Some(pool) = slots.pools().get(lane.pool) else {
            return DestinationExplained::default();
        };
        let jobs = pool.channels.iter().map(|channel| (*channel, slots.lane(*channel).jobs()));
        DestinationExplained {
            frozen: lane.frozen,
            halted: lane.halted,
            standing: self.schedule.standing(&destination),
            channel_jobs: lane.jobs(),
            maxjobs: lane.maxjobs,
            pool: pool.name.clone(),
            pool_jobs: pool.running,
            job_limit: pool.limit,
            channel_connections: slots
                .jobs_of(destination.channel)
                .map(|(_, job)| job.connections)
                .sum(),
            max_client_threads: lane.max_client_threads(),
            threaddepth: lane.threaddepth,
            host_limit: self.schedule.limit_of(&destination),
            configured_limit: self.schedule.configured_limit(&destination),
            rest: self.schedule.rest_of(&destination).cloned(),
            order: self.schedule.order_of(&destination).map(|its| self.shown(its)),
            relief: self.schedule.relief_of(&destination),
            limited: self.schedule.binds(&destination, Instant::now()),
            pool_held_by: jobs.filter(|(_, jobs)| *jobs > 0).collect(),
        }
    }
}
