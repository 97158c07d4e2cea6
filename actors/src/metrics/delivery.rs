//! Meters of pools, queue, spool and directory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde::{Deserialize, Serialize};

use super::{by_name::ByName, level::level};

/// The meter of one pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PoolMeter {
    /// Jobs now.
    pub jobs: Gauge,
    /// Jobs at once.
    pub job_limit: Gauge,
}

/// The meter of the queue. Cheap to clone.
#[derive(Clone, Debug)]
pub struct QueueMeter {
    /// Entries held in memory.
    pub tracked: Gauge,
    /// Entries on disk.
    pub stored: Gauge,
    /// Of those, entries of channels that the configuration has lost.
    pub lost: Gauge,
    /// Entries beside, that are delivered but whose senders have yet to be told.
    pub owing: Gauge,
    /// Entries on disk that nobody delivers: their channels were lost before the engine started.
    pub unserved: Gauge,
    /// Entries held in memory at most.
    pub max_messages: Gauge,
    /// Times that the disk was scanned for more.
    pub scans: Counter,
    paused: Family<PauseLabels, Gauge>,
}

/// Why the queue hands nothing to jobs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pause {
    /// The engine ends.
    Draining,
    /// The outcome of a delivery could not be written down.
    Disk,
    /// Too many senders are yet to be told what became of their mail.
    Notary,
}

/// The look-ups in the directory since the start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DirectoryStatus {
    /// Look-ups that found an entry.
    pub found: u64,
    /// Look-ups that found nothing.
    pub missing: u64,
    /// Look-ups that could not be answered.
    pub failed: u64,
    /// Look-ups answered from memory.
    pub cache_hits: u64,
}

/// The meter of the spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SpoolMeter {
    /// Octets of all its files.
    pub bytes: Gauge,
    /// Octets free on its disk.
    pub free: Gauge,
    /// Octets that are to stay free.
    pub min_free: Gauge,
    /// 1 while no mail is taken for want of room.
    pub refusing: Gauge,
    commit_seconds: Histogram,
    batch_messages: Histogram,
    /// Commits, and microseconds of them; what the histogram does not tell.
    commits: Arc<[AtomicU64; 2]>,
}

/// The disk of the store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreMeter {
    /// Octets free on it.
    pub free: Gauge,
    /// 1 while mail for mailboxes is refused for want of room.
    pub refusing: Gauge,
    /// Partitions of which half of the commits take too long.
    pub stressed: Gauge,
    /// Deliveries that were not made, because the mailbox had the message.
    pub duplicates: Counter,
    /// Of each partition, by its path.
    partitions: Arc<Mutex<BTreeMap<String, (i64, bool)>>>,
}

/// The meter of the directory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DirectoryMeter {
    lookups: [Counter; LookUp::ALL.len()],
    cache_hits: Counter,
}

/// How the directory answered; the label `result`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LookUp {
    /// With an entry.
    Found,
    /// There is none.
    Missing,
    /// Not at all: time-out, no connection, an entry that makes no sense.
    Failed,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PoolLabels {
    pool: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct PauseLabels {
    why: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct LookUpLabels {
    result: &'static str,
}

/// Registers the families, of which every pool gets a meter.
pub(super) fn pools(registry: &mut Registry) -> ByName<PoolMeter> {
    let jobs = Family::<PoolLabels, Gauge>::default();
    let limits = Family::<PoolLabels, Gauge>::default();
    registry.register("pool_jobs", "Jobs running now", jobs.clone());
    let help = "Jobs that may run at once; relais set NAME.job_limit changes it";
    registry.register("pool_job_limit", help, limits.clone());
    ByName::new(move |pool| {
        let labels = PoolLabels { pool: pool.to_owned() };
        PoolMeter {
            jobs: jobs.get_or_create_owned(&labels),
            job_limit: limits.get_or_create_owned(&labels),
        }
    })
}

impl QueueMeter {
    pub(super) fn register(registry: &mut Registry, max_messages: usize) -> Self {
        let meter = Self {
            tracked: Gauge::default(),
            stored: Gauge::default(),
            lost: Gauge::default(),
            owing: Gauge::default(),
            unserved: Gauge::default(),
            max_messages: Gauge::default(),
            scans: Counter::default(),
            paused: Family::default(),
        };
        meter.pause(None);
        meter.max_messages.set(level(max_messages));
        let Self { tracked, stored, lost, owing, unserved, max_messages, scans, paused } =
            meter.clone();
        registry.register("queue_tracked", "Queue entries held in memory", tracked);
        registry.register("queue_stored", "Queue entries on disk", stored);
        let help = "Queue entries on disk of channels that the configuration has lost: bring the \
                    channel back, or delete them";
        registry.register("queue_lost", help, lost);
        let help = "Entries that were reached and whose senders have yet to be told, as they asked; \
                    when this stays: look for notices put_off";
        registry.register("queue_owed_notices", help, owing);
        let help = "Queue entries on disk that nobody delivers, of channels that were lost before the \
                    engine started: relais status names the channels";
        registry.register("queue_unserved", help, unserved);
        let help = "Queue entries held in memory at most";
        registry.register("queue_max_messages", help, max_messages);
        registry.register("queue_scans", "Scans of the disk for more entries", scans);
        let help = "Whether nothing is handed to jobs, and why; relais status says it in words";
        registry.register("queue_paused", help, paused);
        meter
    }

    /// Why nothing is handed to jobs.
    pub fn pause(&self, pause: Option<Pause>) {
        for why in Pause::ALL {
            let gauge = self.paused.get_or_create_owned(&PauseLabels { why: why.name() });
            gauge.set(i64::from(pause == Some(why)));
        }
    }
}

impl SpoolMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self {
            bytes: Gauge::default(),
            free: Gauge::default(),
            min_free: Gauge::default(),
            refusing: Gauge::default(),
            commit_seconds: Histogram::new(COMMIT_SECONDS),
            batch_messages: Histogram::new(BATCH_MESSAGES),
            commits: Arc::default(),
        };
        let Self { bytes, free, min_free, refusing, commit_seconds, batch_messages, .. } =
            meter.clone();
        registry.register_with_unit("spool", "Size of the spool's files", Unit::Bytes, bytes);
        let help = "Room on the spool's disk; below relais_spool_min_free_bytes mail is refused: \
                    make room";
        registry.register_with_unit("spool_free", help, Unit::Bytes, free);
        let help = "Room that is to stay free (spool.min_free)";
        registry.register_with_unit("spool_min_free", help, Unit::Bytes, min_free);
        let help = "Whether new mail is refused because the disk has no room; /readyz tells why";
        registry.register("spool_refusing", help, refusing);
        let help = "Time from taking a batch to its being safe; the disk's speed";
        registry.register_with_unit("spool_commit", help, Unit::Seconds, commit_seconds);
        let help = "Messages made safe together";
        registry.register("spool_batch_messages", help, batch_messages);
        meter
    }

    /// A batch of this many messages was made safe in this time.
    pub fn committed(&self, messages: usize, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.batch_messages.observe(messages as f64);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commits[0].fetch_add(1, Ordering::Relaxed);
        self.commits[1].fetch_add(micros, Ordering::Relaxed);
    }

    /// Batches that were made safe so far, and the time that it took.
    pub fn commits(&self) -> (u64, Duration) {
        let [commits, micros] = &*self.commits;
        let micros = micros.load(Ordering::Relaxed);
        (commits.load(Ordering::Relaxed), Duration::from_micros(micros))
    }
}

impl StoreMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let meter = Self {
            free: Gauge::default(),
            refusing: Gauge::default(),
            stressed: Gauge::default(),
            duplicates: Counter::default(),
            partitions: Arc::default(),
        };
        let Self { free, refusing, stressed, duplicates, .. } = meter.clone();
        let help = "Partitions of the store of which half of the commits of the last 10 s took \
                    longer than store.stress_at: relays of ours come by fewer connections";
        registry.register("store_stressed", help, stressed);
        let help = "Deliveries that were not made because the mailbox had the message already";
        registry.register("store_duplicates", help, duplicates);
        let help = "Room on the store's disks, quotas aside, as of the last second; of one that is \
                    not there 0: make room before mail for mailboxes is refused";
        registry.register_with_unit("store_free", help, Unit::Bytes, free);
        let help = "Whether mail for mailboxes is refused because the store's disk has no room; \
                    /readyz tells why";
        registry.register("store_refusing", help, refusing);
        meter
    }

    /// The room of one partition, and whether it refuses mail.
    pub fn partition(&self, path: &str, free: i64, refusing: bool) {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        match partitions.get_mut(path) {
            Some(state) => *state = (free, refusing),
            None => drop(partitions.insert(path.to_owned(), (free, refusing))),
        }
        self.free.set(partitions.values().fold(0, |sum, (free, _)| sum.saturating_add(*free)));
        self.refusing.set(i64::from(partitions.values().any(|(_, refusing)| *refusing)));
    }
}

impl DirectoryMeter {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let lookups = Family::<LookUpLabels, Counter>::default();
        let help = "Look-ups by result; failed: the directory does not answer, mail is put off";
        registry.register("directory_lookups", help, lookups.clone());
        let cache_hits = Counter::default();
        let help = "Look-ups answered from memory";
        registry.register("directory_cache_hits", help, cache_hits.clone());
        let lookup =
            |result: LookUp| lookups.get_or_create_owned(&LookUpLabels { result: result.name() });
        Self { lookups: LookUp::ALL.map(lookup), cache_hits }
    }

    /// Takes over what the directory and the route cache have counted themselves.
    pub fn counted(&self, counted: DirectoryStatus) {
        let store = |counter: &Counter, total| counter.inner().store(total, Ordering::Relaxed);
        store(&self.lookups[LookUp::Found as usize], counted.found);
        store(&self.lookups[LookUp::Missing as usize], counted.missing);
        store(&self.lookups[LookUp::Failed as usize], counted.failed);
        store(&self.cache_hits, counted.cache_hits);
    }

    /// The numbers that `relais status` shows.
    pub fn status(&self) -> DirectoryStatus {
        let lookups = |result: LookUp| self.lookups[result as usize].get();
        DirectoryStatus {
            found: lookups(LookUp::Found),
            missing: lookups(LookUp::Missing),
            failed: lookups(LookUp::Failed),
            cache_hits: self.cache_hits.get(),
        }
    }
}

impl Pause {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Draining, Self::Disk, Self::Notary];

    /// In lower case; the label of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Disk => "disk",
            Self::Notary => "notary",
        }
    }

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Draining => "the engine is stopping",
            Self::Disk => "what is delivered cannot be written down: the disk is full, or too slow",
            Self::Notary => "too many senders are yet to be told what became of their mail",
        }
    }
}

impl LookUp {
    /// Every result.
    pub const ALL: [Self; 3] = [Self::Found, Self::Missing, Self::Failed];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }
}

/// A fast disk syncs in a tenth of a millisecond, a busy one in tens.
const COMMIT_SECONDS: [f64; 12] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];
/// As many as there are sessions that wait at once.
const BATCH_MESSAGES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
