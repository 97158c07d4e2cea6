//! Settings: the kinds that are told, where to, and how much may wait.

use std::{path::PathBuf, time::Duration};

use relais_config::{Config, EventKind, TRACES, grammar::WebUrl};

use crate::tap::bit;

/// The settings of events.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Settings {
    /// Our name: the field `node`.
    pub node: String,
    /// The folder of what waits for webhooks.
    pub folder: PathBuf,
    /// Octets of the disk that others need: nothing is written where fewer are free.
    pub min_free: u64,
    /// The file, if one is written.
    pub file: Option<FileSettings>,
    /// Webhooks, each with a name of its own.
    pub hooks: Vec<HookSettings>,
}

/// The settings of the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSettings {
    /// Where.
    pub path: PathBuf,
    /// A bit for each kind that is written.
    pub(crate) wanted: u32,
    /// Octets of it.
    pub size: u64,
    /// Older ones that are kept.
    pub keep: usize,
}

/// The settings of a webhook.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HookSettings {
    /// In metrics and logs.
    pub name: String,
    /// Where to.
    pub url: WebUrl,
    /// The form of its posts.
    pub format: Format,
    /// A bit for each kind that is posted.
    pub(crate) wanted: u32,
    /// Events of a post.
    pub batch: usize,
    /// How long a post waits for more.
    pub wait: Duration,
    /// How long a post may take.
    pub timeout: Duration,
    /// The file of the token.
    pub token_file: Option<PathBuf>,
    /// The file of the secrets that sign.
    pub secret_file: Option<PathBuf>,
    /// The authorities of its certificate.
    pub ca: Option<PathBuf>,
    /// Octets of the disk.
    pub size: u64,
    /// Age of events that are not posted any more.
    pub give_up: Duration,
}

/// The form of a post.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// A list of events.
    Events,
    /// Spans, as OTLP has them.
    Spans,
}

impl Settings {
    /// As configured.
    pub fn of(config: &Config) -> Self {
        let events = &config.events;
        let file = events.file.as_ref().map(|its| FileSettings {
            path: config.path(&its.path),
            wanted: bits(&its.kinds),
            size: its.size,
            keep: its.keep,
        });
        let hooks = events.webhook.iter().filter_map(|its| {
            Some(HookSettings {
                name: its.label(),
                url: its.place()?,
                format: Format::Events,
                wanted: bits(&its.kinds),
                batch: its.batch,
                wait: its.wait,
                timeout: its.timeout,
                token_file: its.token_file.as_ref().map(|file| config.path(file)),
                secret_file: its.secret_file.as_ref().map(|file| config.path(file)),
                ca: its.ca.as_ref().map(|file| config.path(file)),
                size: its.size,
                give_up: its.give_up,
            })
        });
        let traces = events.traces.as_ref().and_then(|its| {
            Some(HookSettings {
                name: TRACES.to_owned(),
                url: its.place()?,
                format: Format::Spans,
                wanted: bits(&OF_MESSAGES),
                batch: its.batch,
                wait: its.wait,
                timeout: its.timeout,
                token_file: its.token_file.as_ref().map(|file| config.path(file)),
                secret_file: None,
                ca: its.ca.as_ref().map(|file| config.path(file)),
                size: its.size,
                give_up: its.give_up,
            })
        });
        Self {
            node: config.host.clone(),
            folder: config.data.join(FOLDER),
            min_free: config.spool.min_free,
            file,
            hooks: hooks.chain(traces).collect(),
        }
    }

    /// A bit for each kind that somebody wants.
    pub(crate) fn wanted(&self) -> u32 {
        let hooks = self.hooks.iter().fold(0, |all, its| all | its.wanted);
        hooks | self.file.as_ref().map_or(0, |its| its.wanted)
    }
}

fn bits(kinds: &[EventKind]) -> u32 {
    kinds.iter().fold(0, |all, kind| all | bit(*kind))
}

/// Kinds of events that spans are made of: those of messages that have a queue id.
const OF_MESSAGES: [EventKind; 11] = [
    EventKind::Accepted,
    EventKind::Delivered,
    EventKind::Deferred,
    EventKind::Failed,
    EventKind::Held,
    EventKind::Released,
    EventKind::Deleted,
    EventKind::Warned,
    EventKind::Discarded,
    EventKind::Rerouted,
    EventKind::Notified,
];
/// Below the data folder.
const FOLDER: &str = "events";
