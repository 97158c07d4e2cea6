//! Entries of the queue as operators see them: index, memory and record put together, a bounded
//! page at a time.

use std::sync::Arc;

use relais_actors::{
    ids::Destination,
    job_controller::ProbedAt,
    metrics::QueueState,
    queue::{ListEntries, ListedEntry},
    timestamp::Timestamp,
};
use relais_channels::mail::{Envelope, Outcome};
use relais_storage::{
    BorrowedEnvelope, BorrowedRecipient, Class, Cursor, EncodedEnvelope, EntryState, LastReplies,
    PageReader, Place, ScannedEntry, StorageError,
};
use tokio::task::JoinHandle;

use super::{
    parts::{Parts, gone, unavailable},
    summary::names,
};
use crate::{
    admin::{Answer, JsonLines, Unavailable},
    api::{OrderKind, QueueFilter, QueuedEntry, QueuedRecipient, RecipientState, Text},
};

/// Where a pass over the queue goes on: a channel, a class, and the last entry seen there.
#[derive(Clone, Copy)]
pub(super) struct Position {
    channel: usize,
    class: Class,
    after: Option<Cursor>,
}

/// Where a listing goes on, and the reader of its pages. The entries of the next page are looked up
/// while those of the page before are read and sent.
pub struct ListPosition {
    pub(super) pages: PageReader,
    pub(super) next: JoinHandle<Answer<LookedUp>>,
}

/// Entries that are to be listed, and where the listing goes on.
pub(super) type LookedUp = (Vec<Described>, Option<Position>);

/// An entry as far as it was asked for: see [`Depth`].
pub(super) struct Described {
    pub(super) scanned: ScannedEntry,
    pub(super) state: QueueState,
    /// An order that waits until its job gives the entry back.
    pub(super) ordered: Option<OrderKind>,
    /// The time of the next probe of its destination, if that is in trouble.
    probed: Option<Timestamp>,
    /// `None` as long as it has not been read.
    pub(super) record: Option<Box<Record>>,
}

/// The contents of the record of an entry.
pub(super) struct Record {
    pub(super) envelope: Arc<Envelope>,
    pub(super) entry: QueuedEntry,
}

/// How much is to be known of entries. Each depth costs several times as much as the one before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Depth {
    /// State and order, as index and memory have them.
    State,
    /// The record, too.
    Record,
    /// And the last reply to each recipient.
    Replies,
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
    ) -> Result<(Vec<ScannedEntry>, Option<Self>), StorageError> {
        // Channels that the configuration has lost are meant, too: their mail is still there.
        let counts = parts.storage.counts();
        let names: Vec<&str> = names(parts, &counts).collect();
        let Some(name) = names.get(self.channel) else { return Ok((Vec::new(), None)) };
        let wanted = filter.names_channel(name);
        let mut ended = true;
        let mut found = Vec::new();
        if !wanted || !counts.contains_key(*name) {
            self.class = Class::Owing;
        } else if !is_beside(filter, self.class) {
            found = parts.storage.scan(name, self.class, self.after, limit).await?;
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

/// Index entries, described to this depth; only those in the `wanted` state, if one is named.
pub(super) async fn describe(
    parts: &Parts,
    pages: &PageReader,
    found: Vec<ScannedEntry>,
    wanted: Option<QueueState>,
    depth: Depth,
) -> Answer<Vec<Described>> {
    let described = known_of(parts, found, wanted).await?;
    if described.is_empty() || depth == Depth::State {
        return Ok(described);
    }
    let pages = pages.clone();
    waiting(move || with_records(&pages, described, depth)).await
}

/// The next entries to be listed, described as far as memory can; see [`Position::page`].
pub(super) async fn look_up(
    parts: &Parts,
    at: Position,
    filter: &QueueFilter,
    limit: usize,
) -> Answer<LookedUp> {
    let (found, next) = at.page(parts, filter, limit).await.map_err(unavailable)?;
    Ok((known_of(parts, found, filter.state).await?, next))
}

/// The lines of a listing for those entries that the filter lets through.
pub(super) async fn lines_of(
    pages: &PageReader,
    mut described: Vec<Described>,
    filter: &QueueFilter,
) -> Answer<JsonLines> {
    if described.is_empty() {
        return Ok(JsonLines::default());
    }
    // Two threads read a page in half the time: somebody waits for it.
    let behind = described.split_off(described.len().div_ceil(2));
    let lines_of = |half: Vec<Described>| {
        let (pages, filter) = (pages.clone(), filter.clone());
        waiting(move || lines_of_half(&pages, &half, &filter))
    };
    let (lines, others) = tokio::try_join!(lines_of(described), lines_of(behind))?;
    let mut lines = lines?;
    lines.append(&others?);
    Ok(lines)
}

/// The same for a half of a page. Waits for the disk.
fn lines_of_half(
    pages: &PageReader,
    described: &[Described],
    filter: &QueueFilter,
) -> Answer<JsonLines> {
    let now = Timestamp::now();
    let mut lines = JsonLines::with_capacity(described.len());
    let mut places = vec![None; described.len()];
    let mut written = Ok(());
    let last = last_replies(pages, described);
    each_record(pages, described, |numbers, envelope| {
        let envelope = envelope.and_then(EncodedEnvelope::borrow);
        for number in numbers {
            let entry = entry_of(&described[*number], envelope.as_ref(), &last);
            if written.is_ok() && filter.admits(&entry, now) {
                places[*number] = Some(lines.len());
                written = lines.add(&entry);
            }
        }
    });
    written.map_err(|error| Unavailable(error.to_string()))?;
    // The order so far is that of the disk, which is mostly that of the index.
    let order: Vec<usize> = places.into_iter().flatten().collect();
    Ok(if order.is_sorted() { lines } else { lines.in_order(&order) })
}

/// Runs work that waits for the disk away from the actors.
async fn waiting<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Answer<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// The result of a task.
pub(super) async fn joined<T>(task: JoinHandle<T>) -> Answer<T> {
    task.await.map_err(|_| Unavailable("the engine is ending".to_owned()))
}

/// Index entries, described as far as memory can; only those in the `wanted` state, if one is named.
async fn known_of(
    parts: &Parts,
    found: Vec<ScannedEntry>,
    wanted: Option<QueueState>,
) -> Answer<Vec<Described>> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let listed = parts.queue.ask(ListEntries(found)).await.map_err(gone)?;
    // Neighbours mostly go the same way.
    let same_way = |one: &ListedEntry, other: &ListedEntry| {
        let (one, other) = (&one.scanned, &other.scanned);
        one.channel == other.channel && one.host == other.host
    };
    let runs = listed.chunk_by(same_way);
    let destinations: Vec<_> =
        runs.map(|run| (run.len(), destination_of(parts, &run[0]))).collect();
    let asked = destinations.iter().filter_map(|(_, destination)| destination.clone()).collect();
    // All that waits for a destination in trouble goes with the probe, whenever it is due by itself.
    let probed = parts.controller.ask(ProbedAt(asked)).await.map_err(gone)?;
    let now = Timestamp::now();
    let probed = destinations.iter().flat_map(|(count, destination)| {
        let at = destination.as_ref().and_then(|destination| probed.get(destination));
        std::iter::repeat_n(at.map(|at| after(*at)), *count)
    });
    let known = |(listed, probed): (ListedEntry, Option<Timestamp>)| Described {
        state: state_of(&listed, probed, now),
        ordered: listed.ordered.map(OrderKind::from),
        scanned: listed.scanned,
        probed,
        record: None,
    };
    let known = listed.into_iter().zip(probed).map(known);
    Ok(known.filter(|entry| wanted.is_none_or(|wanted| entry.state == wanted)).collect())
}

/// Adds their records to entries; leaves out those that were delivered since the scan, and are gone.
fn with_records(pages: &PageReader, mut described: Vec<Described>, depth: Depth) -> Vec<Described> {
    let mut records: Vec<_> = described.iter().map(|_| None).collect();
    let last = match depth {
        Depth::Replies => last_replies(pages, &described),
        Depth::State | Depth::Record => LastReplies::new(),
    };
    each_record(pages, &described, |numbers, encoded| {
        let borrowed = encoded.and_then(EncodedEnvelope::borrow);
        let envelope = encoded.and_then(EncodedEnvelope::decode).map(Arc::new);
        for number in numbers {
            let described = &described[*number];
            let entry = entry_of(described, borrowed.as_ref(), &last).into_owned();
            let envelope = envelope.clone();
            let envelope = envelope.unwrap_or_else(|| Arc::new(unreadable(&described.scanned)));
            records[*number] = Some(Box::new(Record { envelope, entry }));
        }
    });
    for (described, record) in described.iter_mut().zip(records) {
        described.record = record;
    }
    described.retain(|described| described.record.is_some());
    described
}

/// The newest replies to the recipients of entries.
fn last_replies(pages: &PageReader, described: &[Described]) -> LastReplies {
    let tried = described.iter().filter(|entry| entry.scanned.state.attempts() > 0);
    pages.last_replies(tried.map(|tried| (tried.scanned.place.segment, tried.scanned.id)).collect())
}

/// Reads the records of entries in the order in which they lie on the disk, and shows the envelope
/// of each, `None` of one that cannot be read, with the numbers of its entries. A record that is gone
/// is not shown.
fn each_record(
    pages: &PageReader,
    described: &[Described],
    mut each: impl FnMut(&[usize], Option<EncodedEnvelope<'_>>),
) {
    let places: Vec<Place> = described.iter().map(|entry| entry.scanned.place).collect();
    pages.each_envelope(&places, |numbers, envelope| match envelope {
        Ok(envelope) => each(numbers, Some(envelope)),
        Err(StorageError::Gone { .. }) => {}
        Err(_) => each(numbers, None),
    });
}

/// An entry as operators see it; without its envelope, if that cannot be read.
fn entry_of<'a>(
    described: &'a Described,
    envelope: Option<&'a BorrowedEnvelope<'_>>,
    last: &LastReplies,
) -> QueuedEntry<Text<'a>> {
    let Described { scanned, state, ordered, probed, .. } = described;
    let received = envelope.map_or(scanned.id.received_ms(), |envelope| envelope.received);
    QueuedEntry {
        id: scanned.id.to_string().into(),
        channel: (&*scanned.channel).into(),
        host: (&*scanned.host).into(),
        sender: envelope.map_or(UNREADABLE, |envelope| envelope.sender).into(),
        size: envelope.map_or(scanned.size, |envelope| envelope.size),
        received: Timestamp(received),
        state: *state,
        attempts: u32::from(scanned.state.attempts()),
        due: match (scanned.state, state) {
            (EntryState::Waiting { .. }, QueueState::Ready | QueueState::Delayed)
                if probed.is_some() =>
            {
                *probed
            }
            (EntryState::Waiting { due, .. }, QueueState::Delayed) if due > 0 => {
                Some(Timestamp(due))
            }
            _ => None,
        },
        priority: scanned.priority.name().into(),
        ordered: *ordered,
        recipients: recipients(scanned, envelope, *state, last),
    }
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
    now: Timestamp,
) -> QueueState {
    match (scanned.state, tracked) {
        (EntryState::Held { .. }, _) => QueueState::Held,
        (_, Some("active")) => QueueState::Active,
        (EntryState::Waiting { .. }, _) if probed.is_some_and(|at| at > now) => QueueState::Delayed,
        (_, Some("delayed")) => QueueState::Delayed,
        (state, None) if matches!(state.class(), Some(Class::Tried | Class::Owing)) => {
            QueueState::Delayed
        }
        _ => QueueState::Ready,
    }
}

/// A stand-in for the envelope of a damaged record, so that operators see it and can act on it.
fn unreadable(scanned: &ScannedEntry) -> Envelope {
    Envelope {
        sender: UNREADABLE.to_owned(),
        priority: scanned.priority,
        size: scanned.size,
        ..Envelope::plain(scanned.id, scanned.id.received_ms(), Vec::new())
    }
}

/// The entries alone.
pub(super) fn entries_of(described: Vec<Described>) -> Vec<QueuedEntry> {
    described.into_iter().filter_map(|described| Some(described.record?.entry)).collect()
}

/// The recipients of an entry, with what was said last of each.
fn recipients<'a>(
    scanned: &ScannedEntry,
    envelope: Option<&'a BorrowedEnvelope<'_>>,
    state: QueueState,
    last: &LastReplies,
) -> Vec<QueuedRecipient<Text<'a>>> {
    let open = scanned.state.open();
    let entry = envelope.and_then(|envelope| envelope.entries.get(usize::from(scanned.entry)));
    let all = entry.map_or(&[][..], |entry| &entry.recipients).iter().zip(0u8..);
    all.map(|(BorrowedRecipient { original, member, quota, .. }, index)| {
        let outcome = last.get(&(scanned.id, scanned.entry, index)).map(|(outcome, _)| outcome);
        QueuedRecipient {
            address: (*original).into(),
            member: member.as_deref().filter(|member| member != original).map(Text::from),
            state: match outcome {
                _ if open >> index & 1 == 1 => state.into(),
                Some(Outcome::Failed(_)) => RecipientState::Failed,
                _ => RecipientState::Delivered,
            },
            last_reply: outcome.map(|outcome| outcome.reply().to_string().into()),
            quota: *quota,
        }
    })
    .collect()
}

/// In place of the sender of a damaged record.
const UNREADABLE: &str = "(its record cannot be read)";
