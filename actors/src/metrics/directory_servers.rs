//! Meters of the servers of an LDAP directory.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use serde::{Deserialize, Serialize};

use super::certificates::fit;

/// Makes meters of servers.
#[derive(Clone, Debug)]
pub struct ServerMeters {
    operations: Family<OperationLabels, Counter>,
    seconds: Family<ServerLabels, Histogram>,
    up: Family<ServerLabels, Gauge>,
    standings: Arc<Mutex<Vec<(String, Standing)>>>,
}

/// How a server stands. The directory and those who look share it.
type Standing = Arc<Mutex<ServerStanding>>;

#[derive(Debug, Default)]
struct ServerStanding {
    /// Why it is away; `None`: it answers.
    away: Option<String>,
    /// The time of an answer, the last ones weighing most; nothing before the first.
    answers_in: Option<Duration>,
}

/// A server as `relais status` shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServerStatus {
    /// As in the configuration.
    pub server: String,
    /// Why it is not asked; `None`: it answers.
    pub away: Option<String>,
    /// Microseconds until it answers, the last answers weighing most; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_microseconds: Option<u64>,
}

/// The meter of one server.
#[derive(Clone, Debug)]
pub struct ServerMeter {
    operations: [Counter; OperationResult::ALL.len()],
    seconds: Histogram,
    up: Gauge,
    standing: Standing,
}

/// The result of an operation; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OperationResult {
    /// The server answered.
    Answered,
    /// It answered that it cannot.
    Refused,
    /// It did not answer in time.
    Silent,
    /// There is no connection to it.
    Failed,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OperationLabels {
    server: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ServerLabels {
    server: String,
}

impl ServerMeters {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meters = Self::unregistered();
        let Self { operations, seconds, up, .. } = meters.clone();
        let help = "Operations of an LDAP server by result; silent or failed: look at the server";
        registry.register("directory_operations", help, operations);
        let help = "Time until an LDAP server answered; slow ones want an index";
        registry.register_with_unit("directory_operation", help, Unit::Seconds, seconds);
        let help = "Whether an LDAP server answered when it was last asked; 0: the next is asked";
        registry.register("directory_server_up", help, up);
        meters
    }

    /// Meters that no scrape shows: of a configuration that is only looked at.
    pub fn unregistered() -> Self {
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 4.0, 9));
        Self {
            operations: Family::default(),
            seconds: Family::new_with_constructor(buckets),
            up: Family::default(),
            standings: Arc::default(),
        }
    }

    /// The servers of the directory that was opened last, in the order of the file.
    pub fn status(&self) -> Vec<ServerStatus> {
        let standings = locked(&self.standings);
        let status = |(server, standing): &(String, Standing)| {
            let ServerStanding { away, answers_in } = &*locked(standing);
            let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            ServerStatus {
                server: server.clone(),
                away: away.clone(),
                answer_microseconds: answers_in.as_ref().map(micros),
            }
        };
        standings.iter().map(status).collect()
    }

    /// Another directory is opened.
    pub fn forget(&self) {
        locked(&self.standings).clear();
        self.up.clear();
    }

    /// The meter of the server at this URL, shown from now on.
    pub fn of(&self, url: &str) -> ServerMeter {
        let server = fit(url);
        let labels = ServerLabels { server: server.clone() };
        let operations = OperationResult::ALL.map(|result| {
            let labels = OperationLabels { server: server.clone(), result: result.name() };
            self.operations.get_or_create_owned(&labels)
        });
        let up = self.up.get_or_create_owned(&labels);
        up.set(1);
        let standing = Standing::default();
        locked(&self.standings).push((url.to_owned(), Arc::clone(&standing)));
        let seconds = self.seconds.get_or_create_owned(&labels);
        ServerMeter { operations, seconds, up, standing }
    }
}

impl ServerMeter {
    /// An operation has ended.
    pub fn count(&self, result: OperationResult, took: Duration) {
        self.operations[result as usize].inc();
        if result == OperationResult::Answered {
            self.seconds.observe(took.as_secs_f64());
            let mut standing = locked(&self.standing);
            let before = standing.answers_in.unwrap_or(took);
            standing.answers_in = Some((before * (AVERAGED - 1) + took) / AVERAGED);
        }
    }

    /// The server is away, or answers again.
    pub fn set_away(&self, why: Option<String>) {
        self.up.set(i64::from(why.is_none()));
        locked(&self.standing).away = why;
    }

    /// Why the server is away.
    pub fn why_away(&self) -> Option<String> {
        locked(&self.standing).away.clone()
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers that the time of an answer is an average of, more or less.
const AVERAGED: u32 = 16;

impl OperationResult {
    /// All results.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Refused, Self::Silent, Self::Failed];

    /// As in the label.
    fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Failed => "failed",
        }
    }
}
