//! Meters of standing orders, by their kind.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Standing orders by kind. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StandingMeter {
    orders: Family<StandingLabels, Gauge>,
    messages: Family<StandingLabels, Counter>,
    recipients: Family<StandingLabels, Counter>,
}

/// The number of orders of one kind, and what it has touched.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct StandingTotals {
    /// Orders that stand.
    pub orders: u64,
    /// Entries that they touched since the start, and recipients refused.
    pub messages: u64,
    /// Recipients of these.
    pub recipients: u64,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StandingLabels {
    kind: &'static str,
}

impl StandingMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (orders, messages, recipients) =
            (Family::default(), Family::default(), Family::default());
        let help = "Orders of operators that stand, by kind";
        registry.register("standing_orders", help, Family::clone(&orders));
        let help = "Queue entries touched by standing orders, and recipients refused, by kind";
        registry.register("standing_order_messages", help, Family::clone(&messages));
        let help = "Recipients touched by standing orders, by kind";
        registry.register("standing_order_recipients", help, Family::clone(&recipients));
        Self { orders, messages, recipients }
    }

    /// Shows how the orders of a kind stand now.
    pub fn show(&self, kind: &'static str, totals: StandingTotals) {
        let labels = StandingLabels { kind };
        let StandingTotals { orders, messages, recipients } = totals;
        self.orders.get_or_create(&labels).set(super::level(orders));
        // The counts only grow.
        let store = |family: &Family<StandingLabels, Counter>, count| {
            let counter = family.get_or_create_owned(&labels);
            counter.inner().store(count, std::sync::atomic::Ordering::Relaxed);
        };
        store(&self.messages, messages);
        store(&self.recipients, recipients);
    }
}
