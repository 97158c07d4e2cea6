//! Five days in the life of messages that cannot be delivered, on a clock that jumps from one
//! thing to the next: attempts, warnings and returns, at the times that the series say.

use std::time::Duration;

use relais_channels::mail::{Attempt, Enhanced, MessageId, Outcome, Priority, Reply};
use relais_config::{Channel, channel::Program};
use relais_storage::{EntryState, Place};

use super::timetable::{self, Due};
use crate::{
    channel_table::notices,
    ids::{ChannelId, Destination},
    queue::{After, Tracked, tracker::Tracker},
};

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The events of a message, in milliseconds since it came in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happened {
    Attempt(u64),
    Warning(u64),
    Return(u64),
}

#[test]
fn five_days_of_retries_warnings_and_returns_go_by_the_series() {
    let days = |days: &[u64]| {
        let age = |days: &u64| Duration::from_millis(days * DAY);
        Some(days.iter().map(age).collect())
    };
    let channel = Channel {
        notices: days(&[1, 2, 5]),
        urgentnotices: days(&[1, 4]),
        ..Channel::new("c", "c-daemon", Program::Lmtp)
    };
    // The built-in series, in minutes, the last one repeated (sun-mta-engine 3.7).
    let rows = [
        (Priority::Urgent, [30, 60, 60, 120, 120, 120, 240], &[1][..], 4),
        (Priority::Normal, [60, 120, 120, 240, 240, 240, 480], &[1, 2][..], 5),
        (Priority::Nonurgent, [120, 240, 240, 480, 480, 480, 960], &[1, 2][..], 5),
    ];
    for (priority, series, warned, returned) in rows {
        // Ids that differ have a jitter that differs.
        for number in 0..200 {
            let happened = live(&channel, priority, number);
            let attempts = happened.iter().filter_map(|what| match what {
                Happened::Attempt(at) => Some(*at),
                _ => None,
            });
            let attempts: Vec<u64> = attempts.collect();
            assert_eq!(attempts[0], 0, "at once");
            for (nth, pair) in attempts.windows(2).enumerate() {
                let wait = series[nth.min(6)] * MINUTE;
                let waited = pair[1] - pair[0];
                let in_bounds = (wait..=wait + wait / 10).contains(&waited);
                assert!(in_bounds, "{priority:?}, attempt {}: {waited}, not {wait}", nth + 2);
            }
            let last = attempts[attempts.len() - 1];
            let next = series[(attempts.len() - 1).min(6)] * MINUTE;
            assert!(last + next + next / 10 >= returned * DAY, "tried to the end");
            let mut told: Vec<_> =
                warned.iter().map(|days| Happened::Warning(days * DAY)).collect();
            told.push(Happened::Return(returned * DAY));
            let said: Vec<_> = happened
                .iter()
                .copied()
                .filter(|what| !matches!(what, Happened::Attempt(_)))
                .collect();
            assert_eq!(said, told, "{priority:?}: to the millisecond, once each, and no more");
            assert_eq!(happened.last(), Some(&Happened::Return(returned * DAY)));
        }
    }
}

/// From its coming in to its return.
fn live(channel: &Channel, priority: Priority, number: u64) -> Vec<Happened> {
    let began = 1_700_000_000_000;
    let id = MessageId(began << 20 | number);
    let destination = Destination { channel: ChannelId(0), host: "store.example".into() };
    let place = Place { segment: 1, offset: 0, length: 1 };
    let entry =
        Tracked { id, entry: 0, place, open: 1, attempts: 0, due: 0, priority, size: 1_000 };
    let mut tracker = Tracker::new(100);
    tracker.offer(&destination, entry);
    let ages = notices(channel, priority);
    let (mut now, mut since) = (began, began);
    let mut happened = Vec::new();
    loop {
        tracker.wake(now);
        while let Some((entry, _)) = tracker.take_together(&destination, 0) {
            happened.push(Happened::Attempt(now - began));
            let later = Outcome::Deferred(Reply::new(451, Enhanced(4, 2, 2), "full"));
            let after = After::of(channel, &entry, &Attempt::all(1, &later), now);
            tracker.defer(entry.now(after.state).expect("it waits"), false);
        }
        match timetable::due(ages, id.received_ms(), since, now) {
            Some(Due::Warning { .. }) => happened.push(Happened::Warning(now - began)),
            Some(Due::Return) => {
                happened.push(Happened::Return(now - began));
                return happened;
            }
            None => {}
        }
        since = now;
        let (_, waiting) = tracker.state_of(id, 0).expect("it is in the queue");
        let EntryState::Waiting { due, .. } = waiting.waiting() else { return happened };
        let notice = timetable::next(ages, id.received_ms(), now);
        now = notice.map_or(due, |notice| notice.min(due));
    }
}
