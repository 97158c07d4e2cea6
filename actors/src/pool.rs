//! A pool: a bounded number of jobs at once, for the channels assigned to it.
//!
//! The bound is the pool's own set, not its mailbox: an offer that does not fit is answered
//! `Err(PoolFull)`, and the job controller offers it again when a slot is free.

use std::{collections::HashMap, num::NonZeroUsize, sync::Arc};

use actix::prelude::*;
use tracing::warn;

use crate::{
    channels::Channels,
    job::{Job, JobOrder},
    metrics::{self, ActorMeter, Metrics, RestartCause},
    placement::Placement,
    queue::{Destination, JobEnded, JobId, Queue},
    spool::Spool,
    watch::Lifeline,
};

/// Offers one job to run now. Accepting it promises exactly one [`JobEnded`] to the queue.
#[derive(Message)]
#[rtype(result = "Result<(), PoolFull>")]
pub struct OfferJob {
    /// Its number.
    pub job: JobId,
    /// What it is for.
    pub destination: Destination,
}

/// A job's last word, sent when its actor is dropped: after its end, or by a panic.
#[derive(Message)]
#[rtype(result = "()")]
pub struct JobGone {
    /// Which.
    pub job: JobId,
    /// It did not end by itself.
    pub panicked: bool,
}

/// Every slot is taken. Not a failure of the job.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("all {job_limit} slots of the pool are taken")]
pub struct PoolFull {
    /// The configured limit.
    pub job_limit: NonZeroUsize,
}

/// What every job of every pool needs.
#[derive(Clone)]
pub struct JobParts {
    /// Our name in LHLO.
    pub host: Arc<str>,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// Where messages are read.
    pub spool: Spool,
    /// Where work comes from.
    pub queue: Addr<Queue>,
    /// Which thread a job runs on.
    pub placement: Arc<Placement>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The actor.
pub struct Pool {
    job_limit: NonZeroUsize,
    running: HashMap<JobId, Destination>,
    parts: JobParts,
    meter: ActorMeter,
    _lifeline: Lifeline,
}

impl Pool {
    /// A pool with no job running.
    pub fn new(job_limit: NonZeroUsize, parts: JobParts, lifeline: Lifeline) -> Self {
        let meter = parts.metrics.actor(metrics::Actor::Pool);
        Self { job_limit, running: HashMap::new(), parts, meter, _lifeline: lifeline }
    }
}

impl Actor for Pool {
    type Context = Context<Self>;
}

impl Handler<OfferJob> for Pool {
    type Result = Result<(), PoolFull>;

    fn handle(&mut self, offer: OfferJob, ctx: &mut Self::Context) -> Self::Result {
        let _busy = self.meter.handling("OfferJob");
        if self.running.len() >= self.job_limit.get() {
            return Err(PoolFull { job_limit: self.job_limit });
        }
        self.running.insert(offer.job, offer.destination.clone());
        let order = JobOrder { job: offer.job, destination: offer.destination };
        let (parts, pool) = (self.parts.clone(), ctx.address());
        Job::start_in_arbiter(self.parts.placement.of_jobs(), move |_| {
            Job::new(order, parts, pool)
        });
        Ok(())
    }
}

impl Handler<JobGone> for Pool {
    type Result = ();

    fn handle(&mut self, gone: JobGone, _: &mut Self::Context) {
        let _busy = self.meter.handling("JobGone");
        let Some(destination) = self.running.remove(&gone.job) else { return };
        if gone.panicked {
            warn!(job = gone.job.0, "a job panicked; what it had in hand is tried again");
            self.parts.metrics.actor(metrics::Actor::Job).restarted(RestartCause::Panic);
        }
        self.parts.queue.do_send(JobEnded { job: gone.job, destination });
    }
}
