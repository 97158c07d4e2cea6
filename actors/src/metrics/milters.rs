//! Meters of filters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use serde::{Deserialize, Serialize};

/// Makes meters of filters, and shows those of the configuration in force.
#[derive(Debug, Default)]
pub struct MilterMeters {
    requests: Family<RequestLabels, Counter>,
    up: Family<MilterLabels, Gauge>,
    shown: Mutex<Vec<(MilterStatus, MilterMeter)>>,
}

/// The meter of one filter.
#[derive(Clone, Debug)]
pub struct MilterMeter {
    requests: [Counter; MilterResult::ALL.len()],
    up: Gauge,
    /// Why it is away; `None`: it answers.
    away: Arc<Mutex<Option<String>>>,
}

/// A filter as `relais status` shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct MilterStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub socket: String,
    /// Why it is not asked; absent: it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
    /// Messages, clients and recipients that it judged, or was to, since the start: a count for each
    /// result.
    pub requests: Vec<(String, u64)>,
}

/// The outcome of asking a filter about a message, a client or a recipient; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MilterResult {
    /// It took the message.
    Accepted,
    /// It refused a client, a command, a recipient or a message for good.
    Rejected,
    /// It refused one of these for now.
    Tempfailed,
    /// It had the message thrown away.
    Discarded,
    /// It had the message held.
    Quarantined,
    /// It did not answer, or with what makes no sense.
    Failed,
    /// It was not asked, since it has not answered a while ago.
    Away,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    milter: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct MilterLabels {
    milter: String,
}

impl MilterMeters {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meters = Self::default();
        let help = "What came of asking a filter; failed or away: look at the filter";
        registry.register("milter_requests", help, meters.requests.clone());
        let help = "Whether a filter answered when it was last asked; 0: mail meets on_error";
        registry.register("milter_up", help, meters.up.clone());
        meters
    }

    /// The meter of the filter of this name.
    pub fn of(&self, name: &str) -> MilterMeter {
        let requests = MilterResult::ALL.map(|result| {
            let labels = RequestLabels { milter: name.to_owned(), result: result.name() };
            self.requests.get_or_create_owned(&labels)
        });
        let up = self.up.get_or_create_owned(&MilterLabels { milter: name.to_owned() });
        up.set(1);
        MilterMeter { requests, up, away: Arc::default() }
    }

    /// From now on these are the filters: name, socket, meter.
    pub fn show<'a>(&self, filters: impl Iterator<Item = (&'a str, String, MilterMeter)>) {
        let filters = filters.map(|(name, socket, meter)| {
            let (away, requests) = (None, Vec::new());
            (MilterStatus { name: name.to_owned(), socket, away, requests }, meter)
        });
        *locked(&self.shown) = filters.collect();
    }

    /// The filters of the configuration in force, in name order.
    pub fn status(&self) -> Vec<MilterStatus> {
        let status = |(status, meter): &(MilterStatus, MilterMeter)| {
            let count = |result: &MilterResult| {
                (result.name().to_owned(), meter.requests[*result as usize].get())
            };
            let requests = MilterResult::ALL.iter().map(count).collect();
            MilterStatus { away: locked(&meter.away).clone(), requests, ..status.clone() }
        };
        locked(&self.shown).iter().map(status).collect()
    }
}

impl MilterMeter {
    /// Counts a result.
    pub fn count(&self, result: MilterResult) {
        self.requests[result as usize].inc();
    }

    /// The filter is away, or answers again. Returns whether that is news.
    pub fn set_away(&self, why: Option<String>) -> bool {
        self.up.set(i64::from(why.is_none()));
        let mut away = locked(&self.away);
        let is_news = away.is_some() != why.is_some();
        *away = why;
        is_news
    }
}

impl MilterResult {
    /// All results.
    pub const ALL: [Self; 7] = [
        Self::Accepted,
        Self::Rejected,
        Self::Tempfailed,
        Self::Discarded,
        Self::Quarantined,
        Self::Failed,
        Self::Away,
    ];

    /// As in the label.
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Tempfailed => "tempfailed",
            Self::Discarded => "discarded",
            Self::Quarantined => "quarantined",
            Self::Failed => "failed",
            Self::Away => "away",
        }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
