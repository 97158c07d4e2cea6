//! Hosts that operators suspend and let go on, and all that gets nothing, or less, for a while.

use std::time::Duration;

use relais_actors::{
    ids::Destination,
    job_controller::{
        ControllerDescription, DescribeController, DestinationRest, HostName, LiftReplies,
        ResumeHost, SuspendHost, SuspendedHost,
    },
    queue::{Denial, LimitReached},
    timestamp::Timestamp,
};
use relais_channels::mail::NextHops;
use relais_config::{
    Channel,
    destinations::{Scope, destination_name},
};

use super::{
    entries::after,
    limits::not_kept,
    parts::{Parts, gone},
};
use crate::{
    admin::{Answer, Nonsense},
    api::{
        FixedHost, HostLimited, HostOrderError, HostOrdered, HostResume, HostSuspend,
        HostSuspended, NamePattern,
    },
    state::suspended::{KeptOrder, SuspendedHosts},
};

/// Suspends a host until a time, over restarts, too.
pub(super) async fn suspend(
    parts: &Parts,
    file: &SuspendedHosts,
    order: &HostSuspend,
) -> Answer<Result<HostOrdered, Nonsense>> {
    let host = match order.check().and_then(|()| named(&order.host)) {
        Ok(host) => host,
        Err(error) => return Ok(Err(Nonsense(error.to_string()))),
    };
    if let Err(nonsense) = check_channel(parts, order.channel.as_deref()) {
        return Ok(Err(nonsense));
    }
    let since = Timestamp::now();
    let until = since.after(Duration::from_secs(order.seconds));
    let suspend = SuspendHost {
        host: HostName { name: host.clone(), channel: order.channel.clone() },
        since,
        until,
        reason: order.words().into(),
    };
    let channel = order.channel.clone();
    let reason = order.words();
    let kept = KeptOrder { host: host.clone(), channel: channel.clone(), since, until, reason };
    let others = file.load().map_err(|error| not_kept(&error))?;
    file.keep(kept).map_err(|error| not_kept(&error))?;
    let before = match parts.controller.ask(suspend).await.map_err(gone)? {
        Ok(before) => before,
        Err(error) => {
            file.replace(&others).map_err(|error| not_kept(&error))?;
            return Ok(Err(Nonsense(error.to_string())));
        }
    };
    let was_suspended = before.is_some();
    let goes_on = fixed_hosts(parts, order.channel.as_deref(), &host);
    Ok(Ok(HostOrdered { host, channel, until: Some(until), was_suspended, goes_on }))
}

/// Lets a host go on.
pub(super) async fn resume(
    parts: &Parts,
    file: &SuspendedHosts,
    order: &HostResume,
) -> Answer<Result<HostOrdered, Nonsense>> {
    let HostResume { host, channel } = order;
    // Hosts that are counted together have a name that no order takes.
    let host = named(host).unwrap_or_else(|_| host.to_ascii_lowercase());
    if let Err(nonsense) = check_channel(parts, channel.as_deref()) {
        return Ok(Err(nonsense));
    }
    file.forget(&host, channel.as_deref()).map_err(|error| not_kept(&error))?;
    let name = HostName { name: host.clone(), channel: channel.clone() };
    let was = parts.controller.ask(ResumeHost(name.clone())).await.map_err(gone)?;
    let lifted = parts.controller.ask(LiftReplies(name)).await.map_err(gone)?;
    let was_suspended = match (was, lifted) {
        (Ok(was), Ok(lifted)) => was || lifted,
        (Err(error), _) | (_, Err(error)) => return Ok(Err(Nonsense(error.to_string()))),
    };
    if !was_suspended {
        let of = channel.as_deref().map(|name| format!(" in channel {name}")).unwrap_or_default();
        let message =
            format!("{host} is not suspended{of}; `relais host list` names those that are");
        return Ok(Err(Nonsense(message)));
    }
    let (channel, goes_on) = (channel.clone(), Vec::new());
    Ok(Ok(HostOrdered { host, channel, until: None, was_suspended, goes_on }))
}

/// Channels whose mail the queue knows by the host of `daemon` alone: an order about another host does
/// not stop it.
fn fixed_hosts(parts: &Parts, channel: Option<&str>, host: &str) -> Vec<FixedHost> {
    let fixed = |channel: &Channel| {
        let host = channel.fixed_hosts()?.to_owned();
        let channel = channel.name.clone();
        Some(FixedHost { channel, host })
    };
    let all = parts.channels.by_number().filter_map(|(_, its)| fixed(its));
    let is_asked = |its: &FixedHost| {
        channel.is_none_or(|name| name == its.channel) && !its.host.eq_ignore_ascii_case(host)
    };
    all.filter(is_asked).collect()
}

/// All that get nothing, or less, by an order or a reply.
pub(super) async fn list(parts: &Parts) -> Answer<Vec<HostSuspended>> {
    let controller = parts.controller.ask(DescribeController).await.map_err(gone)?;
    Ok(suspended(parts, &controller))
}

/// The same, of a description that is there already.
pub(super) fn suspended(parts: &Parts, controller: &ControllerDescription) -> Vec<HostSuspended> {
    let by_operator = controller.suspended_hosts.iter().map(of_order);
    let by_reply = controller.by_replies.iter().filter_map(|(counted, limit)| {
        let (rate, until, reply) = match limit {
            Denial::SlowedDown(its) => (Some(its.rate.to_string()), its.until, &its.reply),
            Denial::Stopped(its) => (None, its.until, &its.reply),
            Denial::Connections(_) | Denial::Rate(_) | Denial::SlowAddress(_) | Denial::GaveWay => {
                return None;
            }
        };
        Some(HostSuspended {
            host: counted.host.to_string(),
            channel: Some(parts.channels.channel(counted.channel).name.clone()),
            by: "reply".to_owned(),
            rate,
            since: None,
            until: after(until),
            reason: reply.to_string(),
        })
    });
    let mut all: Vec<_> = by_operator.chain(by_reply).collect();
    all.sort_by(|a, b| (&a.host, &a.channel, &a.by).cmp(&(&b.host, &b.channel, &b.by)));
    all
}

/// Hosts whose limits allow no more for now.
pub(super) fn limited(parts: &Parts, controller: &ControllerDescription) -> Vec<HostLimited> {
    let mut all: Vec<_> =
        controller.limited.iter().map(|(to, rest)| of_rest(parts, to, rest)).collect();
    all.sort_by(|a, b| (&a.channel, &a.host).cmp(&(&b.channel, &b.host)));
    all
}

pub(super) fn of_order(suspended: &SuspendedHost) -> HostSuspended {
    let SuspendedHost { host: HostName { name, channel }, order } = suspended;
    HostSuspended {
        host: name.clone(),
        channel: channel.clone(),
        by: "operator".to_owned(),
        rate: None,
        since: Some(order.since),
        until: order.until,
        reason: order.reason.to_string(),
    }
}

pub(super) fn of_rest(
    parts: &Parts,
    destination: &Destination,
    rest: &DestinationRest,
) -> HostLimited {
    let channel = parts.channels.channel(destination.channel);
    let LimitReached { counted, limit, until } = &rest.denied;
    let (name, value) = limit_words(limit);
    HostLimited {
        channel: channel.name.clone(),
        host: destination.host.to_string(),
        counted: (channel.destinations.scope != Scope::Domain).then(|| counted.to_string()),
        limit: name.to_owned(),
        value,
        since: rest.since,
        until: after(*until),
        change: change(channel, counted, limit),
    }
}

/// A limit and its value.
fn limit_words(limit: &Denial) -> (&'static str, String) {
    match limit {
        Denial::Connections(most) => ("connections", most.to_string()),
        Denial::Rate(rate) => ("rate", rate.to_string()),
        Denial::SlowedDown(its) => ("slow_down", its.rate.to_string()),
        Denial::Stopped(_) => ("suspend", "nothing".to_owned()),
        Denial::SlowAddress(most) => ("slow_address", most.to_string()),
        Denial::GaveWay => ("silent", "what others leave".to_owned()),
    }
}

/// The command that changes a limit; one that can be raised, to twice as much.
fn change(channel: &Channel, counted: &str, limit: &Denial) -> String {
    let name = &channel.name;
    match limit {
        Denial::Connections(most) => {
            format!("relais set {name}@{counted}.connections {}", most * 2)
        }
        Denial::Rate(rate) => format!("relais set {name}@{counted}.rate {}", rate.doubled()),
        Denial::SlowedDown(_) | Denial::Stopped(_) => {
            format!("relais host resume {counted} --channel {name}")
        }
        Denial::SlowAddress(_) | Denial::GaveWay => {
            let twice = channel.max_client_threads.get() * 2;
            format!("relais set {name}.max_client_threads {twice}")
        }
    }
}

/// Why an entry waits for a limit of its host: the limit's name, and a sentence.
pub(super) fn of_limit(
    channel: &Channel,
    host: &str,
    rest: &DestinationRest,
) -> (&'static str, String) {
    let LimitReached { counted, limit, until } = &rest.denied;
    let (name, _) = limit_words(limit);
    let together = match channel.destinations.scope {
        Scope::Domain => String::new(),
        Scope::Host => format!(", counted for the server {counted}"),
        Scope::Site => format!(", counted for the servers {counted} together"),
    };
    let why = match limit {
        Denial::Connections(most) => {
            format!("{host} may have {most} connections at once{together}, and all are taken")
        }
        Denial::Rate(rate) => format!("{host} gets {rate} (messages in a time){together}"),
        Denial::SlowedDown(its) => format!(
            "{host} is slowed down to {} until {}{together}, because it said: {}",
            its.rate,
            after(its.until),
            its.reply
        ),
        Denial::Stopped(its) => {
            format!("{host} is suspended by a rule{together}, because it said: {}", its.reply)
        }
        Denial::SlowAddress(most) => format!(
            "its server at {counted} is slow to greet: until it does, {most} of the channel's \
             connections wait there, whichever hosts they are for"
        ),
        Denial::GaveWay => format!(
            "the server of {host} did not greet, and gave its place to others who waited for it; with \
             more connections of the channel nobody has to give way"
        ),
    };
    let (until, change) = (after(*until), change(channel, counted, limit));
    let text =
        format!("{why}. It goes on by {until}, and waits since {} (`{change}`).", rest.since);
    (name, text)
}

/// Why an entry waits that an operator's order keeps.
pub(super) fn of_host_order(suspended: &SuspendedHost) -> String {
    let SuspendedHost { host: HostName { name, channel }, order } = suspended;
    let of = channel.as_deref().map(|name| format!(" --channel {name}")).unwrap_or_default();
    format!(
        "An operator has suspended {name} since {} until {}: {}. `relais host resume {name}{of}` lets \
         it go on.",
        order.since, order.until, order.reason
    )
}

/// The one spelling of a host, or of all below one.
pub(super) fn named(text: &str) -> Result<String, HostOrderError> {
    let no_host = || HostOrderError::NoHost(text.chars().take(MOST_SHOWN).collect());
    if let Some(name) = destination_name(text) {
        return Ok(name);
    }
    let lower = text.to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_graphic() && c != '"';
    let is_hop = lower.len() <= MOST_SHOWN && lower.chars().all(plain) && !lower.starts_with('.');
    (is_hop && lower.parse::<NextHops>().is_ok()).then_some(lower).ok_or_else(no_host)
}

fn check_channel(parts: &Parts, channel: Option<&str>) -> Result<(), Nonsense> {
    let Some(name) = channel else { return Ok(()) };
    let pattern: NamePattern =
        name.parse().map_err(|_| Nonsense(format!("there is no channel {name:?}")))?;
    super::limits::check_channel(parts, &pattern)
}

/// Characters of a name that is none.
const MOST_SHOWN: usize = 255;
