//! The job controller: decides what runs. The queue tells it what waits, pools tell it (through
//! the queue) what ended, and jobs what could not be reached. Operators tune it while it runs.

mod explain;
mod ranks;
pub mod schedule;
pub mod slots;
pub mod suspension;
mod tuning;
mod window;

use std::{collections::HashSet, sync::Arc, time::Duration};

use actix::Message;
use relais_channels::mail::Reply;
use tokio::time::Instant;
use tracing::error;

pub use self::slots::Limited;
pub use self::{
    explain::{
        ChannelJobs, ControllerDescription, DescribeController, DestinationExplained,
        ExplainDestination, ProbedAt, RunningJob, RunningThread, Suspended,
    },
    tuning::{Freeze, Limit, Tune, TuneError},
};
use self::{
    schedule::{Orders, Schedule},
    slots::Start,
};
use crate::{
    actor::{Actor, Ctx, Handle, Mailbox, WeakMailbox},
    channel_table::Channels,
    delivery::pool::{OfferThread, Pool, RetireJob},
    events::{DestinationResumed, DestinationSuspended},
    ids::{ChannelId, ConnectionId, Destination},
    metrics::{Metrics, level},
    queue::{Contend, Queue, Recall},
    timestamp::Timestamp,
};

/// Entries wait for these destinations: how many for each.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Waiting(pub Vec<(Destination, usize)>);

/// A thread is gone, and this many entries wait for what it served.
#[derive(Message)]
#[rtype(result = "()")]
pub struct ThreadSettled {
    /// Which.
    pub thread: ConnectionId,
    /// Entries that wait for its destination now.
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

/// A destination answered: the first time after trouble, or one of its threads for the first, the
/// second, the fourth time and so on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Reached {
    /// Which.
    pub destination: Destination,
    /// By which of its threads.
    pub thread: ConnectionId,
}

/// An operator wants mail for these destinations tried now: those that are left alone are probed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Probe(pub Vec<Destination>);

/// The queue and the pools, once they exist: the controller is made before them.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    /// Who has the entries.
    pub queue: Mailbox<Queue>,
    /// In the order of the schedule's pools.
    pub pools: Vec<Mailbox<Pool>>,
}

/// Start nothing more.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopStarting;

/// The actor.
pub struct JobController {
    schedule: Schedule,
    channels: Arc<Channels>,
    queue: Option<WeakMailbox<Queue>>,
    pools: Vec<Mailbox<Pool>>,
    contended: HashSet<ChannelId>,
    stopping: bool,
    metrics: Arc<Metrics>,
}

impl JobController {
    /// A controller of these pools (name, `job_limit`), not yet connected to anything.
    pub fn new(channels: Arc<Channels>, pools: &[(String, usize)], metrics: Arc<Metrics>) -> Self {
        Self {
            contended: HashSet::new(),
            schedule: Schedule::new(&channels, pools),
            channels,
            queue: None,
            pools: Vec::new(),
            stopping: false,
            metrics,
        }
    }

    /// Lets who is served take the last free slot of this pool, too.
    #[must_use]
    pub fn giving_last_slot(mut self, pool: &str) -> Self {
        self.schedule.keep_last(pool, false);
        self
    }

    /// Does what the schedule decided.
    fn carry_out(&mut self, ctx: &mut Ctx<Self>) {
        let Orders { starts, retired, recalled } = self.schedule.orders();
        if self.stopping {
            return;
        }
        for start in starts {
            self.start(start, ctx);
        }
        for retire in retired {
            if let Some(pool) = self.pools.get(retire.pool) {
                pool.tell(RetireJob(retire.job));
            }
        }
        if let Some(queue) = self.queue.as_ref().and_then(WeakMailbox::upgrade) {
            if !recalled.is_empty() {
                queue.tell(Recall(recalled));
            }
            let contended = self.schedule.contended();
            if contended != self.contended {
                queue.tell(Contend(contended.clone()));
                self.contended = contended;
            }
        }
    }

    fn start(&mut self, start: Start, ctx: &mut Ctx<Self>) {
        let Some(pool) = self.pools.get(start.pool) else { return };
        let Start { thread, job, destination, .. } = start;
        let offer = pool.ask(OfferThread { thread, job, destination });
        ctx.when(offer, move |controller, answer, _| match answer {
            Ok(Ok(())) => {}
            Ok(Err(_full)) => controller.schedule.refused(thread, Instant::now()),
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
        for (id, channel) in self.channels.iter() {
            let waiting = self.schedule.waiting_of(id);
            self.metrics.channel(&channel.name).job_waiting.set(level(waiting));
        }
    }

    fn name(&self, destination: &Destination) -> &str {
        &self.channels.channel(destination.channel).name
    }
}

impl Actor for JobController {
    const NAME: &'static str = "job_controller";

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.every(TICK, |controller, ctx| {
            controller.schedule.tick(Instant::now());
            controller.carry_out(ctx);
            controller.publish();
        });
    }
}

impl Handle<Connect> for JobController {
    fn handle(&mut self, connect: Connect, _: &mut Ctx<Self>) {
        self.queue = Some(connect.queue.downgrade());
        self.pools = connect.pools;
    }
}

impl Handle<Waiting> for JobController {
    fn handle(&mut self, Waiting(destinations): Waiting, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        for (destination, ready) in destinations {
            self.schedule.wanted(&destination, ready, now);
        }
        self.carry_out(ctx);
    }
}

impl Handle<ThreadSettled> for JobController {
    fn handle(&mut self, settled: ThreadSettled, ctx: &mut Ctx<Self>) {
        self.schedule.ended(settled.thread, settled.ready, Instant::now());
        self.carry_out(ctx);
    }
}

impl Handle<Troubled> for JobController {
    fn handle(&mut self, troubled: Troubled, _: &mut Ctx<Self>) {
        let Troubled { destination, reply } = troubled;
        let wait = self.schedule.troubled(&destination, reply.clone(), Instant::now());
        if let Some(wait) = wait {
            let (channel, host) = (self.name(&destination), &destination.host);
            let until = Timestamp::now().after(wait);
            DestinationSuspended { channel, host, until, reply: &reply }.emit();
        }
    }
}

impl Handle<Reached> for JobController {
    fn handle(&mut self, reached: Reached, ctx: &mut Ctx<Self>) {
        let Reached { destination, thread } = reached;
        if self.schedule.reached(&destination, thread, Instant::now()) {
            let (channel, host) = (self.name(&destination), &destination.host);
            DestinationResumed { channel, host }.emit();
        }
        self.carry_out(ctx);
    }
}

impl Handle<Probe> for JobController {
    fn handle(&mut self, Probe(destinations): Probe, ctx: &mut Ctx<Self>) {
        let now = Instant::now();
        for destination in destinations {
            self.schedule.probe(&destination, now);
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
