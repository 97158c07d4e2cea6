//! An order while it is in force.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    order::{StandingKind, StandingOrder},
    pace::Pace,
};

/// An order in force, and what it has done since the engine started.
#[derive(Debug)]
pub struct OrderInForce {
    /// The order.
    pub order: StandingOrder,
    /// Entries of the queue that it touched, and recipients refused at the door. Mail that waits again
    /// and again counts each time.
    pub messages: AtomicU64,
    /// Recipients of these.
    pub recipients: AtomicU64,
    pub(super) pace: Mutex<Pace>,
    totals: Arc<Totals>,
}

/// Entries and recipients that orders of each kind have touched since the engine started.
#[derive(Debug, Default)]
pub(super) struct Totals(pub(super) [[AtomicU64; 2]; StandingKind::ALL.len()]);

impl OrderInForce {
    pub(super) fn new(order: StandingOrder, totals: Arc<Totals>) -> Self {
        Self {
            order,
            messages: AtomicU64::new(0),
            recipients: AtomicU64::new(0),
            pace: Mutex::default(),
            totals,
        }
    }

    /// Counts what it touched.
    pub fn touched(&self, messages: u64, recipients: u64) {
        self.messages.fetch_add(messages, Relaxed);
        self.recipients.fetch_add(recipients, Relaxed);
        let [all_messages, all_recipients] = &self.totals.0[self.order.kind as usize];
        all_messages.fetch_add(messages, Relaxed);
        all_recipients.fetch_add(recipients, Relaxed);
    }
}
