//! Numbers of the delivery history, and where it is told things.

use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use relais_history::{Stop, Tap};

use super::level;

/// Moves the numbers of the history.
#[derive(Debug, Default)]
pub struct HistoryMeter {
    /// Takes what happens to mail.
    pub tap: Tap,
    records: Counter,
    lost: Counter,
    octets: Gauge,
    stopped: Gauge,
}

impl HistoryMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self::default();
        let help = "Records written into the delivery history";
        registry.register("history_records", help, meter.records.clone());
        let help =
            "Records that the delivery history has lost: it was written too slowly, or not at all";
        registry.register("history_lost", help, meter.lost.clone());
        let help = "Size of the delivery history on the disk";
        registry.register_with_unit("history", help, Unit::Bytes, meter.octets.clone());
        let help = "Whether the delivery history cannot be written: the disk is full, or broken";
        registry.register("history_stopped", help, meter.stopped.clone());
        meter
    }

    /// Why nothing is written, if that is so, and how many records are lost.
    pub fn trouble(&self) -> (Option<Stop>, u64) {
        let figures = self.tap.figures();
        (figures.stop(), figures.lost.load(Relaxed))
    }

    /// Takes over the writer's numbers.
    pub(super) fn update(&self) {
        let figures = self.tap.figures();
        self.records.inner().store(figures.notes.load(Relaxed), Relaxed);
        self.lost.inner().store(figures.lost.load(Relaxed), Relaxed);
        self.octets.set(level(figures.octets.load(Relaxed) as usize));
        self.stopped.set(i64::from(figures.stop().is_some()));
    }
}
