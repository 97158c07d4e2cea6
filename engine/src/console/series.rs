//! Figures of channels in the last hour and the last day, step by step. Pure.

use std::collections::{BTreeMap, VecDeque};

use relais_actors::{metrics::Event, timestamp::Timestamp};

use crate::api::{ChannelSeries, Series, SeriesSpan};

/// Entries of a channel so far, by what became of them; in the order of [`COUNTED`].
pub(super) type Counted = [u64; COUNTED.len()];

/// The steps of all channels and of the queue. Each channel that ever moved costs a fixed amount.
#[derive(Debug)]
pub(super) struct SeriesBook {
    since: Timestamp,
    end: Timestamp,
    before: BTreeMap<String, Counted>,
    channels: BTreeMap<String, [Rings; COUNTED.len()]>,
    queue: Rings,
    held: Rings,
    /// Steps of an hour since the last one of a day.
    steps: usize,
}

/// One figure.
#[derive(Clone, Debug, Default)]
struct Rings {
    hour: VecDeque<u32>,
    day: VecDeque<u32>,
    /// Of the step of a day that has not ended.
    partial: u64,
}

impl SeriesBook {
    /// Nothing has happened since then but what is counted already.
    pub(super) fn new(since: Timestamp, before: BTreeMap<String, Counted>) -> Self {
        Self {
            since,
            end: since,
            before,
            channels: BTreeMap::new(),
            queue: Rings::default(),
            held: Rings::default(),
            steps: 0,
        }
    }

    /// A step has ended, and `missed` ones before it in which nobody counted: what happened in them is
    /// found in this one.
    pub(super) fn step(
        &mut self,
        at: Timestamp,
        now: BTreeMap<String, Counted>,
        (stored, held): (u64, u64),
        missed: usize,
    ) {
        let missed = missed.min(DAY_STEPS * STEPS_OF_DAY);
        for (name, counted) in &now {
            let before = self.before.get(name).copied().unwrap_or_default();
            // Of a channel that has never moved nothing is kept.
            if before != *counted {
                self.channels.entry(name.clone()).or_default();
            }
        }
        for step in 0..=missed {
            let is_last = step == missed;
            self.steps += 1;
            let ends_day = self.steps == STEPS_OF_DAY;
            for (name, rings) in &mut self.channels {
                let before = self.before.get(name).copied().unwrap_or_default();
                let counted = now.get(name).copied().unwrap_or(before);
                for ((rings, now), before) in rings.iter_mut().zip(counted).zip(before) {
                    let moved = if is_last { now.saturating_sub(before) } else { 0 };
                    rings.count(moved, ends_day);
                }
            }
            self.queue.note(stored, ends_day);
            self.held.note(held, ends_day);
            if ends_day {
                self.steps = 0;
            }
        }
        (self.before, self.end) = (now, at);
    }

    /// The figures of this span.
    pub(super) fn of(&self, span: SeriesSpan) -> Series {
        let channels = self.channels.iter().map(|(name, rings)| {
            let [submitted, received, delivered, deferred, failed] =
                rings.each_ref().map(|rings| rings.of(span));
            let name = name.clone();
            ChannelSeries { name, submitted, received, delivered, deferred, failed }
        });
        Series {
            span,
            step_seconds: match span {
                SeriesSpan::Hour => STEP_SECONDS,
                SeriesSpan::Day => STEP_SECONDS * STEPS_OF_DAY as u64,
            },
            end: self.end,
            since: self.since,
            channels: channels.collect(),
            queue: self.queue.of(span),
            held: self.held.of(span),
        }
    }
}

impl Rings {
    /// So many more in this step.
    fn count(&mut self, moved: u64, ends_day: bool) {
        push(&mut self.hour, HOUR_STEPS, moved);
        self.partial += moved;
        if ends_day {
            push(&mut self.day, DAY_STEPS, std::mem::take(&mut self.partial));
        }
    }

    /// So many at the end of this step.
    fn note(&mut self, now: u64, ends_day: bool) {
        push(&mut self.hour, HOUR_STEPS, now);
        if ends_day {
            push(&mut self.day, DAY_STEPS, now);
        }
    }

    fn of(&self, span: SeriesSpan) -> Vec<u32> {
        let (ring, steps) = match span {
            SeriesSpan::Hour => (&self.hour, HOUR_STEPS),
            SeriesSpan::Day => (&self.day, DAY_STEPS),
        };
        let before = std::iter::repeat_n(0, steps - ring.len());
        before.chain(ring.iter().copied()).collect()
    }
}

fn push(ring: &mut VecDeque<u32>, most: usize, value: u64) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(u32::try_from(value).unwrap_or(u32::MAX));
}

/// The events that are shown, in the order of [`ChannelSeries`].
pub(super) const COUNTED: [Event; 5] =
    [Event::Submitted, Event::Received, Event::Delivered, Event::Attempted, Event::Failed];
/// Seconds of a step of an hour.
pub(super) const STEP_SECONDS: u64 = 10;
const HOUR_STEPS: usize = 360;
const DAY_STEPS: usize = 288;
/// Steps of an hour in one of a day.
const STEPS_OF_DAY: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, received: u64, delivered: u64) -> BTreeMap<String, Counted> {
        BTreeMap::from([(name.to_owned(), [0, received, delivered, 0, 0])])
    }

    #[test]
    fn each_step_holds_what_happened_in_it() {
        let mut book = SeriesBook::new(Timestamp(5), counted("a", 100, 0));
        book.step(Timestamp(10), counted("a", 100, 0), (7, 1), 0);
        assert!(book.of(SeriesSpan::Hour).channels.is_empty(), "nothing has happened since");
        book.step(Timestamp(20), counted("a", 103, 0), (10, 2), 0);
        book.step(Timestamp(30), counted("a", 103, 2), (8, 2), 0);
        let hour = book.of(SeriesSpan::Hour);
        assert_eq!((hour.step_seconds, hour.end, hour.since), (10, Timestamp(30), Timestamp(5)));
        let a = &hour.channels[0];
        let lengths = [hour.queue.len(), hour.held.len(), a.received.len(), a.failed.len()];
        assert_eq!(lengths, [HOUR_STEPS; 4]);
        assert_eq!(a.received[HOUR_STEPS - 3..], [0, 3, 0]);
        assert_eq!(a.delivered[HOUR_STEPS - 3..], [0, 0, 2]);
        assert_eq!(hour.queue[HOUR_STEPS - 4..], [0, 7, 10, 8]);
        assert_eq!(hour.held[HOUR_STEPS - 4..], [0, 1, 2, 2]);
    }

    #[test]
    fn a_day_is_made_of_the_steps_of_its_hours() {
        let mut book = SeriesBook::new(Timestamp(0), BTreeMap::new());
        for step in 1..=STEPS_OF_DAY as u64 * 2 + 1 {
            book.step(Timestamp(step), counted("a", step * 2, step), (step, 0), 0);
        }
        let day = book.of(SeriesSpan::Day);
        assert_eq!(day.step_seconds, 300);
        assert_eq!(day.channels[0].received[DAY_STEPS - 3..], [0, 60, 60]);
        assert_eq!(day.queue[DAY_STEPS - 3..], [0, 30, 60]);
    }

    #[test]
    fn the_rings_stay_as_long_as_they_are_and_missed_steps_are_empty() {
        let mut book = SeriesBook::new(Timestamp(0), BTreeMap::new());
        for step in 1..=1_000 {
            book.step(Timestamp(step), counted("a", step, 0), (step, 0), 0);
        }
        book.step(Timestamp(2_000), counted("a", 1_009, 0), (4, 0), 2);
        let hour = book.of(SeriesSpan::Hour);
        assert_eq!(hour.channels[0].received.len(), HOUR_STEPS);
        assert_eq!(hour.channels[0].received[HOUR_STEPS - 4..], [1, 0, 0, 9]);
        assert_eq!(hour.queue[HOUR_STEPS - 4..], [1_000, 4, 4, 4]);
        book.step(Timestamp(3_000), counted("a", 1_009, 0), (u64::MAX, 0), usize::MAX);
        let hour = book.of(SeriesSpan::Hour);
        assert_eq!(hour.channels[0].received, [0; HOUR_STEPS], "all of it is long ago");
        assert_eq!(hour.queue[HOUR_STEPS - 1], u32::MAX);
    }
}
