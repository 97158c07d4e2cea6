//! When a message that waits is worth a word to its sender. Pure.
//!
//! The channel's notices ([`crate::channel_table::notices`]) are ages: at each but the last the
//! sender is warned, at the last the message is returned. No notice is written down: the notary
//! notes up to when it has dealt with everything, and an age that was reached before needs nothing.

use std::time::Duration;

/// The notice that is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Due {
    /// A warning; the message is tried for so long, in milliseconds since 1970.
    Warning {
        /// When it will be returned.
        until: u64,
    },
    /// The message is given up.
    Return,
}

/// The notice that is due at `now` for a message that came in at `received`, if the notary has
/// dealt with everything up to `since`. Of several warnings that were missed only one is sent.
pub fn due(ages: &[Duration], received: u64, since: u64, now: u64) -> Option<Due> {
    let (last, warnings) = ages.split_last()?;
    let until = after(received, *last);
    if until <= now {
        return Some(Due::Return);
    }
    let reached = |age: &&Duration| (since + 1..=now).contains(&after(received, **age));
    warnings.iter().any(|age| reached(&age)).then_some(Due::Warning { until })
}

/// When something will be due for it, after `now`.
pub fn next(ages: &[Duration], received: u64, now: u64) -> Option<u64> {
    ages.iter().map(|age| after(received, *age)).find(|at| *at > now)
}

/// How long the notary may wait between two looks when this is the shortest age of any channel:
/// a notice is late by a hundredth of it at most.
pub fn pace(shortest: Duration) -> Duration {
    (shortest / 100).clamp(Duration::from_millis(250), Duration::from_secs(5 * 60))
}

fn after(received: u64, age: Duration) -> u64 {
    received.saturating_add(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn each_age_is_dealt_with_once_and_the_last_returns_the_message() {
        let ages = [1, 2, 4].map(|hours| Duration::from_millis(hours * HOUR));
        let warning = Some(Due::Warning { until: 4 * HOUR });
        // dealt with up to, now, what is due
        let rows = [
            (0, HOUR - 1, None),
            (0, HOUR, warning),
            (HOUR, HOUR + 1, None),
            (HOUR - 1, HOUR, warning),
            (HOUR, 2 * HOUR, warning),
            (0, 3 * HOUR, warning),
            (2 * HOUR, 4 * HOUR - 1, None),
            (2 * HOUR, 4 * HOUR, Some(Due::Return)),
            (9 * HOUR, 9 * HOUR, Some(Due::Return)),
        ];
        for (since, now, want) in rows {
            assert_eq!(due(&ages, 0, since, now), want, "{since} {now}");
        }
        assert_eq!(next(&ages, 0, HOUR), Some(2 * HOUR));
        assert_eq!(next(&ages, 0, 4 * HOUR), None);
        assert_eq!(due(&ages[2..], 0, 0, 3 * HOUR), None, "one age is a return without warning");
    }
}
