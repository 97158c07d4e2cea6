//! How an address was routed, step by step.

use relais_actors::timestamp::Timestamp;
use relais_channels::mail::XQuota;
use serde::{Deserialize, Serialize};

use super::SieveTested;

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
    /// The source of a refusal in words, where the client or the sender is refused, and not the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// Where the message of one who may send there would go, then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_permitted: Vec<RouteResult>,
    /// The steps that led there, in order.
    pub steps: Vec<RouteStep>,
    /// The channel that the message comes in by; only when the scripts on its way were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_channel: Option<String>,
    /// Where scripts redirect a message, in the order in which they are followed; only when there was one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirects: Vec<RouteRedirect>,
    /// The source that was asked: the running engine, or files.
    #[serde(default)]
    pub asked: String,
}

impl RouteExplained {
    /// The ways of the message: of one who may send there, where this one is refused.
    pub fn ways(&self) -> &[RouteResult] {
        if self.accepted { &self.results } else { &self.if_permitted }
    }

    /// The same, to be completed.
    pub fn ways_mut(&mut self) -> &mut [RouteResult] {
        if self.accepted { &mut self.results } else { &mut self.if_permitted }
    }
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
    /// The destination by which the channel tells hosts apart.
    #[serde(default)]
    pub host: String,
    /// The quota that the store is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<XQuota>,
    /// The standing order that mail there meets; only of the running engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// The octets that a message may have that goes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<u64>,
    /// The limits within which mail goes there; absent from many routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// The TLS towards its first next hop, and whose word that is, as far as nobody has to be asked;
    /// absent from many routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// Answers of name servers about its next hops, each in its turn; only when they were asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<RouteSite>,
    /// The Sieve scripts of the user and what they may ask; only when they were asked for, and absent
    /// where the message is shown to no script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<RouteScripts>,
    /// The decision of all scripts about a message; only when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sieve: Option<SieveTested>,
}

/// Scripts on a way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteScripts {
    /// The recipient, as scripts see it: the address that was looked up last.
    pub to: String,
    /// All addresses of the user whose scripts they are.
    pub addresses: Vec<String>,
    /// The scripts of the user, in their order; empty where there are none.
    pub texts: Vec<String>,
    /// The place of one more, whether it is there or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// An address that a script redirects a message to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteRedirect {
    /// The recipient behind whose scripts this happens.
    pub by: String,
    /// The address.
    pub to: String,
    /// Why nothing goes there, and what becomes of this copy, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays: Option<String>,
    /// Where this copy goes, with the scripts there; empty when it goes nowhere.
    pub results: Vec<RouteResult>,
}

/// The servers of a next hop, as name servers tell of them now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteSite {
    /// The host or domain that was looked for.
    pub name: String,
    /// MX records name its servers.
    pub mx: bool,
    /// In the order in which they would be tried; chance decides between equals.
    pub servers: Vec<RouteServer>,
    /// Servers that would not be tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<RouteLeftOut>,
    /// The reply that mail would get when there is no server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// One address of a server.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteServer {
    /// Its name.
    pub host: String,
    /// `address:port`.
    pub address: String,
    /// Of its MX record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<u16>,
    /// The TLS that it is owed by now, and whose word that is, or why it is handed no mail; absent where
    /// the channel's word holds for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// A host or address that would not be tried.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteLeftOut {
    /// Its name, with its address where that is the reason.
    pub who: String,
    /// In words.
    pub why: String,
}

/// The limits of a channel and a destination. What only a running engine knows is absent elsewhere.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteLimits {
    /// The pool of the channel.
    pub pool: String,
    /// Jobs of the pool at once.
    pub job_limit: usize,
    /// Jobs of the pool now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_jobs: Option<usize>,
    /// Jobs of the channel at once.
    pub maxjobs: usize,
    /// Jobs of the channel now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<usize>,
    /// Waiting entries for each connection.
    pub threaddepth: usize,
    /// Connections of a job.
    pub max_client_threads: usize,
    /// Connections that an operator allows the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_limit: Option<usize>,
    /// Connections to it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// Entries that wait for it in memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Whether an operator stopped the channel, or all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<bool>,
    /// It could not be talked to, and is probed then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_until: Option<Timestamp>,
    /// The reply that it is suspended for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reply: Option<String>,
    /// The waits between attempts at normal messages, in seconds; the last one repeats.
    pub backoff: Vec<u64>,
}

/// One step on the way.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RouteStep {
    /// The kind of the step: `"probe"`, `"rule"`, `"look-up"`, `"alias"`, `"option"`, `"channel"`,
    /// ...
    pub step: String,
    /// With what, and what came of it.
    pub detail: String,
    /// The same for programs, each by its name: `pattern`, `line`, `address`, `milliseconds`, ...
    #[serde(flatten)]
    pub facts: serde_json::Map<String, serde_json::Value>,
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
            && ends(&before) == ends(&after);
        (!is_same).then(|| Self { input: before.input.clone(), channel, before, after })
    }
}

/// The ends of a route, in whatever order they were found; by which tag it found its channel is the rules' own business.
fn ends(route: &RouteExplained) -> Vec<RouteResult> {
    let end = |result: &RouteResult| RouteResult {
        tag: String::new(),
        limits: None,
        tls: None,
        ..result.clone()
    };
    let mut ends: Vec<_> = route.results.iter().map(end).collect();
    ends.sort_by(|one, other| {
        let place = |it: &'_ RouteResult| (it.channel.clone(), it.next_hop.clone());
        place(one).cmp(&place(other)).then_with(|| one.address.cmp(&other.address))
    });
    ends
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
        let rows = [
            (vec![a.clone()], vec![a.clone()], false),
            (vec![a.clone()], vec![result("a", "h", "other")], false),
            (vec![a.clone()], vec![b.clone()], true),
            (vec![a.clone()], vec![result("a", "g", "t")], true),
            (vec![a.clone()], vec![limited], true),
            (vec![a.clone()], vec![a.clone(), b.clone()], true),
            (vec![a.clone(), b.clone()], vec![b, a.clone()], false),
            (vec![a], Vec::new(), true),
        ];
        for (before, after, differ) in rows {
            let difference = RouteDifference::between(None, route(&before), route(&after));
            assert_eq!(difference.is_some(), differ, "{before:?} {after:?}");
        }
    }
}
