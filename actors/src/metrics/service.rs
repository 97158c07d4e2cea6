//! Meters of listening services.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use relais_channels::tls::{FailureReason, HandshakeFailure, Secured};
use serde::{Deserialize, Serialize};

use super::{by_name::ByName, tally::PlainTotal};

/// The meter of one service.
#[derive(Debug)]
pub struct ServiceMeter {
    /// Sessions now.
    pub connections: Gauge,
    /// 1 when it is under stress.
    pub stress: Gauge,
    workers: [Gauge; WorkerState::ALL.len()],
    totals: [PlainTotal; ConnectionResult::ALL.len()],
    handshakes: Vec<(HandshakeResult, Counter)>,
    auths: [Counter; AuthResult::ALL.len()],
}

/// The result of an attempt at AUTH; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AuthResult {
    /// The client was let in.
    Granted,
    /// It did not prove who it is.
    Failed,
    /// Too many attempts have failed before.
    Limited,
    /// The directory did not answer, or holds what cannot be checked.
    Unavailable,
}

/// The result of a TLS handshake; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HandshakeResult {
    /// A new session.
    Full,
    /// An earlier session goes on.
    Resumed,
    /// Nothing came of it.
    Failed(FailureReason),
}

/// The place of a worker in its life (seed 8.3).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// It has been started and has not said yet that it is there.
    Starting,
    /// It takes connections.
    Active,
    /// It holds `max_conns` sessions.
    Full,
    /// Old enough to be replaced; takes connections as the last choice.
    Eligible,
    /// Ends when its last session does.
    Draining,
    /// It ended, and is shown for `historical_time`.
    Exited,
}

/// The result of a connection; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectionResult {
    /// It got a session.
    Accepted,
    /// `PORT_ACCESS` refused it.
    Refused,
    /// A DNS block list has its client.
    Listed,
    /// Its client has as many as it may.
    Limited,
    /// Nobody could serve it: `max_handoffs` workers in turn died before they took it.
    Full,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ServiceLabels {
    service: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct WorkerLabels {
    service: String,
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ResultLabels {
    service: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ConnectionLabels {
    service: String,
    result: &'static str,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Starting, Self::Active, Self::Full, Self::Eligible, Self::Draining, Self::Exited];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Full => "full",
            Self::Eligible => "eligible",
            Self::Draining => "draining",
            Self::Exited => "exited",
        }
    }
}

impl ServiceMeter {
    /// Workers in this state; set when somebody looks.
    pub fn workers(&self, state: WorkerState) -> &Gauge {
        &self.workers[state as usize]
    }

    /// Counts a connection by what became of it.
    pub fn connection(&self, result: ConnectionResult) {
        self.totals[result as usize].inc();
    }

    /// Counts a handshake by what came of it.
    pub fn handshake(&self, result: HandshakeResult) {
        if let Some((_, counter)) = self.handshakes.iter().find(|(its, _)| *its == result) {
            counter.inc();
        }
    }

    /// Counts an attempt at AUTH by what came of it.
    pub fn auth(&self, result: AuthResult) {
        self.auths[result as usize].inc();
    }

    /// Connections since the start that came to this.
    pub fn total(&self, result: ConnectionResult) -> u64 {
        self.totals[result as usize].get()
    }
}

impl ConnectionResult {
    /// Every result.
    pub const ALL: [Self; 5] =
        [Self::Accepted, Self::Refused, Self::Listed, Self::Limited, Self::Full];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Listed => "listed",
            Self::Limited => "limited",
            Self::Full => "full",
        }
    }
}

impl AuthResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Granted, Self::Failed, Self::Limited, Self::Unavailable];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Failed => "failed",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
        }
    }
}

impl HandshakeResult {
    /// Every result.
    pub fn all() -> impl Iterator<Item = Self> {
        let failed = FailureReason::ALL.into_iter().map(Self::Failed);
        [Self::Full, Self::Resumed].into_iter().chain(failed)
    }

    /// Of a handshake that is over.
    pub fn of(outcome: &Result<Secured, HandshakeFailure>) -> Self {
        match outcome {
            Ok(secured) if secured.resumed => Self::Resumed,
            Ok(_) => Self::Full,
            Err(failure) => Self::Failed(failure.reason),
        }
    }

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed(reason) => reason.name(),
        }
    }
}

/// Registers the families, of which every service gets a meter.
pub(super) fn meters(registry: &mut Registry) -> ByName<Arc<ServiceMeter>> {
    let workers = Family::<WorkerLabels, Gauge>::default();
    let connections = Family::<ServiceLabels, Gauge>::default();
    let totals = Family::<ConnectionLabels, PlainTotal>::default();
    registry.register(
        "dispatcher_workers",
        "Workers by state; all full: connections wait (max_procs, max_conns)",
        workers.clone(),
    );
    registry.register("dispatcher_connections", "Sessions now", connections.clone());
    let stress = Family::<ServiceLabels, Gauge>::default();
    let help = "1 when less than a tenth is left of workers' room, open files or memory";
    registry.register("dispatcher_stress", help, stress.clone());
    let help = "Connections by what became of them; refused by PORT_ACCESS, limited by client_conns or \
         prefix_conns, full: no worker took it";
    registry.register("dispatcher_connections_total", help, totals.clone());
    let handshakes = Family::<ResultLabels, Counter>::default();
    let help = "TLS handshakes: full and resumed ones, and failures by their reason";
    registry.register("tls_handshakes", help, handshakes.clone());
    let auths = Family::<ResultLabels, Counter>::default();
    let help =
        "Attempts at AUTH by what came of them; limited: a client or user had failed too often";
    registry.register("auth_attempts", help, auths.clone());
    ByName::new(move |service| {
        let service = service.to_owned();
        let labels = ServiceLabels { service: service.clone() };
        let workers = |state: WorkerState| {
            let labels = WorkerLabels { service: service.clone(), state: state.name() };
            workers.get_or_create_owned(&labels)
        };
        let totals = |result: ConnectionResult| {
            let labels = ConnectionLabels { service: service.clone(), result: result.name() };
            totals.get_or_create_owned(&labels)
        };
        let auth = |result: AuthResult| {
            let labels = ResultLabels { service: service.clone(), result: result.name() };
            auths.get_or_create_owned(&labels)
        };
        let handshake = |result: HandshakeResult| {
            let labels = ResultLabels { service: service.clone(), result: result.name() };
            (result, handshakes.get_or_create_owned(&labels))
        };
        Arc::new(ServiceMeter {
            connections: connections.get_or_create_owned(&labels),
            stress: stress.get_or_create_owned(&labels),
            workers: WorkerState::ALL.map(workers),
            totals: ConnectionResult::ALL.map(totals),
            handshakes: HandshakeResult::all().map(handshake).collect(),
            auths: AuthResult::ALL.map(auth),
        })
    })
}
