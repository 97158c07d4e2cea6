//! The engine at a glance: what flows, what waits, what holds it back.

use std::collections::BTreeMap;

use relais_actors::{
    front::control::ServiceState,
    metrics::{DirectoryStatus, ServerStatus},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{HistoryTrouble, HostLimited, HostSuspended, LimitValue, Phase};

/// `relais top --json`, `GET /api/v1/overview`. Worked out once a second at most, however many ask.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Overview {
    /// When it was worked out.
    pub at: Timestamp,
    /// Of the program: `"0.1.0"`.
    pub version: String,
    /// Official host name.
    pub host: String,
    /// Where the engine is in its life.
    pub phase: Phase,
    /// Whether mail is taken and delivered, as `/readyz` says it.
    pub ready: ReadyShown,
    /// Seconds since the engine started.
    pub uptime_seconds: u64,
    /// The CPU that the process uses.
    pub cpu: CpuShown,
    /// Channels with traffic, and those by which mail leaves: messages a second over the last 10 s.
    pub flow: Vec<ChannelFlow>,
    /// The queue as a whole.
    pub queue: QueueOverview,
    /// Channels with mail, and those by which mail leaves.
    pub channels: Vec<ChannelOverview>,
    /// Pools, in name order.
    pub pools: Vec<PoolOverview>,
    /// Services, in name order.
    pub services: Vec<ServiceOverview>,
    /// Hosts that get nothing or less for now, most messages first; at most 50.
    pub hosts: Vec<HostTrouble>,
    /// Hosts that could not be talked to, in all.
    pub hosts_in_trouble: u64,
    /// The limits that hold the engine back now, the worst first; empty: nothing does.
    pub limiting: Vec<Limiting>,
    /// Why mail that waits does, in a sentence or two.
    pub waits: String,
    /// Look-ups and servers; absent where no directory is configured.
    pub directory: Option<DirectoryOverview>,
    /// Certificates that clients are shown, the first to expire first.
    pub certificates: Vec<CertificateOverview>,
    /// Standing orders in force, by kind; kinds without any are left out.
    pub orders: BTreeMap<String, u64>,
    /// Trouble with the delivery history; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryTrouble>,
}

/// Whether mail is taken and delivered.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ReadyShown {
    /// It is.
    pub ready: bool,
    /// Why not; empty when it is.
    pub why: Vec<String>,
}

/// The CPU that the process uses.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct CpuShown {
    /// Cores that it kept busy, over the last 10 s.
    pub used: f64,
    /// Cores that there are for it.
    pub cores: usize,
}

/// Messages of a channel a second, over the last 10 s. A message for several hosts counts for each, as
/// in `relais counters`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ChannelFlow {
    /// The channel.
    pub channel: String,
    /// Brought in by it.
    pub submitted: f64,
    /// Put into the queue to leave by it.
    pub received: f64,
    /// Taken over by the next hop.
    pub delivered: f64,
    /// Attempts that ended with "later".
    pub deferred: f64,
    /// Refused for good, timed out, or returned.
    pub failed: f64,
}

/// The queue as a whole.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueOverview {
    /// Entries on disk.
    pub stored: u64,
    /// Entries held in memory.
    pub tracked: u64,
    /// Entries held in memory at most.
    pub max_messages: u64,
    /// Entries that could go now.
    pub ready: u64,
    /// Entries that are being tried.
    pub active: u64,
    /// Entries that wait for their next attempt, or for their host.
    pub delayed: u64,
    /// Entries that wait for an operator.
    pub held: u64,
    /// Seconds since the arrival of the oldest entry; absent when there is none, or nobody has looked yet.
    pub oldest_seconds: Option<u64>,
    /// Entries by age, the youngest first: each age once.
    pub ages: Vec<AgeCount>,
    /// When the entries of each host and age were counted last: the longer the queue, the more seldom.
    pub surveyed: Option<Timestamp>,
}

/// Entries of an age.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AgeCount {
    /// The age that all of them are below, and none below the one before: `1m`, `10m`, `1h`, `6h`, `1d`;
    /// `older`.
    pub below: String,
    /// So many.
    pub messages: u64,
}

/// One channel and its part of the queue.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChannelOverview {
    /// Its name.
    pub name: String,
    /// The program of its jobs: `"lmtp"`; `"lost"` when the configuration has no such channel.
    pub program: String,
    /// Entries that could go now.
    pub ready: u64,
    /// Entries that are being tried.
    pub active: u64,
    /// Entries that wait for their next attempt, or for their host.
    pub delayed: u64,
    /// Entries that wait for an operator.
    pub held: u64,
    /// Seconds since the arrival of the oldest entry; absent when there is none, or nobody has looked yet.
    pub oldest_seconds: Option<u64>,
    /// Jobs now.
    pub jobs: usize,
    /// Jobs at once.
    pub maxjobs: usize,
    /// The pool its jobs run in.
    pub pool: String,
    /// Connections of its jobs.
    pub connections: usize,
    /// Connections that its jobs may have.
    pub max_connections: usize,
    /// An operator stopped it.
    pub stopped: bool,
}

/// One pool of jobs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PoolOverview {
    /// Its name.
    pub name: String,
    /// Jobs now.
    pub running: usize,
    /// Jobs at once.
    pub job_limit: usize,
    /// Destinations of its channels that wait for their first connection.
    pub waiting: usize,
}

/// One listening service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServiceOverview {
    /// Its name.
    pub name: String,
    /// Whether it takes connections.
    pub state: ServiceState,
    /// Workers that have not ended.
    pub workers: usize,
    /// Workers at most.
    pub max_workers: usize,
    /// Sessions now.
    pub connections: usize,
    /// Sessions at most.
    pub max_connections: usize,
    /// Sessions since the start.
    pub accepted: u64,
    /// Connections turned away since the start.
    pub refused: u64,
}

/// A host that gets nothing, or less, for now.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct HostTrouble {
    /// The channel to it.
    pub channel: String,
    /// The host.
    pub host: String,
    /// Entries for it, as of [`QueueOverview::surveyed`]; absent when nobody has looked yet.
    pub messages: Option<u64>,
    /// Seconds since the arrival of the oldest of them.
    pub oldest_seconds: Option<u64>,
    /// Times in a row that it could not be talked to; 0: it can.
    pub failures: u32,
    /// Its last reply, or ours in its place.
    pub last_reply: Option<String>,
    /// When it is tried again.
    pub next_try: Option<Timestamp>,
    /// An operator's order about it.
    pub suspended: Option<HostSuspended>,
    /// The limit of it that is reached.
    pub limited: Option<HostLimited>,
}

/// Something that keeps mail back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Limiting {
    /// In a word that scripts may rely upon.
    pub what: LimitKind,
    /// In a sentence.
    pub words: String,
    /// The pool, channel, host, service or server that it is about; absent of the whole engine.
    pub subject: Option<String>,
    /// The limit as `relais set` takes it: `SMTP_POOL.job_limit`; absent of what is not set.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<LimitValue>,
    /// How much of it is used.
    pub used: Option<LimitValue>,
    /// Entries that wait for it.
    pub messages: u64,
    /// Messages a second that leave in spite of it; absent when nobody knows.
    pub rate: Option<f64>,
    /// Since when it is seen.
    pub since: Timestamp,
    /// When it ends, or nothing waits for it any more if it goes on like this; absent: not by itself.
    pub until: Option<Timestamp>,
    /// The command that helps; or `none: ` and why none does.
    pub would_help: String,
}

/// Kinds of things that keep mail back.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// New mail is refused: the spool's disk has no room, or is not written to.
    SpoolRoom,
    /// No message is handed to a job.
    Paused,
    /// An operator stopped all channels.
    JobController,
    /// The directory does not answer.
    Directory,
    /// The process has all the cores that there are.
    Cpu,
    /// The spool's disk is busy all the time.
    Disk,
    /// A service has as many sessions as it may have.
    Service,
    /// An operator stopped the channel.
    Stopped,
    /// A pool has as many jobs as it may have.
    JobLimit,
    /// A channel has as many jobs as it may have, with all their connections.
    Maxjobs,
    /// Hosts have a connection for each so many entries that wait.
    Threaddepth,
    /// Memory is full of mail that cannot go.
    MaxMessages,
    /// A host has as many connections as it is allowed.
    Connections,
    /// A host has had its messages for now.
    Rate,
    /// A reply slowed a host down, or its server is slow.
    SlowHost,
    /// A host has as many connections as it has shown to bear.
    Learning,
    /// A store of ours is under stress.
    SlowStore,
    /// An operator suspended the host.
    Suspended,
    /// A reply suspended the host.
    SuspendedByReply,
    /// The host could not be talked to.
    Unreachable,
    /// Messages wait for an operator.
    Held,
}

impl LimitKind {
    /// The word that scripts rely upon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpoolRoom => "spool_room",
            Self::Paused => "paused",
            Self::JobController => "job_controller",
            Self::Directory => "directory",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Service => "service",
            Self::Stopped => "stopped",
            Self::JobLimit => "job_limit",
            Self::Maxjobs => "maxjobs",
            Self::Threaddepth => "threaddepth",
            Self::MaxMessages => "max_messages",
            Self::Connections => "connections",
            Self::Rate => "rate",
            Self::SlowHost => "slow_host",
            Self::Learning => "learning",
            Self::SlowStore => "slow_store",
            Self::Suspended => "suspended",
            Self::SuspendedByReply => "suspended_by_reply",
            Self::Unreachable => "unreachable",
            Self::Held => "held",
        }
    }
}

/// The directory.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryOverview {
    /// Look-ups since the start.
    pub lookups: DirectoryStatus,
    /// Servers of an LDAP directory, in file order.
    pub servers: Vec<ServerStatus>,
}

/// A certificate that clients are shown.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CertificateOverview {
    /// The file of its chain.
    pub file: String,
    /// Host names that it is for.
    pub names: Vec<String>,
    /// It is good until then.
    pub not_after: Timestamp,
    /// Days until then; negative when it has expired.
    pub days_left: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_has_one_word_for_people_and_scripts() {
        for kind in [LimitKind::SpoolRoom, LimitKind::JobLimit, LimitKind::SuspendedByReply] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
