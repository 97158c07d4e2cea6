//! Figures of the last seconds, and the series of the last day: one timer for all who look.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use relais_actors::{
    metrics::{Event, Metrics},
    timestamp::Timestamp,
};
use relais_storage::{Counts, Storage};
use rustix::time::{ClockId, clock_gettime};

use super::series::{COUNTED, Counted, STEP_SECONDS, SeriesBook};
use crate::api::{ChannelFlow, Series, SeriesSpan};

/// Takes samples. Nothing is known before the first.
#[derive(Debug, Default)]
pub(super) struct Recorder(Mutex<Option<Recorded>>);

#[derive(Debug)]
struct Recorded {
    /// Of the last seconds, the oldest first.
    samples: VecDeque<Sample>,
    series: SeriesBook,
    next_step: Instant,
}

/// Counters at a moment.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    at: Instant,
    channels: BTreeMap<String, Counted>,
    /// CPU time of the process.
    cpu: Duration,
    /// Batches that the spool made safe, and the time that it took.
    commits: (u64, Duration),
}

/// The difference between the oldest sample and the last, by the second.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pace {
    /// Every channel.
    pub(super) flow: BTreeMap<String, ChannelFlow>,
    /// Cores that the process kept busy.
    pub(super) cpu: f64,
    /// Part of the time in which the spool committed, 0 to 1.
    pub(super) committing: f64,
    /// The time of one commit.
    pub(super) commit: Duration,
}

impl Recorder {
    /// Takes a sample, and ends a step of the series when its time has come. Returns whether it did.
    pub(super) fn record(&self, metrics: &Metrics, storage: &Storage) -> bool {
        let sample = Sample::take(metrics);
        let mut recorded = self.lock();
        let recorded = recorded.get_or_insert_with(|| Recorded {
            samples: VecDeque::new(),
            series: SeriesBook::new(Timestamp::now(), sample.channels.clone()),
            next_step: sample.at + STEP,
        });
        let steps = steps_over(recorded.next_step, sample.at);
        if let Some(missed) = steps {
            let counts = storage.counts();
            let stored = counts.values().map(Counts::total).sum();
            let held = counts.values().map(|counts| counts.held).sum();
            let now = sample.channels.clone();
            recorded.series.step(Timestamp::now(), now, (stored, held), missed);
            recorded.next_step = sample.at + STEP;
        }
        if recorded.samples.len() > SAMPLES {
            recorded.samples.pop_front();
        }
        recorded.samples.push_back(sample);
        steps.is_some()
    }

    /// The last ten seconds; nothing before there are two samples.
    pub(super) fn pace(&self) -> Pace {
        let recorded = self.lock();
        let samples = recorded.as_ref().map(|recorded| &recorded.samples);
        let ends = samples.and_then(|samples| Some((samples.front()?, samples.back()?)));
        ends.map_or_else(Pace::default, |(first, last)| Pace::between(first, last))
    }

    /// The series of this span.
    pub(super) fn series(&self, span: SeriesSpan) -> Option<Series> {
        self.lock().as_ref().map(|recorded| recorded.series.of(span))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sample {
    fn take(metrics: &Metrics) -> Self {
        let channels = metrics.channels().map(|its| {
            let counted = COUNTED.map(|event: Event| its.so_far(event));
            (its.name.clone(), counted)
        });
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(cpu.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(cpu.tv_nsec).unwrap_or(0);
        Self {
            at: Instant::now(),
            channels: channels.collect(),
            cpu: Duration::new(seconds, nanos),
            commits: metrics.spool.commits(),
        }
    }
}

impl Pace {
    fn between(first: &Sample, last: &Sample) -> Self {
        let time = last.at.saturating_duration_since(first.at).as_secs_f64();
        if time <= 0.0 {
            return Self::default();
        }
        let flow = last.channels.iter().map(|(channel, now)| {
            // A channel of another configuration that was not there has done nothing before.
            let before = first.channels.get(channel).copied().unwrap_or_default();
            let rate = |which: usize| now[which].saturating_sub(before[which]) as f64 / time;
            let [submitted, received, delivered, deferred, failed] = [0, 1, 2, 3, 4].map(rate);
            let name = channel.clone();
            let flow =
                ChannelFlow { channel: name, submitted, received, delivered, deferred, failed };
            (channel.clone(), flow)
        });
        let (count, took) = last.commits;
        let (count_before, took_before) = first.commits;
        let (count, took) = (count - count_before, took.saturating_sub(took_before));
        Self {
            flow: flow.collect(),
            cpu: last.cpu.saturating_sub(first.cpu).as_secs_f64() / time,
            committing: took.as_secs_f64() / time,
            commit: u32::try_from(count).ok().and_then(|n| took.checked_div(n)).unwrap_or_default(),
        }
    }
}

/// Steps that ended without anybody counting, before the one that ends now; nothing while it has not.
fn steps_over(next: Instant, now: Instant) -> Option<usize> {
    let over = now.checked_duration_since(next)?;
    usize::try_from(over.as_secs() / STEP_SECONDS).ok()
}

/// How often a sample is taken.
pub(super) const EVERY: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_secs(STEP_SECONDS);
/// Samples before the last one: ten seconds.
const SAMPLES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, delivered: u64, cpu: u64, commits: (u64, u64)) -> Sample {
        Sample {
            at,
            channels: BTreeMap::from([("a".to_owned(), [0, 0, delivered, 0, 0])]),
            cpu: Duration::from_secs(cpu),
            commits: (commits.0, Duration::from_secs(commits.1)),
        }
    }

    #[test]
    fn a_pace_is_what_happened_a_second() {
        let now = Instant::now();
        let (first, last) = (sample(now, 100, 7, (3, 1)), sample(now + STEP, 150, 12, (7, 9)));
        let pace = Pace::between(&first, &last);
        assert!((pace.flow["a"].delivered - 5.0).abs() < 1e-9, "{pace:?}");
        assert!((pace.cpu - 0.5).abs() < 1e-9 && (pace.committing - 0.8).abs() < 1e-9);
        assert_eq!(pace.commit, Duration::from_secs(2));
        assert_eq!(Pace::between(&first, &first), Pace::default(), "no time has passed");
    }

    #[test]
    fn a_step_that_is_late_tells_how_many_it_missed() {
        let now = Instant::now();
        let rows = [(9, None), (10, Some(0)), (19, Some(0)), (20, Some(1)), (305, Some(29))];
        for (seconds, missed) in rows {
            let over = steps_over(now + STEP, now + Duration::from_secs(seconds));
            assert_eq!(over, missed, "{seconds}");
        }
    }
}
