//! Standing orders: added, shown, removed, and what they want done with the queue.
//!
//! The file has an order before it is in force, and until all that its end brings is done: what a crash
//! breaks off is begun anew by the next start.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
};

use relais_actors::{
    standing::{OrderInForce, StandingKind, StandingOrder, StandingOrders},
    timestamp::Timestamp,
};
use relais_channels::mail::Address;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedMutexGuard};
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
    turn: Arc<AsyncMutex<()>>,
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

    /// Takes all of these.
    pub(super) fn take_fresh(&self) -> BTreeSet<u64> {
        std::mem::take(&mut self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ready when the orders are others, or one has something to look through.
    pub(super) async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// The right to change the file.
    pub(super) async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
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
    (keeper, file): (&Arc<OrderKeeper>, StandingFile),
    new: &NewOrder,
) -> Answer<Result<OrderShown, Nonsense>> {
    let until = match check(parts, new) {
        Ok(until) => until,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let turn = keeper.turn().await;
    if let Err(error) = parts.standing.check_room(&new.criteria()) {
        return Ok(Err(Nonsense(error.to_string())));
    }
    let mut order = order_of(new, until);
    let kept = change((&parts.standing, keeper, file), turn, move |kept| {
        kept.last += 1;
        order.id = kept.last;
        kept.orders.push(order);
    });
    let id = kept.await?.last;
    let index = parts.standing.index();
    let its = index.get(id).ok_or_else(|| Unavailable("the order has ended".to_owned()))?;
    info!(order = id, kind = new.kind.name(), "a standing order is in force");
    Ok(Ok(show(its, Timestamp::now())))
}

/// The mail that an order would touch now.
pub(super) async fn preview(
    parts: &Parts,
    new: &NewOrder,
) -> Answer<Result<OrderProgress, Nonsense>> {
    let until = match check(parts, new) {
        Ok(until) => until,
        Err(nonsense) => return Ok(Err(nonsense)),
    };
    let would_be = order_of(new, until);
    let mut order = queue_order(&would_be, OrderKind::of_standing(new.kind), Vec::new());
    order.dry_run = true;
    if let Some(part) = &mut order.standing {
        part.would_be = Some(Box::new(would_be));
    }
    Ok(Ok(carry_out(parts, &order, |_| {}).await?))
}

/// The order that is wanted, without its number.
fn order_of(new: &NewOrder, until: Option<Timestamp>) -> StandingOrder {
    let NewOrder { kind, ref target, rate, release, ref reason, ref by, .. } = *new;
    let mut target = target.clone();
    if let Some(host) = target.as_mut().and_then(|target| target.host.as_mut()) {
        host.make_ascii_lowercase();
    }
    StandingOrder {
        id: 0,
        kind,
        criteria: new.criteria(),
        target,
        rate,
        release,
        since: Timestamp::now(),
        until,
        removed: false,
        reason: reason.clone(),
        by: by.clone(),
    }
}

/// Ends an order. Mail that it keeps goes on as its kind says; of a hold, when `release`.
pub(super) async fn remove(
    parts: &Parts,
    (keeper, file): (&Arc<OrderKeeper>, StandingFile),
    id: u64,
    release: bool,
) -> Answer<Result<Option<OrderShown>, Nonsense>> {
    let turn = keeper.turn().await;
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
    change((&parts.standing, keeper, file), turn, move |kept| {
        for order in kept.orders.iter_mut().filter(|order| order.id == id) {
            (order.until, order.removed) = (Some(now), true);
            order.release |= release;
        }
    })
    .await?;
    let ended = parts.standing.index().get(id).map(|its| its.order.clone());
    Ok(Ok(Some(OrderShown { order: ended.unwrap_or(before.order), ending: true, ..before })))
}

/// Changes the file, then what is in force. Both are done, or the file says no, though nobody waits for it
/// any more.
pub(super) async fn change(
    (standing, keeper, file): (&StandingOrders, &Arc<OrderKeeper>, StandingFile),
    turn: OwnedMutexGuard<()>,
    change: impl FnOnce(&mut KeptOrders) + Send + 'static,
) -> Answer<KeptOrders> {
    let (standing, keeper) = (standing.clone(), Arc::clone(keeper));
    let work = move || -> io::Result<KeptOrders> {
        let _turn = turn;
        let mut kept = file.load()?;
        let last = kept.last;
        change(&mut kept);
        file.keep(&kept)?;
        standing.replace(kept.orders.clone());
        for fresh in kept.orders.iter().filter(|order| order.id > last && order.kind.acts()) {
            keeper.look_through(fresh.id);
        }
        keeper.noticed.notify_one();
        Ok(kept)
    };
    let changed = tokio::task::spawn_blocking(work).await.unwrap_or_else(|ended| Err(ended.into()));
    changed.map_err(|error| limits::not_kept(&error))
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

/// Carries an order about the queue out to its end, or for as long as the standing order is in force that has
/// it done; `told`: how much more each piece has reached.
pub(super) async fn carry_out(
    parts: &Parts,
    order: &QueueOrder,
    told: impl Fn((u64, u64)),
) -> Answer<OrderProgress> {
    let stands = order.standing.as_ref();
    let stands = stands.filter(|part| !part.only_its_own && part.would_be.is_none());
    let has_ended = || stands.is_some_and(|part| !parts.standing.is_in_force(part.id));
    let (mut at, mut before) = (None, (0, 0));
    let mut so_far = OrderProgress::default();
    loop {
        if has_ended() {
            return Ok(so_far);
        }
        let (progress, next) = orders::go_on(parts, order, at).await?;
        let now = (progress.reached(), progress.recipients);
        told((now.0 - before.0, now.1 - before.1));
        before = now;
        match next {
            Some(next) => (at, so_far) = (Some(next), progress),
            None => return Ok(progress),
        }
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
            would_be: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn what_the_file_has_is_in_force_though_nobody_waits_for_it() {
        let data = tempfile::tempdir().unwrap();
        let file = StandingFile::new(data.path());
        let (standing, keeper) = (StandingOrders::default(), Arc::new(OrderKeeper::default()));
        let order: StandingOrder = serde_json::from_str(
            r#"{"id":1,"kind":"hold","from":"@a.test","since":"2026-01-01T00:00:00.000Z","reason":"x"}"#,
        )
        .unwrap();
        let (started, go) = std::sync::mpsc::channel();
        let (goes_on, go_on) = std::sync::mpsc::channel();
        let work = change(
            (&standing, &keeper, file.clone()),
            keeper.turn().await,
            move |kept: &mut KeptOrders| {
                started.send(()).unwrap();
                go_on.recv().unwrap();
                kept.last = 1;
                kept.orders.push(order);
            },
        );
        assert!(timeout(Duration::from_millis(50), work).await.is_err());
        go.recv().unwrap();
        assert!(Arc::clone(&keeper.turn).try_lock_owned().is_err(), "its turn lasts until the end");
        goes_on.send(()).unwrap();
        let _turn = keeper.turn().await;
        assert!(standing.is_in_force(1));
        assert_eq!((file.load().unwrap().last, keeper.take_fresh()), (1, [1].into()));
    }
}
