//! The job controller: decides what runs. The queue tells it what waits, pools tell it (through
//! the queue) what ended, and jobs what could not be reached.

pub mod backoff;
pub mod schedule;

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix::{WeakAddr, prelude::*};
use relais_channels::mail::Reply;
use tokio::time::Instant;
use tracing::error;

use self::schedule::{Schedule, Start, Suspended};
use crate::{
    channels::{ChannelId, Channels},
    events::{DestinationResumed, DestinationSuspended},
    metrics::{self, ActorMeter, Metrics, level},
    pool::{OfferJob, Pool},
    queue::{Contend, Destination, JobId, Queue},
    status::Timestamp,
    watch::Lifeline,
};

/// Entries wait for these destinations: how many for each.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Waiting(pub Vec<(Destination, usize)>);

/// A job is gone, and this many entries wait for what it served.
#[derive(Message)]
#[rtype(result = "()")]
pub struct JobSettled {
    /// Which.
    pub job: JobId,
    /// What it served.
    pub destination: Destination,
    /// Entries that wait for it now.
    pub ready: usize,
}

/// A destination could not be talked to.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Troubled {
    /// Which.
    pub destination: Destination,
    /// What it said, or we in its place.
    pub reply: Reply,
}

/// A destination answered as it should.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reached(pub Destination);

/// The queue and the pools, once they exist: the controller is made before them.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    /// Who has the entries.
    pub queue: Addr<Queue>,
    /// In the order of the schedule's pools.
    pub pools: Vec<Addr<Pool>>,
}

/// Start nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopStarting;

/// Asks for numbers.
#[derive(Message)]
#[rtype(result = "ControllerDescription")]
pub struct DescribeController;

/// The answer to [`DescribeController`].
#[derive(Clone, Debug, Default, MessageResponse)]
pub struct ControllerDescription {
    /// Name, limit, running.
    pub pools: Vec<(String, usize, usize)>,
    /// Jobs running and destinations waiting for a slot, by channel.
    pub channels: Vec<(ChannelId, usize, usize)>,
    /// Destinations in trouble.
    pub suspended: Vec<Suspended>,
}

/// The actor.
pub struct JobController {
    schedule: Schedule,
    channels: Arc<Channels>,
    queue: Option<WeakAddr<Queue>>,
    pools: Vec<Addr<Pool>>,
    contended: HashSet<ChannelId>,
    stopping: bool,
    metrics: Arc<Metrics>,
    meter: ActorMeter,
    _lifeline: Lifeline,
}

impl JobController {
    /// A controller of these pools (name, `job_limit`), not yet connected to anything.
    pub fn new(
        channels: Arc<Channels>,
        pools: Vec<(String, usize)>,
        metrics: Arc<Metrics>,
        lifeline: Lifeline,
    ) -> Self {
        Self {
            contended: HashSet::new(),
            schedule: Schedule::new(channels.clone(), pools),
            channels,
            queue: None,
            pools: Vec::new(),
            stopping: false,
            meter: metrics.actor(metrics::Actor::JobController),
            metrics,
            _lifeline: lifeline,
        }
    }

    fn start(&mut self, starts: Vec<Start>, ctx: &mut Context<Self>) {
        if self.stopping {
            return;
        }
        for start in starts {
            let Some(pool) = self.pools.get(start.pool) else { continue };
            let offer =
                pool.send(OfferJob { job: start.job, destination: start.destination.clone() });
            let offer = offer.into_actor(self).map(move |answer, controller, _| match answer {
                Ok(Ok(())) => {}
                Ok(Err(_full)) => controller.schedule.refused(&start),
                Err(error) => error!(%error, "a pool is gone; its channels stand still"),
            });
            ctx.spawn(offer);
        }
        self.contend();
    }

    /// Sets the gauges. Looks at every line, so it is for the timer.
    fn publish(&self) {
        for state in self.schedule.pools() {
            if let Some(meter) = self.metrics.pool(&state.name) {
                meter.jobs.set(level(state.running));
            }
        }
        for (id, channel) in self.channels.iter() {
            let waiting = self.schedule.waiting_of(id);
            self.metrics.channel(&channel.name).job_waiting.set(level(waiting));
        }
    }

    /// Tells the queue whose jobs should give way.
    fn contend(&mut self) {
        let contended = self.schedule.contended();
        if contended == self.contended {
            return;
        }
        if let Some(queue) = self.queue.as_ref().and_then(WeakAddr::upgrade) {
            queue.do_send(Contend(contended.clone()));
        }
        self.contended = contended;
    }

    fn name(&self, destination: &Destination) -> &str {
        &self.channels.channel(destination.channel).name
    }
}

impl Actor for JobController {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(TICK, |controller, ctx| {
            let _busy = controller.meter.busy();
            let starts = controller.schedule.tick(Instant::now());
            controller.start(starts, ctx);
            controller.publish();
        });
    }
}

impl Handler<Connect> for JobController {
    type Result = ();

    fn handle(&mut self, connect: Connect, _: &mut Self::Context) {
        self.queue = Some(connect.queue.downgrade());
        self.pools = connect.pools;
    }
}

impl Handler<Waiting> for JobController {
    type Result = ();

    fn handle(&mut self, Waiting(destinations): Waiting, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("Waiting");
        let now = Instant::now();
        let mut starts = Vec::new();
        for (destination, ready) in destinations {
            starts.append(&mut self.schedule.wanted(&destination, ready, now));
        }
        self.start(starts, ctx);
    }
}

impl Handler<JobSettled> for JobController {
    type Result = ();

    fn handle(&mut self, settled: JobSettled, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("JobSettled");
        let starts = self.schedule.ended(&settled.destination, settled.ready, Instant::now());
        self.start(starts, ctx);
    }
}

impl Handler<Troubled> for JobController {
    type Result = ();

    fn handle(&mut self, troubled: Troubled, _: &mut Self::Context) {
        let _busy = self.meter.handling("Troubled");
        let Troubled { destination, reply } = troubled;
        let wait = self.schedule.troubled(&destination, reply.clone(), Instant::now());
        if let Some(wait) = wait {
            let (channel, host) = (self.name(&destination), &destination.host);
            let until = Timestamp::now().after(wait);
            DestinationSuspended { channel, host, until, reply: &reply }.emit();
        }
    }
}

impl Handler<Reached> for JobController {
    type Result = ();

    fn handle(&mut self, Reached(destination): Reached, ctx: &mut Self::Context) {
        let _busy = self.meter.handling("Reached");
        if self.schedule.reached(&destination) {
            let (channel, host) = (self.name(&destination), &destination.host);
            DestinationResumed { channel, host }.emit();
            let starts = self.schedule.revived(&destination, Instant::now());
            self.start(starts, ctx);
        }
    }
}

impl Handler<StopStarting> for JobController {
    type Result = ();

    fn handle(&mut self, _: StopStarting, _: &mut Self::Context) {
        self.stopping = true;
    }
}

impl Handler<DescribeController> for JobController {
    type Result = ControllerDescription;

    fn handle(&mut self, _: DescribeController, _: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("DescribeController");
        let pools = self.schedule.pools().iter();
        let jobs = |(id, _)| (id, self.schedule.jobs_of(id), self.schedule.waiting_of(id));
        ControllerDescription {
            pools: pools.map(|pool| (pool.name.clone(), pool.limit, pool.running)).collect(),
            channels: self.channels.iter().map(jobs).collect(),
            suspended: self.schedule.suspended().collect(),
        }
    }
}

/// How often suspended destinations are looked at; the shortest suspension is a second.
const TICK: Duration = Duration::from_millis(250);
