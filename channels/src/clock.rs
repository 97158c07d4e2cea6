//! The clock on the wall, as numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970; none for what lies before it.
pub fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Time since 1970 until now.
pub fn now() -> Duration {
    since_1970(SystemTime::now())
}

/// The same in milliseconds.
pub fn now_ms() -> u64 {
    u64::try_from(now().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_1970_says_1970() {
        let rows = [
            (UNIX_EPOCH, Duration::ZERO),
            (UNIX_EPOCH + Duration::from_millis(1_500), Duration::from_millis(1_500)),
            (UNIX_EPOCH - Duration::from_secs(1), Duration::ZERO),
        ];
        for (time, want) in rows {
            assert_eq!(since_1970(time), want);
        }
        assert!(now_ms() / 1_000 <= now().as_secs());
    }
}
