//! When a message that waits is worth a word to its sender. Pure.
//!
//! The channel's notices are ages: at each but the last the sender is warned, at the last the
//! message is returned. What was said already is not written down anywhere: the notary notes up
//! to when it has looked, and an age that was reached before that has been dealt with.

use std::time::Duration;

use relais_channels::mail::Priority;
use relais_config::Channel;

/// What is due.
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

/// The ages at which a channel says something about messages of this priority: specific, else
/// `notices`, else the original's (sun-mta-engine 3.7).
pub fn notices(channel: &Channel, priority: Priority) -> &[Duration] {
    let specific = match priority {
        Priority::Urgent => &channel.urgentnotices,
        Priority::Normal => &channel.normalnotices,
        Priority::Nonurgent | Priority::SecondClass => &channel.nonurgentnotices,
    };
    let given = specific.as_deref().or(channel.notices.as_deref());
    given.filter(|ages| !ages.is_empty()).unwrap_or(&DEFAULT)
}

/// What is due at `now` for a message that came in at `received`, if the notary has looked up to
/// `looked`. Of several warnings that were missed only one is sent.
pub fn due(ages: &[Duration], received: u64, looked: u64, now: u64) -> Option<Due> {
    let (last, warnings) = ages.split_last()?;
    let until = after(received, *last);
    if until <= now {
        return Some(Due::Return);
    }
    let reached = |age: &&Duration| (looked + 1..=now).contains(&after(received, **age));
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

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT: [Duration; 4] =
    [DAY.saturating_mul(3), DAY.saturating_mul(6), DAY.saturating_mul(9), DAY.saturating_mul(12)];

#[cfg(test)]
mod tests {
    use relais_config::channel::Program;

    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn each_age_is_dealt_with_once_and_the_last_returns_the_message() {
        let ages = [1, 2, 4].map(|hours| Duration::from_millis(hours * HOUR));
        let warning = Some(Due::Warning { until: 4 * HOUR });
        // looked up to, now, what is due
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
        for (looked, now, want) in rows {
            assert_eq!(due(&ages, 0, looked, now), want, "{looked} {now}");
        }
        assert_eq!(next(&ages, 0, HOUR), Some(2 * HOUR));
        assert_eq!(next(&ages, 0, 4 * HOUR), None);
        assert_eq!(due(&ages[2..], 0, 0, 3 * HOUR), None, "one age is a return without warning");
    }

    #[test]
    fn a_priority_has_its_own_ages_when_the_channel_gives_them() {
        let day = |n: u32| vec![DAY * n];
        let mut channel = Channel::new("c", "c-daemon", Program::Lmtp);
        assert_eq!(notices(&channel, Priority::Urgent), DEFAULT);
        channel.notices = Some(day(2));
        channel.nonurgentnotices = Some(day(9));
        for (priority, want) in [
            (Priority::Urgent, 2),
            (Priority::Normal, 2),
            (Priority::Nonurgent, 9),
            (Priority::SecondClass, 9),
        ] {
            assert_eq!(notices(&channel, priority), day(want), "{priority:?}");
        }
    }
}
