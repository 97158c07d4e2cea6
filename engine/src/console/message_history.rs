//! The history of a message that is in the queue, as the spool has it.

use relais_actors::{
    events::OrderedBy,
    metrics::QueueState,
    queue::{ROUTED_AGAIN, is_own_reason},
    timestamp::Timestamp,
};
use relais_channels::mail::{Envelope, MessageId, Timings, Trip};
use relais_storage::{Change, EntryState};

use super::{
    entries::{Depth, Described, Record, describe},
    parts::{Parts, unavailable},
};
use crate::{
    admin::Answer,
    api::{GuardedText, HistoryLine, RecipientReply},
};

/// The history of a message, oldest first. Empty: there is no such message, or nothing yet.
pub(super) async fn history(parts: &Parts, id: MessageId) -> Answer<Option<Vec<HistoryLine>>> {
    let found = parts.storage.find(id).await.map_err(unavailable)?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut lines: Vec<(Timestamp, u16, HistoryLine)> = Vec::new();
    // One that was routed again has a record, and a history, for each time.
    for place in parts.storage.places(id).await.map_err(unavailable)? {
        let envelope = parts.storage.envelope(place).await.map_err(unavailable)?;
        let mut written: Vec<(u16, HistoryLine)> = Vec::new();
        let entries = (0..).zip(&envelope.entries);
        let entries = entries.filter(|(_, entry)| !entry.recipients.is_empty());
        written.extend(entries.map(|its| (its.0, begun(&envelope, its))));
        let of_record = |change: &Change| {
            let entry = envelope.entries.get(usize::from(change.entry));
            entry.is_some_and(|entry| !entry.recipients.is_empty())
        };
        let changes = parts.storage.history(id, place).await.map_err(unavailable)?;
        let changes = changes.into_iter().filter(of_record);
        written.extend(changes.map(|change| (change.entry, line_of(&envelope, &change))));
        lines.extend(in_order(written));
    }
    // The order within a record stays.
    lines.sort_by_key(|(at, ..)| *at);
    let mut lines: Vec<_> = lines.into_iter().map(|(_, number, line)| (number, line)).collect();
    // The newest state of an entry is the one that it has: here as in the listing.
    let pages = parts.storage.page_reader();
    for Described { scanned, record, .. } in
        describe(parts, &pages, found, None, Depth::Record).await?
    {
        let Some(Record { entry, .. }) = record.as_deref() else { continue };
        let newest = lines.iter_mut().rfind(|(number, _)| *number == scanned.entry);
        if let Some((_, line)) = newest.filter(|(_, line)| line.state.is_some()) {
            (line.state, line.due) = (Some(entry.state), entry.due);
        }
    }
    Ok(Some(lines.into_iter().map(|(_, line)| line).collect()))
}

/// Lines in the order in which they were written, each with the time by which it comes among those
/// of other records: no later than what was written behind it. A clock that was ahead does not
/// count.
fn in_order(written: Vec<(u16, HistoryLine)>) -> Vec<(Timestamp, u16, HistoryLine)> {
    let mut latest = Timestamp(u64::MAX);
    let mut placed: Vec<_> = written
        .into_iter()
        .rev()
        .map(|(number, line)| {
            latest = latest.min(line.at);
            (latest, number, line)
        })
        .collect();
    placed.reverse();
    placed
}

fn begun(
    envelope: &Envelope,
    (number, entry): (u16, &relais_channels::mail::Entry),
) -> HistoryLine {
    let waits = envelope.fragments.as_deref().is_some_and(|its| its.waits(number));
    let is_held = envelope.held.is_some() || waits;
    HistoryLine {
        at: Timestamp(envelope.rerouted.map_or(envelope.received, |rerouted| rerouted.at)),
        channel: entry.channel.to_string(),
        host: entry.host.to_string(),
        state: Some(if is_held { QueueState::Held } else { QueueState::Ready }),
        due: None,
        attempts: 0,
        replies: Vec::new(),
        reason: Some(match &envelope.held {
            Some(why) if is_own_reason(why) => {
                GuardedText::of_engine(format!("accepted, and held: {why}"))
            }
            // A filter held it, or, where it was routed again, an order.
            Some(why) => {
                GuardedText::of_operator(format!("accepted, and held: {why}"), "accepted, and held")
            }
            None if waits => {
                GuardedText::of_engine("a piece of a message, which waits for the others")
            }
            None if envelope.rerouted.is_some() => GuardedText::of_engine(ROUTED_AGAIN),
            None => GuardedText::of_engine("accepted"),
        }),
        protection: None,
        peer: None,
        timings: None,
    }
}

fn line_of(envelope: &Envelope, change: &Change) -> HistoryLine {
    let entry = envelope.entries.get(usize::from(change.entry));
    let address = |index: u8| {
        let recipient = entry.and_then(|entry| entry.recipients.get(usize::from(index)));
        recipient.map(|recipient| recipient.original.clone()).unwrap_or_default()
    };
    let due = match change.now {
        EntryState::Waiting { due, .. } if due > change.at => Some(Timestamp(due)),
        _ => None,
    };
    let trip = change.trip.as_deref();
    let known =
        |text: fn(&Trip) -> &str| trip.map(text).filter(|text| !text.is_empty()).map(str::to_owned);
    HistoryLine {
        at: Timestamp(change.at),
        channel: change.channel.to_string(),
        host: change.host.to_string(),
        state: match change.now {
            EntryState::Held { .. } => Some(QueueState::Held),
            EntryState::Waiting { .. } if due.is_some() => Some(QueueState::Delayed),
            EntryState::Waiting { .. } => Some(QueueState::Ready),
            EntryState::Done | EntryState::Owing { open: 0, .. } => None,
            EntryState::Owing { .. } => Some(QueueState::Delayed),
        },
        due,
        attempts: u32::from(change.now.attempts()),
        replies: change
            .replies
            .iter()
            .map(|(index, outcome)| RecipientReply {
                address: address(*index).to_string(),
                reply: outcome.reply().to_string(),
                peer_id: outcome.reply().delivered_as().map(str::to_owned),
            })
            .collect(),
        protection: known(|trip| &trip.protection),
        peer: known(|trip| &trip.peer),
        timings: trip.map(|trip| trip.timings).filter(|timings| *timings != Timings::default()),
        reason: match change.now {
            EntryState::Owing { .. } => {
                Some(GuardedText::of_engine("the sender has yet to be told who has it"))
            }
            _ => change.reason.as_deref().map(reason_of),
        },
    }
}

/// The reason of a change: words that the engine does not know as its own are an operator's.
fn reason_of(words: &str) -> GuardedText {
    if is_own_reason(words) {
        return GuardedText::of_engine(words);
    }
    let done = OrderedBy::of(words).map(|by| format!("{} by an operator", by.done));
    GuardedText::of_operator(words, done.unwrap_or_else(|| "an order of an operator".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_told_what_was_done_and_not_by_whom_or_why() {
        let rows = [
            ("held by bob: look at it", "held by an operator"),
            ("released by bob", "released by an operator"),
            ("to be tried now by bob", "to be tried now by an operator"),
            ("returned by bob: x; held in place, as the engine stopped", "returned by an operator"),
            ("routed again by bob", "routed again by an operator"),
            ("held by order 7 of bob: x", "held by an operator"),
            ("order 7 of bob until 2026-01-01T00:00:00.000Z: x", "an order of an operator"),
            ("whatever bob may come to write", "an order of an operator"),
            ("its record cannot be read", "its record cannot be read"),
            ("routed again", "routed again"),
        ];
        for (words, want) in rows {
            let mut reason = reason_of(words);
            assert_eq!(&*reason, words);
            reason.hide();
            assert_eq!(&*reason, want);
        }
    }
}
