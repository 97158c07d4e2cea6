//! Limits that operators change while the engine runs, and channels that they stop.

use std::fmt::Display;

use relais_actors::{
    delivery::throttle::SetLimits,
    ids::Destination,
    job_controller::{ControllerDescription, DescribeController, Freeze, Limit, Tune, TuneError},
    queue::{DescribeQueue, QueueDescription, SetMaxMessages},
};
use relais_config::{Config, rate::Rate, suggest};
use relais_storage::Counts;

use super::parts::{Parts, gone};
use crate::{
    admin::{Answer, Nonsense, Unavailable},
    api::{LimitSet, LimitShown, LimitValue, NamePattern, SetLimit},
    limits::{DEFAULT, LimitNames, Named, Saved},
    state::stopped::Stopped,
};

/// Sets a limit until the engine stops, or for good.
pub(super) async fn set(
    parts: &Parts,
    config: &Config,
    order: &SetLimit,
) -> Answer<Result<LimitSet, Nonsense>> {
    let known = LimitNames { config, channels: &parts.channels };
    let by_default = matches!(&order.value, LimitValue::Text(text) if text == DEFAULT);
    let read = known.find(&order.key).and_then(|named| {
        let idle = known.idle(&named).filter(|_| !by_default);
        if let Some(why) = idle.filter(|_| !has_mail(parts, known, &named)) {
            return Err(format!("{} would do nothing: {why}", named.key()));
        }
        let configured = known.configured(&named);
        // A host without a limit of its own has what the configuration says, now and after a reload.
        let of_file = if named.is_of_host() { None } else { configured };
        let value = if by_default { of_file } else { named.read(&order.value)? };
        Ok((named, value))
    });
    let (named, value) = match read {
        Ok(read) => read,
        Err(why) => return Ok(Err(Nonsense(why))),
    };
    let shown = |value: Option<u64>| value.map(|value| named.shown(value));
    let (saved, key) = (Saved::new(&config.data), named.key());
    let before = saved.load().unwrap_or_default().remove(&key);
    if order.save {
        // A value that the configuration has, too, need not be kept.
        let kept = if by_default { None } else { shown(value) };
        saved
            .note(&key, kept.as_ref())
            .map_err(|error| not_kept(&format_args!("{}: {error}", saved.path().display())))?;
    }
    let was = match tune(parts, &named, value).await? {
        Ok(was) => was,
        Err(error) => {
            if order.save {
                saved.note(&key, before.as_ref()).map_err(|error| not_kept(&error))?;
            }
            return Ok(Err(Nonsense(error.to_string())));
        }
    };
    let kept = saved.load().unwrap_or_default().remove(&key);
    let after_restart = kept.or_else(|| shown(known.configured(&named)));
    let now = shown(value);
    let (key, line) = named.describe(now.as_ref());
    Ok(Ok(LimitSet { key, was: shown(was), now, after_restart, line }))
}

/// Whether mail waits for what the limit is about, however it came there.
fn has_mail(parts: &Parts, known: LimitNames<'_>, named: &Named) -> bool {
    let waits = |channel: &&str| parts.storage.counts_of(channel).total() > 0;
    known.channels_of(named).iter().any(waits)
}

/// Has a limit changed by whoever keeps it; what it was.
async fn tune(
    parts: &Parts,
    named: &Named,
    value: Option<u64>,
) -> Answer<Result<Option<u64>, TuneError>> {
    // Nothing that fits is larger.
    let value = value.map(|value| usize::try_from(value).unwrap_or(usize::MAX));
    let was = match (named, value) {
        (Named::MaxMessages, Some(value)) => {
            Ok(Some(parts.queue.ask(SetMaxMessages(value)).await.map_err(gone)?))
        }
        (Named::MaxMessages, None) => Ok(None),
        (Named::Tuned(limit), value) => {
            parts.controller.ask(Tune { limit: limit.clone(), value }).await.map_err(gone)?
        }
    };
    Ok(was.map(|was| was.map(|was| was as u64)))
}

/// The limits as they are now: that one, or all.
pub(super) async fn show(
    parts: &Parts,
    config: &Config,
    key: Option<&str>,
) -> Answer<Result<Vec<LimitShown>, Nonsense>> {
    let known = LimitNames { config, channels: &parts.channels };
    let queue = parts.queue.ask(DescribeQueue).await.map_err(gone)?;
    let controller = parts.controller.ask(DescribeController).await.map_err(gone)?;
    let saved = Saved::new(&config.data).load().unwrap_or_default();
    let of_hosts = controller.set_limits.iter().flat_map(|(destination, set)| {
        let channel = || parts.channels.channel(destination.channel).name.clone();
        let host = || destination.host.to_string();
        let connections =
            set.connections.map(|_| Limit::Connections { channel: channel(), host: host() });
        let rate = set.rate.map(|_| Limit::Rate { channel: channel(), host: host() });
        connections.into_iter().chain(rate).map(Named::Tuned)
    });
    let wanted = match key.map(|key| known.find(key)) {
        Some(Ok(named)) => vec![named],
        Some(Err(why)) => return Ok(Err(Nonsense(why))),
        None => known.all().into_iter().chain(of_hosts).collect(),
    };
    let shown = wanted.into_iter().filter_map(|named| {
        let value = now(parts, &named, &queue, &controller);
        let shown = |value: Option<u64>| value.map(|value| named.shown(value));
        let limit = LimitShown {
            value: shown(value),
            configured: shown(known.configured(&named)),
            saved: saved.get(&named.key()).cloned(),
            key: named.key(),
        };
        let changed = limit.configured.is_some() && limit.value != limit.configured;
        let stands_out = key.is_some() || limit.saved.is_some() || changed;
        // Limits that do nothing would hide the others.
        (stands_out || known.idle(&named).is_none()).then_some(limit)
    });
    Ok(Ok(shown.collect()))
}

/// The value of a limit now.
fn now(
    parts: &Parts,
    named: &Named,
    queue: &QueueDescription,
    controller: &ControllerDescription,
) -> Option<u64> {
    let of_channel = |name: &str| {
        let id = parts.channels.find(name)?;
        controller.channels.iter().find(|jobs| jobs.channel == id)
    };
    let number = match named {
        Named::MaxMessages => queue.max_messages,
        Named::Tuned(Limit::JobLimit { pool }) => {
            controller.pools.iter().find(|(name, ..)| name == pool)?.1
        }
        Named::Tuned(Limit::Maxjobs { channel }) => of_channel(channel)?.maxjobs,
        Named::Tuned(Limit::Threaddepth { channel }) => of_channel(channel)?.threaddepth,
        Named::Tuned(Limit::MaxClientThreads { channel }) => {
            of_channel(channel)?.max_client_threads
        }
        Named::Tuned(Limit::Connections { channel, host }) => {
            let id = parts.channels.find(channel)?;
            let is_it = |destination: &Destination| {
                destination.channel == id && *destination.host == **host
            };
            let found = controller.host_limits.iter().find(|(destination, _)| is_it(destination));
            found
                .map(|(_, most)| *most)
                .or_else(|| parts.channels.channel(id).destinations.connections_to(host))?
        }
        Named::Tuned(Limit::Rate { channel, host }) => {
            let id = parts.channels.find(channel)?;
            let is_it =
                |(to, _): &&(Destination, SetLimits)| to.channel == id && *to.host == **host;
            let set = controller.set_limits.iter().find(is_it).and_then(|(_, set)| set.rate);
            let configured =
                || parts.channels.channel(id).destinations.limits_of([host.as_str()]).rate;
            return set.or_else(configured).map(Rate::packed);
        }
        Named::Tuned(Limit::Time { channel, which }) => {
            let time = parts.channels.time(parts.channels.find(channel)?, *which);
            return u64::try_from(time.as_millis()).ok();
        }
    };
    Some(number as u64)
}

/// Stops a channel or starts it again, now and after the next start. Says whether it was stopped.
pub(super) async fn freeze(
    parts: &Parts,
    stopped: &Stopped,
    channel: &str,
    frozen: bool,
) -> Answer<Result<bool, Nonsense>> {
    let known: Vec<_> = configured(parts).collect();
    if !known.contains(&channel) {
        return Ok(Err(Nonsense(no_channel(channel, &known))));
    }
    stopped.note(channel, frozen).map_err(|error| not_kept(&error))?;
    let freeze = Freeze { channel: channel.to_owned(), frozen };
    let was = parts.controller.ask(freeze).await.map_err(gone)?;
    Ok(was.map_err(|error| Nonsense(error.to_string())))
}

/// The order is for as long as the engine lives, and after it: it is written down first.
pub(super) fn not_kept(error: &dyn Display) -> Unavailable {
    Unavailable(format!("nothing is changed, since it cannot be written down: {error}"))
}

/// Whether there is such a channel, or mail of one that the configuration has lost.
pub(super) fn check_channel(parts: &Parts, named: &NamePattern) -> Result<(), Nonsense> {
    let counts = parts.storage.counts();
    let has_mail = |(_, counts): &(&String, &Counts)| counts.total() > 0;
    let with_mail = counts.iter().filter(has_mail).map(|(name, _)| name.as_str());
    let lost = with_mail.filter(|name| parts.channels.configured(name).is_none());
    let known: Vec<_> = configured(parts).chain(lost).collect();
    if known.iter().any(|name| named.names(name)) {
        Ok(())
    } else {
        Err(Nonsense(no_channel(&named.to_string(), &known)))
    }
}

fn configured(parts: &Parts) -> impl Iterator<Item = &str> {
    parts.channels.iter().map(|(_, channel)| channel.name.as_str())
}

fn no_channel(channel: &str, known: &[&str]) -> String {
    let plain = channel.strip_prefix('~').unwrap_or(channel);
    format!("there is no channel {channel:?}; {}", suggest(plain, known, "there are:"))
}
