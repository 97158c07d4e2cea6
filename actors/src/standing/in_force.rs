//! An order while it is in force.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    order::{MailSeen, StandingKind, StandingOrder},
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

    /// Whether mail of its own keeps an entry out of its reach: a notice cannot be returned, and what goes
    /// elsewhere already is there.
    pub(super) fn spares(&self, mail: &MailSeen<'_>, rerouted: u64) -> bool {
        match self.order.kind {
            StandingKind::Return => mail.sender.is_empty(),
            StandingKind::Reroute => {
                let Some(target) = &self.order.target else { return true };
                let is_there = |wanted: &Option<String>, is: &str| {
                    wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
                };
                match &target.address {
                    Some(_) => rerouted >= self.order.since.0,
                    None => {
                        is_there(&target.channel, mail.channel) && is_there(&target.host, mail.host)
                    }
                }
            }
            StandingKind::Hold | StandingKind::Suspend | StandingKind::Slow => false,
        }
    }
}
