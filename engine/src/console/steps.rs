//! Steps of the router as scripts read them, and the channel that a question is about.

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

/// The channel of the service that strangers bring mail by.
fn incoming_channel(config: &Config) -> String {
    let smtp = config.front_service();
    let first = || config.channels.first().map(|channel| channel.name.clone());
    smtp.map(|service| service.channel.clone()).or_else(first).unwrap_or_default()
}
