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

/// `relais route --compare --json`: an address that two configurations route in different ways.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteDifference {
    /// The address.
    pub input: String,
    /// The channel that it was asked for, where that is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// By the one that is in force.
    pub before: RouteExplained,
    /// By the other one.
    pub after: RouteExplained,
}

impl RouteDifference {
    /// Nothing where both come to the same.
    pub fn between(
        channel: Option<String>,
        before: RouteExplained,
        after: RouteExplained,
    ) -> Option<Self> {
        let is_same = before.accepted == after.accepted
            && before.reply == after.reply
            && ends(&before).eq(ends(&after));
        (!is_same).then(|| Self { input: before.input.clone(), channel, before, after })
    }
}

/// The ends of a route; by which tag it found its channel is the rules' own business.
fn ends(route: &RouteExplained) -> impl Iterator<Item = RouteResult> {
    route.results.iter().map(|result| RouteResult { tag: String::new(), ..result.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_differ_by_where_mail_goes() {
        let result = |channel: &str, next_hop: &str, tag: &str| RouteResult {
            channel: channel.to_owned(),
            next_hop: next_hop.to_owned(),
            tag: tag.to_owned(),
            ..RouteResult::default()
        };
        let route = |results: &[RouteResult]| RouteExplained {
            accepted: !results.is_empty(),
            results: results.to_vec(),
            ..RouteExplained::default()
        };
        let (a, b) = (result("a", "h", "t"), result("b", "h", "t"));
        let limited = RouteResult { size_limit: Some(1), ..a.clone() };
        let rows: [(&[RouteResult], &[RouteResult], bool); 7] = [
            (&[a.clone()], &[a.clone()], false),
            (&[a.clone()], &[result("a", "h", "other")], false),
            (&[a.clone()], &[b.clone()], true),
            (&[a.clone()], &[result("a", "g", "t")], true),
            (&[a.clone()], &[limited], true),
            (&[a.clone()], &[a.clone(), b.clone()], true),
            (&[a.clone()], &[], true),
        ];
        for (before, after, differ) in rows {
            let difference = RouteDifference::between(None, route(before), route(after));
            assert_eq!(difference.is_some(), differ, "{before:?} {after:?}");
        }
    }
}
