//! A full tracker, as a large backlog makes it.

use relais_actors::{
    ids::{ChannelId, Destination},
    queue::{Tracked, tracker::Tracker},
};
use relais_channels::mail::{MessageId, Priority};
use relais_storage::Place;

/// So many entries, spread evenly over so many destinations; half of them ready, half delayed.
#[derive(Debug)]
pub struct Population {
    /// The contents of the tracker.
    pub entries: usize,
    /// Where they go.
    pub destinations: Vec<Destination>,
}

impl Population {
    /// A tracker of it comes from [`Population::tracker`].
    pub fn new(entries: usize, destinations: usize) -> Self {
        let destination = |number| Destination {
            channel: ChannelId((number % CHANNELS) as u16),
            host: format!("store{number}.relais.example").into(),
        };
        Self { entries, destinations: (0..destinations).map(destination).collect() }
    }

    /// Every entry, and where it goes.
    pub fn iter(&self) -> impl Iterator<Item = (&Destination, Tracked)> {
        let destinations = self.destinations.len();
        // Not by the number alone: every other destination would have none that is ready.
        let is_delayed = move |number| (number + number / destinations) % 2 == 1;
        (0..self.entries).map(move |number| {
            let entry = if is_delayed(number) { delayed(number) } else { ready(number) };
            (&self.destinations[number % destinations], entry)
        })
    }

    /// A tracker that has been offered all of it, and has room for as many again: so nothing is
    /// forgotten when entries are deferred.
    pub fn tracker(&self) -> Tracker {
        let mut tracker = Tracker::new(2 * self.entries);
        for (destination, entry) in self.iter() {
            tracker.offer(destination, entry);
        }
        assert_eq!(tracker.len(), self.entries);
        tracker
    }
}

fn ready(number: usize) -> Tracked {
    Tracked {
        id: MessageId(FIRST + number as u64),
        entry: 0,
        place: Place { segment: 1, offset: number as u32, length: 4_096 },
        open: 1,
        attempts: 0,
        due: 0,
        priority: Priority::Normal,
        size: 2_048,
    }
}

/// After a failure, its due time somewhere in the hour that follows.
fn delayed(number: usize) -> Tracked {
    let due = HOUR_MS + (number as u64 * 7_919) % HOUR_MS;
    Tracked { attempts: 1, due, ..ready(number) }
}

const CHANNELS: usize = 4;
const FIRST: u64 = 1 << 60;
const HOUR_MS: u64 = 3_600_000;
