//! Steps of the router as scripts read them, and the channel that a question is about.

use std::{collections::BTreeSet, path::PathBuf};

use relais_actors::router::Step;
use relais_config::{Config, suggest};

use crate::{admin::Nonsense, api::RouteStep};

/// The channel of this name; without one that of the service that strangers bring mail by.
pub(super) fn channel_asked(config: &Config, name: Option<&str>) -> Result<String, Nonsense> {
    match name {
        Some(name) if config.channels.iter().any(|channel| channel.name == *name) => {
            Ok(name.to_owned())
        }
        Some(name) => {
            let known: Vec<_> = config.channels.iter().map(|c| c.name.as_str()).collect();
            let known = suggest(name, &known, "there are:");
            Err(Nonsense(format!("there is no channel {name:?}; {known}")))
        }
        None => Ok(incoming_channel(config)),
    }
}

/// A step of the router's.
pub(super) fn taken(taken: &Step) -> RouteStep {
    let mut facts = match serde_json::to_value(taken) {
        Ok(serde_json::Value::Object(facts)) => facts,
        _ => serde_json::Map::new(),
    };
    // The kind of the step, as its serialised form names it.
    let name = facts.remove("step").and_then(|name| Some(name.as_str()?.to_owned()));
    RouteStep { step: name.unwrap_or_default(), detail: taken.to_string(), facts }
}

pub(super) fn step(step: &str, detail: String) -> RouteStep {
    RouteStep { step: step.to_owned(), detail, ..RouteStep::default() }
}

/// Scripts of the system and of channels that see mail which comes in by one channel and leaves by others.
pub(super) fn system_scripts<'c>(
    config: &Config,
    source_channel: &str,
    channels: impl Iterator<Item = &'c str>,
) -> Option<RouteStep> {
    let channels: BTreeSet<&str> = channels.collect();
    if channels.is_empty() {
        return None;
    }
    let named = |name: &str| config.channels.iter().find(|its| its.name == name);
    let of_source = named(source_channel).and_then(|its| its.sourcefilter.as_ref());
    let behind = channels.into_iter().filter_map(named);
    let behind = behind.filter_map(|its| Some((its, its.destinationfilter.as_ref()?)));
    let behind =
        behind.map(|(its, path)| format!("{} (destinationfilter of {})", path.display(), its.name));
    let of_source =
        of_source.map(|path| format!("{} (sourcefilter of {source_channel})", path.display()));
    let of_system = |path: Option<&PathBuf>, name: &str| {
        path.map(|path| format!("{} (sieve.{name})", path.display()))
    };
    let all = of_system(config.sieve.before.as_ref(), "before").into_iter().chain(of_source);
    let after = of_system(config.sieve.after.as_ref(), "after");
    let all: Vec<String> = all.chain(behind).chain(after).collect();
    (!all.is_empty()).then(|| {
        let all = all.join(", ");
        step("scripts", format!("Sieve scripts see each message: {all} (--message FILE shows it)"))
    })
}

/// The channel of the service that strangers bring mail by.
fn incoming_channel(config: &Config) -> String {
    let smtp = config.front_service();
    let first = || config.channels.first().map(|channel| channel.name.clone());
    smtp.map(|service| service.channel.clone()).or_else(first).unwrap_or_default()
}
