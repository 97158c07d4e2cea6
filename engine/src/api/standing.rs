//! Standing orders.

use std::time::Duration;

use relais_actors::{
    standing::{OrderCriteria, OrderRate, RerouteTarget, StandingKind, StandingOrder},
    timestamp::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::{AddressPattern, HostSuspended, MAX_REASON, NamePattern, QueueFilter, is_plain};

/// `relais order add`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewOrder {
    /// The fate of the mail.
    pub kind: StandingKind,
    /// Of this sender; at least one of the four is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressPattern>,
    /// With this recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressPattern>,
    /// Going to this host; `.example.net`: to all below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<NamePattern>,
    /// Leaving by this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<NamePattern>,
    /// Of `reroute`: where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RerouteTarget>,
    /// Of `slow`: `"10/1m"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<OrderRate>,
    /// Of `hold`: its mail is released when it ends.
    #[serde(default)]
    pub release: bool,
    /// It ends after so many seconds: 1 to 31,536,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// It ends then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why: one line.
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub by: String,
    /// Only say what it would touch now.
    #[serde(default)]
    pub dry_run: bool,
}

/// `relais order remove`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveOrder {
    /// Release what it has held.
    #[serde(default)]
    pub release: bool,
}

/// An order that stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct OrderShown {
    /// The order.
    #[serde(flatten)]
    pub order: StandingOrder,
    /// Entries of the queue that it touched since the engine started, and recipients that it had refused.
    /// Mail that it puts off again and again counts each time.
    pub messages: u64,
    /// Recipients of these.
    pub recipients: u64,
    /// It has ended, and what is to be done then is being done.
    pub ending: bool,
}

/// `relais order list --json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct OrdersListed {
    /// The orders, the oldest first.
    pub orders: Vec<OrderShown>,
    /// Hosts that `relais host suspend` has mail wait for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostSuspended>,
}

/// The mistake in an order.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NewOrderError {
    /// It names no mail.
    #[error("say which mail: from, to, host or channel")]
    AllMail,
    /// It ends at once, or never.
    #[error("an order lasts for a second to a year, or without an end")]
    Time,
    /// Both ends are given.
    #[error("either a time that it lasts, or a time when it ends")]
    TwoEnds,
    /// No reason.
    #[error("a reason is one line of 1 to {MAX_REASON} characters")]
    Reason,
    /// `reroute` without its target, or with two.
    #[error("reroute wants an address, or a channel, a host or both; nothing else takes one")]
    Target,
    /// `slow` without its rate.
    #[error("slow wants a rate such as 10/1m; nothing else takes one")]
    Rate,
    /// Only a hold releases.
    #[error("release is for hold")]
    Release,
}

impl NewOrder {
    /// The mail that it is for.
    pub fn criteria(&self) -> OrderCriteria {
        let Self { from, to, host, channel, .. } = self.clone();
        OrderCriteria { from, to, host, channel }
    }

    /// When it ends; or the mistake in it.
    pub fn check(&self, now: Timestamp) -> Result<Option<Timestamp>, NewOrderError> {
        let Self { kind, target, rate, reason, by, .. } = self;
        if self.criteria().is_empty() {
            return Err(NewOrderError::AllMail);
        }
        if !(is_plain(reason) && is_plain(by)) || reason.trim().is_empty() {
            return Err(NewOrderError::Reason);
        }
        let fits = |target: &RerouteTarget| {
            let elsewhere = target.channel.is_some() || target.host.is_some();
            elsewhere != target.address.is_some()
        };
        if target.as_ref().is_some_and(fits) != (*kind == StandingKind::Reroute)
            || target.is_some() != (*kind == StandingKind::Reroute)
        {
            return Err(NewOrderError::Target);
        }
        if rate.is_some() != (*kind == StandingKind::Slow) {
            return Err(NewOrderError::Rate);
        }
        if self.release && *kind != StandingKind::Hold {
            return Err(NewOrderError::Release);
        }
        let until = match (self.seconds, self.until) {
            (Some(_), Some(_)) => return Err(NewOrderError::TwoEnds),
            (Some(seconds), None) if seconds <= LONGEST => {
                Some(now.after(Duration::from_secs(seconds)))
            }
            (Some(_), None) => return Err(NewOrderError::Time),
            (None, until) => until,
        };
        let lasts = |until: Timestamp| (1..=LONGEST).contains(&now.until(until).as_secs());
        // A time that is typed is a second nearer when it comes here.
        let is_soon = |until: Timestamp| until > now && now.until(until).as_secs() == 0;
        if until.is_some_and(|until| !lasts(until) && !is_soon(until)) {
            return Err(NewOrderError::Time);
        }
        Ok(until)
    }
}

/// The entries that an order is for.
pub fn filter_of(criteria: &OrderCriteria) -> QueueFilter {
    let OrderCriteria { from, to, host, channel } = criteria.clone();
    QueueFilter { channel, host, from, to, ..QueueFilter::default() }
}

/// Seconds of a year.
const LONGEST: u64 = 365 * 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_its_kind_wants_and_nothing_else() {
        let now = Timestamp(1_788_133_501_123);
        let read = |text: &str| {
            let text = text.replace('\'', "\"");
            serde_json::from_str::<NewOrder>(&text).map(|order| order.check(now))
        };
        let rows = [
            (
                "{'kind':'hold','from':'@a','reason':'x','seconds':5}",
                Ok(Some(now.after(Duration::from_secs(5)))),
            ),
            ("{'kind':'hold','from':'@a','reason':'x'}", Ok(None)),
            ("{'kind':'hold','reason':'x'}", Err(NewOrderError::AllMail)),
            ("{'kind':'hold','from':'@a','reason':' '}", Err(NewOrderError::Reason)),
            ("{'kind':'hold','from':'@a','reason':'x','by':'\\n'}", Err(NewOrderError::Reason)),
            ("{'kind':'hold','from':'@a','reason':'x','seconds':0}", Err(NewOrderError::Time)),
            (
                "{'kind':'hold','from':'@a','reason':'x','seconds':99999999999}",
                Err(NewOrderError::Time),
            ),
            (
                "{'kind':'hold','from':'@a','reason':'x','until':'2020-01-01T00:00:00Z'}",
                Err(NewOrderError::Time),
            ),
            (
                "{'kind':'hold','from':'@a','reason':'x','until':'2026-08-31T00:00:00Z','seconds':5}",
                Err(NewOrderError::TwoEnds),
            ),
            ("{'kind':'slow','from':'@a','reason':'x'}", Err(NewOrderError::Rate)),
            ("{'kind':'slow','from':'@a','reason':'x','rate':'10/1m'}", Ok(None)),
            ("{'kind':'hold','from':'@a','reason':'x','rate':'10/1m'}", Err(NewOrderError::Rate)),
            (
                "{'kind':'return','from':'@a','reason':'x','release':true}",
                Err(NewOrderError::Release),
            ),
            ("{'kind':'reroute','from':'@a','reason':'x'}", Err(NewOrderError::Target)),
            ("{'kind':'reroute','from':'@a','reason':'x','target':{}}", Err(NewOrderError::Target)),
            ("{'kind':'reroute','from':'@a','reason':'x','target':{'host':'h'}}", Ok(None)),
            (
                "{'kind':'reroute','from':'@a','reason':'x','target':{'host':'h','address':'a@b'}}",
                Err(NewOrderError::Target),
            ),
            (
                "{'kind':'hold','from':'@a','reason':'x','target':{'host':'h'}}",
                Err(NewOrderError::Target),
            ),
        ];
        for (text, want) in rows {
            assert_eq!(read(text).unwrap(), want, "{text}");
        }
        for text in [
            "{'kind':'hold','form':'@a','reason':'x'}",
            "{'kind':'hold','from':'','reason':'x'}",
            "{'kind':'stop','from':'@a','reason':'x'}",
            "{'kind':'slow','from':'@a','reason':'x','rate':'fast'}",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
