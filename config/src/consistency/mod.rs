//! What the fields of the file say about each other.
//!
//! A contradiction is only named when both sides could be read; the mistakes in them come first.

mod channels;
mod routing;
mod services;

pub(crate) use channels::transports;
pub(crate) use routing::{KNOWN_TABLES, literal_tags};

use crate::{Config, reader::Reader, store::Quota};

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
    services::check(config, reader);
    channels::check(config, reader);
    routing::check(config, reader);
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

/// `there are: a, b`, for names.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    match names.len() {
        0 => "there is none".to_owned(),
        1..=MOST_NAMED => format!("there are: {}", names.join(", ")),
        _ => format!("there are: {}, ...", names[..MOST_NAMED].join(", ")),
    }
}

/// The work of some checks grows with the square of these.
const MOST_SERVICES: usize = 500;
const MOST_CHANNELS: usize = 10_000;
const MOST_NAMED: usize = 50;
