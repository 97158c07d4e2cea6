//! An alarm is raised by a failure that lasts: it is told at once, then every [`TOLD_EVERY`], and
//! once when it is cleared. A full disk fails a hundred times a second, and would fill itself with
//! the log.

use std::{
    mem::{self, Discriminant},
    time::{Duration, Instant},
};

use relais_storage::StorageError;

use crate::events::{self, SpoolEvents};

/// One thing that may not work.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    since: Option<Instant>,
    /// Each kind of failure, and when it was told last.
    told: Vec<(Discriminant<StorageError>, Instant)>,
}

impl Alarm {
    /// It did not work. Reports that, unless it has been reported a moment ago; says whether it
    /// did.
    pub(crate) fn raise(
        &mut self,
        events: &dyn SpoolEvents,
        error: &StorageError,
        consequence: &'static str,
    ) -> bool {
        let due = self.note(error, Instant::now());
        if due {
            events::report(events, error, consequence);
        }
        due
    }

    /// It works. Says for how long it did not, the first time.
    pub(crate) fn clear(&mut self) -> Option<Duration> {
        self.told.clear();
        self.since.take().map(|since| since.elapsed())
    }

    fn note(&mut self, error: &StorageError, now: Instant) -> bool {
        self.since.get_or_insert(now);
        let what = mem::discriminant(error);
        match self.told.iter_mut().find(|(told, _)| *told == what) {
            Some((_, at)) if now - *at < TOLD_EVERY => return false,
            Some((_, at)) => *at = now,
            None => self.told.push((what, now)),
        }
        true
    }
}

/// How often it is told that there is still the same failure.
const TOLD_EVERY: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_is_told_at_once_and_then_every_ten_minutes() {
        let (mut alarm, start) = (Alarm::default(), Instant::now());
        let (one, other) = (StorageError::Closed, StorageError::Envelope("of another kind"));
        // seconds since it began, what failed, whether it is told
        for (seconds, error, want) in [
            (0.0, &one, true),
            (6.0, &other, true),
            (12.0, &one, false),
            (594.0, &one, false),
            (594.0, &other, false),
            (600.0, &one, true),
            (660.0, &other, true),
            (1140.0, &one, false),
        ] {
            let due = alarm.note(error, start + Duration::from_secs_f64(seconds));
            assert_eq!(due, want, "{seconds}, {error}");
        }
        assert!(alarm.clear().is_some());
        assert!(alarm.clear().is_none(), "once");
        assert!(alarm.note(&one, start), "another time is told at once");
    }
}
