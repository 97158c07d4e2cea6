//! How much waits for which host, and how old it is. The index is walked for it, so it is done the more
//! seldom the longer the queue is: at most a two-hundredth of one thread's time, and only while somebody
//! looks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use relais_actors::timestamp::Timestamp;
use relais_channels::mail::MessageId;
use relais_storage::{ARRIVAL_SLOT, Class, HostSum, Storage, StorageError};
use tokio::time::timeout;

use crate::api::AgeCount;

/// The mail that waited at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Survey {
    /// When the walk began.
    pub(super) at: Timestamp,
    /// Entries that were seen.
    pub(super) entries: u64,
    /// By channel and host.
    hosts: HashMap<String, HashMap<Arc<str>, HostSum>>,
    /// The first of each channel.
    oldest: BTreeMap<String, MessageId>,
    /// Entries by when they came, in slots of ten seconds.
    arrivals: BTreeMap<u64, u64>,
}

/// Has the queue surveyed now and then.
#[derive(Clone, Debug, Default)]
pub(super) struct Surveyor(Arc<Mutex<Surveyed>>);

#[derive(Debug, Default)]
struct Surveyed {
    last: Option<Arc<Survey>>,
    /// When the next one may be made.
    due: Option<Instant>,
    at_work: bool,
}

impl Surveyor {
    /// The last survey; a new one is begun when it is time. Of a short queue the new one is waited for.
    pub(super) async fn survey(&self, storage: &Storage, stored: u64) -> Option<Arc<Survey>> {
        let is_due = {
            let mut surveyed = self.lock();
            let is_due = !surveyed.at_work && surveyed.due.is_none_or(|due| due <= Instant::now());
            surveyed.at_work |= is_due;
            is_due
        };
        if is_due {
            let work = tokio::spawn(self.clone().work(storage.clone()));
            if stored <= PROMPT {
                // One that takes longer comes to the next who asks.
                let _ = timeout(PATIENCE, work).await;
            }
        }
        self.lock().last.clone()
    }

    /// The last survey, however old; begins none.
    pub(super) fn last(&self) -> Option<Arc<Survey>> {
        self.lock().last.clone()
    }

    async fn work(self, storage: Storage) {
        let began = Instant::now();
        let survey = Survey::take(&storage).await;
        let mut surveyed = self.lock();
        surveyed.at_work = false;
        surveyed.due = Some(Instant::now() + (began.elapsed() * SELDOM).max(AT_LEAST));
        match survey {
            Ok(survey) => surveyed.last = Some(Arc::new(survey)),
            Err(error) => tracing::warn!(%error, "could not read the queue index"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Surveyed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Survey {
    /// Walks the index, a bounded piece at a time.
    async fn take(storage: &Storage) -> Result<Self, StorageError> {
        let mut survey = Self { at: Timestamp::now(), ..Self::default() };
        let mut room = MOST_HOSTS;
        for (channel, counts) in storage.counts() {
            if counts.total() == 0 {
                continue;
            }
            for class in [Class::Untried, Class::Tried, Class::Held] {
                let mut after = None;
                loop {
                    let (sums, next) = storage.sum(&channel, class, after, PIECE).await?;
                    for (slot, entries) in sums.arrivals {
                        survey.entries += entries;
                        *survey.arrivals.entry(slot).or_default() += entries;
                    }
                    for (host, sum) in sums.hosts {
                        survey.add(&channel, host, &sum, &mut room);
                    }
                    after = next;
                    if after.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(survey)
    }

    fn add(&mut self, channel: &str, host: Arc<str>, sum: &HostSum, room: &mut usize) {
        match self.oldest.get_mut(channel) {
            Some(oldest) => *oldest = sum.oldest.min(*oldest),
            None => drop(self.oldest.insert(channel.to_owned(), sum.oldest)),
        }
        let hosts = self.hosts.entry(channel.to_owned()).or_default();
        match hosts.get_mut(&host) {
            Some(known) => known.add(sum),
            None if *room == 0 => {}
            None => {
                *room -= 1;
                hosts.insert(host, *sum);
            }
        }
    }

    /// The sum of a host.
    pub(super) fn host(&self, channel: &str, host: &str) -> Option<&HostSum> {
        self.hosts.get(channel)?.get(host)
    }

    /// The hosts with most entries, by channel and name.
    pub(super) fn largest(&self, most: usize) -> Vec<(&str, &Arc<str>)> {
        let mut all: Vec<_> = self
            .hosts
            .iter()
            .flat_map(|(channel, hosts)| {
                hosts.iter().map(move |(host, sum)| (sum.entries, channel.as_str(), host))
            })
            .collect();
        if all.len() > most {
            all.select_nth_unstable_by_key(most, |(entries, ..)| std::cmp::Reverse(*entries));
            all.truncate(most);
        }
        all.into_iter().map(|(_, channel, host)| (channel, host)).collect()
    }

    /// When the oldest entry came, of a channel or of all.
    pub(super) fn oldest(&self, channel: Option<&str>) -> Option<Timestamp> {
        let oldest = match channel {
            Some(channel) => self.oldest.get(channel),
            None => self.oldest.values().min(),
        };
        oldest.map(|id| Timestamp(id.received_ms()))
    }

    /// Entries by age, as of now; what is stored beyond those that were seen has come since.
    pub(super) fn ages(&self, now: Timestamp, stored: u64) -> Vec<AgeCount> {
        let mut counts = [0; AGES.len() + 1];
        for (slot, entries) in &self.arrivals {
            // The middle of the slot stands for all of it.
            let came = Timestamp(slot * ARRIVAL_SLOT + ARRIVAL_SLOT / 2);
            let age = came.until(now).as_secs();
            let which = AGES.iter().position(|(_, below)| age < *below).unwrap_or(AGES.len());
            counts[which] += entries;
        }
        counts[0] += stored.saturating_sub(self.entries);
        let names = AGES.iter().map(|(name, _)| *name).chain(["older"]);
        let age = |(below, messages): (&str, u64)| AgeCount { below: below.to_owned(), messages };
        names.zip(counts).map(age).collect()
    }
}

/// Ages that are told apart, in seconds.
const AGES: [(&str, u64); 5] =
    [("1m", 60), ("10m", 600), ("1h", 3_600), ("6h", 21_600), ("1d", 86_400)];
/// Entries that are walked at once: it takes the index two or three milliseconds.
const PIECE: usize = 16_384;
/// Entries of a queue that is short enough to be surveyed while somebody waits.
const PROMPT: u64 = 20_000;
/// For such a survey.
const PATIENCE: Duration = Duration::from_millis(500);
/// Times as long as a survey took pass before the next.
const SELDOM: u32 = 200;
/// Between two surveys.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Hosts told apart; more are in the sums of their channels only.
const MOST_HOSTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits of an id behind its time.
    const TIME_SHIFT: u32 = 20;

    fn sum(entries: u64, oldest: u64) -> HostSum {
        HostSum { entries, recipients: entries, bytes: 0, oldest: MessageId(oldest << TIME_SHIFT) }
    }

    #[test]
    fn entries_are_told_apart_by_age_and_what_came_since_is_young() {
        let now = Timestamp(100 * 86_400_000);
        let slot = |seconds: u64| (now.0 - seconds * 1_000) / ARRIVAL_SLOT;
        let rows = [(30, 1), (120, 2), (1_800, 4), (10_000, 8), (80_000, 16), (900_000, 32)];
        let arrivals = rows.iter().map(|(age, entries)| (slot(*age), *entries)).collect();
        let survey = Survey { entries: 63, arrivals, ..Survey::default() };
        let counts = |stored| {
            let ages = survey.ages(now, stored).into_iter();
            ages.map(|age| (age.below, age.messages)).collect::<Vec<_>>()
        };
        let want = |young| {
            let all = [("1m", young), ("10m", 2), ("1h", 4), ("6h", 8), ("1d", 16), ("older", 32)];
            all.map(|(below, messages)| (below.to_owned(), messages)).to_vec()
        };
        assert_eq!(counts(63), want(1));
        assert_eq!(counts(70), want(8), "seven came since");
        assert_eq!(counts(60), want(1), "three went, nobody knows which");
    }

    #[test]
    fn hosts_are_added_up_while_there_is_room() {
        let (mut survey, mut room) = (Survey::default(), 2);
        for (channel, host, entries, oldest) in
            [("a", "x", 1, 900), ("a", "y", 5, 800), ("a", "x", 2, 700), ("b", "z", 9, 600)]
        {
            survey.add(channel, host.into(), &sum(entries, oldest), &mut room);
        }
        assert_eq!(survey.host("a", "x").map(|sum| sum.entries), Some(3));
        assert_eq!(survey.host("b", "z"), None, "there was no room for it");
        assert_eq!(survey.oldest(Some("b")), Some(Timestamp(600)), "its channel knows it");
        assert_eq!(survey.oldest(Some("a")), Some(Timestamp(700)));
        assert_eq!(survey.oldest(None), Some(Timestamp(600)));
        let largest: Vec<_> = survey.largest(1).into_iter().map(|(_, host)| &**host).collect();
        assert_eq!(largest, ["y"]);
    }
}
