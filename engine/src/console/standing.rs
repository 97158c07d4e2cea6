//! Standing orders: added, shown, removed, and what they want done with the queue.
//!
//! The file has an order before it is in force, and until all that its end brings is done: what a crash
//! breaks off is begun anew by the next start.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use relais_actors::{
    standing::{OrderInForce, StandingKind, StandingOrder, StandingOrders},
    timestamp::Timestamp,
};
use relais_channels::mail::Address;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Notify};
use tracing::info;

use super::{hosts, limits, orders, parts::Parts};
use crate::{
    admin::{Answer, Nonsense, Unavailable},
    api::{
        NamePattern, NewOrder, OrderKind, OrderProgress, OrderShown, OrdersListed, QueueOrder,
        StandingPart, filter_of,
    },
    state::standing::{KeptOrders, StandingFile},
};

/// Changes of the orders, and what they still want done.
#[derive(Default)]
pub(super) struct OrderKeeper {
    /// One changes the file at a time.
    turn: AsyncMutex<()>,
    /// Orders that have yet to look through all that waits.
    fresh: Mutex<BTreeSet<u64>>,
    noticed: Notify,
}

impl OrderKeeper {
    /// An order has yet to look through all that waits.
    pub(super) fn look_through(&self, id: u64) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.noticed.notify_one();
    }

    /// One of these, if there is any.
    pub(super) fn next_fresh(&self) -> Option<u64> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).pop_first()
    }

    /// Ready when the orders are others, or one has something to look through.
    pub(super) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// The right to change the file.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// The orders that stand, and hosts that wait by orders of their own.
pub(super) async fn list(parts: &Parts) -> Answer<OrdersListed> {
    let mut hosts = hosts::list(parts).await?;
    hosts.retain(|host| host.by == "operator");
    Ok(OrdersListed { orders: shown(&parts.standing), hosts })
}

/// The orders that stand.
pub(super) fn shown(standing: &StandingOrders) -> Vec<OrderShown> {
    let now = Timestamp::now();
    standing.index().all().iter().map(|its| show(its, now)).collect()
}

/// How many orders of each kind have not ended; kinds without any are left out.
pub(super) fn in_force(standing: &StandingOrders, now: Timestamp) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for its in standing.index().all().iter().filter(|its| !its.order.has_ended(now)) {
        *kinds.entry(its.order.kind.name().to_owned()).or_default() += 1;
    }
    kinds
}

fn show(its: &OrderInForce, now: Timestamp) -> OrderShown {
    OrderShown {
        order: its.order.clone(),
        messages: its.messages.load(Relaxed),
        recipients: its.recipients.load(Relaxed),
        ending: its.order.has_ended(now),
    }
}

/// Puts an order in force, over restarts, too. It is in the file before this returns.
pub(super) async fn add(
    parts: &Parts,
    (keeper, file): (&OrderKeeper, StandingFile),
    new: &NewOrder,
) -> Answer<Result<OrderShown, Nonsense>> {
    let until = match check(parts, new) {
        Ok(until) => until,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let _turn = keeper.turn.lock().await;
    if let Err(error) = parts.standing.check_room(&new.criteria()) {
        return Ok(Err(Nonsense(error.to_string())));
    }
    let NewOrder { kind, ref target, rate, release, ref reason, ref by, .. } = *new;
    let mut order = StandingOrder {
        id: 0,
        kind,
        criteria: new.criteria(),
        target: target.clone(),
        rate,
        release,
        since: Timestamp::now(),
        until,
        removed: false,
        reason: reason.clone(),
        by: by.clone(),
    };
    if let Some(host) = order.target.as_mut().and_then(|target| target.host.as_mut()) {
        host.make_ascii_lowercase();
    }
    let kept = change(parts, file, move |kept| {
        kept.last += 1;
        order.id = kept.last;
        kept.orders.push(order);
    });
    let id = kept.await?.last;
    if acts(kind) {
        keeper.look_through(id);
    }
    keeper.noticed.notify_one();
    let index = parts.standing.index();
    let its = index.get(id).ok_or_else(|| Unavailable("the order has ended".to_owned()))?;
    info!(order = id, kind = kind.name(), "a standing order is in force");
    Ok(Ok(show(its, Timestamp::now())))
}

/// The mail that an order would touch now.
pub(super) async fn preview(
    parts: &Parts,
    new: &NewOrder,
) -> Answer<Result<OrderProgress, Nonsense>> {
    if let Err(nonsense) = check(parts, new) {
        return Ok(Err(nonsense));
    }
    let part = StandingPart { target: new.target.clone(), ..StandingPart::default() };
    let order = QueueOrder {
        kind: order_kind(new.kind),
        ids: Vec::new(),
        filter: filter_of(&new.criteria()),
        dry_run: true,
        by: new.by.clone(),
        reason: new.reason.clone(),
        up_to: None,
        standing: Some(part),
    };
    Ok(Ok(carry_out(parts, &order, |_| {}).await?))
}

/// Ends an order. Mail that it keeps goes on as its kind says; of a hold, when `release`.
pub(super) async fn remove(
    parts: &Parts,
    (keeper, file): (&OrderKeeper, StandingFile),
    id: u64,
    release: bool,
) -> Answer<Result<Option<OrderShown>, Nonsense>> {
    let _turn = keeper.turn.lock().await;
    let index = parts.standing.index();
    let now = Timestamp::now();
    let Some(its) = index.get(id) else { return Ok(Ok(None)) };
    if release && its.order.kind != StandingKind::Hold {
        let kind = its.order.kind.name();
        return Ok(Err(Nonsense(format!("release is for hold, and order {id} is {kind}"))));
    }
    if its.order.has_ended(now) {
        return Ok(Ok(Some(show(its, now))));
    }
    let before = show(its, now);
    change(parts, file, move |kept| {
        for order in kept.orders.iter_mut().filter(|order| order.id == id) {
            (order.until, order.removed) = (Some(now), true);
            order.release |= release;
        }
    })
    .await?;
    keeper.noticed.notify_one();
    let ended = parts.standing.index().get(id).map(|its| its.order.clone());
    Ok(Ok(Some(OrderShown { order: ended.unwrap_or(before.order), ending: true, ..before })))
}

/// Changes the file, then what is in force.
pub(super) async fn change(
    parts: &Parts,
    file: StandingFile,
    change: impl FnOnce(&mut KeptOrders) + Send + 'static,
) -> Answer<KeptOrders> {
    let work = move || -> io::Result<KeptOrders> {
        let mut kept = file.load()?;
        change(&mut kept);
        file.keep(&kept)?;
        Ok(kept)
    };
    let changed = tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(ended.into()));
    let kept = changed.map_err(|error| {
        Unavailable(format!("standing orders cannot be kept over a restart: {error}"))
    })?;
    parts.standing.replace(kept.orders.clone());
    Ok(kept)
}

/// Whether an order makes sense here; when it ends.
fn check(parts: &Parts, new: &NewOrder) -> Result<Option<Timestamp>, Nonsense> {
    let until = new.check(Timestamp::now()).map_err(|error| Nonsense(error.to_string()))?;
    if let Some(channel) = &new.channel {
        limits::check_channel(parts, channel)?;
    }
    let Some(target) = &new.target else { return Ok(until) };
    if let Some(channel) = &target.channel {
        let pattern: Result<NamePattern, _> = channel.parse();
        let named = pattern.map_err(|error| Nonsense(format!("channel {error}")))?;
        if parts.channels.find(channel).is_none() {
            limits::check_channel(parts, &named)?;
            return Err(Nonsense(format!("there is no channel {channel:?}")));
        }
    }
    if let Some(host) = &target.host
        && hosts::named(host).is_err()
    {
        return Err(Nonsense(format!("{host:?} is no host")));
    }
    if let Some(address) = &target.address {
        Address::parse(address).map_err(|error| Nonsense(format!("{address:?}: {error}")))?;
    }
    Ok(until)
}

/// Carries an order about the queue out to its end; `told`: how much more each piece has reached.
pub(super) async fn carry_out(
    parts: &Parts,
    order: &QueueOrder,
    told: impl Fn((u64, u64)),
) -> Answer<OrderProgress> {
    let (mut at, mut before) = (None, (0, 0));
    loop {
        let (progress, next) = orders::go_on(parts, order, at).await?;
        let now = (progress.reached(), progress.recipients);
        told((now.0 - before.0, now.1 - before.1));
        before = now;
        match next {
            Some(next) => at = Some(next),
            None => return Ok(progress),
        }
    }
}

/// Whether an order has something done with the queue; the others only keep mail from leaving.
pub(super) fn acts(kind: StandingKind) -> bool {
    matches!(kind, StandingKind::Hold | StandingKind::Return | StandingKind::Reroute)
}

/// The order for entries that a standing order stands for; of those that act on nothing, one that counts
/// what is not held.
pub(super) fn order_kind(kind: StandingKind) -> OrderKind {
    match kind {
        StandingKind::Hold | StandingKind::Suspend | StandingKind::Slow => OrderKind::Hold,
        StandingKind::Return => OrderKind::Return,
        StandingKind::Reroute => OrderKind::Reroute,
    }
}

pub(super) fn queue_order(order: &StandingOrder, kind: OrderKind, ids: Vec<String>) -> QueueOrder {
    QueueOrder {
        kind,
        ids,
        filter: filter_of(&order.criteria),
        dry_run: false,
        by: order.name(),
        reason: order.reason.clone(),
        up_to: None,
        standing: Some(StandingPart {
            id: order.id,
            target: order.target.clone(),
            only_its_own: false,
        }),
    }
}
