//! Consistency: contradictions between fields of the file.
//!
//! A contradiction is only named when both sides could be read; the mistakes in them come first.

mod channels;
pub(crate) mod conversions;
mod destinations;
mod directory;
mod events;
mod lookups;
mod loops;
pub(crate) mod mappings;
mod milters;
mod programs;
mod routing;
mod rules;
mod services;

use std::path::PathBuf;

use crate::{
    check::{
        known::Known,
        own_files::{in_the_way, resolved},
    },
    file::reader::Reader,
    sections::{
        config::Config,
        store::{Quota, Store},
    },
};

/// Notes every contradiction as a mistake, and as a warning what is legal but foolish.
pub(crate) fn check(config: &Config, reader: &mut Reader<'_>) {
    let counts = [
        ("dispatcher.services", config.dispatcher.services.len(), MOST_SERVICES),
        ("channels", config.channels.len(), MOST_CHANNELS),
    ];
    for (path, count, most) in counts {
        if count > most {
            let accepted = format!("{most} are allowed at most");
            return reader.mistake_at(path, &format!("there are {count} {path}"), &accepted);
        }
    }
    let known = Known::of(config);
    // Mistakes in `channels` are told only when the names of channels are right.
    channels::check(config, &known, reader);
    services::check(config, &known, reader);
    routing::check(config, &known, reader);
    rules::check(config, &known, reader);
    directory::check(config, reader);
    loops::check(config, &known, reader);
    mappings::check(config, reader);
    lookups::check(config, reader);
    programs::check(config, reader);
    conversions::check(config, reader);
    milters::check(config, reader);
    events::check(config, reader);
    sizes(config, reader);
    if let Some(listen) = config.admin.listen
        && !listen.ip().is_loopback()
    {
        let message = format!(
            "{listen} can be reached from other machines: everybody there can read the state of \
             the queue; 127.0.0.1 keeps it on this machine"
        );
        reader.warning_at("admin.listen", &message, false);
    }
}

fn sizes(config: &Config, reader: &mut Reader<'_>) {
    if config.spool.large_message > config.spool.segment_size {
        let message = "large_message is above segment_size";
        let accepted = "a message that shares a segment must fit into it";
        reader.mistake_at("spool.large_message", message, accepted);
    }
    if let Some(store) = &config.store {
        roots(config, store, reader);
    }
    if let Some(store) = &config.store
        && matches!(
            store.default_quota,
            Quota { size: Some(0), .. } | Quota { messages: Some(0), .. }
        )
    {
        let message = "a quota of 0 lets no message in; without the field there is no limit";
        reader.warning_at("store.default_quota", message, false);
    }
}

/// Partitions lie in folders of their own.
fn roots(config: &Config, store: &Store, reader: &mut Reader<'_>) {
    let spool = resolved(&config.data.join("spool"));
    let mut before: Vec<(String, PathBuf)> = Vec::new();
    for (field, root) in store.roots() {
        let path = resolved(&config.path(root));
        let around =
            |(_, other): &&(String, PathBuf)| path.starts_with(other) || other.starts_with(&path);
        let message = if path.starts_with(&spool) {
            Some(
                "the store lies in the spool, DATA/spool: each would take the other's files for its own"
                    .to_owned(),
            )
        } else if spool.starts_with(&path) {
            let message =
                "the spool, DATA/spool, lies in the store: it would be taken for a domain";
            Some(message.to_owned())
        } else if let Some((other, _)) = before.iter().find(around) {
            Some(format!("this partition and that of {other} lie one in the other"))
        } else {
            let taken = in_the_way(config, &path).filter(|taken| *taken != "mailboxes");
            taken.map(|taken| format!("the engine itself keeps {taken} there"))
        };
        if let Some(message) = message {
            let accepted = "a folder of its own is expected for the mailboxes, such as \"store\"";
            reader.mistake_at(&field, &message, accepted);
        }
        before.push((field, path));
    }
}

/// Far more than anybody has.
const MOST_SERVICES: usize = 500;
const MOST_CHANNELS: usize = 10_000;
