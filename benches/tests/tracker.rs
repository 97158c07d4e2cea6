//! The cost of an entry of the queue in memory. Alone in its program: the allocator counts for all.

use std::alloc::System;

use cap::Cap;
use relais_benches::Population;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

#[test]
fn a_tracked_entry_costs_at_most_the_140_octets_of_the_original() {
    for (entries, destinations) in
        [(1_000_000, 4), (1_000_000, 10_000), (600_000, 4), (600_000, 10_000)]
    {
        let before = MEMORY.allocated();
        let tracker = Population::new(entries, destinations).tracker();
        let octets = (MEMORY.allocated() - before).div_ceil(tracker.len());
        assert!(octets <= 140, "{octets} octets; {entries} entries, {destinations} destinations");
    }
}
