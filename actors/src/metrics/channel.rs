//! Meters of channels: the events, their parts of the queue, their deliveries.

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
use relais_channels::{client::ClientHandshake, tls_policy::PolicyKind};
use serde::{Deserialize, Serialize};

use super::{
    counters::{Event, Volume},
    level::level,
};

/// The meter of one channel. A *message* is an entry here, as in [`Event`].
#[derive(Debug)]
pub struct ChannelMeter {
    /// As configured.
    pub name: String,
    /// Jobs that could run if the pool had room.
    pub job_waiting: Gauge,
    /// Seconds since the arrival of the oldest entry; 0 when there is none.
    pub oldest: Gauge,
    /// Jobs and their connections now, and at most; hosts that are left alone for now.
    pub work: WorkMeter,
    events: [EventMeter; Event::ALL.len()],
    /// Messages, recipients, octets.
    stored_now: [Gauge; 3],
    waiting: [Gauge; QueueState::ALL.len()],
    seconds: Histogram,
    results: [Counter; Class::ALL.len()],
    handshakes: [Counter; ClientHandshake::ALL.len()],
    /// Broken, and kept to.
    policies: [[Counter; 2]; PolicyKind::ALL.len()],
    rules: [Counter; RuleAction::ALL.len()],
    chunks: [Counter; ChunkResult::ALL.len()],
    unfiled: Counter,
}

/// The action of a rule about replies; the label `action`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RuleAction {
    /// The destination gets fewer messages for a while.
    SlowDown,
    /// It gets none for a while.
    Suspend,
    /// A permanent refusal is taken for a temporary one.
    Temporary,
    /// A temporary refusal is taken for a permanent one.
    Permanent,
}

/// The result of a message whose content went in one chunk with its commands; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChunkResult {
    /// The server took it, for some recipient at least.
    Taken,
    /// It took it for nobody.
    Refused,
    /// The connection was lost: nobody knows.
    Lost,
    /// It offers CHUNKING and does not know BDAT.
    Unsupported,
    /// Something more came when the message was already settled.
    Surplus,
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

/// Jobs and connections of a channel.
#[derive(Clone, Debug, Default)]
pub struct WorkMeter {
    /// Jobs now.
    pub jobs: Gauge,
    /// `maxjobs`, as it is now.
    pub job_limit: Gauge,
    /// Connections of these jobs.
    pub connections: Gauge,
    /// Connections that all its jobs could have.
    pub connection_limit: Gauge,
    /// Hosts that could not be talked to.
    pub hosts_suspended: Gauge,
    /// Hosts that an operator or a reply has suspended.
    pub hosts_stopped: Gauge,
    /// Hosts whose limits allow no more for now.
    pub hosts_limited: Gauge,
}

#[derive(Debug, Default)]
struct EventMeter {
    messages: Counter,
    recipients: AtomicU64,
    bytes: AtomicU64,
}

/// The families, from which [`ChannelFamilies::meter`] takes the handles of a channel.
pub(super) struct ChannelFamilies {
    messages: Family<EventLabels, Counter>,
    waiting: Family<StateLabels, Gauge>,
    stored: [Family<ChannelLabels, Gauge>; 3],
    work: [Family<ChannelLabels, Gauge>; 7],
    oldest: Family<ChannelLabels, Gauge>,
    job_waiting: Family<ChannelLabels, Gauge>,
    seconds: Family<ChannelLabels, Histogram, fn() -> Histogram>,
    results: Family<ClassLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
    rules: Family<RuleLabels, Counter>,
    policies: Family<PolicyLabels, Counter>,
    chunks: Family<ChunkLabels, Counter>,
    unfiled: Family<ChannelLabels, Counter>,
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

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RuleLabels {
    channel: String,
    action: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct HandshakeLabels {
    channel: String,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PolicyLabels {
    channel: String,
    policy: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ChunkLabels {
    channel: String,
    result: &'static str,
}

/// The state in which an entry waits.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// A job with room for it.
    #[default]
    Ready,
    /// The end of the attempt that is being made.
    Active,
    /// Its due time.
    Delayed,
    /// An operator.
    Held,
}

impl QueueState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Ready, Self::Active, Self::Delayed, Self::Held];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Held => "held",
        }
    }
}

impl WorkMeter {
    fn of(gauges: [Gauge; 7]) -> Self {
        let [
            jobs,
            job_limit,
            connections,
            connection_limit,
            hosts_suspended,
            hosts_stopped,
            hosts_limited,
        ] = gauges;
        Self {
            jobs,
            job_limit,
            connections,
            connection_limit,
            hosts_suspended,
            hosts_stopped,
            hosts_limited,
        }
    }
}

impl ChannelMeter {
    /// An entry was put into the queue, to leave by this channel.
    pub fn received(&self, recipients: usize, bytes: u64) {
        self.count(Event::Received, recipients, bytes);
    }

    /// Sets the amounts that the spool holds for this channel now.
    pub fn stored(&self, now: Volume) {
        let Volume { messages, recipients, bytes } = now;
        for (place, amount) in self.stored_now.iter().zip([messages, recipients, bytes]) {
            place.set(level(amount));
        }
        // One of the seven counters by name, it says what `relais counters` says.
        self.events[Event::Stored as usize].messages.inner().store(messages, Relaxed);
    }

    /// Goes on from where the counters of an earlier engine ended.
    pub(super) fn resume(&self, event: Event, earlier: Volume) {
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

    /// So many TLS handshakes with servers had this result.
    pub fn handshaken(&self, result: ClientHandshake, count: u64) {
        self.handshakes[result as usize].inc_by(count);
    }

    /// A rule about replies did this.
    pub fn ruled(&self, action: RuleAction) {
        self.rules[action as usize].inc();
    }

    /// The content of a message went in one chunk with its commands.
    pub fn chunk_sent(&self, result: ChunkResult) {
        self.chunks[result as usize].inc();
    }

    /// So many recipients had a folder of which a server wanted to know nothing.
    pub fn unfiled(&self, recipients: usize) {
        self.unfiled.inc_by(recipients as u64);
    }

    /// So many servers kept to a policy of TLS of this kind, or did not and got no mail.
    pub fn policy_met(&self, kind: PolicyKind, is_kept: bool, count: u64) {
        self.policies[kind as usize][usize::from(is_kept)].inc_by(count);
    }

    /// A message was delivered this long after it had come.
    pub fn delivered_after(&self, delay: Duration) {
        self.seconds.observe(delay.as_secs_f64());
    }

    /// Entries in this state.
    pub fn waiting(&self, state: QueueState) -> &Gauge {
        &self.waiting[state as usize]
    }

    /// The counters; what is stored is what is there now, the others count up.
    pub fn tallies(&self) -> BTreeMap<Event, Volume> {
        let now = |which: usize| self.stored_now[which].get().unsigned_abs();
        let tally = |event: Event| {
            let meter = &self.events[event as usize];
            let tally = match event {
                Event::Stored => Volume { messages: now(0), recipients: now(1), bytes: now(2) },
                _ => Volume {
                    messages: meter.messages.get(),
                    recipients: meter.recipients.load(Relaxed),
                    bytes: meter.bytes.load(Relaxed),
                },
            };
            (event, tally)
        };
        Event::ALL.into_iter().map(tally).collect()
    }

    /// The entries that this has happened to, so far.
    pub fn so_far(&self, event: Event) -> u64 {
        self.events[event as usize].messages.get()
    }

    fn count(&self, event: Event, recipients: usize, bytes: u64) {
        let meter = &self.events[event as usize];
        meter.messages.inc();
        meter.recipients.fetch_add(recipients as u64, Relaxed);
        meter.bytes.fetch_add(bytes, Relaxed);
    }
}

impl RuleAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::SlowDown, Self::Suspend, Self::Temporary, Self::Permanent];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowDown => "slow_down",
            Self::Suspend => "suspend",
            Self::Temporary => "temporary",
            Self::Permanent => "permanent",
        }
    }
}

impl ChunkResult {
    /// Every result.
    pub const ALL: [Self; 5] =
        [Self::Taken, Self::Refused, Self::Lost, Self::Unsupported, Self::Surplus];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Unsupported => "unsupported",
            Self::Surplus => "surplus",
        }
    }
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Deferred, Self::Failed];

    /// The class of a reply code of ours.
    pub const fn of(code: u16) -> Self {
        match code / 100 {
            2 => Self::Delivered,
            4 => Self::Deferred,
            _ => Self::Failed,
        }
    }

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
        }
    }
}

impl ChannelFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::new();
        let Self { messages, waiting, stored, work, oldest, job_waiting, seconds, .. } = &families;
        let help = "Queue entries by what became of them; goes on over restarts (relais counters); \
                    stored is what is there now, as channel_stored_messages";
        registry.register("channel_messages", help, messages.clone());
        let help = "Queue entries by state; of what does not move, relais queue why ID tells more";
        registry.register("channel_queue_messages", help, waiting.clone());
        let [entries, recipients, bytes] = stored.clone();
        let help = "Queue entries on disk to leave by the channel; stored in relais counters";
        registry.register("channel_stored_messages", help, entries);
        let help = "Recipients of the queue entries on disk";
        registry.register("channel_stored_recipients", help, recipients);
        let help = "Content of the queue entries on disk";
        registry.register_with_unit("channel_stored", help, Unit::Bytes, bytes);
        let helps = [
            ("channel_jobs", "Jobs running now"),
            (
                "channel_job_limit",
                "Jobs that may run at once (maxjobs); relais set NAME.maxjobs changes it",
            ),
            ("channel_threads", "Connections of the jobs now"),
            (
                "channel_thread_limit",
                "Connections that the jobs may have at most (maxjobs or job_limit, times \
                 max_client_threads)",
            ),
            (
                "channel_hosts_suspended",
                "Hosts that could not be talked to and are left alone; relais status names them",
            ),
            (
                "hosts_suspended",
                "Hosts that an operator or a rule about replies has suspended; relais host list \
                 names them",
            ),
            (
                "hosts_limited",
                "Hosts that wait because their limits allow no more for now; relais status names \
                 them",
            ),
        ];
        for ((name, help), family) in helps.into_iter().zip(work) {
            registry.register(name, help, family.clone());
        }
        let help = "Age of the oldest queue entry; when it grows, look at relais queue list \
                    --older-than 1h";
        registry.register_with_unit("channel_oldest", help, Unit::Seconds, oldest.clone());
        let help = "Jobs that could run if their pool had room; above 0 for long: raise job_limit \
                    or maxjobs";
        registry.register("job_waiting", help, job_waiting.clone());
        let help = "Time from the arrival of a message to its delivery";
        registry.register_with_unit("delivery", help, Unit::Seconds, seconds.clone());
        let help =
            "Recipients tried, by outcome; relais queue list --reply TEXT finds the deferred";
        registry.register("delivery_results", help, families.results.clone());
        let help = "TLS handshakes with servers, by result; the log has why they failed";
        registry.register("tls_client_handshakes", help, families.handshakes.clone());
        let help = "What rules about replies did (destinations.replies); the log has the replies";
        registry.register("reply_rules", help, families.rules.clone());
        let help = "Connections to servers, by whose word on TLS they follow (channel, operator, dane, \
                    mta_sts, not_required), and whether the server kept to it; relais tls DOMAIN says why \
                    not";
        registry.register("tls_client_policies", help, families.policies.clone());
        let help = "Messages whose content went in one chunk with its commands (chunking), by result; \
                    unsupported, surplus (counted once more): the log names the server";
        registry.register("client_chunks", help, families.chunks.clone());
        let help = "Recipients whose folder a server refused (fileinto), so that it was offered the message \
                    for the INBOX";
        registry.register("folders_refused", help, families.unfiled.clone());
        families
    }

    /// The handles of one channel.
    pub(super) fn meter(&self, channel: &str) -> Arc<ChannelMeter> {
        let channel = channel.to_owned();
        let labels = ChannelLabels { channel: channel.clone() };
        let work = self.work.each_ref().map(|family| family.get_or_create_owned(&labels));
        let messages = |event: Event| {
            let labels = EventLabels { channel: channel.clone(), event: event.name() };
            let messages = self.messages.get_or_create_owned(&labels);
            EventMeter { messages, ..EventMeter::default() }
        };
        let waiting = |state: QueueState| {
            let labels = StateLabels { channel: channel.clone(), state: state.name() };
            self.waiting.get_or_create_owned(&labels)
        };
        let results = |class: Class| {
            let labels = ClassLabels { channel: channel.clone(), class: class.name() };
            self.results.get_or_create_owned(&labels)
        };
        let handshakes = |result: ClientHandshake| {
            let labels = HandshakeLabels { channel: channel.clone(), result: result.name() };
            self.handshakes.get_or_create_owned(&labels)
        };
        let rules = |action: RuleAction| {
            let labels = RuleLabels { channel: channel.clone(), action: action.name() };
            self.rules.get_or_create_owned(&labels)
        };
        let policies = |kind: PolicyKind| {
            ["broken", "kept"].map(|result| {
                let (channel, policy) = (channel.clone(), kind.name());
                self.policies.get_or_create_owned(&PolicyLabels { channel, policy, result })
            })
        };
        let chunks = |result: ChunkResult| {
            let labels = ChunkLabels { channel: channel.clone(), result: result.name() };
            self.chunks.get_or_create_owned(&labels)
        };
        Arc::new(ChannelMeter {
            job_waiting: self.job_waiting.get_or_create_owned(&labels),
            oldest: self.oldest.get_or_create_owned(&labels),
            events: Event::ALL.map(messages),
            stored_now: self.stored.each_ref().map(|family| family.get_or_create_owned(&labels)),
            work: WorkMeter::of(work),
            waiting: QueueState::ALL.map(waiting),
            seconds: self.seconds.get_or_create_owned(&labels),
            results: Class::ALL.map(results),
            handshakes: ClientHandshake::ALL.map(handshakes),
            rules: RuleAction::ALL.map(rules),
            policies: PolicyKind::ALL.map(policies),
            chunks: ChunkResult::ALL.map(chunks),
            unfiled: self.unfiled.get_or_create_owned(&labels),
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
            stored: Default::default(),
            work: Default::default(),
            oldest: Family::default(),
            job_waiting: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY_SECONDS)),
            results: Family::default(),
            handshakes: Family::default(),
            rules: Family::default(),
            policies: Family::default(),
            chunks: Family::default(),
            unfiled: Family::default(),
        }
    }
}

/// A local delivery takes milliseconds; what was deferred takes the minutes, hours and days of
/// the backoff series.
const DELIVERY_SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0, 14_400.0, 86_400.0];
