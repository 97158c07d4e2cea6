//! What every channel is measured by: the events, its part of the queue, its deliveries.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::status::{EntryState, Event, Tally};

/// What one channel holds. A *message* is an entry here, as in [`Event`].
#[derive(Debug)]
pub struct ChannelMeter {
    /// As configured.
    pub name: String,
    /// Jobs that could run if the pool had room.
    pub job_waiting: Gauge,
    /// Seconds since the arrival of the oldest entry; 0 when there is none.
    pub oldest: Gauge,
    events: [EventMeter; Event::ALL.len()],
    stored_now: [AtomicU64; 3],
    waiting: [Gauge; EntryState::ALL.len()],
    seconds: Histogram,
    results: [Counter; Class::ALL.len()],
}

/// How a recipient came out of an attempt; the label `class`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Class {
    /// The next hop has taken responsibility.
    Delivered,
    /// To be tried again.
    Deferred,
    /// Trying again is useless.
    Failed,
}

#[derive(Debug, Default)]
struct EventMeter {
    messages: Counter,
    recipients: AtomicU64,
    bytes: AtomicU64,
}

/// The families, from which [`Families::meter`] takes the handles of a channel.
pub(super) struct Families {
    messages: Family<EventLabels, Counter>,
    waiting: Family<StateLabels, Gauge>,
    oldest: Family<ChannelLabels, Gauge>,
    job_waiting: Family<ChannelLabels, Gauge>,
    seconds: Family<ChannelLabels, Histogram, fn() -> Histogram>,
    results: Family<ClassLabels, Counter>,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ChannelLabels {
    channel: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct EventLabels {
    channel: String,
    event: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StateLabels {
    channel: String,
    state: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ClassLabels {
    channel: String,
    class: &'static str,
}

impl ChannelMeter {
    /// An entry was put into the queue, to leave by this channel.
    pub fn received(&self, recipients: usize, bytes: u64) {
        self.count(Event::Received, recipients, bytes);
        self.count(Event::Stored, recipients, bytes);
    }

    /// What the spool holds for this channel now.
    pub fn stored(&self, now: Tally) {
        let Tally { messages, recipients, bytes } = now;
        for (place, amount) in self.stored_now.iter().zip([messages, recipients, bytes]) {
            place.store(amount, Relaxed);
        }
    }

    /// Goes on from where the counters of an earlier engine ended.
    pub(super) fn resume(&self, event: Event, earlier: Tally) {
        let meter = &self.events[event as usize];
        meter.messages.inc_by(earlier.messages);
        meter.recipients.fetch_add(earlier.recipients, Relaxed);
        meter.bytes.fetch_add(earlier.bytes, Relaxed);
    }

    /// This channel brought in a message.
    pub fn submitted(&self, recipients: usize, bytes: u64) {
        self.count(Event::Submitted, recipients, bytes);
    }

    /// This channel wanted to bring in a recipient, or a message, and was refused.
    pub fn rejected(&self, recipients: usize, bytes: u64) {
        self.count(Event::Rejected, recipients, bytes);
    }

    /// An operator removed these recipients of an entry.
    pub fn deleted(&self, recipients: usize, bytes: u64) {
        self.count(Event::Deleted, recipients, bytes);
    }

    /// Some recipients of an entry came out of an attempt in this way.
    pub fn settled(&self, class: Class, recipients: usize, bytes: u64) {
        let event = match class {
            Class::Delivered => Event::Delivered,
            Class::Deferred => Event::Attempted,
            Class::Failed => Event::Failed,
        };
        self.count(event, recipients, bytes);
        self.results[class as usize].inc_by(recipients as u64);
    }

    /// A message was delivered this long after it had come.
    pub fn delivered_after(&self, delay: Duration) {
        self.seconds.observe(delay.as_secs_f64());
    }

    /// Entries in this state.
    pub fn waiting(&self, state: EntryState) -> &Gauge {
        &self.waiting[state as usize]
    }

    /// The counters; what is stored is what is there now, the others count up.
    pub fn tallies(&self) -> BTreeMap<Event, Tally> {
        let now = |which: usize| self.stored_now[which].load(Relaxed);
        let tally = |event: Event| {
            let meter = &self.events[event as usize];
            let tally = match event {
                Event::Stored => Tally { messages: now(0), recipients: now(1), bytes: now(2) },
                _ => Tally {
                    messages: meter.messages.get(),
                    recipients: meter.recipients.load(Relaxed),
                    bytes: meter.bytes.load(Relaxed),
                },
            };
            (event, tally)
        };
        Event::ALL.into_iter().map(tally).collect()
    }

    fn count(&self, event: Event, recipients: usize, bytes: u64) {
        let meter = &self.events[event as usize];
        meter.messages.inc();
        meter.recipients.fetch_add(recipients as u64, Relaxed);
        meter.bytes.fetch_add(bytes, Relaxed);
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Deferred, Self::Failed];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::new();
        let Self { messages, waiting, oldest, job_waiting, seconds, results } = &families;
        let help = "Queue entries by what became of them; goes on over restarts";
        registry.register("channel_messages", help, messages.clone());
        registry.register("channel_queue_messages", "Queue entries by state", waiting.clone());
        let help = "Age of the oldest queue entry";
        registry.register_with_unit("channel_oldest", help, Unit::Seconds, oldest.clone());
        let help = "Jobs that could run if their pool had room";
        registry.register("job_waiting", help, job_waiting.clone());
        let help = "Time from the arrival of a message to its delivery";
        registry.register_with_unit("delivery", help, Unit::Seconds, seconds.clone());
        registry.register("delivery_results", "Recipients tried, by outcome", results.clone());
        families
    }

    /// The handles of one channel.
    pub(super) fn meter(&self, channel: &str) -> Arc<ChannelMeter> {
        let channel = channel.to_owned();
        let labels = ChannelLabels { channel: channel.clone() };
        let messages = |event: Event| {
            let labels = EventLabels { channel: channel.clone(), event: event.name() };
            let messages = self.messages.get_or_create_owned(&labels);
            EventMeter { messages, ..EventMeter::default() }
        };
        let waiting = |state: EntryState| {
            let labels = StateLabels { channel: channel.clone(), state: state.name() };
            self.waiting.get_or_create_owned(&labels)
        };
        let results = |class: Class| {
            let labels = ClassLabels { channel: channel.clone(), class: class.name() };
            self.results.get_or_create_owned(&labels)
        };
        Arc::new(ChannelMeter {
            job_waiting: self.job_waiting.get_or_create_owned(&labels),
            oldest: self.oldest.get_or_create_owned(&labels),
            events: Event::ALL.map(messages),
            stored_now: Default::default(),
            waiting: EntryState::ALL.map(waiting),
            seconds: self.seconds.get_or_create_owned(&labels),
            results: Class::ALL.map(results),
            name: channel,
        })
    }

    /// A meter that no scrape shows.
    pub(super) fn unregistered() -> Arc<ChannelMeter> {
        Self::new().meter("")
    }

    fn new() -> Self {
        Self {
            messages: Family::default(),
            waiting: Family::default(),
            oldest: Family::default(),
            job_waiting: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY_SECONDS)),
            results: Family::default(),
        }
    }
}

/// A local delivery takes milliseconds; what was deferred takes the minutes, hours and days of
/// the backoff series.
const DELIVERY_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 86_400.0];
