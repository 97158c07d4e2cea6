//! The life of workers, jobs, destinations, actors and the spool.

use std::{fmt, path::Path, time::Duration};

use relais_channels::mail::Reply;
use tracing::{debug, error, info, warn};

use super::Printable;
use crate::{
    metrics::{Actor, Metrics, RestartCause},
    status::{Timestamp, WorkerState},
};

/// A service got one more worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerStarted<'a> {
    /// The service.
    pub service: &'a str,
    /// Counts up from 1 in each service.
    pub worker: u64,
    /// The thread it lives on, from 0.
    pub arbiter: usize,
}

/// A worker went from one state to another.
#[derive(Clone, Copy, Debug)]
pub struct WorkerChanged<'a> {
    /// The service.
    pub service: &'a str,
    /// Which.
    pub worker: u64,
    /// Before.
    pub from: WorkerState,
    /// Now.
    pub to: WorkerState,
}

/// A worker is gone.
#[derive(Clone, Copy, Debug)]
pub struct WorkerEnded<'a> {
    /// The service.
    pub service: &'a str,
    /// Which.
    pub worker: u64,
    /// The state it was in last.
    pub state: WorkerState,
    /// Sessions it has taken.
    pub served: u64,
}

/// A job runs.
#[derive(Clone, Copy, Debug)]
pub struct JobStarted<'a> {
    /// The channel it works for.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
    /// The pool it runs in.
    pub pool: &'a str,
}

/// A job is over.
#[derive(Clone, Copy, Debug)]
pub struct JobEnded<'a> {
    /// The channel it worked for.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
    /// The pool it ran in.
    pub pool: &'a str,
    /// Entries it has tried.
    pub entries: u64,
    /// How long it ran.
    pub took: Duration,
}

/// A destination could not be talked to and is left alone for a while.
#[derive(Clone, Copy, Debug)]
pub struct DestinationSuspended<'a> {
    /// The channel to it.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
    /// When it is tried again.
    pub until: Timestamp,
    /// What it, or we in its place, said.
    pub reply: &'a Reply,
}

/// A destination in trouble could be talked to again.
#[derive(Clone, Copy, Debug)]
pub struct DestinationResumed<'a> {
    /// The channel to it.
    pub channel: &'a str,
    /// The destination.
    pub host: &'a str,
}

/// The spool was read at start.
#[derive(Clone, Copy, Debug)]
pub struct SpoolRecovered {
    /// Messages with something left to do.
    pub messages: u64,
    /// Their entries.
    pub entries: u64,
    /// Octets of a torn tail that were cut off: never answered with 250.
    pub torn: u64,
    /// How long it took.
    pub took: Duration,
}

/// A record of the spool is damaged; it was set aside, and the rest goes on without it.
#[derive(Clone, Copy, Debug)]
pub struct RecordQuarantined<'a> {
    /// The file it stood in.
    pub file: &'a Path,
    /// Where in that file.
    pub offset: u64,
    /// Where its octets are now.
    pub kept: &'a Path,
    /// What is wrong with it.
    pub error: fmt::Arguments<'a>,
}

/// The spool cannot do what it has to: no new mail is taken until it can.
#[derive(Clone, Copy, Debug)]
pub struct SpoolTrouble<'a> {
    /// What was being done, with the file's name: `"writing spool/00000001.seg"`.
    pub doing: fmt::Arguments<'a>,
    /// What came of it.
    pub error: fmt::Arguments<'a>,
}

/// An actor had ended and was started again.
#[derive(Clone, Copy, Debug)]
pub struct ActorRestarted<'a> {
    /// Its kind.
    pub actor: Actor,
    /// Which of its kind; empty when there is one.
    pub name: &'a str,
    /// Why.
    pub cause: RestartCause,
}

impl WorkerStarted<'_> {
    /// Writes a line at `info`; counts the worker as active.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, worker, arbiter } = self;
        if let Some(meter) = metrics.service(service) {
            meter.workers(WorkerState::Active).inc();
        }
        info!(service, worker, arbiter, "worker started");
    }
}

impl WorkerChanged<'_> {
    /// Writes a line at `debug`; moves the worker from one state to the other.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, worker, from, to } = self;
        if let Some(meter) = metrics.service(service) {
            meter.workers(from).dec();
            meter.workers(to).inc();
        }
        debug!(service, worker, from = from.name(), to = to.name(), "worker changed");
    }
}

impl WorkerEnded<'_> {
    /// Writes a line at `info`; takes the worker off the numbers.
    pub fn emit(self, metrics: &Metrics) {
        let Self { service, worker, state, served } = self;
        if let Some(meter) = metrics.service(service) {
            meter.workers(state).dec();
        }
        info!(service, worker, state = state.name(), served, "worker ended");
    }
}

impl JobStarted<'_> {
    /// Writes a line at `debug`; counts the job.
    pub fn emit(self, metrics: &Metrics) {
        let Self { channel, host, pool } = self;
        if let Some(meter) = metrics.pool(pool) {
            meter.jobs.inc();
        }
        debug!(channel, host = %Printable(host), pool, "job started");
    }
}

impl JobEnded<'_> {
    /// Writes a line at `debug`; takes the job off the number of running ones.
    pub fn emit(self, metrics: &Metrics) {
        let Self { channel, host, pool, entries, took } = self;
        if let Some(meter) = metrics.pool(pool) {
            meter.jobs.dec();
        }
        let seconds = took.as_secs_f64();
        debug!(channel, host = %Printable(host), pool, entries, seconds, "job ended");
    }
}

impl DestinationSuspended<'_> {
    /// Writes a line at `warn`.
    pub fn emit(self) {
        let Self { channel, host, until, reply } = self;
        let (host, reply) = (Printable(host), Printable(reply));
        warn!(channel, %host, %until, %reply, "destination suspended");
    }
}

impl DestinationResumed<'_> {
    /// Writes a line at `info`.
    pub fn emit(self) {
        let Self { channel, host } = self;
        info!(channel, host = %Printable(host), "destination resumed");
    }
}

impl SpoolRecovered {
    /// Writes a line at `info`.
    pub fn emit(self) {
        let Self { messages, entries, torn, took } = self;
        info!(messages, entries, torn, seconds = took.as_secs_f64(), "spool recovered");
    }
}

impl RecordQuarantined<'_> {
    /// Writes a line at `error`.
    pub fn emit(self) {
        let Self { file, offset, kept, error } = self;
        let (file, kept) = (file.display(), kept.display());
        error!(%file, offset, %kept, %error, "damaged record set aside");
    }
}

impl SpoolTrouble<'_> {
    /// Writes a line at `error`.
    pub fn emit(self) {
        let Self { doing, error } = self;
        error!(%doing, %error, "spool in trouble");
    }
}

impl ActorRestarted<'_> {
    /// Writes a line at `warn`; counts the restart.
    pub fn emit(self, metrics: &Metrics) {
        let Self { actor, name, cause } = self;
        metrics.actor(actor).restarted(cause);
        warn!(actor = actor.name(), name, cause = cause.name(), "actor restarted");
    }
}
