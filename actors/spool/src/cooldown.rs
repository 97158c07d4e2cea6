//! Segments that the compactor, or the journal, leaves alone: for a while, or for ever.
//!
//! A copy may fail for reasons that pass (a disk that errs, a state that could not be synced), and
//! its segment is then tried again after a pause that grows from [`FIRST`] to [`LONGEST`]: each try
//! may cost a copy. Damage does not pass. So may the look at a log before its segment is deleted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use relais_channels::backoff::Backoff;

/// The segments, and when each may be tried again.
#[derive(Debug, Default)]
pub(crate) struct Cooldown(BTreeMap<u32, Rejected>);

#[derive(Debug)]
struct Rejected {
    backoff: Backoff,
    /// `None`: never.
    again: Option<Instant>,
}

impl Cooldown {
    /// It did not work now.
    pub(crate) fn put_off(&mut self, segment: u32, now: Instant) {
        let rejected = self.0.entry(segment).or_insert(Rejected::NEW);
        rejected.again = Some(now + rejected.backoff.fail());
    }

    /// It will not work before somebody has looked at it.
    pub(crate) fn give_up(&mut self, segment: u32) {
        self.0.insert(segment, Rejected::NEW);
    }

    /// Whether the segment is to be left alone.
    pub(crate) fn contains(&self, segment: u32, now: Instant) -> bool {
        let again = self.0.get(&segment).map(|rejected| rejected.again);
        again.is_some_and(|again| again.is_none_or(|again| now < again))
    }

    /// Forgets those that are gone.
    pub(crate) fn retain(&mut self, is_there: impl Fn(u32) -> bool) {
        self.0.retain(|segment, _| is_there(*segment));
    }
}

impl Rejected {
    const NEW: Self = Self { backoff: Backoff::new(FIRST, LONGEST), again: None };
}

const FIRST: Duration = Duration::from_secs(300);
const LONGEST: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_tried_again_after_pauses_that_grow() {
        let mut cooldown = Cooldown::default();
        let mut now = Instant::now();
        assert!(!cooldown.contains(1, now));
        for minutes in [5, 10, 20, 40, 80, 160, 240, 240] {
            cooldown.put_off(1, now);
            let pause = Duration::from_secs(minutes * 60);
            assert!(cooldown.contains(1, now + pause.mul_f64(0.99)), "{minutes}");
            assert!(!cooldown.contains(1, now + pause), "{minutes}");
            assert!(!cooldown.contains(2, now), "it is the only one");
            now += pause;
        }
        cooldown.retain(|segment| segment != 1);
        cooldown.put_off(1, now);
        assert!(!cooldown.contains(1, now + FIRST), "another of its number begins anew");
    }

    #[test]
    fn a_damaged_segment_is_never_tried_again() {
        let mut cooldown = Cooldown::default();
        let now = Instant::now();
        cooldown.put_off(1, now);
        cooldown.give_up(1);
        assert!(cooldown.contains(1, now + 10 * LONGEST));
    }
}
