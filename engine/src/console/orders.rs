//! Orders of operators: entries held, released, retried, returned, deleted; channels stopped and
//! started; limits changed.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use relais_actors::{
    events::{EntryDeleted, NOBODY, Printable},
    job_controller::DescribeController,
    metrics::QueueState,
    notary::has_nowhere_to_go,
    queue::{
        self, CountOrders, Key, ListOrdered, Order, PlaceOrder, Placed, Reading, Reason, Tracked,
        backoff,
    },
    timestamp::{Timestamp, now_ms},
};
use relais_channels::mail::MessageId;
use relais_storage::{EntryState, PageReader, ScannedEntry};
use tracing::info;

use super::{
    entries::{Depth, Described, Position, Record, describe, is_delivered_to_all},
    ordered_by,
    parts::{Parts, gone, unavailable},
    reroutes::Rerouting,
    untold::{self, SenderWays},
};
use crate::{
    admin::{Answer, Unavailable},
    api::{Left, OrderKind, OrderProgress, QueueFilter, QueueOrder},
    state::order_book::Line,
};

/// How far an order has come.
pub struct OrderPosition {
    next: Option<Position>,
    pages: PageReader,
    /// The last message that is meant. Later ones are not, least of all the notices that a return
    /// makes.
    last: MessageId,
    /// The time of its beginning. An entry that failed since is not tried once more: it would go on
    /// for as long as it fails.
    began: u64,
    account: OrderLog,
}

/// The record of an order for the log, written when the order ends, or when the client that gave it
/// goes away.
pub(super) struct OrderLog {
    kind: OrderKind,
    dry_run: bool,
    /// By whom, and why.
    words: String,
    pub(super) progress: OrderProgress,
}

impl OrderLog {
    /// Of an order that has done nothing yet.
    pub(super) fn new(order: &QueueOrder, progress: OrderProgress) -> Self {
        Self { kind: order.kind, dry_run: order.dry_run, words: reason(order), progress }
    }
}

impl Drop for OrderLog {
    fn drop(&mut self) {
        if self.dry_run {
            return;
        }
        let Self { kind, words, progress, .. } = self;
        let OrderProgress { done, later, idle, moved, ended, .. } = *progress;
        let (action, words) = (kind.name(), Printable(words));
        let said = if ended {
            "an order about the queue was carried out"
        } else {
            "an order about the queue was broken off"
        };
        info!(action, order = %words, done, later, idle, moved, "{said}");
    }
}

/// Carries out a bounded piece of an order, and says where it goes on; `None` at its end.
pub(super) async fn go_on(
    parts: &Parts,
    order: &QueueOrder,
    at: Option<OrderPosition>,
) -> Answer<(OrderProgress, Option<OrderPosition>)> {
    let begins = at.is_none();
    let mut at = match at {
        Some(at) => at,
        None => begin(parts, order)?,
    };
    let pending = parts.queue.ask(CountOrders).await.map_err(gone)?;
    let _under_way = parts.orders.begin(pending);
    let reading = Reading::begin(&parts.queue).await.map_err(gone)?;
    let (mut found, next) = if let Some(position) = at.next {
        position.page(parts, &order.filter, page_of(order)).await.map_err(unavailable)?
    } else {
        let found = named(parts, order).await?;
        at.account.progress.unknown = unknown(order, &found);
        (found, None)
    };
    found.retain(|entry| entry.id <= at.last);
    at.account.progress.seen += found.len() as u64;
    let mut wanted = meant(parts, order, &at, found).await?;
    if order.kind == OrderKind::Release && order.ids.is_empty() {
        release_pending(parts, order, &at, &mut wanted, begins).await?;
    }
    let progress = &mut at.account.progress;
    wanted.truncate(left(&order.filter, progress));
    deal_with(parts, order, &reading, wanted, progress).await?;
    at.next = next.filter(|_| left(&order.filter, progress) > 0);
    progress.ended = at.next.is_none();
    let so_far = progress.clone();
    Ok((so_far, at.next.is_some().then_some(at)))
}

/// Does with these entries what the order says, and counts it.
pub(super) async fn deal_with(
    parts: &Parts,
    order: &QueueOrder,
    reading: &Reading,
    mut wanted: Vec<Described>,
    progress: &mut OrderProgress,
) -> Answer<()> {
    if order.kind == OrderKind::Return {
        leave_unreturnable(&mut wanted, progress);
    }
    let placed = if order.kind == OrderKind::Reroute {
        let rerouting = Rerouting { parts, order, reason: reason_of(order), reading };
        rerouting.reroute(&wanted, progress).await?
    } else {
        place_orders(parts, order, reading, &wanted).await?
    };
    if order.kind == OrderKind::Retry {
        progress.stopped.extend(stopped(parts, &wanted).await?);
    }
    if !order.dry_run {
        write_down(parts, order, &wanted, &placed).await?;
    }
    count(parts, order, &wanted, &placed, progress).await;
    Ok(())
}

/// The entries of `found` that the order means, described.
async fn meant(
    parts: &Parts,
    order: &QueueOrder,
    at: &OrderPosition,
    found: Vec<ScannedEntry>,
) -> Answer<Vec<Described>> {
    let now = Timestamp::now();
    let mut found = found;
    if order.kind == OrderKind::Hold && order.ids.is_empty() {
        // An entry that was held a page ago is found once more among the held.
        found.retain(|entry| !matches!(entry.state, EntryState::Held { .. }));
    }
    let depth = depth_of(order, &at.account.progress);
    let mut wanted = describe(parts, &at.pages, found, order.filter.state, depth).await?;
    wanted.retain(|described| admits(&order.filter, described, now));
    if let Some(part) = &order.standing {
        wanted = ordered_by::reached(parts, part, wanted).await;
    }
    if order.kind == OrderKind::Retry && order.ids.is_empty() {
        wanted.retain(|described| !tried_since(parts, &described.scanned, at.began));
    }
    if order.kind == OrderKind::Reroute {
        // An entry that went on a page ago is found once more where it is now.
        let is_here = |record: &Record| record.envelope.rerouted.is_none_or(|it| it.at < at.began);
        wanted.retain(|found| found.record.as_deref().is_none_or(is_here));
    }
    Ok(wanted)
}

/// Whether the filter lets an entry through, as far as that is known.
fn admits(filter: &QueueFilter, described: &Described, now: Timestamp) -> bool {
    let Described { scanned, state, record, .. } = described;
    match record {
        Some(record) => filter.admits(&record.entry, now),
        None => filter.admits_state(&scanned.channel, &scanned.host, *state, scanned.size),
    }
}

/// How much the order has to know of the next entries. Nobody needs their records to hold, release
/// or retry them.
fn depth_of(order: &QueueOrder, progress: &OrderProgress) -> Depth {
    let QueueOrder { kind, filter, .. } = order;
    if filter.reply.is_some() || is_shown(order, progress) {
        return Depth::Replies;
    }
    if order.standing.as_ref().is_some_and(|part| !part.only_its_own) {
        return Depth::Record;
    }
    match kind {
        OrderKind::Hold | OrderKind::Release | OrderKind::Retry if filter.is_about_states() => {
            Depth::State
        }
        _ => Depth::Record,
    }
}

/// Whether the next entry that the order reaches is shown.
fn is_shown(order: &QueueOrder, progress: &OrderProgress) -> bool {
    order.dry_run && progress.first.len() < OrderProgress::FIRST_SHOWN
}

/// Nobody would ever hear of a returned notice that has nowhere to go: such entries stay.
fn leave_unreturnable(wanted: &mut Vec<Described>, progress: &mut OrderProgress) {
    let before = wanted.len();
    let stays = |record: &Record| has_nowhere_to_go(&record.envelope);
    wanted.retain(|described| !described.record.as_deref().is_some_and(stays));
    let kept = (before - wanted.len()) as u64;
    progress.idle += kept;
    progress.untold.kept += kept;
}

/// Counts what became of each entry, and logs what was deleted.
async fn count(
    parts: &Parts,
    order: &QueueOrder,
    wanted: &[Described],
    placed: &[Placed],
    progress: &mut OrderProgress,
) {
    let mut asked = SenderWays::new();
    for (described, placed) in wanted.iter().zip(placed) {
        match placed {
            Placed::Done => progress.done += 1,
            Placed::Later => progress.later += 1,
            Placed::Moved => progress.moved += 1,
            Placed::Idle => {
                progress.idle += 1;
                if is_beyond(parts, order.kind, &described.scanned.channel) {
                    progress.undelivered += 1;
                } else {
                    count_left(order.kind, described.state, &mut progress.left);
                }
            }
        }
        if matches!(placed, Placed::Done | Placed::Later) {
            progress.recipients += u64::from(described.scanned.state.open().count_ones());
            if let Some(Record { envelope, entry }) = described.record.as_deref() {
                if order.kind == OrderKind::Return {
                    let untold = &mut progress.untold;
                    untold::count(parts, &described.scanned, envelope, &mut asked, untold).await;
                }
                if is_shown(order, progress) {
                    progress.first.push(entry.clone());
                }
            }
        }
        let deleted = order.kind == OrderKind::Delete && !order.dry_run;
        if deleted && *placed == Placed::Done {
            log_deleted(parts, described, order);
        }
    }
}

/// It has failed since the order began.
fn tried_since(parts: &Parts, scanned: &ScannedEntry, began: u64) -> bool {
    let Some(channel) = parts.channels.find(&scanned.channel) else { return false };
    backoff::tried_between(parts.channels.channel(channel), &Tracked::of(scanned), began, now_ms())
}

/// Entries that the order may still reach. What a job has in hand is reached, too.
fn left(filter: &QueueFilter, progress: &OrderProgress) -> usize {
    let left = filter.limit.map_or(u64::MAX, |limit| limit.saturating_sub(progress.reached()));
    usize::try_from(left).unwrap_or(usize::MAX)
}

/// Has it done; with a dry run, nothing.
async fn place_orders(
    parts: &Parts,
    order: &QueueOrder,
    reading: &Reading,
    wanted: &[Described],
) -> Answer<Vec<Placed>> {
    if order.dry_run {
        let would_be = |Described { scanned, state, ordered, .. }: &Described| {
            let beyond = is_beyond(parts, order.kind, &scanned.channel);
            match (order.kind, ordered) {
                _ if beyond => Placed::Idle,
                (OrderKind::Release, Some(_)) => Placed::Done,
                (kind, _) => would_be(kind, *state),
            }
        };
        return Ok(wanted.iter().map(would_be).collect());
    }
    let mut altered = Vec::with_capacity(wanted.len());
    for some in wanted.chunks(AT_ONCE) {
        let place = PlaceOrder {
            reading: reading.ticket(),
            order: Order { kind: kind_of(order.kind), reason: reason_of(order) },
            entries: some.iter().map(|described| described.scanned.clone()).collect(),
        };
        altered.extend(parts.queue.ask(place).await.map_err(gone)?);
    }
    Ok(altered)
}

/// Entries that are in the hands of jobs, and of which something is ordered: to release them is to
/// forget that. A standing order that ends forgets what it has ordered itself, and nothing of others.
async fn release_pending(
    parts: &Parts,
    order: &QueueOrder,
    at: &OrderPosition,
    wanted: &mut Vec<Described>,
    begins: bool,
) -> Answer<()> {
    let ends = order.standing.as_ref().filter(|part| part.only_its_own);
    if !begins && ends.is_none() {
        return Ok(());
    }
    let pending = parts.queue.ask(ListOrdered).await.map_err(gone)?;
    let is_own = |words: &str| ends.is_none_or(|part| ordered_by::is_reason_of(part.id, words));
    let (own, others): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, words)| is_own(words));
    let others: HashSet<Key> = others.into_iter().map(|(key, _)| key).collect();
    wanted.retain(|entry| !others.contains(&(entry.scanned.id, entry.scanned.entry)));
    if begins && !own.is_empty() {
        let keys = own.into_iter().map(|(key, _)| key).collect();
        wanted.extend(to_be_held(parts, at, &order.filter, &keys).await?);
    }
    Ok(())
}

/// Entries with one of `keys` that the filter means, described.
async fn to_be_held(
    parts: &Parts,
    at: &OrderPosition,
    filter: &QueueFilter,
    keys: &HashSet<Key>,
) -> Answer<Vec<Described>> {
    if filter.state.is_some_and(|state| state != QueueState::Held) {
        return Ok(Vec::new());
    }
    let now = Timestamp::now();
    let ids = keys.iter().map(|(id, _)| *id).filter(|id| *id <= at.last).collect();
    let mut found = parts.storage.find_all(ids).await.map_err(unavailable)?;
    found.retain(|entry| keys.contains(&(entry.id, entry.entry)));
    let filter = QueueFilter { state: None, ..filter.clone() };
    let depth = if filter.reply.is_some() { Depth::Replies } else { Depth::Record };
    let mut wanted = describe(parts, &at.pages, found, Some(QueueState::Active), depth).await?;
    wanted.retain(|described| admits(&filter, described, now));
    Ok(wanted)
}

/// Nobody is told that something is done before a crash cannot undo it: what is done already is on
/// the disk, and of the rest it is written down what was ordered.
async fn write_down(
    parts: &Parts,
    order: &QueueOrder,
    wanted: &[Described],
    placed: &[Placed],
) -> Answer<()> {
    let reason = reason_of(order);
    let is_open = |described: &Described, placed: Placed| {
        let scanned = &described.scanned;
        let lasts = placed == Placed::Later || order.kind == OrderKind::Return;
        let goes = matches!(placed, Placed::Done | Placed::Later);
        goes && (lasts || parts.orders.has(scanned.id, scanned.entry))
    };
    let open = wanted.iter().zip(placed).filter(|(described, placed)| is_open(described, **placed));
    let line = |(described, _): (&Described, &Placed)| {
        let key = (described.scanned.id, described.scanned.entry);
        Line::new(key, order.kind, &reason)
    };
    let lines: Vec<Line> = open.map(line).collect();
    let book = Arc::clone(&parts.orders);
    let noted = tokio::task::spawn_blocking(move || book.note(&lines)).await;
    let noted = noted.unwrap_or_else(|ended| Err(ended.into()));
    noted.map_err(|error| {
        Unavailable(format!("what is not done yet is not written down: {error}"))
    })?;
    if placed.contains(&Placed::Done) {
        parts.storage.flush().await.map_err(unavailable)?;
    }
    Ok(())
}

/// Whether it cannot be done with anything in this channel: the configuration has lost it.
fn is_beyond(parts: &Parts, kind: OrderKind, channel: &str) -> bool {
    kind != OrderKind::Delete && parts.channels.find(channel).is_none()
}

/// The result for an entry in this state.
fn would_be(kind: OrderKind, state: QueueState) -> Placed {
    match (kind, state) {
        (OrderKind::Hold | OrderKind::Retry, QueueState::Held)
        | (OrderKind::Retry, QueueState::Active) => Placed::Idle,
        (OrderKind::Release, state) if state != QueueState::Held => Placed::Idle,
        (_, QueueState::Active) => Placed::Later,
        _ => Placed::Done,
    }
}

/// Counts the reason that kept the order from an entry in this state. A reason that keeps it from
/// being routed again has been counted.
fn count_left(kind: OrderKind, state: QueueState, left: &mut Left) {
    let count = match (kind, state) {
        (OrderKind::Hold | OrderKind::Retry, QueueState::Held) => &mut left.held,
        (OrderKind::Retry, QueueState::Active) => &mut left.in_hand,
        (OrderKind::Release, _) => &mut left.not_held,
        _ => return,
    };
    *count += 1;
}

fn begin(parts: &Parts, order: &QueueOrder) -> Answer<OrderPosition> {
    let counts = parts.storage.counts();
    let of = |channel: &str| order.filter.names_channel(channel);
    let all = counts.iter().filter(|(channel, _)| of(channel)).map(|(_, counts)| counts.total());
    let by_id = !order.ids.is_empty();
    let of = if by_id { order.ids.len() as u64 } else { all.sum() };
    let last = match &order.up_to {
        Some(id) => id.parse().map_err(|error| Unavailable(format!("{error}")))?,
        None => parts.storage.last_id(),
    };
    let last_told = Some(last.to_string());
    Ok(OrderPosition {
        next: (!by_id).then(Position::first),
        pages: parts.storage.page_reader(),
        last,
        began: now_ms(),
        account: OrderLog::new(
            order,
            OrderProgress { of, last: last_told, ..OrderProgress::default() },
        ),
    })
}

/// The entries of the messages that are named.
async fn named(parts: &Parts, order: &QueueOrder) -> Answer<Vec<ScannedEntry>> {
    let ids = order.ids.iter().map(|id| id.parse::<MessageId>());
    let ids = ids.collect::<Result<_, _>>().map_err(|error| Unavailable(error.to_string()))?;
    let mut found = parts.storage.find_all(ids).await.map_err(unavailable)?;
    found.retain(|entry| !is_delivered_to_all(entry));
    Ok(found)
}

/// Ids of which nothing was found.
fn unknown(order: &QueueOrder, found: &[ScannedEntry]) -> Vec<String> {
    let found: HashSet<MessageId> = found.iter().map(|entry| entry.id).collect();
    let known = |id: &String| id.parse().is_ok_and(|id: MessageId| found.contains(&id));
    order.ids.iter().filter(|id| !known(id)).cloned().collect()
}

fn log_deleted(parts: &Parts, described: &Described, order: &QueueOrder) {
    let Described { scanned, record, .. } = described;
    let Some(Record { envelope, .. }) = record.as_deref() else { return };
    EntryDeleted {
        envelope,
        entry: scanned.entry,
        recipients: scanned.state.open(),
        attempts: scanned.state.attempts(),
        reason: &reason(order),
    }
    .emit(&parts.metrics);
}

/// The channels of these that are stopped.
async fn stopped(parts: &Parts, wanted: &[Described]) -> Answer<BTreeSet<String>> {
    let controller = parts.controller.ask(DescribeController).await.map_err(gone)?;
    let frozen = controller.channels.iter().filter(|channel| channel.frozen);
    let frozen: HashSet<_> = frozen.map(|channel| channel.channel).collect();
    let is_stopped = |described: &&Described| {
        let id = parts.channels.find(&described.scanned.channel);
        id.is_some_and(|id| frozen.contains(&id))
    };
    Ok(wanted.iter().filter(is_stopped).map(|entry| entry.scanned.channel.to_string()).collect())
}

fn reason_of(order: &QueueOrder) -> Reason {
    Reason {
        words: reason(order).into(),
        text: (!order.reason.is_empty()).then(|| order.reason.as_str().into()),
    }
}

fn reason(order: &QueueOrder) -> String {
    let by = if order.by.is_empty() { NOBODY } else { &order.by };
    let done = format!("{} by {by}", order.kind.done());
    if order.reason.is_empty() { done } else { format!("{done}: {}", order.reason) }
}

fn kind_of(kind: OrderKind) -> queue::OrderKind {
    match kind {
        OrderKind::Hold => queue::OrderKind::Hold,
        OrderKind::Release => queue::OrderKind::Release,
        OrderKind::Retry => queue::OrderKind::Retry,
        OrderKind::Return => queue::OrderKind::Return,
        // Rerouting has a way of its own.
        OrderKind::Delete | OrderKind::Reroute => queue::OrderKind::Delete,
    }
}

/// Entries looked at for each piece of the answer. Senders to be told and routing make a piece slow;
/// and an order with a limit does not look far beyond that.
fn page_of(order: &QueueOrder) -> usize {
    match order.kind {
        OrderKind::Return | OrderKind::Reroute => AT_ONCE,
        _ if order.filter.limit.is_some() => AT_ONCE,
        _ => 4 * AT_ONCE,
    }
}

/// Entries dealt with at once: the queue looks at nothing else meanwhile.
pub(super) const AT_ONCE: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_what_jobs_have_in_hand() {
        // limit, done, later, left
        let rows =
            [(None, 7, 7, usize::MAX), (Some(5), 2, 1, 2), (Some(5), 0, 5, 0), (Some(5), 9, 0, 0)];
        for (limit, done, later, want) in rows {
            let filter = QueueFilter { limit, ..QueueFilter::default() };
            let progress = OrderProgress { done, later, ..OrderProgress::default() };
            assert_eq!(left(&filter, &progress), want, "{limit:?} {done} {later}");
        }
    }
}
