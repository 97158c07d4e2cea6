//! The state of the delivery history.

use std::fmt;

use relais_actors::{metrics::Metrics, timestamp::Timestamp};
use serde::{Deserialize, Serialize};

/// Trouble with the delivery history. Mail is not held up by it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct HistoryTrouble {
    /// Since when nothing is written; absent while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_since: Option<Timestamp>,
    /// Why nothing is written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Records that are lost since the engine started.
    pub lost: u64,
}

impl HistoryTrouble {
    /// The trouble that there is now, if any.
    pub fn of(metrics: &Metrics) -> Option<Self> {
        let (stop, lost) = metrics.history.trouble();
        let stopped_since = stop.as_ref().map(|stop| Timestamp(stop.since));
        let why = stop.map(|stop| stop.why).unwrap_or_default();
        (stopped_since.is_some() || lost > 0).then_some(Self { stopped_since, why, lost })
    }
}

/// In a line, with what to do.
impl fmt::Display for HistoryTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stopped_since, why, lost } = self;
        match stopped_since {
            Some(since) => write!(
                f,
                "history: not written since {since}, {lost} records lost: {why}; make room, or mend \
                 the disk of history.path: it goes on by itself"
            ),
            None => write!(
                f,
                "history: {lost} records lost since the start: `relais trace` says of which time"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use relais_actors::metrics::Labels;

    use super::*;

    #[test]
    fn trouble_is_told_with_its_beginning_and_what_to_do() {
        let lost = HistoryTrouble { lost: 3, ..HistoryTrouble::default() };
        assert_eq!(
            lost.to_string(),
            "history: 3 records lost since the start: `relais trace` says of which time"
        );
        let stopped_since = Some(Timestamp(0));
        let stopped = HistoryTrouble { stopped_since, why: "no room".to_owned(), lost: 0 };
        let told = stopped.to_string();
        assert!(
            told.starts_with("history: not written since 1970-01-01T00:00:00.000Z, 0"),
            "{told}"
        );
        assert!(told.contains(": no room; make room"), "{told}");
        assert_eq!(HistoryTrouble::of(&Metrics::new(&Labels::default())), None);
    }
}
