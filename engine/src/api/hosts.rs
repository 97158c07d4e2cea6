//! Hosts that get nothing, or less, for a while: by an operator's order, by a reply, by a limit.

use relais_actors::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::{MAX_REASON, is_plain};

/// `relais host suspend`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostSuspend {
    /// The host as the queue has it, or `.example.net` for all below it.
    pub host: String,
    /// Of this channel alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// For so many seconds.
    pub seconds: u64,
    /// Why: one line.
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub by: String,
}

/// `relais host resume`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostResume {
    /// The host of the order.
    pub host: String,
    /// Of this channel alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
}

/// The answer to either.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostOrdered {
    /// The host, in its one spelling.
    pub host: String,
    /// The channel, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// When it ends; of `resume` nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// It was suspended already.
    pub was_suspended: bool,
    /// Channels that send all mail to another host, whatever its domain, which is not suspended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub goes_on: Vec<FixedHost>,
}

/// A channel with `daemon`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FixedHost {
    /// The channel.
    pub channel: String,
    /// The host that the queue has for all of its mail.
    pub host: String,
}

/// A host that gets nothing, or less, by an order or a reply: a line of `relais host list`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostSuspended {
    /// The host as the queue has it, `.example.net` for all below it, or what its channel counts
    /// together.
    pub host: String,
    /// The channel; without it, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// `operator`, or `reply`.
    pub by: String,
    /// The rate that it gets still, such as `10/1m`; without it, nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// When an operator gave the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it ends.
    pub until: Timestamp,
    /// The operator's words, or the reply.
    pub reason: String,
}

/// A host whose limits allow no more for now.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HostLimited {
    /// The channel to it.
    pub channel: String,
    /// The host.
    pub host: String,
    /// The name that is counted, where several hosts are counted together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<String>,
    /// `connections`, `rate`, `slow_down` or `suspend`.
    pub limit: String,
    /// Its value.
    pub value: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is tried again.
    pub until: Timestamp,
    /// The command that changes it.
    pub change: String,
}

/// The mistake in an order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HostOrderError {
    /// No host.
    #[error("{0:?} is no host; \"example.com\", \".example.com\" or \"[192.0.2.1]\" is")]
    NoHost(String),
    /// Too short, or too long.
    #[error("{0}s is no time for a suspension: 1m to 30d are allowed")]
    Time(u64),
    /// No reason.
    #[error("a reason is one line of 1 to {MAX_REASON} characters")]
    Reason,
}

impl HostSuspend {
    /// Whether time and words fit.
    pub fn check(&self) -> Result<(), HostOrderError> {
        if !(LEAST_SECONDS..=MOST_SECONDS).contains(&self.seconds) {
            return Err(HostOrderError::Time(self.seconds));
        }
        let fits = is_plain(&self.reason) && is_plain(&self.by) && !self.reason.trim().is_empty();
        if fits { Ok(()) } else { Err(HostOrderError::Reason) }
    }

    /// Who, and why, in one text.
    pub fn words(&self) -> String {
        if self.by.is_empty() {
            self.reason.clone()
        } else {
            format!("{} ({})", self.reason, self.by)
        }
    }
}

const LEAST_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 30 * 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silly_values_are_refused() {
        let plain = HostSuspend {
            host: "a.test".to_owned(),
            channel: None,
            seconds: 7_200,
            reason: "they asked for it".to_owned(),
            by: "root".to_owned(),
        };
        assert_eq!((plain.check(), plain.words().as_str()), (Ok(()), "they asked for it (root)"));
        for seconds in [0, 59, MOST_SECONDS + 1, u64::MAX] {
            let its = HostSuspend { seconds, ..plain.clone() };
            assert_eq!(its.check(), Err(HostOrderError::Time(seconds)));
        }
        for reason in ["", "  ", "a\nb", &"x".repeat(MAX_REASON + 1)] {
            let its = HostSuspend { reason: reason.to_owned(), ..plain.clone() };
            assert_eq!(its.check(), Err(HostOrderError::Reason), "{reason}");
        }
    }
}
