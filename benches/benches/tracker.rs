//! The queue's memory: octets for each entry, and the time of everything that is done with one,
//! with a million of them for a few destinations and for many.
//!
//! Octets are those that were asked of the allocator; what it keeps beside is not seen.

use std::{
    alloc::System,
    time::{Duration, Instant},
};

use cap::Cap;
use relais_actors::queue::{Tracked, tracker::Tracker};
use relais_benches::Population;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

fn main() {
    println!("{ENTRIES} entries, half ready and half delayed\n");
    println!("| destinations | octets | offer | take | defer | wake | finish |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for destinations in [4, 10_000] {
        let costs = Costs::of(destinations);
        let nanos = |(time, entries): (Duration, usize)| time.as_nanos() / entries as u128;
        let [offer, take, defer, wake, finish] =
            [costs.offer, costs.take, costs.defer, costs.wake, costs.finish].map(nanos);
        println!(
            "| {destinations} | {} | {offer} ns | {take} ns | {defer} ns | {wake} ns | {finish} ns |",
            costs.octets
        );
        assert!(costs.octets <= BUDGET, "{} octets for each entry, not {BUDGET}", costs.octets);
    }
}

/// The time of each kind of work, and for how many entries it was done.
struct Costs {
    octets: usize,
    offer: (Duration, usize),
    take: (Duration, usize),
    defer: (Duration, usize),
    wake: (Duration, usize),
    finish: (Duration, usize),
}

impl Costs {
    fn of(destinations: usize) -> Self {
        let before = MEMORY.allocated();
        let population = Population::new(ENTRIES, destinations);
        let mut tracker = Tracker::new(population.entries);
        let offer = timed(population.entries, || {
            for (destination, entry) in population.iter() {
                tracker.offer(destination, entry);
            }
        });
        let octets = (MEMORY.allocated() - before).div_ceil(tracker.len());
        tracker.set_max(2 * population.entries);

        let half = population.entries / 2;
        let mut taken = Vec::with_capacity(half);
        let take = timed(half, || take_all(&mut tracker, &population, &mut taken));
        assert_eq!(taken.len(), half);
        let defer = timed(half, || {
            for entry in &taken {
                tracker.defer(Tracked { attempts: 1, due: entry.id.0, ..*entry }, false);
            }
        });
        let wake = timed(population.entries, || drop(tracker.wake(u64::MAX)));
        taken.clear();
        take_all(&mut tracker, &population, &mut taken);
        let finish = timed(population.entries, || {
            for entry in &taken {
                tracker.finish(entry.id, entry.entry);
            }
        });
        assert!(tracker.is_empty());
        Self { octets, offer, take, defer, wake, finish }
    }
}

/// One after the other for each destination in turn, as its threads ask for them.
fn take_all(tracker: &mut Tracker, population: &Population, taken: &mut Vec<Tracked>) {
    loop {
        let before = taken.len();
        taken.extend(
            population
                .destinations
                .iter()
                .filter_map(|to| tracker.take_together(to, 0))
                .map(|(first, _)| first),
        );
        if taken.len() == before {
            return;
        }
    }
}

fn timed(entries: usize, work: impl FnOnce()) -> (Duration, usize) {
    let start = Instant::now();
    work();
    (start.elapsed(), entries)
}

const ENTRIES: usize = 1_000_000;
/// The cost of a message in the original (sun-mta-engine: 140 bytes).
const BUDGET: usize = 140;
