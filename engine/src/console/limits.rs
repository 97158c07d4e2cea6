//! Limits that operators change while the engine runs, and channels that they stop.

use relais_actors::{
    job_controller::{Freeze, Limit, Tune},
    queue::SetMaxMessages,
    spool::Counts,
    status::{LimitSet, NamePattern, SetLimit},
};

use super::{Parts, gone};
use crate::{
    admin::{Answer, Nonsense, Trouble},
    stopped::Stopped,
};

/// A limit by the name that an operator gave it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Named {
    MaxMessages,
    Tuned(Limit),
}

/// Sets a limit until the engine stops.
pub(super) async fn set(parts: &Parts, order: &SetLimit) -> Answer<Result<LimitSet, Nonsense>> {
    let named = match find(parts, &order.key) {
        Ok(named) => named,
        Err(why) => return Ok(Err(Nonsense(why))),
    };
    let fit = match &named {
        Named::MaxMessages => 8..=100_000_000,
        Named::Tuned(limit) => 1..=limit.most() as u64,
    };
    if !fit.contains(&order.value) {
        let why = format!("{} does not fit; {} to {} does", order.value, fit.start(), fit.end());
        return Ok(Err(Nonsense(why)));
    }
    // Not above 100 millions.
    let value = order.value as usize;
    let was = match &named {
        Named::MaxMessages => parts.queue.send(SetMaxMessages(value)).await.map_err(gone)?,
        Named::Tuned(limit) => {
            let tuned = parts.controller.send(Tune { limit: limit.clone(), value }).await;
            match tuned.map_err(gone)? {
                Ok(was) => was,
                Err(error) => return Ok(Err(Nonsense(error.to_string()))),
            }
        }
    };
    let (key, line) = describe(&named, value);
    Ok(Ok(LimitSet { key, was: was as u64, now: order.value, line }))
}

/// Stops a channel or starts it again, now and after the next start. Says whether it was stopped.
pub(super) async fn freeze(
    parts: &Parts,
    stopped: &Stopped,
    channel: &str,
    frozen: bool,
) -> Answer<Result<bool, Nonsense>> {
    let freeze = Freeze { channel: channel.to_owned(), frozen };
    let was = parts.controller.send(freeze).await.map_err(gone)?;
    let Ok(was) = was else { return Ok(Err(Nonsense(no_channel(parts, channel)))) };
    stopped.note(channel, frozen).map_err(|error| {
        Trouble(format!("it is so now, but will not be after a restart: {error}"))
    })?;
    Ok(Ok(was))
}

/// `job_controller.max_messages` or `max_messages`, `job_controller.pools["P"].job_limit` or
/// `P.job_limit`, `channels["c"].maxjobs` or `c.maxjobs`.
fn find(parts: &Parts, key: &str) -> Result<Named, String> {
    let plain: String = key.chars().map(|c| if "[]\"".contains(c) { '.' } else { c }).collect();
    let words: Vec<&str> = plain.split('.').filter(|word| !word.is_empty()).collect();
    let (field, rest) = words.split_last().ok_or_else(|| NO_LIMIT.to_owned())?;
    let name = rest.last().copied();
    match (*field, name) {
        ("max_messages", None | Some("job_controller")) => Ok(Named::MaxMessages),
        ("job_limit", Some(pool)) => Ok(Named::Tuned(Limit::JobLimit { pool: pool.to_owned() })),
        ("maxjobs" | "threaddepth", Some(channel)) => {
            let channel = channel.to_owned();
            if parts.channels.find(&channel).is_none() {
                return Err(no_channel(parts, &channel));
            }
            Ok(Named::Tuned(match *field {
                "maxjobs" => Limit::Maxjobs { channel },
                _ => Limit::Threaddepth { channel },
            }))
        }
        _ => Err(NO_LIMIT.to_owned()),
    }
}

/// The full name, and the line for the configuration file.
fn describe(named: &Named, value: usize) -> (String, String) {
    let of_channel = |channel: &str, field: &str| {
        let line = format!("channels: [(name: {channel:?}, ..., {field}: {value}), ...],");
        (format!("channels[{channel:?}].{field}"), line)
    };
    match named {
        Named::MaxMessages => (
            "job_controller.max_messages".to_owned(),
            format!("job_controller: (max_messages: {value}, ...),"),
        ),
        Named::Tuned(Limit::JobLimit { pool }) => (
            format!("job_controller.pools[{pool:?}].job_limit"),
            format!("job_controller: (pools: {{{pool:?}: (job_limit: {value}), ...}}, ...),"),
        ),
        Named::Tuned(Limit::Maxjobs { channel }) => of_channel(channel, "maxjobs"),
        Named::Tuned(Limit::Threaddepth { channel }) => of_channel(channel, "threaddepth"),
    }
}

/// Whether there is such a channel, or mail of one that the configuration has lost.
pub(super) fn check_channel(parts: &Parts, named: &NamePattern) -> Result<(), Nonsense> {
    let counts = parts.spool.counts();
    let has_mail = |(_, counts): &(&String, &Counts)| counts.total() > 0;
    let mut with_mail = counts.iter().filter(has_mail).map(|(name, _)| name.as_str());
    let known = parts.channels.iter().any(|(_, channel)| named.names(&channel.name))
        || with_mail.any(|name| named.names(name));
    if known { Ok(()) } else { Err(Nonsense(no_channel(parts, &named.to_string()))) }
}

fn no_channel(parts: &Parts, channel: &str) -> String {
    let known: Vec<_> = parts.channels.iter().map(|(_, c)| c.name.as_str()).collect();
    format!("there is no channel {channel:?}; there are: {}", known.join(", "))
}

const NO_LIMIT: &str = "no such limit; there are: max_messages, POOL.job_limit, CHANNEL.maxjobs, \
                        CHANNEL.threaddepth";
