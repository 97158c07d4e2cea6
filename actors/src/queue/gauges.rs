//! Gauges of the queue for the endpoint and the log. This file knows no actor.

use std::sync::Arc;

use relais_storage::{Counts, Storage};
use tracing::{info, warn};

use super::tracker::Tracker;
use crate::{
    channel_table::Channels,
    metrics::{Metrics, Pause, QueueState, level},
    timestamp::now_ms,
};

/// The gauges of the queue and its channels.
pub(super) struct Gauges {
    channels: Arc<Channels>,
    metrics: Arc<Metrics>,
    /// Why nothing is handed out, as far as the log has been told.
    paused: Option<Pause>,
}

impl Gauges {
    pub(super) fn new(channels: Arc<Channels>, metrics: Arc<Metrics>) -> Self {
        Self { channels, metrics, paused: None }
    }

    pub(super) fn adopt(&mut self, channels: Arc<Channels>) {
        self.channels = channels;
    }

    /// Says once that nothing is handed out, and once that it is again.
    pub(super) fn tell_of_pause(&mut self, paused: Option<Pause>) {
        if std::mem::replace(&mut self.paused, paused) == paused {
            return;
        }
        match paused {
            // The drain has words of its own.
            Some(Pause::Draining) => {}
            Some(pause) => warn!(why = pause.words(), "no message is handed to a job for now"),
            None => info!("messages are handed to jobs again"),
        }
    }

    /// Sets all of them. Looks at every entry.
    pub(super) fn publish(&self, tracker: &Tracker, storage: &Storage) {
        let (counts, tally, oldest) = (storage.counts(), tracker.tally(), tracker.oldest());
        for (id, channel) in self.channels.by_number() {
            let counts = counts.get(&channel.name).copied().unwrap_or_default();
            let tally = tally.get(&id).copied().unwrap_or_default();
            let waiting = tally.waiting(&counts);
            let meter = self.metrics.channel(&channel.name);
            meter.waiting(QueueState::Ready).set(level(waiting.ready));
            meter.waiting(QueueState::Active).set(level(waiting.active));
            meter.waiting(QueueState::Delayed).set(level(waiting.delayed));
            meter.waiting(QueueState::Held).set(level(counts.held));
            let age = oldest.get(&id).map_or(0, |id| now_ms().saturating_sub(id.received_ms()));
            meter.oldest.set(level(age / 1_000));
            meter.stored((&counts).into());
        }
        let stored: u64 = counts.values().map(Counts::total).sum();
        let owing: u64 = counts.values().map(|counts| counts.owing).sum();
        self.metrics.queue.owing.set(level(owing));
        self.metrics.queue.tracked.set(level(tracker.len()));
        self.metrics.queue.stored.set(level(stored));
        self.metrics.spool.bytes.set(level(storage.bytes()));
    }
}
