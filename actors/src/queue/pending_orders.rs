//! Orders about entries that cannot be carried out at once: a job has the entry in hand, or its
//! sender has to be told first. Knows no actor.

use std::collections::{HashMap, HashSet};

use relais_storage::EntryState;
use tokio::sync::oneshot;

use super::{
    entry::{Key, Tracked},
    postponed::Postponed,
    requests::{Order, OrderKind},
};
use crate::ids::Destination;

/// The orders.
#[derive(Debug, Default)]
pub(super) struct PendingOrders {
    /// About entries that jobs have in hand.
    in_hand: HashMap<Key, Order>,
    /// Of these, what has come back and is to be deleted.
    deletions: Vec<Deletion>,
    /// Entries that operators return and the notary has.
    returning: HashSet<Key>,
    /// Each is told when there is room for more returns.
    returners: Vec<oneshot::Sender<()>>,
    /// Returns that are to be tried again.
    pub(super) postponed: Postponed,
}

/// An entry that is back from its job, and is to go. It has been taken aside.
#[derive(Debug)]
pub(super) struct Deletion {
    pub(super) destination: Destination,
    pub(super) entry: Tracked,
    pub(super) was: EntryState,
    pub(super) order: Order,
}

impl PendingOrders {
    /// A job has the entry: the order waits until that gives it back.
    pub(super) fn wait(&mut self, entry: Key, order: Order) {
        self.in_hand.insert(entry, order);
    }

    /// Whether an order waits until a job gives the entry back.
    pub(super) fn waits(&self, entry: Key) -> bool {
        self.in_hand.contains_key(&entry)
    }

    /// Takes the order that waits until a job gives the entry back.
    pub(super) fn take(&mut self, entry: Key) -> Option<Order> {
        self.in_hand.remove(&entry)
    }

    /// Entries whose jobs are to give them back for an order, and that.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Key, &Order)> {
        self.in_hand.iter().map(|(key, order)| (*key, order))
    }

    /// A newer order stands above an older one.
    pub(super) fn supersede(&mut self, entry: Key) {
        self.in_hand.remove(&entry);
        self.postponed.forget(entry);
    }

    /// The order that is to be carried out with the entry sooner or later.
    pub(super) fn ordered(&self, entry: Key) -> Option<OrderKind> {
        let returns = || self.returning.contains(&entry).then_some(OrderKind::Return);
        self.in_hand.get(&entry).map(|order| order.kind).or_else(returns)
    }

    /// How many orders about entries are taken and not carried out yet.
    pub(super) fn len(&self) -> usize {
        self.in_hand.len() + self.returning.len() + self.postponed.len()
    }

    /// An entry that a job gave back is to be deleted as soon as the log has its line.
    pub(super) fn delete(&mut self, deletion: Deletion) {
        self.deletions.push(deletion);
    }

    /// Takes what is to be deleted.
    pub(super) fn take_deletions(&mut self) -> Vec<Deletion> {
        std::mem::take(&mut self.deletions)
    }

    /// The notary has an entry that an operator returns.
    pub(super) fn begin_return(&mut self, entry: Key) {
        self.returning.insert(entry);
    }

    /// The notary is done with it. Who ordered more may go on when there is room.
    pub(super) fn end_return(&mut self, entry: Key) {
        self.returning.remove(&entry);
        if self.has_room_for_returns() {
            for waiting in self.returners.drain(..) {
                // The operator may have run out of patience.
                let _ = waiting.send(());
            }
        }
    }

    /// Whether more returns are taken.
    pub(super) fn has_room_for_returns(&self) -> bool {
        self.returning.len() < MAX_RETURNING
    }

    /// Ready when there is room for more returns.
    pub(super) fn wait_for_room(&mut self) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.returners.push(tell);
        told
    }
}

/// Entries that operators return and the notary has, while more are taken.
const MAX_RETURNING: usize = 2_000;

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    #[test]
    fn a_newer_order_stands_above_an_older_one() {
        let entry = (MessageId(7), 0);
        let order = |kind| Order { kind, reason: "as the test wants it".into() };
        let mut orders = PendingOrders::default();
        orders.wait(entry, order(OrderKind::Hold));
        orders.wait(entry, order(OrderKind::Delete));
        assert_eq!((orders.ordered(entry), orders.len()), (Some(OrderKind::Delete), 1));
        orders.supersede(entry);
        assert_eq!((orders.ordered(entry), orders.len()), (None, 0));
        orders.begin_return(entry);
        assert_eq!((orders.ordered(entry), orders.waits(entry)), (Some(OrderKind::Return), false));
    }

    #[test]
    fn who_returns_too_many_waits_until_there_is_room() {
        let mut orders = PendingOrders::default();
        for id in 0..MAX_RETURNING as u64 {
            assert!(orders.has_room_for_returns());
            orders.begin_return((MessageId(id), 0));
        }
        assert!(!orders.has_room_for_returns());
        let mut room = orders.wait_for_room();
        assert!(room.try_recv().is_err());
        orders.end_return((MessageId(0), 0));
        assert_eq!(room.try_recv(), Ok(()));
    }
}
