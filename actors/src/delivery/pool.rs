//! A pool: a bounded number of jobs at once, for the channels assigned to it.
//!
//! The bound is the pool's own set, not its mailbox: an offer that does not fit is answered
//! `Err(PoolFull)`, and the job controller offers it again when a slot is free. A job lives from
//! its first connection to its last.

use std::collections::HashMap;

use actix::Message;
use tracing::warn;

use super::{
    job::{EndJob, Job, RunConnection},
    parts::JobParts,
    presence::{ConnectionGone, Presence},
};
use crate::{
    actor::{Actor, Adopt, Ctx, Ground, Handle, Mailbox, Outlet, RestartCause},
    ids::{ChannelId, ConnectionId, Destination, JobId},
    queue::ConnectionEnded,
};

/// Offers one connection to run now, in a job that runs or in a new one. Accepting it promises
/// exactly one [`ConnectionEnded`] to the queue.
#[derive(Message)]
#[rtype(result = "Result<(), PoolFull>")]
pub struct OfferConnection {
    /// Its number.
    pub connection: ConnectionId,
    /// The job it belongs to.
    pub job: JobId,
    /// The destination to connect to.
    pub destination: Destination,
}

/// Ends a job: its connections stop between two messages, idle ones now.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RetireJob(pub JobId);

/// Jobs at once from now on.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SetJobLimit(pub usize);

/// Every slot is taken. Not a failure of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("all {job_limit} slots of the pool are taken")]
pub struct PoolFull {
    /// The limit in force.
    pub job_limit: usize,
}

/// The actor.
pub struct Pool {
    job_limit: usize,
    running: HashMap<JobId, PooledJob>,
    start_job: StartJob,
    ended: Outlet<ConnectionEnded>,
    ground: Ground,
}

/// Starts a job of a channel.
pub(crate) type StartJob = Box<dyn Fn(ChannelId) -> JobAddress>;

/// The two outlets to a job. The job ends when this is dropped.
pub(crate) struct JobAddress {
    pub(crate) run: Outlet<RunConnection>,
    pub(crate) end: Outlet<EndJob>,
}

struct PooledJob {
    job: JobAddress,
    connections: usize,
}

impl Pool {
    /// A pool with no job running.
    pub fn new(job_limit: usize, ended: Outlet<ConnectionEnded>, parts: JobParts) -> Self {
        let ground = parts.ground.clone();
        Self::of_jobs(job_limit, starter(parts), ended, ground)
    }

    /// A pool of whatever jobs `start_job` starts.
    pub(crate) fn of_jobs(
        job_limit: usize,
        start_job: StartJob,
        ended: Outlet<ConnectionEnded>,
        ground: Ground,
    ) -> Self {
        Self { job_limit, running: HashMap::new(), start_job, ended, ground }
    }
}

fn starter(parts: JobParts) -> StartJob {
    Box::new(move |channel| JobAddress::of(&parts.ground.start(Job::new(channel, parts.clone()))))
}

impl JobAddress {
    /// The two of an actor.
    pub(crate) fn of<J: Handle<RunConnection> + Handle<EndJob>>(job: &Mailbox<J>) -> Self {
        Self { run: job.outlet(), end: job.outlet() }
    }
}

impl Actor for Pool {
    const NAME: &'static str = "pool";
}

/// Jobs that run go on with the parts that they began with.
impl Handle<Adopt<JobParts>> for Pool {
    fn handle(&mut self, Adopt(parts): Adopt<JobParts>, _: &mut Ctx<Self>) {
        self.start_job = starter(parts);
    }
}

impl Handle<OfferConnection> for Pool {
    fn handle(&mut self, offer: OfferConnection, ctx: &mut Ctx<Self>) -> Result<(), PoolFull> {
        let OfferConnection { connection, job, destination } = offer;
        if self.running.len() >= self.job_limit && !self.running.contains_key(&job) {
            return Err(PoolFull { job_limit: self.job_limit });
        }
        let running = self.running.entry(job).or_insert_with(|| {
            let job = (self.start_job)(destination.channel);
            PooledJob { job, connections: 0 }
        });
        running.connections += 1;
        let presence = Presence::new(connection, job, destination, ctx.mailbox().outlet());
        running.job.run.tell(RunConnection(presence));
        Ok(())
    }
}

impl Handle<ConnectionGone> for Pool {
    fn handle(&mut self, gone: ConnectionGone, _: &mut Ctx<Self>) {
        let ConnectionGone { connection, job, destination, panicked } = gone;
        if let Some(running) = self.running.get_mut(&job) {
            running.connections -= 1;
            if running.connections == 0 {
                self.running.remove(&job);
            }
        }
        if panicked {
            let host = &*destination.host;
            warn!(job = job.0, host, "a thread panicked; what it had in hand is tried again");
            self.ground.meter::<Job>().restarted(RestartCause::Panic);
        }
        self.ended.tell(ConnectionEnded { connection, destination, panicked });
    }
}

impl Handle<RetireJob> for Pool {
    fn handle(&mut self, RetireJob(job): RetireJob, _: &mut Ctx<Self>) {
        if let Some(running) = self.running.get(&job) {
            running.job.end.tell(EndJob);
        }
    }
}

impl Handle<SetJobLimit> for Pool {
    fn handle(&mut self, SetJobLimit(job_limit): SetJobLimit, _: &mut Ctx<Self>) {
        self.job_limit = job_limit;
    }
}
