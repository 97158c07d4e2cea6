//! How fast mail goes that an order slows down. Pure.
//!
//! Newcomers are given the times at which they go, one behind the other. Mail that comes back at its time
//! goes unless the rate is used up, and then stands at the end again. So the rate holds, whatever comes,
//! and nobody overtakes.

/// The times that are given away.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// When a message went last, in microseconds since 1970; for mail that came back late, when it should
    /// have.
    last: u64,
    /// The last time that was given away.
    end: u64,
}

impl Pace {
    /// A message that was due at `due` (0: it has not waited) wants to go `now`, in milliseconds since
    /// 1970. When it may come again, if it may not; `interval`, in microseconds, lies between two.
    pub(super) fn ask(&mut self, interval: u64, due: u64, now: u64) -> Option<u64> {
        let now = now.saturating_mul(1_000);
        let is_in_line = due == 0 && self.end > now;
        if !is_in_line && now >= self.last.saturating_add(interval) {
            let late = now.saturating_sub(self.last.saturating_add(interval));
            // Newcomers are not late, however long nobody came.
            let late = if due == 0 { 0 } else { late.min(LATE) };
            self.last = now - late;
            self.end = self.end.max(self.last);
            return None;
        }
        self.end = self.end.max(self.last).max(now.saturating_sub(interval)) + interval;
        Some(self.end.div_ceil(1_000))
    }
}

/// Mail comes back up to so many microseconds late, which is made good.
const LATE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use super::*;

    #[test]
    fn the_rate_holds_and_nobody_overtakes() {
        // interval in microseconds, messages, steps of the clock in milliseconds
        for (interval, count, step) in
            [(100_000u64, 200u64, 200u64), (1_500, 2_000, 200), (700, 50, 1)]
        {
            let (mut pace, start) = (Pace::default(), 1_000_000_000_000u64);
            let mut waits: BinaryHeap<_> = (0..count).map(|number| Reverse((0, number))).collect();
            let (mut now, mut went) = (start, Vec::new());
            while let Some(Reverse((due, number))) = waits.pop() {
                if due > now {
                    waits.push(Reverse((due, number)));
                    now += step;
                    continue;
                }
                match pace.ask(interval, due, now) {
                    None => went.push(number),
                    Some(later) => {
                        assert!(later > now || interval < 1_000, "{later} {now}");
                        waits.push(Reverse((later, number)));
                    }
                }
            }
            let took = (now - start) * 1_000;
            assert!(took + LATE + 2 * step * 1_000 >= interval * (count - 1), "{interval}: {took}");
            assert!(took <= interval * count + 2 * step * 1_000 + LATE, "{interval}: {took}");
            assert!(went.is_sorted(), "{interval}: {went:?}");
        }
    }
}
