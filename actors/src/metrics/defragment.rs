//! Meters of messages that come in pieces.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Messages that come in pieces. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DefragmentMeter {
    /// Messages of which pieces wait.
    pub messages: Gauge,
    /// Pieces that wait.
    pub pieces: Gauge,
    /// Messages that were put together.
    pub put_together: Counter,
    /// Pieces that came twice, and were removed.
    pub copies: Counter,
    passed_on: Family<ReasonLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReasonLabels {
    reason: &'static str,
}

impl DefragmentMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self {
            messages: Gauge::default(),
            pieces: Gauge::default(),
            put_together: Counter::default(),
            copies: Counter::default(),
            passed_on: Family::default(),
        };
        let help = "Messages of which pieces (message/partial) wait for others";
        registry.register("defragment_messages", help, meter.messages.clone());
        let help = "Pieces of messages that wait for others";
        registry.register("defragment_pieces", help, meter.pieces.clone());
        let help = "Messages that were put together from pieces";
        registry.register("defragment_put_together", help, meter.put_together.clone());
        let help = "Pieces of messages that came twice and were removed";
        registry.register("defragment_copies", help, meter.copies.clone());
        let help = "Pieces of messages that passed on as they are, by reason; the log names each";
        registry.register("defragment_passed_on", help, meter.passed_on.clone());
        meter
    }

    /// Counts pieces that passed on for this reason.
    pub fn passed_on(&self, reason: &'static str, pieces: usize) {
        self.passed_on.get_or_create(&ReasonLabels { reason }).inc_by(pieces as u64);
    }

    /// Has this reason shown before anything passed on for it.
    pub fn announce(&self, reason: &'static str) {
        drop(self.passed_on.get_or_create(&ReasonLabels { reason }));
    }
}
