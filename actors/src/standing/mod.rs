//! Standing orders of operators: for what waits, and for what comes.
//!
//! A session asks at the door ([`StandingOrders::refusal`]), a courier before it delivers
//! ([`StandingOrders::catch`]): nothing leaves past an order. Mail that is to be held, returned or sent
//! elsewhere is put off for a moment by its courier and noted; whoever keeps the orders ([`caught`]) does
//! the rest by the ways that operators' orders for the queue have. Where no order is in force, each of
//! these costs one relaxed load.
//!
//! [`caught`]: StandingOrders::caught

mod in_force;
mod index;
mod order;
mod pace;
pub mod pattern;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use relais_channels::mail::{Enhanced, Entry, Envelope, MessageId, Recipient, Reply};
use tokio::sync::Notify;

use self::in_force::Totals;
pub use self::{
    in_force::OrderInForce,
    index::OrderIndex,
    order::{MailSeen, OrderCriteria, OrderRate, RerouteTarget, StandingKind, StandingOrder},
};
use crate::timestamp::now_ms;

/// The orders in force. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct StandingOrders(Arc<SharedOrders>);

#[derive(Debug, Default)]
struct SharedOrders {
    any: AtomicBool,
    index: RwLock<Arc<OrderIndex>>,
    caught: Mutex<Caught>,
    noticed: Notify,
    totals: Arc<Totals>,
}

/// Mail that orders have caught, and that something is to be done with.
#[derive(Debug, Default)]
pub struct Caught {
    /// An order's number, and a message.
    pub messages: BTreeSet<(u64, MessageId)>,
    /// Orders that caught more than can be noted: whatever waits has to be looked through.
    pub overflowed: BTreeSet<u64>,
}

/// An entry that an order keeps from being delivered now.
#[derive(Clone, Debug)]
pub struct KeptByOrder {
    /// Until when, in milliseconds since 1970.
    pub until: u64,
    /// The order and its reason, for the history.
    pub reason: Arc<str>,
}

/// There are as many orders as may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OrdersFull {
    /// Of all sorts.
    #[error("{MAX_ORDERS} orders stand already")]
    Orders,
    /// Of those that have no exact word.
    #[error(
        "{MAX_PARTS} orders stand already that have `~` with each word: they are looked at for every message"
    )]
    Parts,
}

impl StandingOrders {
    /// Whether no order is in force.
    pub fn is_empty(&self) -> bool {
        !self.0.any.load(Relaxed)
    }

    /// The orders in force.
    pub fn index(&self) -> Arc<OrderIndex> {
        Arc::clone(&self.0.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts these in force, and no others. Those that were in force keep their numbers of what they have
    /// done.
    pub fn replace(&self, orders: Vec<StandingOrder>) {
        let before = self.index();
        let in_force = |order: StandingOrder| match before.get(order.id) {
            Some(same) if same.order == order => Arc::clone(same),
            _ => Arc::new(OrderInForce::new(order, Arc::clone(&self.0.totals))),
        };
        let all: Vec<_> = orders.into_iter().map(in_force).collect();
        let any = !all.is_empty();
        let index = Arc::new(OrderIndex::of(all));
        *self.0.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.0.any.store(any, Relaxed);
        self.0.noticed.notify_one();
    }

    /// Entries and recipients that orders of a kind have touched since the engine started.
    pub fn totals(&self, kind: StandingKind) -> (u64, u64) {
        let [messages, recipients] = &self.0.totals.0[kind as usize];
        (messages.load(Relaxed), recipients.load(Relaxed))
    }

    /// The order that would count for a message to one recipient that goes this way.
    pub fn foresee(
        &self,
        sender: &str,
        recipient: &Recipient,
        (channel, host): (&str, &str),
    ) -> Option<Arc<OrderInForce>> {
        let recipients = std::slice::from_ref(recipient);
        let mail = MailSeen { sender, channel, host, recipients, open: 1 };
        let now = crate::timestamp::Timestamp::now();
        // At the door notices are refused, too.
        let is_met =
            |its: &OrderInForce| its.order.kind == StandingKind::Return || !its.order.spares(&mail);
        let counts = |its: &OrderInForce| !its.order.has_ended(now) && is_met(its);
        self.index().find(&mail, counts).cloned()
    }

    /// Whether one more order fits.
    pub fn check_room(&self, criteria: &OrderCriteria) -> Result<(), OrdersFull> {
        let index = self.index();
        if index.all().len() >= MAX_ORDERS {
            return Err(OrdersFull::Orders);
        }
        let parts = |its: &&Arc<OrderInForce>| index::has_parts_alone(&its.order.criteria);
        if index::has_parts_alone(criteria) && index.all().iter().filter(parts).count() >= MAX_PARTS
        {
            return Err(OrdersFull::Parts);
        }
        Ok(())
    }

    /// The order that keeps an entry of a message from being delivered now, and until when. `due`: when
    /// it was due, 0 if it has not waited.
    pub fn catch(
        &self,
        envelope: &Envelope,
        (entry, open, due): (&Entry, u64, u64),
    ) -> Option<KeptByOrder> {
        if self.is_empty() {
            return None;
        }
        let mail = seen(envelope, entry, open);
        let index = self.index();
        let now = now_ms();
        let counts = |its: &OrderInForce| {
            !its.order.has_ended(crate::timestamp::Timestamp(now)) && !its.order.spares(&mail)
        };
        let its = index.find(&mail, counts)?;
        let until = match its.order.kind {
            StandingKind::Suspend => {
                its.touched(1, u64::from(open.count_ones()));
                its.order.until.map_or(now + AGAIN_MS, |until| until.0)
            }
            StandingKind::Slow => {
                let micros = |rate: OrderRate| rate.0.interval().as_micros();
                let interval = its.order.rate.map_or(0, micros);
                let interval = u64::try_from(interval).unwrap_or(u64::MAX);
                let mut pace = its.pace.lock().unwrap_or_else(PoisonError::into_inner);
                let until = pace.ask(interval, due, now)?;
                its.touched(1, u64::from(open.count_ones()));
                until
            }
            StandingKind::Hold | StandingKind::Return | StandingKind::Reroute => {
                self.note(its.order.id, envelope.id);
                now + KEPT_MS
            }
        };
        Some(KeptByOrder { until, reason: its.order.words().into() })
    }

    /// The order that counts for an entry, whatever it has done so far.
    pub fn find(&self, envelope: &Envelope, entry: &Entry, open: u64) -> Option<Arc<OrderInForce>> {
        if self.is_empty() {
            return None;
        }
        let mail = seen(envelope, entry, open);
        let now = crate::timestamp::Timestamp::now();
        let counts = |its: &OrderInForce| !its.order.has_ended(now) && !its.order.spares(&mail);
        self.index().find(&mail, counts).cloned()
    }

    /// Whether an order that does not stand yet would count for an entry.
    pub fn would_count(
        &self,
        order: &StandingOrder,
        envelope: &Envelope,
        (entry, open): (&Entry, u64),
    ) -> bool {
        let mail = seen(envelope, entry, open);
        let stands_above = |its: Arc<OrderInForce>| its.order.kind <= order.kind;
        order.criteria.admit(&mail)
            && !order.spares(&mail)
            && !self.find(envelope, entry, open).is_some_and(stands_above)
    }

    /// Whether an order of this number stands, and has not ended.
    pub fn is_in_force(&self, id: u64) -> bool {
        let now = crate::timestamp::Timestamp::now();
        self.index().get(id).is_some_and(|its| !its.order.has_ended(now))
    }

    /// The reply to a recipient that is refused: an order returns all that would come of it. `ways`: the
    /// channel and host of each.
    pub fn refusal<'a>(
        &self,
        sender: &str,
        recipient: &Recipient,
        mut ways: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<Reply> {
        if self.is_empty() {
            return None;
        }
        let (index, recipients) = (self.index(), std::slice::from_ref(recipient));
        let now = crate::timestamp::Timestamp::now();
        let returns = |its: &OrderInForce| {
            its.order.kind == StandingKind::Return && !its.order.has_ended(now)
        };
        let mut found = None;
        let all = ways.all(|(channel, host)| {
            let mail = MailSeen { sender, channel, host, recipients, open: 1 };
            // A hold or a suspension stands above a return.
            let counts = |its: &OrderInForce| !its.order.has_ended(now);
            found = index.find(&mail, counts).filter(|its| returns(its)).cloned();
            found.is_some()
        });
        let its = found.filter(|_| all)?;
        its.touched(1, 1);
        // The name of the operator is nothing that clients are told.
        let text = format!("refused by order {}: {}", its.order.id, its.order.reason);
        let plain: String = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        Some(Reply::with_text(550, Enhanced(5, 7, 1), plain))
    }

    /// Why a message is held from the beginning: one order holds each of its entries. Of the others, orders
    /// that concern some of its entries note it: each is told by its words when it ends.
    pub fn receive(&self, envelope: &Envelope) -> Option<String> {
        if self.is_empty() || envelope.entries.is_empty() {
            return None;
        }
        let orders: Vec<_> =
            envelope.entries.iter().map(|entry| self.find(envelope, entry, u64::MAX)).collect();
        let holds = |its: &&Arc<OrderInForce>| its.order.kind == StandingKind::Hold;
        let first = orders.first().and_then(Option::as_ref).filter(holds);
        let is_first = |its: &Option<Arc<OrderInForce>>, first: &OrderInForce| {
            its.as_ref().is_some_and(|its| its.order.id == first.order.id)
        };
        if let Some(only) = first.filter(|first| orders.iter().all(|its| is_first(its, first))) {
            let recipients = envelope.entries.iter().map(|entry| entry.recipients.len() as u64);
            only.touched(envelope.entries.len() as u64, recipients.sum());
            return Some(held_words(&only.order));
        }
        for its in orders.iter().flatten().filter(|its| its.order.kind.acts()) {
            self.note(its.order.id, envelope.id);
        }
        None
    }

    fn note(&self, order: u64, message: MessageId) {
        let mut caught = self.0.caught.lock().unwrap_or_else(PoisonError::into_inner);
        if caught.messages.len() < MAX_CAUGHT {
            caught.messages.insert((order, message));
        } else {
            caught.overflowed.insert(order);
        }
        drop(caught);
        self.0.noticed.notify_one();
    }

    /// Takes what orders have caught.
    pub fn caught(&self) -> Caught {
        std::mem::take(&mut self.0.caught.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ready when something was caught, or the orders are others.
    pub async fn noticed(&self) {
        self.0.noticed.notified().await;
    }
}

fn seen<'a>(envelope: &'a Envelope, entry: &'a Entry, open: u64) -> MailSeen<'a> {
    let Entry { channel, host, recipients } = entry;
    MailSeen { sender: &envelope.sender, channel, host, recipients, open }
}

/// Why an entry is held: for its history. What an order held is found by it.
pub fn held_words(order: &StandingOrder) -> String {
    format!("held by {}: {}", order.name(), order.reason)
}

/// Orders at once.
pub const MAX_ORDERS: usize = 1_000;
/// Of these, orders that have no exact word.
pub const MAX_PARTS: usize = 100;
/// Messages that are noted at once.
const MAX_CAUGHT: usize = 10_000;
/// Mail that an order without an end suspends is looked at again after so many milliseconds.
const AGAIN_MS: u64 = 3_600_000;
/// The same of mail that is held, returned or sent elsewhere in a moment, should that fail.
const KEPT_MS: u64 = 60_000;
