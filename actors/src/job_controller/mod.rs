//! The job controller: decides what runs. The queue tells it everything: what waits, what
//! connections ended (from the pools), which hosts could not be reached (from the jobs). Operators
//! tune it while it runs.

mod adoption;
mod backlog;
mod explain;
mod host_orders;
mod hosts;
mod ranks;
mod relief;
mod rests;
pub mod schedule;
pub mod slots;
mod slow_ones;
pub mod suspension;
mod tuning;
mod window;

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix::Message;
use relais_channels::mail::Reply;
use tokio::time::Instant;
use tracing::{error, info, warn};

pub use self::{
    adoption::Adopted,
    backlog::{Backlog, DescribeBacklog, DestinationBacklog},
    explain::{
        ChannelJobs, ControllerDescription, DescribeController, DestinationExplained,
        ExplainDestination, ProbedAt, Relieved, RunningConnection, RunningJob, Suspended,
    },
    tuning::{Freeze, Halt, Limit, Tune, TuneError},
};
pub use self::{
    host_orders::{HostSuspension, MAX_HOST_ORDERS},
    hosts::{HostName, LiftReplies, ResumeHost, SuspendHost, SuspendedHost},
    relief::Relief,
    rests::DestinationRest,
    schedule::ConnectionBound,
    slots::Limited,
};
use self::{
    schedule::{Orders, PATIENCE, Schedule},
    slots::Start,
};
use crate::{
    actor::{Actor, Ctx, Handle, Mailbox, Outlet},
    channel_table::Channels,
    delivery::{
        pool::{OfferConnection, Pool, RetireJob, SetJobLimit},
        progress::ConnectionProgress,
        throttle::Throttles,
    },
    events::{DestinationResumed, DestinationSuspended},
    ids::{ChannelId, Destination},
    metrics::{Metrics, level},
    queue::{Contend, DestinationEvent, MakeRoom, Queue, Recall, Subscribe},
    timestamp::Timestamp,
};

/// Start nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopStarting;

/// The actor.
pub struct JobController {
    schedule: Schedule,
    channels: Arc<Channels>,
    queue: QueueOutlets,
    pools: Vec<PoolOutlets>,
    contended: HashSet<ChannelId>,
    stopping: bool,
    throttles: Arc<Throttles>,
    progress: ConnectionProgress,
    metrics: Arc<Metrics>,
}

/// The parts of the job controller.
pub struct ControllerParts {
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where jobs run.
    pub pools: Vec<PoolPart>,
    /// The queue, which has the entries.
    pub queue: QueueOutlets,
    /// Limits of destinations that couriers ask about.
    pub throttles: Arc<Throttles>,
    /// The step at which each connection waits.
    pub progress: ConnectionProgress,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A pool of the configuration.
pub struct PoolPart {
    /// Its name in the file.
    pub name: String,
    /// Jobs at once.
    pub job_limit: usize,
    /// A channel that is served leaves the last free slot to one that is not.
    pub keeps_last_slot: bool,
    /// The pool itself.
    pub outlets: PoolOutlets,
}

/// Outlets from the job controller to a pool.
pub struct PoolOutlets {
    pub(crate) offer: Outlet<OfferConnection>,
    pub(crate) retire: Outlet<RetireJob>,
    pub(crate) limit: Outlet<SetJobLimit>,
}

/// Outlets from the job controller to the queue.
pub struct QueueOutlets {
    pub(crate) subscribe: Outlet<Subscribe>,
    pub(crate) recall: Outlet<Recall>,
    pub(crate) contend: Outlet<Contend>,
    pub(crate) make_room: Outlet<MakeRoom>,
}

impl PoolOutlets {
    /// The outlets of this pool.
    pub fn of(pool: &Mailbox<Pool>) -> Self {
        Self { offer: pool.outlet(), retire: pool.outlet(), limit: pool.outlet() }
    }
}

impl QueueOutlets {
    /// The outlets of this queue.
    pub fn of(queue: &Mailbox<Queue>) -> Self {
        Self {
            subscribe: queue.outlet(),
            recall: queue.outlet(),
            contend: queue.outlet(),
            make_room: queue.outlet(),
        }
    }
}

impl JobController {
    /// A controller under which nothing runs yet.
    pub fn new(parts: ControllerParts) -> Self {
        let limit = |pool: &PoolPart| (pool.name.clone(), pool.job_limit);
        let limits: Vec<_> = parts.pools.iter().map(limit).collect();
        let mut schedule = Schedule::new(&parts.channels, &limits);
        for pool in &parts.pools {
            schedule.keep_last(&pool.name, pool.keeps_last_slot);
        }
        Self {
            contended: HashSet::new(),
            schedule,
            channels: parts.channels,
            queue: parts.queue,
            pools: parts.pools.into_iter().map(|pool| pool.outlets).collect(),
            stopping: false,
            throttles: parts.throttles,
            progress: parts.progress,
            metrics: parts.metrics,
        }
    }

    /// Does what the schedule decided.
    fn carry_out(&mut self, ctx: &mut Ctx<Self>) {
        let Orders { starts, retired, recalled, yielding } = self.schedule.take_orders();
        if self.stopping {
            return;
        }
        for connection in yielding {
            self.progress.give_way(connection);
        }
        for start in starts {
            self.start(start, ctx);
        }
        for retire in retired {
            if let Some(pool) = self.pools.get(retire.pool) {
                pool.retire.tell(RetireJob(retire.job));
            }
        }
        if !recalled.is_empty() {
            self.queue.recall.tell(Recall(recalled));
        }
        let contended = self.schedule.contended();
        if contended != self.contended {
            self.queue.contend.tell(Contend(contended.clone()));
            self.contended = contended;
        }
    }

    fn start(&mut self, start: Start, ctx: &mut Ctx<Self>) {
        let Some(pool) = self.pools.get(start.pool) else { return };
        let Start { connection, job, destination, .. } = start;
        let offer = pool.offer.ask(OfferConnection { connection, job, destination });
        ctx.when(offer, move |controller, answer, _| match answer {
            Ok(Ok(())) => {}
            Ok(Err(_full)) => controller.schedule.refused(connection, Instant::now()),
            Err(error) => error!(%error, "a pool is gone; its channels stand still"),
        });
    }

    /// Sets the gauges. Looks at every line, so it is for the timer.
    fn publish(&self) {
        for state in self.schedule.slots().pools() {
            if let Some(meter) = self.metrics.pool(&state.name) {
                meter.jobs.set(level(state.running));
            }
        }
        self.metrics.stressed_destinations.set(level(self.schedule.reliefs().count()));
        for (id, channel) in self.channels.by_number() {
            let waiting = self.schedule.waiting_of(id);
            self.metrics.channel(&channel.name).job_waiting.set(level(waiting));
        }
    }

    fn troubled(&mut self, destination: &Destination, reply: &Reply, now: Instant) {
        if let Some(wait) = self.schedule.troubled(destination, reply.clone(), now) {
            let (channel, host) = (self.name(destination), &destination.host);
            let until = Timestamp::now().after(wait);
            DestinationSuspended { channel, host, until, reply }.emit();
        }
    }

    /// A store of ours is slow, and says so with each message: half of its connections end.
    fn stressed(&mut self, destination: &Destination, now: Instant) {
        if let Some(relief) = self.schedule.stressed(destination, now) {
            let (channel, host, connections) =
                (self.name(destination), &destination.host, relief.limit);
            warn!(channel, %host, connections, "a store is under stress: it gets fewer connections");
        }
    }

    /// Stores that were slow, and have not said so for a while, get more connections.
    fn climb(&mut self, now: Instant) {
        for (destination, relief) in self.schedule.climb(now) {
            let (channel, host) = (self.name(&destination), &destination.host);
            if let Some(Relief { limit: connections, .. }) = relief {
                info!(channel, %host, connections, "a store gets more connections again");
            } else {
                info!(channel, %host, "a store gets as many connections again as before");
            }
        }
    }

    /// Destinations whose servers have not greeted for a while are slow.
    fn look_at_silent(&mut self, now: Instant) {
        let unanswered = self.schedule.unanswered(now);
        let silent: Vec<_> =
            unanswered.filter(|its| self.progress.is_silent_for(*its, PATIENCE)).collect();
        self.schedule.kept_waiting(&silent, now);
    }

    fn name(&self, destination: &Destination) -> &str {
        &self.channels.channel(destination.channel).name
    }
}

impl Actor for JobController {
    const NAME: &'static str = "job_controller";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.every(TICK, |controller, ctx| {
            let now = Instant::now();
            controller.look_at_silent(now);
            controller.schedule.tick(now);
            controller.climb(now);
            controller.end_orders(now);
            controller.carry_out(ctx);
            controller.publish();
        });
        self.throttles.subscribe(ctx.mailbox().downgrade().outlet());
        self.queue.subscribe.tell(Subscribe(ctx.mailbox().downgrade().outlet()));
    }
}

impl Handle<DestinationEvent> for JobController {
    fn handle(&mut self, event: DestinationEvent, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        match event {
            DestinationEvent::Waiting(destinations) => {
                self.make_room_for_others(destinations.iter().map(|(destination, _)| destination));
                for (destination, ready) in destinations {
                    self.schedule.wanted(&destination, ready, now);
                }
            }
            DestinationEvent::ConnectionSettled { connection, ready } => {
                self.schedule.ended(connection, ready, now);
            }
            DestinationEvent::Troubled { destination, reply } => {
                // Nothing becomes free by this: there is nothing to be carried out.
                return self.troubled(&destination, &reply, now);
            }
            DestinationEvent::Reached { destination, connection } => {
                if self.schedule.reached(&destination, connection, now) {
                    let (channel, host) = (self.name(&destination), &destination.host);
                    DestinationResumed { channel, host }.emit();
                }
            }
            DestinationEvent::Throttled { destination, denied } => {
                // Nothing becomes free by this either: its courier ends behind it.
                return self.schedule.throttled(&destination, denied, now);
            }
            DestinationEvent::Stressed { destination } => self.stressed(&destination, now),
            DestinationEvent::Probe(destinations) => {
                for destination in destinations {
                    self.schedule.probe(&destination, now);
                }
            }
        }
        self.carry_out(ctx);
    }
}

impl Handle<StopStarting> for JobController {
    fn handle(&mut self, _: StopStarting, _: &mut Ctx<Self>) {
        self.stopping = true;
    }
}

/// How often suspensions and turns are looked at; the shortest suspension is a second.
const TICK: Duration = Duration::from_millis(250);
