//! The last hour and the last day in figures, kept in memory at a fixed cost.

use relais_actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/series`: figures of equal steps, the oldest first. Every list has the same length.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Series {
    /// The span.
    pub span: SeriesSpan,
    /// Seconds of a step: 10 of an hour, 300 of a day.
    pub step_seconds: u64,
    /// The end of the last step.
    pub end: Timestamp,
    /// The engine started then: steps before hold 0.
    pub since: Timestamp,
    /// Messages by channel, in name order; channels without any since the start are left out.
    pub channels: Vec<ChannelSeries>,
    /// Entries on disk, at the end of each step.
    pub queue: Vec<u32>,
    /// Of those, held ones.
    pub held: Vec<u32>,
}

/// Messages of a channel in each step.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChannelSeries {
    /// The channel.
    pub name: String,
    /// Brought in by it.
    pub submitted: Vec<u32>,
    /// Put into the queue to leave by it.
    pub received: Vec<u32>,
    /// Taken over by the next hop.
    pub delivered: Vec<u32>,
    /// Attempts that ended with "later".
    pub deferred: Vec<u32>,
    /// Refused for good, timed out, or returned.
    pub failed: Vec<u32>,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesSpan {
    /// 360 steps of 10 s.
    #[default]
    Hour,
    /// 288 steps of 5 min.
    Day,
}

/// Which series is asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesAsked {
    /// How much of it.
    #[serde(default)]
    pub span: SeriesSpan,
}
