//! Events for others: names of webhooks, what others on the way could read, and files in the way.

use std::collections::HashSet;

use crate::{
    check::own_files::in_the_way,
    file::reader::Reader,
    grammar::WebUrl,
    sections::{
        config::Config,
        events::{TRACES, Webhook},
    },
};

pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let events = &config.events;
    if let Some(file) = &events.file {
        if let Some(taken) = in_the_way(config, &config.path(&file.path)) {
            let message = format!("the engine itself keeps {taken} there");
            let accepted = "a file of its own is expected, such as \"events.jsonl\"";
            reader.mistake_at("events.file", &message, accepted);
        }
        if file.kinds.is_empty() {
            reader.warning_at("events.file", "without kinds nothing is written", false);
        }
    }
    let mut names = HashSet::new();
    if let Some(collector) = &events.traces {
        names.insert(TRACES.to_owned());
        if let Some(url) = collector.place() {
            let is_closed = (collector.token_file.is_some(), collector.ca.is_some());
            warn_of_clear("events.traces", &url, is_closed, reader);
        }
    }
    for (number, hook) in events.webhook.iter().enumerate() {
        let place = place(reader, number);
        let name = hook.label();
        if !names.insert(name.clone()) {
            let message = format!("two webhooks are called {name:?}");
            let accepted = "name: \"...\" tells webhooks of one host apart";
            reader.mistake_at(&place, &message, accepted);
        }
        warn(&place, hook, reader);
    }
}

/// A single webhook may stand without brackets.
fn place(reader: &Reader<'_>, number: usize) -> String {
    let listed = format!("events.webhook[{number}]");
    if reader.is_given_itself(&listed) { listed } else { "events.webhook".to_owned() }
}

fn warn(place: &str, hook: &Webhook, reader: &mut Reader<'_>) {
    let Some(url) = hook.place() else { return };
    if hook.kinds.is_empty() {
        reader.warning_at(place, "without kinds nothing is posted", false);
    }
    let is_closed = (hook.token_file.is_some(), hook.ca.is_some());
    warn_of_clear(place, &url, is_closed, reader);
}

fn warn_of_clear(
    place: &str,
    url: &WebUrl,
    (has_token, has_authorities): (bool, bool),
    reader: &mut Reader<'_>,
) {
    if !url.is_secure && !url.is_loopback() {
        let token = if has_token { " and the token" } else { "" };
        let message = format!(
            "http sends addresses{token} in clear to {}: everybody on the way can read them; https keeps \
             them closed",
            url.host
        );
        reader.warning_at(place, &message, false);
    }
    if !url.is_secure && has_authorities {
        reader.warning_at(place, "without https no certificate is judged: ca is not used", false);
    }
}
