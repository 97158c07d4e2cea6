//! Filters: whether those that are named are there, and whether those that are there are asked.

use std::collections::HashSet;

use crate::{
    check::known::list,
    file::{reader::Reader, source::shorten},
    sections::{config::Config, dispatcher::Program},
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let mut asked = HashSet::new();
    for service in &config.dispatcher.services {
        let place = format!("dispatcher.services[{:?}].milters", shorten(&service.name));
        names(config, (&place, &service.milters), reader);
        if service.program != Program::Smtp && !service.milters.is_empty() {
            let message = "only sessions of program Smtp ask filters";
            reader.mistake_at(&place, message, "leave it out");
        }
        if service.enable {
            asked.extend(&service.milters);
        }
    }
    for (i, channel) in config.channels.iter().enumerate() {
        let Some(named) = &channel.milters else { continue };
        names(config, (&format!("channels[{i}].milters"), named), reader);
        asked.extend(named);
    }
    for milter in config.milters.iter().filter(|its| !asked.contains(&its.name)) {
        let place = format!("milters[{:?}]", shorten(&milter.name));
        let message = "neither a service nor a channel names this filter: it is not asked";
        reader.warning_at(&place, message, false);
    }
    for milter in &config.milters {
        let place = format!("milters[{:?}].macros", shorten(&milter.name));
        let is_name = |name: &str| {
            let inner = name.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            let is_word = |word: &str| word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_');
            inner.map_or(name.len() == 1, |name| (1..=60).contains(&name.len()))
                && is_word(inner.unwrap_or(name))
        };
        if let Some(name) = milter.macros.keys().find(|name| !is_name(name)) {
            let message = format!("{:?} is not the name of a macro", shorten(name));
            let accepted = "a letter, or a name in braces, is expected, such as \"{daemon_name}\"";
            reader.mistake_at(&place, &message, accepted);
        }
    }
}

/// Each is there, and none is named twice.
fn names(config: &Config, (place, named): (&str, &[String]), reader: &mut Reader<'_>) {
    let mut seen = HashSet::new();
    for name in named {
        if !config.milters.iter().any(|its| its.name == *name) {
            let message = format!("no filter is called {name:?}");
            let known = config.milters.iter().map(|its| its.name.as_str());
            reader.mistake_at(place, &message, &list(name, known));
        } else if !seen.insert(name) {
            let message = format!("the filter {name} is named twice");
            reader.mistake_at(place, &message, "each filter is expected once");
        }
    }
}
