//! Counters of each channel since the start.

use std::collections::BTreeMap;

use relais_storage::Counts;
use serde::{Deserialize, Serialize};

/// `relais counters --json`: by channel, then by event. Every channel and every event is there.
///
/// They go on over restarts; what is stored is what the spool holds now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct ChannelCounters(pub BTreeMap<String, BTreeMap<Event, Volume>>);

/// The counts of each channel. A *message* is an entry here: a message that leaves by two channels,
/// or for two hosts, counts twice.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Put into the queue, to leave by this channel.
    Received,
    /// In the queue now, to leave by this channel.
    Stored,
    /// Taken over by the next hop.
    Delivered,
    /// Brought in by this channel.
    Submitted,
    /// Attempts that ended with "later".
    Attempted,
    /// Refused when this channel wanted to bring it in.
    Rejected,
    /// Refused for good by the next hop, timed out, or returned by an operator.
    Failed,
    /// Removed by an operator; nobody is told.
    Deleted,
}

/// How much of it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Volume {
    /// Entries.
    pub messages: u64,
    /// Recipients of these.
    pub recipients: u64,
    /// Octets of content of these.
    pub bytes: u64,
}

impl From<&Counts> for Volume {
    /// Counts of the spool as they are now.
    fn from(counts: &Counts) -> Self {
        Self { messages: counts.total(), recipients: counts.recipients, bytes: counts.bytes }
    }
}

impl Event {
    /// Every event, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Received,
        Self::Stored,
        Self::Delivered,
        Self::Submitted,
        Self::Attempted,
        Self::Rejected,
        Self::Failed,
        Self::Deleted,
    ];

    /// In lower case; the label of metrics and the key in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Submitted => "submitted",
            Self::Attempted => "attempted",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_objects_in_objects() {
        let tally = Volume { messages: 1, recipients: 2, bytes: 3 };
        let events = BTreeMap::from([(Event::Received, tally)]);
        let counters = ChannelCounters(BTreeMap::from([("tcp_local".to_owned(), events)]));
        let json = serde_json::to_string(&counters).unwrap();
        assert_eq!(json, r#"{"tcp_local":{"received":{"messages":1,"recipients":2,"bytes":3}}}"#);
        assert_eq!(serde_json::from_str::<ChannelCounters>(&json).unwrap(), counters);
        for event in Event::ALL {
            assert_eq!(serde_json::to_value(event).unwrap(), event.name());
        }
    }
}
