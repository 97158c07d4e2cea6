//! Answers of the engine to operators, in the shapes that scripts may rely upon.
//!
//! The command line reads back what the admin endpoint wrote, so every type goes both ways.
//! Keys may be added; those that are there keep their name and meaning. Times are RFC 3339 in
//! UTC with milliseconds (`"2026-08-30T23:45:01.123Z"`): every script's date parser takes them,
//! and they sort as text.
//!
//! The actors know none of these shapes: they describe themselves in types of their own, and the
//! [console](crate::console) makes these of them. Only closed sets that are labels of metrics, too
//! (states, events, reasons), are the actors' own words here.

mod access;
mod audit;
mod certificate;
mod control;
mod filter;
mod guarded;
mod history_state;
mod hosts;
mod mailboxes;
mod mapping;
mod natural;
mod order_kind;
mod orders;
mod overview;
mod queue;
mod reload;
mod route;
mod series;
mod sieve;
mod stage;
mod standing;
mod standing_part;
mod trace;

use relais_actors::{
    front::control::ServiceState,
    metrics::{DirectoryStatus, MilterStatus, Pause, ServerStatus, WorkerState},
    timestamp::Timestamp,
};
use relais_events::{FileTrouble, WebhookStatus};
use serde::{Deserialize, Serialize};

pub use access::{AccessExplained, AccessStep};
pub use audit::{
    AuditEnd, AuditEntry, AuditFilter, AuditLine, AuditOrder, AuditResult, OrderWay, Who,
};
pub use certificate::CertificateShown;
pub use control::{DISPATCHER, JOB_CONTROLLER, PartOrder, PartsOrdered};
pub use filter::QueueFilter;
pub use guarded::GuardedText;
pub use history_state::HistoryTrouble;
pub use hosts::{
    FixedHost, HostLimited, HostOrderError, HostOrdered, HostResume, HostSuspend, HostSuspended,
};
pub use mailboxes::{
    MailboxAnswer, MailboxFilter, MailboxFinding, MailboxLimit, MailboxLine, MailboxListed,
    MailboxOrder, MailboxOrderKind, MailboxUsage, MailboxesMissing,
};
pub use mapping::{MappingExplained, MappingStepTold};
use natural::natural;
pub use order_kind::OrderKind;
pub use orders::{
    HistoryLine, Left, LimitSet, LimitShown, LimitValue, MAX_REASON, OrderProgress, QueueOrder,
    RecipientReply, Rerouted, SetLimit, Untold, Why, is_plain,
};
pub use overview::{
    AgeCount, CertificateOverview, ChannelFlow, ChannelOverview, CpuShown, DirectoryOverview,
    HostTrouble, LimitKind, Limiting, Overview, PoolOverview, QueueOverview, ReadyShown,
    ServiceOverview,
};
pub use queue::{
    ChannelSummary, HostSummary, QueueSummary, QueuedEntry, QueuedMessage, QueuedRecipient,
    RecipientState, Text,
};
pub use relais_actors::standing::pattern::{AddressPattern, NamePattern, PatternError};
pub use reload::{LaterSetting, ReloadOrder, Reloaded};
pub use route::{
    RouteDifference, RouteExplained, RouteLeftOut, RouteLimits, RouteRedirect, RouteResult,
    RouteScripts, RouteServer, RouteSite, RouteStep,
};
pub use series::{ChannelSeries, Series, SeriesAsked, SeriesSpan};
pub use sieve::{SieveStep, SieveTested};
pub use stage::{StageExplained, StageFact};
pub use standing::{NewOrder, NewOrderError, OrderShown, OrdersListed, RemoveOrder, filter_of};
pub use standing_part::StandingPart;
pub use trace::{
    ForgetOrder, StoreTrace, TraceAnswer, TraceEvent, TraceForgotten, TraceLoss, TraceQuestion,
    TracedMessage, TracedRecipient, UnaskedStore,
};

/// `relais status --json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// Of the program: `"0.1.0"`.
    pub version: String,
    /// Official host name.
    pub host: String,
    /// Process id of the engine.
    pub pid: u32,
    /// The data directory.
    pub data: String,
    /// Where the engine is in its life.
    pub phase: Phase,
    /// When the engine started.
    pub started: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Why mail is not taken or not delivered, as `/readyz` says it; absent when all is well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<String>,
    /// Where the admin endpoint is reached: `"unix:/…/admin.sock"`, `"http://127.0.0.1:9225"`.
    pub admin: Vec<String>,
    /// Listening services, in name order.
    pub services: Vec<ServiceStatus>,
    /// Whether anything leaves, of what an operator says.
    pub job_controller: ServiceState,
    /// Pools, in name order.
    pub pools: Vec<PoolStatus>,
    /// Channels, in file order; behind them those that the configuration has lost, with mail.
    pub channels: Vec<ChannelStatus>,
    /// The queue as a whole.
    pub queue: QueueStatus,
    /// Destinations that are left alone for a while.
    pub troubles: Vec<DestinationTrouble>,
    /// Hosts that get nothing, or less, by an operator's order or a reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<HostSuspended>,
    /// Orders that stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderShown>,
    /// Hosts whose limits allow no more for now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limited: Vec<HostLimited>,
    /// Stores of ours that are slow, and get fewer connections for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stressed: Vec<StressedStore>,
    /// The partitions of our own store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<Partition>,
    /// Look-ups; absent when no directory is configured.
    pub directory: Option<DirectoryStatus>,
    /// Servers of an LDAP directory, in file order.
    #[serde(default)]
    pub directory_servers: Vec<ServerStatus>,
    /// Filters, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub milters: Vec<MilterStatus>,
    /// Trouble with the delivery history; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryTrouble>,
    /// Why nothing is written to the file of events; absent: it is, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_file: Option<FileTrouble>,
    /// Webhooks, in name order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<WebhookStatus>,
    /// Log lines thrown away because nobody took them; 0 is what it should be.
    pub log_lines_lost: u64,
}

impl Status {
    /// Puts parts with names in the order in which people count. Channels and the servers of a directory
    /// stay in that of the file.
    pub fn sort(&mut self) {
        self.services.sort_by(|one, other| natural(&one.name, &other.name));
        self.pools.sort_by(|one, other| natural(&one.name, &other.name));
        self.milters.sort_by(|one, other| natural(&one.name, &other.name));
        self.webhooks.sort_by(|one, other| natural(&one.name, &other.name));
        self.partitions.sort_by(|one, other| natural(&one.name, &other.name));
        let by_host = |(one, of_one): (&str, &str), (other, of_other): (&str, &str)| {
            natural(one, other).then_with(|| natural(of_one, of_other))
        };
        self.troubles.sort_by(|a, b| by_host((&a.host, &a.channel), (&b.host, &b.channel)));
        self.stressed.sort_by(|a, b| by_host((&a.host, &a.channel), (&b.host, &b.channel)));
        self.limited.sort_by(|a, b| by_host((&a.host, &a.channel), (&b.host, &b.channel)));
        self.suspended.sort_by(|a, b| natural(&a.host, &b.host));
    }
}

/// A store of ours that says it is slow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StressedStore {
    /// Channel that leads there.
    pub channel: String,
    /// The store.
    pub host: String,
    /// Connections that it gets at most.
    pub connections: usize,
    /// When it gets more.
    pub until: Timestamp,
}

/// A partition of our own store.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Partition {
    /// The name in the file; the first has none.
    pub name: String,
    /// Its root.
    pub path: String,
    /// It is not there: its mail is put off.
    pub away: bool,
    /// Octets free on its file system.
    pub free: u64,
    /// Half of its commits take longer than `store.stress_at`.
    pub stressed: bool,
}

/// Where the engine is in its life.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The spool is being recovered, or a service does not listen yet.
    Starting,
    /// Mail is taken and delivered.
    Running,
    /// Nothing new is taken; what runs may end.
    Draining,
}

/// One listening service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// The key in the file: `"SMTP"`.
    pub name: String,
    /// The protocol of its sessions: `"smtp"`, `"lmtp"`, `"lmtp_native"`.
    pub program: String,
    /// The source channel of what arrives.
    pub channel: String,
    /// Whether it takes connections.
    pub state: ServiceState,
    /// Where it listens: `"127.0.0.1:2525"`, `"unix:/path"`.
    pub listen: Vec<String>,
    /// Sessions now.
    pub connections: u64,
    /// Sessions taken since the start.
    pub accepted: u64,
    /// Connections refused since the start, by `PORT_ACCESS` or for want of room.
    pub refused: u64,
    /// Its workers, the oldest first.
    pub workers: Vec<WorkerStatus>,
}

/// One worker of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WorkerStatus {
    /// Counts up from 0 in each service.
    pub id: u64,
    /// Whether it takes connections.
    pub state: WorkerState,
    /// The thread it lives on, from 0.
    pub arbiter: usize,
    /// Sessions now.
    pub connections: usize,
    /// Most sessions at once so far.
    pub peak: usize,
    /// Sessions taken so far.
    pub served: u64,
    /// When it started.
    pub started: Timestamp,
}

/// One pool of jobs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct PoolStatus {
    /// The key in the file: `"SMTP_POOL"`.
    pub name: String,
    /// Jobs at once.
    pub job_limit: usize,
    /// Jobs now.
    pub running: usize,
}

/// One channel and its part of the queue.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct ChannelStatus {
    /// `"tcp_lmtpcs"`.
    pub name: String,
    /// The program of its jobs: `"lmtp"`; `"lost"` when the configuration has no such channel any
    /// more and there is still mail of it.
    pub program: String,
    /// The pool its jobs run in.
    pub pool: String,
    /// Jobs at once.
    pub maxjobs: usize,
    /// Jobs now.
    pub jobs: usize,
    /// Connections of these.
    #[serde(default)]
    pub threads: usize,
    /// An operator stopped it.
    #[serde(default)]
    pub stopped: bool,
    /// Nobody delivers what is in it: the configuration has no such channel, nor had it since the start.
    #[serde(default)]
    pub unserved: bool,
    /// Entries that could go now.
    pub ready: u64,
    /// Entries that are being tried.
    pub active: u64,
    /// Entries that wait for their next attempt.
    pub delayed: u64,
    /// Entries that wait for an operator.
    pub held: u64,
    /// Arrival of the oldest of them.
    pub oldest: Option<Timestamp>,
}

/// The queue as a whole.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct QueueStatus {
    /// Entries held in memory.
    pub tracked: u64,
    /// Entries on disk.
    pub stored: u64,
    /// Entries held in memory at most.
    pub max_messages: u64,
    /// Octets of the spool's files.
    pub spool_bytes: u64,
    /// Why nothing is handed to jobs; absent when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// Why new mail is refused; absent when it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusing: Option<String>,
}

/// A destination that is left alone for a while because it could not be talked to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DestinationTrouble {
    /// The channel to it.
    pub channel: String,
    /// The destination.
    pub host: String,
    /// When it is tried again.
    pub until: Timestamp,
    /// The last reply of the host, or ours in its place.
    pub reply: String,
}

impl Phase {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_that_scripts_rely_upon_are_there() {
        let status = Status {
            version: "0.1.0".to_owned(),
            host: "localhost".to_owned(),
            pid: 1,
            data: "relais-data".to_owned(),
            phase: Phase::Running,
            started: Timestamp(0),
            uptime_seconds: 0,
            not_ready: vec![],
            admin: vec![],
            services: vec![ServiceStatus {
                name: "SMTP".to_owned(),
                program: "smtp".to_owned(),
                channel: "tcp_local".to_owned(),
                state: ServiceState::Running,
                listen: vec![],
                connections: 0,
                accepted: 0,
                refused: 0,
                workers: vec![],
            }],
            job_controller: ServiceState::Running,
            pools: vec![PoolStatus { name: "DEFAULT".to_owned(), job_limit: 10, running: 3 }],
            channels: vec![],
            queue: QueueStatus {
                tracked: 1,
                stored: 2,
                max_messages: 3,
                spool_bytes: 4,
                paused: None,
                refusing: None,
            },
            stressed: vec![],
            partitions: vec![],
            troubles: vec![],
            suspended: vec![],
            orders: vec![],
            limited: vec![],
            directory: None,
            directory_servers: vec![],
            milters: vec![],
            history: None,
            event_file: None,
            webhooks: vec![],
            log_lines_lost: 0,
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["services"][0]["name"], "SMTP");
        assert!(json["services"][0]["workers"].is_array());
        assert_eq!(json["pools"][0]["job_limit"], 10);
        assert_eq!(json["pools"][0]["running"], 3);
        assert!(json["channels"].is_array());
        assert_eq!(json["queue"]["tracked"], 1);
        assert_eq!(json["queue"]["stored"], 2);
        assert_eq!(json["queue"]["max_messages"], 3);
        assert_eq!(json["phase"], "running");
        assert_eq!(json["services"][0]["state"], "running");
        assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
    }
}
