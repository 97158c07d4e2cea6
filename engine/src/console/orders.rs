//! Orders of operators: entries held, released, retried, returned, deleted; channels stopped and
//! started; limits changed.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
};

use relais_actors::{
    channel_table::is_delivered,
    events::{EntryDeleted, Printable},
    job_controller::DescribeController,
    metrics::QueueState,
    notary::has_nowhere_to_go,
    queue::{
        self, CountOrders, ListOrdered, Order, PlaceOrder, Placed, Reading, Reason, Tracked,
        backoff,
    },
    spool::ScannedEntry,
    timestamp::{Timestamp, now_ms},
};
use relais_channels::mail::MessageId;
use tracing::info;

use super::{
    entries::{Described, Position, describe, is_delivered_to_all},
    parts::{Parts, gone, trouble},
    reroutes::Rerouting,
    untold::{self, SenderWays},
};
use crate::{
    admin::{Answer, Trouble},
    api::{Left, OrderKind, OrderProgress, QueueFilter, QueueOrder},
    state::order_book::Line,
};

/// How far an order has come.
pub struct OrderPosition {
    next: Option<Position>,
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
struct OrderLog {
    kind: OrderKind,
    dry_run: bool,
    /// By whom, and why.
    words: String,
    progress: OrderProgress,
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
        position.page(parts, &order.filter, PAGE).await.map_err(trouble)?
    } else {
        let found = named(parts, order).await?;
        at.account.progress.unknown = unknown(order, &found);
        (found, None)
    };
    found.retain(|entry| entry.id <= at.last);
    at.account.progress.seen += found.len() as u64;
    let mut wanted = meant(parts, order, &at, found).await?;
    if begins && order.kind == OrderKind::Release && order.ids.is_empty() {
        wanted.extend(to_be_held(parts, &order.filter, at.last, Timestamp::now()).await?);
    }
    let progress = &mut at.account.progress;
    wanted.truncate(left(&order.filter, progress));
    if order.kind == OrderKind::Return {
        leave_unreturnable(&mut wanted, progress);
    }
    let placed = if order.kind == OrderKind::Reroute {
        let rerouting = Rerouting { parts, order, reason: reason_of(order), reading: &reading };
        rerouting.reroute(&wanted, progress).await?
    } else {
        place_orders(parts, order, &reading, &wanted).await?
    };
    if order.kind == OrderKind::Retry {
        progress.stopped.extend(stopped(parts, &wanted).await?);
    }
    if !order.dry_run {
        write_down(parts, order, &wanted, &placed).await?;
    }
    count(parts, order, &wanted, &placed, progress).await;
    at.next = next.filter(|_| left(&order.filter, progress) > 0);
    progress.ended = at.next.is_none();
    let so_far = progress.clone();
    Ok((so_far, at.next.is_some().then_some(at)))
}

/// The entries of `found` that the order means, described.
async fn meant(
    parts: &Parts,
    order: &QueueOrder,
    at: &OrderPosition,
    found: Vec<ScannedEntry>,
) -> Answer<Vec<Described>> {
    let now = Timestamp::now();
    let QueueFilter { state, reply, .. } = &order.filter;
    let with_replies = reply.is_some() || is_shown(order, &at.account.progress);
    let mut wanted = describe(parts, found, *state, with_replies).await?;
    wanted.retain(|described| order.filter.admits(&described.entry, now));
    if order.kind == OrderKind::Hold && order.ids.is_empty() {
        // An entry that was held a page ago is found once more among the held.
        wanted.retain(|described| described.entry.state != QueueState::Held);
    }
    if order.kind == OrderKind::Retry && order.ids.is_empty() {
        wanted.retain(|described| !tried_since(parts, &described.scanned, at.began));
    }
    if order.kind == OrderKind::Reroute {
        // An entry that went on a page ago is found once more where it is now.
        wanted.retain(|found| found.envelope.rerouted.is_none_or(|it| it.at < at.began));
    }
    Ok(wanted)
}

/// Whether the next entry that the order reaches is shown.
fn is_shown(order: &QueueOrder, progress: &OrderProgress) -> bool {
    order.dry_run && progress.first.len() < OrderProgress::FIRST_SHOWN
}

/// Nobody would ever hear of a returned notice that has nowhere to go: such entries stay.
fn leave_unreturnable(wanted: &mut Vec<Described>, progress: &mut OrderProgress) {
    let before = wanted.len();
    wanted.retain(|described| !has_nowhere_to_go(&described.envelope));
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
                if is_beyond(parts, order.kind, &described.entry.channel) {
                    progress.undelivered += 1;
                } else {
                    count_left(order.kind, described.entry.state, &mut progress.left);
                }
            }
        }
        if matches!(placed, Placed::Done | Placed::Later) {
            progress.recipients += u64::from(described.scanned.state.open().count_ones());
            if order.kind == OrderKind::Return {
                untold::count(parts, described, &mut asked, &mut progress.untold).await;
            }
            if is_shown(order, progress) {
                progress.first.push(described.entry.clone());
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
        let would_be = |Described { entry, .. }: &Described| {
            let beyond = is_beyond(parts, order.kind, &entry.channel);
            match (order.kind, entry.ordered) {
                _ if beyond => Placed::Idle,
                (OrderKind::Release, Some(_)) => Placed::Done,
                (kind, _) => would_be(kind, entry.state),
            }
        };
        return Ok(wanted.iter().map(would_be).collect());
    }
    let place = PlaceOrder {
        reading: reading.ticket(),
        order: Order { kind: kind_of(order.kind), reason: reason_of(order) },
        entries: wanted.iter().map(|described| described.scanned.clone()).collect(),
    };
    parts.queue.ask(place).await.map_err(gone)
}

/// Entries that are in the hands of jobs, and of which something is ordered: to release them is to
/// forget that.
async fn to_be_held(
    parts: &Parts,
    filter: &QueueFilter,
    last: MessageId,
    now: Timestamp,
) -> Answer<Vec<Described>> {
    if filter.state.is_some_and(|state| state != QueueState::Held) {
        return Ok(Vec::new());
    }
    let keys = parts.queue.ask(ListOrdered).await.map_err(gone)?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: HashSet<(MessageId, u16)> = keys.into_iter().collect();
    let ids = keys.iter().map(|(id, _)| *id).filter(|id| *id <= last).collect();
    let mut found = parts.spool.find_all(ids).await.map_err(trouble)?;
    found.retain(|entry| keys.contains(&(entry.id, entry.entry)));
    let filter = QueueFilter { state: None, ..filter.clone() };
    let mut wanted = describe(parts, found, None, filter.reply.is_some()).await?;
    wanted.retain(|described| {
        let Described { entry, scanned, .. } = described;
        entry.state == QueueState::Active
            && filter.names_channel(&scanned.channel)
            && filter.names_host(&scanned.host)
            && filter.larger_than.is_none_or(|size| scanned.size > size)
            && filter.admits(entry, now)
    });
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
    noted.map_err(|error| Trouble(format!("what is not done yet is not written down: {error}")))?;
    if placed.contains(&Placed::Done) {
        parts.spool.flush().await.map_err(trouble)?;
    }
    Ok(())
}

/// Whether it cannot be done with anything in this channel.
fn is_beyond(parts: &Parts, kind: OrderKind, channel: &str) -> bool {
    match parts.channels.find(channel) {
        Some(id) => kind == OrderKind::Retry && !is_delivered(parts.channels.channel(id)),
        None => kind != OrderKind::Delete,
    }
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
    let counts = parts.spool.counts();
    let of = |channel: &str| order.filter.names_channel(channel);
    let all = counts.iter().filter(|(channel, _)| of(channel)).map(|(_, counts)| counts.total());
    let by_id = !order.ids.is_empty();
    let of = if by_id { order.ids.len() as u64 } else { all.sum() };
    let last = match &order.up_to {
        Some(id) => id.parse().map_err(|error| Trouble(format!("{error}")))?,
        None => parts.spool.last_id(),
    };
    let last_told = Some(last.to_string());
    Ok(OrderPosition {
        next: (!by_id).then(Position::first),
        last,
        began: now_ms(),
        account: OrderLog {
            kind: order.kind,
            dry_run: order.dry_run,
            words: reason(order),
            progress: OrderProgress { of, last: last_told, ..OrderProgress::default() },
        },
    })
}

/// The entries of the messages that are named.
async fn named(parts: &Parts, order: &QueueOrder) -> Answer<Vec<ScannedEntry>> {
    let ids = order.ids.iter().map(|id| id.parse::<MessageId>());
    let ids = ids.collect::<Result<_, _>>().map_err(|error| Trouble(error.to_string()))?;
    let mut found = parts.spool.find_all(ids).await.map_err(trouble)?;
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
    let Described { scanned, envelope, .. } = described;
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
    let by = if order.by.is_empty() { "an operator" } else { &order.by };
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

/// Entries dealt with at once: the queue looks at nothing else meanwhile.
const PAGE: usize = 1_024;

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
