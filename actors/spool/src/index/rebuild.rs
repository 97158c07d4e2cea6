//! When it is tried again to rebuild the index. Each attempt reads the whole spool, and on a full
//! disk fails again as long as nothing has left: so the pauses grow, until there may be room.

use std::time::{Duration, Instant};

use relais_channels::backoff::Backoff;

/// The next attempt.
#[derive(Debug)]
pub(crate) struct Retry {
    pub(crate) at: Instant,
    backoff: Backoff,
    /// Bytes that were free.
    free: u64,
}

impl Retry {
    /// It failed, with so many bytes free.
    pub(crate) fn after(last: Option<Self>, now: Instant, free: u64) -> Self {
        let mut backoff = last.map_or(BACKOFF, |last| last.backoff);
        Self { at: now + backoff.fail(), backoff, free }
    }

    /// There may be room now.
    pub(crate) fn soon(&mut self, now: Instant) {
        self.at = self.at.min(now + FIRST_PAUSE);
        self.backoff = BACKOFF;
    }

    /// Whether it is time. Much more room than there was brings it nearer.
    pub(crate) fn admit(&mut self, now: Instant, free: u64) -> bool {
        if free.saturating_sub(self.free) >= ROOM_AGAIN {
            self.free = free;
            self.soon(now);
        }
        now >= self.at
    }
}

/// Pauses between attempts to rebuild it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
const BACKOFF: Backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
/// So many bytes more than at the last attempt are worth another one.
const ROOM_AGAIN: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_attempts_grow_until_there_is_room() {
        let mut now = Instant::now();
        let mut retry = None;
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let mut next = Retry::after(retry, now, 500);
            assert!(!next.admit(now + Duration::from_secs(seconds - 1), 500), "{seconds}");
            now += Duration::from_secs(seconds);
            assert!(next.admit(now, 500), "{seconds}");
            retry = Some(next);
        }
        let mut next = Retry::after(retry, now, 500);
        assert!(!next.admit(now, 500 + ROOM_AGAIN));
        assert!(next.admit(now + FIRST_PAUSE, 500 + ROOM_AGAIN), "room came back");
        let next = Retry::after(Some(next), now, 500);
        assert_eq!(next.at, now + FIRST_PAUSE, "and the pauses grow from the beginning");
    }
}
