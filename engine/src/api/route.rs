//! How an address was routed, step by step.

use relais_channels::mail::XQuota;
use serde::{Deserialize, Serialize};

/// `relais route --json`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteExplained {
    /// The address that was asked about.
    pub input: String,
    /// Whether RCPT TO would be answered 250.
    pub accepted: bool,
    /// The reply that RCPT TO would get.
    pub reply: String,
    /// Where the message would go; empty when refused.
    pub results: Vec<RouteResult>,
    /// The steps that led there, in order.
    pub steps: Vec<RouteStep>,
    /// The source that was asked: the running engine, or files.
    #[serde(default)]
    pub asked: String,
}

/// One recipient that came out.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteResult {
    /// The address as it is presented to the next hop.
    pub address: String,
    /// The channel it leaves by.
    pub channel: String,
    /// The tag that chose the channel.
    pub tag: String,
    /// Where that channel connects to.
    pub next_hop: String,
    /// The quota that the store is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<XQuota>,
    /// The octets that a message may have that goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<u64>,
}

/// One step on the way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteStep {
    /// The kind of the step: `"probe"`, `"rule"`, `"look-up"`, `"alias"`, `"option"`, `"channel"`,
    /// ...
    pub step: String,
    /// With what, and what came of it.
    pub detail: String,
}
