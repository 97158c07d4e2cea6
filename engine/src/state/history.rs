//! The delivery history of an engine, or of its files: questions and answers.

use std::{path::Path, time::Duration};

use relais_actors::{events::transaction::HISTORY_ID, timestamp::Timestamp};
use relais_channels::mail::MessageId;
use relais_config::Config;
use relais_history::{
    Forgettable, Forgotten, Found, History, HistoryError, Question, Record, Settings, Traced,
    key_of,
};

use crate::api::{
    AddressPattern, StoreTrace, TraceAnswer, TraceEvent, TraceLoss, TraceQuestion, TracedMessage,
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
    /// It is to be forgotten, and is none.
    #[error("{0:?} is no whole address")]
    NoAddress(String),
    /// It is longer than any.
    #[error("the name is too long: it has {0} octets, and {LONGEST_NAME} are the most")]
    TooLong(usize),
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
        believed_after: BELIEVED_AFTER,
    }
}

/// The history in the files of a configuration, where no engine runs.
pub fn of_files(config: &Config) -> History {
    History::of_files(&settings(config).folder)
}

/// A whole address that is to be forgotten, without angle brackets.
pub fn whole_address(text: &str) -> Result<&str, TraceMistake> {
    let bare = bare(text);
    if bare.len() > LONGEST_NAME {
        return Err(TraceMistake::TooLong(bare.len()));
    }
    if bare.starts_with(['~', '@']) {
        return Err(TraceMistake::Part(text.to_owned()));
    }
    let is_whole = bare.rsplit_once('@').is_some_and(|(_, domain)| !domain.is_empty());
    if !is_whole || bare.contains(char::is_control) {
        return Err(TraceMistake::NoAddress(text.to_owned()));
    }
    Ok(bare)
}

/// Without angle brackets, and blanks around it.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|its| its.strip_suffix('>')).unwrap_or(text)
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
        let bare = bare(name);
        if bare.is_empty() {
            return Err(TraceMistake::Nothing);
        }
        if bare.len() > LONGEST_NAME {
            return Err(TraceMistake::TooLong(bare.len()));
        }
        if bare.starts_with(['~', '@']) {
            return Err(TraceMistake::Part(name.to_owned()));
        }
        let pattern = bare.parse().ok();
        Ok(Self { bare: bare.to_owned(), pattern, id: bare.parse().ok() })
    }

    /// Whether an address, a `Message-ID` or an id is what is named.
    fn matches(&self, text: &str) -> bool {
        let bare = bare(text);
        bare == self.bare || self.pattern.as_ref().is_some_and(|pattern| pattern.names(bare))
    }
}

/// Looks whether there can be a message of this name.
pub fn check_name(name: &str) -> Result<(), TraceMistake> {
    Names::of(name).map(drop)
}

/// Answers from a history, of the engine with this admin socket. Reads files: not for a thread that others
/// wait for.
pub fn trace(
    (history, socket): (&History, &Path),
    question: &TraceQuestion,
) -> Result<Result<TraceAnswer, HistoryError>, TraceMistake> {
    let answer = trace_named(history, question)?;
    Ok(answer.and_then(|mut answer| {
        add_own(history, &mut answer, socket)?;
        Ok(answer)
    }))
}

/// Forgets an address, by all that is found by its name. Reads everything: takes seconds.
pub fn forget(history: &History, address: &str) -> Result<Forgotten, HistoryError> {
    let names = Names { bare: bare(address).to_owned(), pattern: address.parse().ok(), id: None };
    let mut spellings = vec![names.bare.clone()];
    if let Some(AddressPattern::Exact(normal)) = &names.pattern {
        spellings.push(normal.clone());
    }
    history.forget(&Forgettable { spellings: &spellings, is_it: &|text| names.matches(text) })
}

/// Adds the records of this engine's own mailboxes to messages that were delivered into them: there the
/// recipients have other names.
fn add_own(history: &History, answer: &mut TraceAnswer, socket: &Path) -> Result<(), HistoryError> {
    let is_stored = |its: &TracedMessage, id: &str| {
        its.events.iter().any(|event| !event.mailbox.is_empty() && event.peer_id == id)
    };
    let mut own = Vec::new();
    for (place, message) in answer.messages.iter().enumerate().take(MOST_OWN) {
        let went_on = message.events.iter().any(|its| its.action == 'D' && its.mailbox.is_empty());
        let Some(id) = message.id.as_deref().filter(|_| went_on) else { continue };
        if answer.messages.iter().any(|other| is_stored(other, id)) {
            continue;
        }
        let limit = Some(MOST_COPIES);
        let question = TraceQuestion { name: id.to_owned(), limit, ..TraceQuestion::default() };
        let Ok(found) = trace_named(history, &question) else { continue };
        let mut messages = found?.messages;
        messages.retain(|its| is_stored(its, id));
        if !messages.is_empty() {
            own.push((place, messages));
        }
    }
    for (place, messages) in own {
        let socket = socket.display().to_string();
        answer.messages[place].stores.push(StoreTrace { socket, messages });
    }
    Ok(())
}

fn trace_named(
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
    Ok(found.map(|found| answer(found, names.id)))
}

fn answer(found: Found, asked: Option<MessageId>) -> TraceAnswer {
    let Found { messages, more, lost, damaged } = found;
    let loss = |record: Record| TraceLoss { until: Timestamp(record.at), records: record.size };
    // A message by its own id comes before others that name it: its notices are newer.
    let is_it = |its: &Traced| asked.is_some_and(|asked| asked.0 == its.id);
    let (named, others): (Vec<_>, Vec<_>) = messages.into_iter().partition(is_it);
    TraceAnswer {
        messages: named.into_iter().chain(others).map(message).collect(),
        more,
        lost: lost.into_iter().map(loss).collect(),
        damaged: damaged as u64,
        unasked: Vec::new(),
    }
}

fn message(Traced { id, mut records, cut }: Traced) -> TracedMessage {
    accepted_first(&mut records);
    let id = (id != 0).then(|| MessageId(id).to_string());
    let mut message = TracedMessage { id: id.clone(), cut, ..TracedMessage::default() };
    // The first record of a message says what all have in common. Our own mail has no client.
    let is_first = |record: &&Record| !record.client.is_empty() || record.size > 0;
    if let Some(first) = records.iter().find(is_first) {
        message.from = Some(first.from.clone());
        message.size = Some(first.size);
        message.client = Some(first.client.clone()).filter(|client| !client.is_empty());
        message.source_channel = Some(first.source_channel.clone());
        let named = records.iter().find(|record| !record.message_id.is_empty());
        message.message_id = named.map(|record| record.message_id.clone());
    }
    for record in records.iter().filter(|its| !its.peer_id.is_empty()) {
        match record.action {
            'N' if !message.notices.contains(&record.peer_id) => {
                message.notices.push(record.peer_id.clone());
            }
            'E' => message.about = Some(record.peer_id.clone()),
            _ => {}
        }
    }
    let id = id.unwrap_or_default();
    message.events = records.into_iter().map(|record| event(record, &id)).collect();
    message
}

/// A job may have a message, and tell of that, before its session has told that it was accepted.
fn accepted_first(records: &mut [Record]) {
    let accepted = records.iter().position(|its| its.action == 'E');
    let is_late = |at: &usize| records[*at].at.saturating_sub(records[0].at) < AT_ONCE_MS;
    if let Some(at) = accepted.filter(is_late) {
        records[..=at].rotate_right(1);
    }
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

/// Messages whose ways are followed into this engine's own mailboxes.
const MOST_OWN: usize = 50;
/// Messages of a store that one of ours became.
pub const MOST_COPIES: u64 = 8;
/// Milliseconds within which two tell of the same thing.
const AT_ONCE_MS: u64 = 1_000;
const DAY: Duration = Duration::from_secs(86_400);
/// Messages of an answer where nobody says how many.
pub const USUAL_LIMIT: u64 = 20;
/// Octets of a name that is looked up; a line of a header has fewer.
const LONGEST_NAME: usize = 4_096;
/// Messages of one answer.
pub const MAX_LIMIT: u64 = 1_000;

/// A clock that was wrong at start, or jumps, has been set right by then.
const BELIEVED_AFTER: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_accepted_before_it_is_delivered() {
        let record = |(action, at): (char, u64)| Record { action, at, ..Record::default() };
        for (told, want) in [
            (&[('D', 5), ('E', 6), ('Q', 7)][..], "EDQ"),
            (&[('E', 5), ('D', 6)], "ED"),
            // Its beginning is not kept any more, and it was routed again.
            (&[('Q', 5), ('E', 5_000)], "QE"),
            (&[('D', 5)], "D"),
            (&[], ""),
        ] {
            let mut records: Vec<_> = told.iter().copied().map(record).collect();
            accepted_first(&mut records);
            let got: String = records.iter().map(|its| its.action).collect();
            assert_eq!(got, want);
        }
    }

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
        for (text, want) in [
            ("<ann@x>", Some("ann@x")),
            (" ann@x ", Some("ann@x")),
            ("\"a b\"@x", Some("\"a b\"@x")),
            ("@x", None),
            ("~ann@x", None),
            ("ann@", None),
            ("ann", None),
            ("<>", None),
            ("a\n@x", None),
        ] {
            assert_eq!(whole_address(text).ok(), want, "{text:?}");
        }
        assert!(Names::of("0000000000001").unwrap().id.is_some());
        assert!(Names::of("4XYZ").unwrap().id.is_none());
    }
}
