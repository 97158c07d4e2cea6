//! Whether a filter that did not answer is asked again.

use std::time::{Duration, Instant};

use relais_channels::backoff::Backoff;

/// After a failure nobody asks for a while; then one asks, and the others wait for what comes of it.
#[derive(Debug)]
pub(super) struct Cooldown {
    backoff: Backoff,
    /// Nobody asks before this.
    until: Option<Instant>,
}

impl Default for Cooldown {
    fn default() -> Self {
        Self { backoff: PAUSES, until: None }
    }
}

impl Cooldown {
    /// Whether the filter may be asked. Of those who want to after a pause, the first may.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        match &mut self.until {
            None => true,
            Some(until) if now < *until => false,
            Some(until) => {
                // The probe may be given up without a word.
                *until = now + LONGEST;
                true
            }
        }
    }

    /// It did not answer.
    pub(super) fn fail(&mut self, now: Instant) {
        // Sessions that asked at the same time tell of one failure.
        if self.until.is_none_or(|until| now >= until || until - now > self.backoff.pause()) {
            self.until = Some(now + self.backoff.fail());
        }
    }

    /// It answered.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

const LONGEST: Duration = Duration::from_secs(60);
const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), LONGEST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_after_a_pause_and_pauses_grow() {
        let (start, mut cooldown) = (Instant::now(), Cooldown::default());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        assert!(cooldown.may_ask(at(0.0)));
        cooldown.fail(at(0.0));
        // Another one, who was on the way.
        cooldown.fail(at(0.5));
        assert!(!cooldown.may_ask(at(0.9)));
        assert!(cooldown.may_ask(at(1.1)), "the probe");
        assert!(!cooldown.may_ask(at(1.2)), "one only");
        cooldown.fail(at(31.0));
        assert!(!cooldown.may_ask(at(32.9)));
        assert!(cooldown.may_ask(at(33.1)));
        cooldown.end();
        assert!(cooldown.may_ask(at(33.2)) && cooldown.may_ask(at(33.3)));
        cooldown.fail(at(40.0));
        assert!(cooldown.may_ask(at(41.1)), "pauses begin anew");
    }

    #[test]
    fn a_probe_that_is_given_up_holds_up_nobody_for_ever() {
        let (start, mut cooldown) = (Instant::now(), Cooldown::default());
        let at = |seconds| start + Duration::from_secs(seconds);
        cooldown.fail(start);
        assert!(cooldown.may_ask(at(2)));
        assert!(!cooldown.may_ask(at(61)));
        assert!(cooldown.may_ask(at(63)));
    }

    #[test]
    fn pauses_end_somewhere() {
        let (mut now, mut cooldown) = (Instant::now(), Cooldown::default());
        for _ in 0..20 {
            cooldown.fail(now);
            now += LONGEST + Duration::from_millis(1);
            assert!(cooldown.may_ask(now));
        }
    }
}
