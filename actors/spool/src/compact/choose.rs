//! The choice of the segment that is compacted: the oldest that is worth its copy, once it is old
//! enough or the disk is short of room.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{
    compact::forwarding::Forwarding,
    cooldown::Cooldown,
    environment::{Environment, RESERVE},
    format::segment::SegmentHead,
    ledger::SegmentLife,
    ledger::feed::Feed,
};

/// The segment to compact now.
pub(super) fn choose(
    environment: &Environment,
    feed: &Feed,
    forwarding: &Forwarding,
    (cooldown, now): (&mut Cooldown, Instant),
) -> Option<u32> {
    let settings = &environment.settings;
    let free = environment.disk.free_space(environment.layout.root()).ok()?;
    let fits = |life: &SegmentLife| free > life.live_bytes.saturating_add(RESERVE);
    let worth: Vec<u32> = feed.live(|ledger| {
        cooldown.retain(|number| ledger.segments.contains_key(&number));
        let worth = |(number, life): (&u32, &SegmentLife)| {
            let worth = is_worth_it(life, settings.segment_size) && fits(life);
            (worth && !cooldown.contains(*number, now)).then_some(*number)
        };
        ledger.segments.iter().filter_map(worth).collect()
    });
    let short_of_room = free < settings.min_free.saturating_mul(SHORT);
    // Segments are in the order in which they were begun.
    let oldest = *worth.first()?;
    let ripe = short_of_room || age(environment, oldest).is_some_and(|age| age >= MIN_AGE);
    (ripe && forwarding.len() < MAX_FORWARDED).then_some(oldest)
}

fn age(environment: &Environment, segment: u32) -> Option<Duration> {
    let head = SegmentHead::load(&*environment.disk, &environment.layout, segment).ok()??;
    let begun = UNIX_EPOCH + Duration::from_millis(head.created);
    SystemTime::now().duration_since(begun).ok()
}

/// Whether a copy of what is alive frees enough.
pub(crate) fn is_worth_it(life: &SegmentLife, segment_size: u64) -> bool {
    // The states do not count: those of survivors may be longer than the messages, and move along.
    life.closed
        && life.live > 0
        && life.live_bytes.saturating_mul(4) <= life.data_len
        && life.data_len - life.live_bytes >= segment_size / 64
}

/// Most messages are done within this time.
pub(super) const MIN_AGE: Duration = Duration::from_secs(600);
/// The disk is short of room when less than this many times `min_free` is free.
const SHORT: u64 = 4;
/// Messages in the table of old places; 16 MiB. Beyond, compaction waits until some are done.
const MAX_FORWARDED: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compacted_frees_three_times_what_it_costs() {
        const MIB: u64 = 1 << 20;
        let life = |data_len, live_bytes| SegmentLife {
            data_len,
            live_bytes,
            live: u32::from(live_bytes > 0),
            closed: true,
            ..SegmentLife::unread()
        };
        let rows = [
            ("nothing alive: it goes as it is", life(64 * MIB, 0), false),
            ("one small message", life(64 * MIB, 4096), true),
            ("a quarter", life(64 * MIB, 16 * MIB), true),
            ("more than a quarter", life(64 * MIB, 17 * MIB), false),
            ("a copy of a copy", life(4 * MIB, 4096), true),
            ("too small to matter", life(MIB, 4096), false),
            ("open", SegmentLife { closed: false, ..life(64 * MIB, 4096) }, false),
        ];
        for (name, life, want) in rows {
            assert_eq!(is_worth_it(&life, 64 * MIB), want, "{name}");
        }
    }
}
