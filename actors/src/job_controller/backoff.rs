//! When a deferred entry is tried again. Pure.

use std::{hash::Hasher, time::Duration};

/// The wait before attempt `attempts + 1`, after `attempts` failures (from 1): the series, whose
/// last value repeats, plus up to a tenth, so that a host that comes back is not hit by
/// everything at once. Never earlier than the series says.
pub fn delay(series: Option<&[Duration]>, attempts: u16, seed: u64) -> Duration {
    let series = series.filter(|series| !series.is_empty()).unwrap_or(&NORMAL);
    let index = usize::from(attempts.max(1) - 1).min(series.len() - 1);
    let base = series[index];
    base + (base / 10).mul_f64(fraction(seed, attempts))
}

/// A mailbox that is busy now is free soon: 1 to 60 seconds (sun-mta-addressing 5.5).
pub fn mailbox_busy(seed: u64, attempts: u16) -> Duration {
    Duration::from_secs(1) + Duration::from_secs(59).mul_f64(fraction(seed, attempts))
}

/// A number from 0 to 1 that differs between entries and attempts and is the same when asked
/// again: nothing to store, and tests need no luck.
fn fraction(seed: u64, attempts: u16) -> f64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write_u16(attempts);
    (hasher.finish() >> 11) as f64 / (1u64 << 53) as f64
}

/// Waits of normal priority, in the original's built-in series (sun-mta-engine 3.7).
pub const NORMAL: [Duration; 7] = [
    Duration::from_secs(60 * 60),
    Duration::from_secs(120 * 60),
    Duration::from_secs(120 * 60),
    Duration::from_secs(240 * 60),
    Duration::from_secs(240 * 60),
    Duration::from_secs(240 * 60),
    Duration::from_secs(480 * 60),
];

/// The longest wait of an entry whose host could not be talked to.
pub const SITE_TROUBLE: Duration = Duration::from_secs(60);

/// Busy answers in a row that are retried fast; then the series applies.
pub const FAST_RETRIES: u16 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_with_its_jitter() {
        let own = [Duration::from_secs(10), Duration::from_secs(20)];
        // series, failures so far, wait in seconds
        let rows: [(Option<&[Duration]>, u16, u64); 7] = [
            (None, 1, 3_600),
            (None, 2, 7_200),
            (None, 7, 28_800),
            (None, 1_000, 28_800),
            (Some(&own), 1, 10),
            (Some(&own), 2, 20),
            (Some(&own), u16::MAX, 20),
        ];
        for (series, attempts, secs) in rows {
            for seed in 0..200 {
                let wait = delay(series, attempts, seed).as_secs_f64();
                let secs = secs as f64;
                assert!((secs..secs * 1.1).contains(&wait), "{attempts}: {wait}");
            }
        }
    }

    #[test]
    fn entries_that_failed_together_do_not_return_together() {
        let mut waits: Vec<_> = (0..100).map(|seed| delay(None, 1, seed)).collect();
        waits.sort();
        waits.dedup();
        assert!(waits.len() > 95, "{}", waits.len());
    }

    #[test]
    fn a_busy_mailbox_is_asked_again_within_a_minute() {
        for seed in 0..200 {
            let wait = mailbox_busy(seed, 1).as_secs();
            assert!((1..=60).contains(&wait), "{wait}");
        }
    }
}
