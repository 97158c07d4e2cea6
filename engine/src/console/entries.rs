//! Entries of the queue as operators see them: index, memory and record put together, a bounded
//! page at a time.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use relais_actors::{
    ids::Destination,
    job_controller::ProbedAt,
    metrics::QueueState,
    queue::{ListEntries, ListedEntry},
    spool::{
        Class, Cursor, EntryState, LastReplies, Place, ScannedEntry, Spool, SpoolError,
        open_recipients,
    },
    timestamp::Timestamp,
};
use relais_channels::mail::{Envelope, MessageId, Outcome};

use super::{
    parts::{Parts, gone},
    summary::names,
};
use crate::{
    admin::Answer,
    api::{OrderKind, QueueFilter, QueuedEntry, QueuedRecipient, RecipientState},
};

/// Where a listing goes on: a channel, a class, and the last entry seen there.
#[derive(Clone, Copy)]
pub struct Position {
    channel: usize,
    class: Class,
    after: Option<Cursor>,
}

/// An entry with all that is known of it.
pub(super) struct Described {
    pub(super) scanned: ScannedEntry,
    pub(super) envelope: Arc<Envelope>,
    pub(super) entry: QueuedEntry,
}

impl Position {
    /// Before the first entry.
    pub(super) fn first() -> Self {
        Self { channel: 0, class: Class::Untried, after: None }
    }

    /// At most `limit` entries of the index from here on, as far as the filter can tell without
    /// reading the messages; and where it goes on. Maybe none, when there are more elsewhere.
    pub(super) async fn page(
        mut self,
        parts: &Parts,
        filter: &QueueFilter,
        limit: usize,
    ) -> Result<(Vec<ScannedEntry>, Option<Self>), SpoolError> {
        // Channels that the configuration has lost are meant, too: their mail is still there.
        let counts = parts.spool.counts();
        let names: Vec<&str> = names(parts, &counts).collect();
        let Some(name) = names.get(self.channel) else { return Ok((Vec::new(), None)) };
        let wanted = filter.names_channel(name);
        let mut ended = true;
        let mut found = Vec::new();
        if !wanted || !counts.contains_key(*name) {
            self.class = Class::Owing;
        } else if !is_beside(filter, self.class) {
            found = parts.spool.scan(name, self.class, self.after, limit).await?;
            ended = found.len() < limit;
        }
        self.after = found.last().map(|entry| entry.cursor);
        if ended {
            (self.channel, self.class) = match self.class {
                Class::Untried => (self.channel, Class::Tried),
                Class::Tried => (self.channel, Class::Held),
                Class::Held => (self.channel, Class::Owing),
                Class::Owing => (self.channel + 1, Class::Untried),
            };
            self.after = None;
        }
        let now = Timestamp::now();
        found.retain(|entry| {
            if is_delivered_to_all(entry) {
                return false;
            }
            let received = Timestamp(entry.id.received_ms());
            filter.names_host(&entry.host)
                && filter.older_than.is_none_or(|age| received.until(now).as_secs() >= age)
                && filter.larger_than.is_none_or(|size| entry.size > size)
        });
        Ok((found, (self.channel < names.len()).then_some(self)))
    }
}

/// No entry of this class can be in the state that is asked for.
fn is_beside(filter: &QueueFilter, class: Class) -> bool {
    filter.state.is_some_and(|state| (state == QueueState::Held) != (class == Class::Held))
}

/// Only a notice is left to do of it: it is no mail that waits.
pub(super) fn is_delivered_to_all(entry: &ScannedEntry) -> bool {
    matches!(entry.state, EntryState::Owing { open: 0, .. })
}

/// Index entries, those in `state` only if one is named, with what memory knows of them and what
/// their records say. What was said last of them stands elsewhere, and costs as much as all the
/// rest: only when `with_replies`.
pub(super) async fn describe(
    parts: &Parts,
    found: Vec<ScannedEntry>,
    wanted: Option<QueueState>,
    with_replies: bool,
) -> Answer<Vec<Described>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let mut listed = parts.queue.ask(ListEntries(found)).await.map_err(gone)?;
    let probed = probed_at(parts, &listed).await?;
    let probe_of = |listed: &ListedEntry| {
        let destination = destination_of(parts, listed)?;
        probed.get(&destination).copied()
    };
    listed.retain(|entry| wanted.is_none_or(|wanted| state_of(entry, probe_of(entry)) == wanted));
    let last =
        if with_replies { last_replies(&parts.spool, &listed).await } else { LastReplies::new() };
    let envelopes = envelopes(&parts.spool, &listed).await;
    let mut entries = Vec::with_capacity(listed.len());
    for listed in listed {
        // Delivered since the scan, and no longer queued.
        let Some(envelope) = envelopes.get(&listed.scanned.place).cloned() else { continue };
        let probed = probe_of(&listed);
        let state = state_of(&listed, probed);
        let ListedEntry { scanned, ordered, .. } = listed;
        let entry = QueuedEntry {
            id: scanned.id.to_string(),
            channel: scanned.channel.to_string(),
            host: scanned.host.to_string(),
            sender: envelope.sender.clone(),
            size: envelope.size,
            received: Timestamp(envelope.received),
            state,
            attempts: u32::from(scanned.state.attempts()),
            due: match (scanned.state, state) {
                (EntryState::Waiting { .. }, QueueState::Ready | QueueState::Delayed)
                    if probed.is_some() =>
                {
                    probed
                }
                (EntryState::Waiting { due, .. }, QueueState::Delayed) if due > 0 => {
                    Some(Timestamp(due))
                }
                _ => None,
            },
            priority: scanned.priority.name().to_owned(),
            ordered: ordered.map(OrderKind::from),
            recipients: recipients(&scanned, &envelope, state, &last),
        };
        entries.push(Described { scanned, envelope, entry });
    }
    Ok(entries)
}

/// When the destinations of these that are in trouble are probed. All that waits for one goes
/// with the probe, whenever it is due by itself.
async fn probed_at(
    parts: &Parts,
    listed: &[ListedEntry],
) -> Answer<HashMap<Destination, Timestamp>> {
    let destinations = listed.iter().filter_map(|entry| destination_of(parts, entry)).collect();
    let probed = parts.controller.ask(ProbedAt(destinations)).await.map_err(gone)?;
    Ok(probed.into_iter().map(|(destination, at)| (destination, after(at))).collect())
}

/// `None` of a channel that the configuration has lost.
fn destination_of(parts: &Parts, ListedEntry { scanned, .. }: &ListedEntry) -> Option<Destination> {
    let channel = parts.channels.find(&scanned.channel)?;
    Some(Destination { channel, host: Arc::clone(&scanned.host) })
}

/// The time on the wall at an instant.
pub(super) fn after(at: tokio::time::Instant) -> Timestamp {
    Timestamp::now().after(at.saturating_duration_since(tokio::time::Instant::now()))
}

/// The state of an entry. One that waits for its host to be `probed` is not ready, whether it was
/// tried before or not.
fn state_of(
    ListedEntry { scanned, tracked, .. }: &ListedEntry,
    probed: Option<Timestamp>,
) -> QueueState {
    match (scanned.state, tracked) {
        (EntryState::Held { .. }, _) => QueueState::Held,
        (_, Some("active")) => QueueState::Active,
        (EntryState::Waiting { .. }, _) if probed.is_some_and(|at| at > Timestamp::now()) => {
            QueueState::Delayed
        }
        (_, Some("delayed")) => QueueState::Delayed,
        (state, None) if matches!(state.class(), Some(Class::Tried | Class::Owing)) => {
            QueueState::Delayed
        }
        _ => QueueState::Ready,
    }
}

/// The envelopes of these entries, in the order in which they lie on the disk. The record of a
/// message holds all of its entries, thousands maybe: read once, kept once. One that was routed
/// again has several.
async fn envelopes(spool: &Spool, listed: &[ListedEntry]) -> HashMap<Place, Arc<Envelope>> {
    let mut wanted: Vec<&ScannedEntry> = listed.iter().map(|entry| &entry.scanned).collect();
    wanted.sort_unstable_by_key(|scanned| scanned.place);
    wanted.dedup_by_key(|scanned| scanned.place);
    let mut envelopes = HashMap::with_capacity(wanted.len());
    for scanned in wanted {
        let envelope = match spool.envelope(scanned.place).await {
            Ok(envelope) => envelope,
            Err(SpoolError::Gone { .. }) => continue,
            Err(_) => unreadable(scanned),
        };
        envelopes.insert(scanned.place, Arc::new(envelope));
    }
    envelopes
}

/// A stand-in for the envelope of a damaged record, so that operators see it and can act on it.
fn unreadable(scanned: &ScannedEntry) -> Envelope {
    Envelope {
        id: scanned.id,
        received: scanned.id.received_ms(),
        sender: "(its record cannot be read)".to_owned(),
        source_channel: "".into(),
        client: "".into(),
        eight_bit: false,
        priority: scanned.priority,
        envelope_id: None,
        returned: None,
        held: None,
        rerouted: None,
        size: scanned.size,
        entries: Vec::new(),
    }
}

/// The entries alone.
pub(super) fn entries_of(described: Vec<Described>) -> Vec<QueuedEntry> {
    described.into_iter().map(|described| described.entry).collect()
}

/// The recipients of an entry, with what was said last of each.
fn recipients(
    scanned: &ScannedEntry,
    envelope: &Envelope,
    state: QueueState,
    last: &LastReplies,
) -> Vec<QueuedRecipient> {
    let open: Vec<u8> = open_recipients(scanned.state.open()).collect();
    let entry = envelope.entries.get(usize::from(scanned.entry));
    let all = entry.map_or(&[][..], |entry| &entry.recipients).iter().zip(0u8..);
    all.map(|(recipient, index)| {
        let outcome = last.get(&(scanned.id, scanned.entry, index)).map(|(outcome, _)| outcome);
        QueuedRecipient {
            address: recipient.original.to_string(),
            member: Some(recipient.member().to_owned()).filter(|it| **it != *recipient.original),
            state: match outcome {
                _ if open.contains(&index) => state.into(),
                Some(Outcome::Failed(_)) => RecipientState::Failed,
                _ => RecipientState::Delivered,
            },
            last_reply: outcome.map(|outcome| outcome.reply().to_string()),
        }
    })
    .collect()
}

/// The last replies to those that were tried: each segment is gone through once.
async fn last_replies(spool: &Spool, listed: &[ListedEntry]) -> LastReplies {
    let mut segments: BTreeMap<u32, HashSet<MessageId>> = BTreeMap::new();
    for ListedEntry { scanned, .. } in listed {
        if scanned.state.attempts() > 0 {
            segments.entry(scanned.place.segment).or_default().insert(scanned.id);
        }
    }
    let mut last = LastReplies::new();
    for (segment, ids) in segments {
        // Of a segment that is gone there is nothing left to list.
        last.extend(spool.last_replies(segment, &ids).await.unwrap_or_default());
    }
    last
}
