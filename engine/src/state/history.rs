//! The delivery history of an engine, or of its files: questions and answers.

use std::time::Duration;

use relais_actors::{events::transaction::HISTORY_ID, timestamp::Timestamp};
use relais_channels::mail::MessageId;
use relais_config::Config;
use relais_history::{Found, History, HistoryError, Question, Record, Settings, Traced, key_of};

use crate::api::{
    AddressPattern, TraceAnswer, TraceEvent, TraceLoss, TraceQuestion, TracedMessage,
    TracedRecipient,
};

/// A question that makes no sense.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TraceMistake {
    /// Nothing, or the null sender: nearly everything would be meant.
    #[error("a queue id, an address, a Message-ID or another server's id is expected")]
    Nothing,
    /// Only whole names are looked up.
    #[error("{0:?} is no whole address: a part of one is not looked up")]
    Part(String),
    /// The limit.
    #[error("a limit is 1 to {MAX_LIMIT}")]
    Limit,
}

/// The settings of the history.
pub fn settings(config: &Config) -> Settings {
    let relais_config::History { days, size, path, .. } = &config.history;
    Settings {
        folder: config.path(path),
        age: DAY * u32::try_from(*days).unwrap_or(u32::MAX),
        size: *size,
        min_free: config.spool.min_free,
    }
}

/// The history in the files of a configuration, where no engine runs.
pub fn of_files(config: &Config) -> History {
    History::of_files(&settings(config).folder)
}

/// The name in a question.
struct Names {
    /// As it stands, without angle brackets.
    bare: String,
    pattern: Option<AddressPattern>,
    id: Option<MessageId>,
}

impl Names {
    fn of(name: &str) -> Result<Self, TraceMistake> {
        let name = name.trim();
        let bare = name.strip_prefix('<').and_then(|its| its.strip_suffix('>')).unwrap_or(name);
        if bare.is_empty() {
            return Err(TraceMistake::Nothing);
        }
        if bare.starts_with(['~', '@']) {
            return Err(TraceMistake::Part(name.to_owned()));
        }
        let pattern = bare.parse().ok();
        Ok(Self { bare: bare.to_owned(), pattern, id: bare.parse().ok() })
    }

    /// Whether an address, a `Message-ID` or an id is what is named.
    fn matches(&self, text: &str) -> bool {
        let bare = text.strip_prefix('<').and_then(|its| its.strip_suffix('>')).unwrap_or(text);
        bare == self.bare || self.pattern.as_ref().is_some_and(|pattern| pattern.names(bare))
    }
}

/// Answers from a history. Reads files: not for a thread that others wait for.
pub fn trace(
    history: &History,
    question: &TraceQuestion,
) -> Result<Result<TraceAnswer, HistoryError>, TraceMistake> {
    let names = Names::of(&question.name)?;
    let limit = question.limit.unwrap_or(USUAL_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(TraceMistake::Limit);
    }
    let mut keys = vec![key_of(&names.bare)];
    if let Some(AddressPattern::Exact(normal)) = &names.pattern {
        keys.push(key_of(normal));
        keys.dedup();
    }
    let found = history.find(&Question {
        keys,
        matches: &|text| names.matches(text),
        id: names.id.map_or(0, |id| id.0),
        since: question.since.map_or(0, |time| time.0),
        until: question.until.map_or(u64::MAX, |time| time.0),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    });
    Ok(found.map(answer))
}

fn answer(found: Found) -> TraceAnswer {
    let Found { messages, more, lost, damaged } = found;
    let loss = |record: Record| TraceLoss { until: Timestamp(record.at), records: record.size };
    TraceAnswer {
        messages: messages.into_iter().map(message).collect(),
        more,
        lost: lost.into_iter().map(loss).collect(),
        damaged: damaged as u64,
        unasked: Vec::new(),
    }
}

fn message(Traced { id, records, cut }: Traced) -> TracedMessage {
    let id = (id != 0).then(|| MessageId(id).to_string());
    let mut message = TracedMessage { id: id.clone(), cut, ..TracedMessage::default() };
    // The first record of a message says what all have in common; each client is somebody.
    if let Some(first) = records.iter().find(|record| !record.client.is_empty()) {
        message.from = Some(first.from.clone());
        message.size = Some(first.size);
        message.client = Some(first.client.clone());
        message.source_channel = Some(first.source_channel.clone());
        let named = records.iter().find(|record| !record.message_id.is_empty());
        message.message_id = named.map(|record| record.message_id.clone());
    }
    let id = id.unwrap_or_default();
    message.events = records.into_iter().map(|record| event(record, &id)).collect();
    message
}

fn event(record: Record, id: &str) -> TraceEvent {
    let recipient = |(address, routed)| TracedRecipient { address, routed };
    TraceEvent {
        at: Timestamp(record.at),
        action: record.action,
        recipients: record.recipients.into_iter().map(recipient).collect(),
        channel: record.channel,
        host: record.host,
        reply: record.reply.replace(HISTORY_ID, id),
        attempts: record.attempts,
        mailbox: record.mailbox,
        peer_id: record.peer_id,
        peer: record.peer,
        protection: record.protection,
        user: record.user,
        filter: record.filter,
    }
}

const DAY: Duration = Duration::from_secs(86_400);
/// Messages of an answer where nobody says how many.
pub const USUAL_LIMIT: u64 = 20;
/// Messages of one answer.
pub const MAX_LIMIT: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_looked_up() {
        for name in ["", "  ", "<>"] {
            assert_eq!(Names::of(name).err(), Some(TraceMistake::Nothing), "{name}");
        }
        for name in ["~ann", "@example.org", "<@example.org>"] {
            assert!(matches!(Names::of(name), Err(TraceMistake::Part(_))), "{name}");
        }
        // asked for, found, whether it is that
        for (name, text, want) in [
            ("ann@Example.org", "ann@example.ORG", true),
            ("<ann@example.org>", "ann@example.org", true),
            ("Ann@example.org", "ann@example.org", false),
            ("\"ann\"@example.org", "ann@example.org", true),
            ("1.2@x", "<1.2@x>", true),
            ("4XYZ", "4XYZ", true),
            ("4XYZ", "4XY", false),
        ] {
            assert_eq!(Names::of(name).unwrap().matches(text), want, "{name} {text}");
        }
        assert!(Names::of("0000000000001").unwrap().id.is_some());
        assert!(Names::of("4XYZ").unwrap().id.is_none());
    }
}
