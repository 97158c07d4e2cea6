//! A pass through all that waits, for the standing orders that have yet to see it: one for all of them, that
//! asks of each entry which order counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use relais_actors::{
    queue::{CountOrders, Reading},
    standing::OrderInForce,
};
use relais_channels::mail::MessageId;
use relais_storage::{EntryState, PageReader};

use super::{
    entries::{Depth, Described, Position, describe},
    ordered_by::seen,
    orders::{AT_ONCE, OrderLog, deal_with},
    parts::{Parts, gone, unavailable},
    standing::queue_order,
};
use crate::{
    admin::Answer,
    api::{OrderKind, OrderProgress, QueueFilter, QueueOrder, filter_of},
};

/// How far a pass has come.
pub(super) struct Sweep {
    next: Option<Position>,
    pages: PageReader,
    /// The last message that is meant: later ones meet the orders where they come in.
    last: MessageId,
    /// Results so far, by the numbers of the orders.
    orders: BTreeMap<u64, (QueueOrder, OrderLog)>,
}

impl Sweep {
    /// For the orders of these numbers, from the beginning.
    pub(super) fn begin(parts: &Parts, ids: &BTreeSet<u64>) -> Self {
        let index = parts.standing.index();
        let wanted = index.all().iter().filter(|its| ids.contains(&its.order.id));
        let order = |its: &Arc<OrderInForce>| {
            let order = queue_order(&its.order, OrderKind::of_standing(its.order.kind), Vec::new());
            let log = OrderLog::new(&order, OrderProgress::default());
            (its.order.id, (order, log))
        };
        Self {
            next: Some(Position::first()),
            pages: parts.storage.page_reader(),
            last: parts.storage.last_id(),
            orders: wanted.map(order).collect(),
        }
    }

    /// The numbers of its orders.
    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.orders.keys().copied()
    }

    /// Carries out a bounded piece; whether there is more. Orders that have ended since are left out.
    pub(super) async fn go_on(&mut self, parts: &Parts) -> Answer<bool> {
        self.orders.retain(|id, _| parts.standing.is_in_force(*id));
        let Some(position) = self.next.filter(|_| !self.orders.is_empty()) else {
            return Ok(false);
        };
        let pending = parts.queue.ask(CountOrders).await.map_err(gone)?;
        let _under_way = parts.orders.begin(pending);
        let reading = Reading::begin(&parts.queue).await.map_err(gone)?;
        let filter = self.filter(parts);
        let page = position.page(parts, &filter, AT_ONCE).await.map_err(unavailable)?;
        let (mut found, next) = page;
        found.retain(|entry| {
            entry.id <= self.last && !matches!(entry.state, EntryState::Held { .. })
        });
        let described = describe(parts, &self.pages, found, None, Depth::Record).await?;
        for (id, wanted) in self.by_order(parts, described) {
            let Some((order, log)) = self.orders.get_mut(&id) else { continue };
            let (messages, recipients) = (log.progress.reached(), log.progress.recipients);
            deal_with(parts, order, &reading, wanted, &mut log.progress).await?;
            if let Some(its) = parts.standing.index().get(id) {
                let now = &log.progress;
                its.touched(now.reached() - messages, now.recipients - recipients);
            }
        }
        self.next = next;
        if next.is_none() {
            self.orders.values_mut().for_each(|(_, log)| log.progress.ended = true);
        }
        Ok(next.is_some())
    }

    /// The answer that needs no reading of a message, if it is one for all of its orders.
    fn filter(&self, parts: &Parts) -> QueueFilter {
        let index = parts.standing.index();
        let only = self.orders.keys().next().filter(|_| self.orders.len() == 1);
        let only = only.and_then(|id| index.get(*id));
        only.map_or_else(QueueFilter::default, |its| filter_of(&its.order.criteria))
    }

    /// The entries that each of its orders counts for.
    fn by_order(&self, parts: &Parts, described: Vec<Described>) -> BTreeMap<u64, Vec<Described>> {
        let mut by_order: BTreeMap<u64, Vec<Described>> = BTreeMap::new();
        for described in described {
            let its = seen(&described)
                .and_then(|(envelope, entry, open)| parts.standing.find(envelope, entry, open));
            if let Some(id) = its.map(|its| its.order.id).filter(|id| self.orders.contains_key(id))
            {
                by_order.entry(id).or_default().push(described);
            }
        }
        by_order
    }
}
