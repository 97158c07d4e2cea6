//! When the disk is read for what memory does not hold. Knows no actor.

use std::time::Duration;

use tokio::time::Instant;

use super::{tracker::Tracker, wall_clock::WallClock};

/// The scans, and the clock by which entries on the disk are due.
#[derive(Debug)]
pub(super) struct DiskScan {
    /// Channels that a scan reads at once.
    pub(super) parallel: usize,
    /// The clock that tells due times.
    pub(super) wall_clock: WallClock,
    under_way: bool,
    began: Instant,
    not_before: Instant,
    seek_again_at: Instant,
    again_at: Instant,
}

impl DiskScan {
    /// The first scan begins as soon as somebody asks.
    pub(super) fn at(now: Instant, wall_clock: WallClock, parallel: usize) -> Self {
        Self {
            parallel,
            wall_clock,
            under_way: false,
            began: now,
            not_before: now,
            seek_again_at: now,
            again_at: now,
        }
    }

    /// Begins a scan, when there is something to find and room for it. The tracker is told.
    pub(super) fn begin(&mut self, now: Instant, tracker: &mut Tracker) -> bool {
        // Now and then without need: what was left on the disk for want of room must not wait for
        // the day when memory is half empty.
        let again = now >= self.again_at;
        let wanted = tracker.is_half_empty()
            || tracker.is_hungry() && now >= self.seek_again_at
            || tracker.could_scan() && again;
        if self.under_way || now < self.not_before || !wanted {
            return false;
        }
        self.under_way = true;
        self.began = now;
        tracker.scan_begun(again);
        true
    }

    /// The index could not be read.
    pub(super) fn fail(&mut self, now: Instant) {
        self.not_before = now + FAILED_PAUSE;
    }

    /// The scan has ended; it was for all that there is, or for some destinations.
    pub(super) fn end(&mut self, now: Instant, reads_all: bool) {
        self.under_way = false;
        let took = now - self.began;
        self.seek_again_at = now + took * SEEK_SHARE;
        if reads_all {
            self.again_at = now + (took * SCAN_SHARE).clamp(SCAN_AGAIN, SCAN_AGAIN_AT_MOST);
        }
    }
}

/// Before the next scan, after one that failed.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// Before the next scan for some destinations, in times of what the last scan took: one that finds
/// little must not become the next at once.
const SEEK_SHARE: u32 = 2;

/// Before a scan that nothing asks for, while the disk has more.
const SCAN_AGAIN: Duration = Duration::from_secs(2 * 60);
/// The pause before such a scan, in times of what the last scan took, for queues of many millions.
const SCAN_SHARE: u32 = 50;
/// The longest such pause: what overflowed waits no longer for its turn.
const SCAN_AGAIN_AT_MOST: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_scan_at_a_time_and_none_that_nobody_wants() {
        let now = Instant::now();
        let mut tracker = Tracker::new(100);
        let mut scan = DiskScan::at(now, WallClock::new(now, 0), 1);
        assert!(!scan.begin(now, &mut tracker), "the disk has nothing that memory has not");
        tracker.note_overflow();
        assert!(scan.begin(now, &mut tracker));
        tracker.note_overflow();
        assert!(!scan.begin(now, &mut tracker), "one is under way");
        scan.fail(now);
        scan.end(now, true);
        assert!(!scan.begin(now, &mut tracker), "it failed just now");
        assert!(scan.begin(now + FAILED_PAUSE, &mut tracker));
    }
}
