//! Quantities as people read them.

use std::{cmp::Ordering, fmt, time::Duration};

use relais_actors::timestamp::Timestamp;
use relais_channels::mail::XQuota;

/// Octets: `512 B`, `4.0 KiB`, `1.5 GiB`.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

/// A quota: `20.0 MiB, 2000 messages`, `unlimited, default`.
#[derive(Clone, Copy, Debug)]
pub struct Quota(pub XQuota);

/// A stretch of time by its two largest units: `12s`, `3m`, `1h20m`, `2d5h`.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

/// A point in time as seen from another: `3m ago`, `in 5h`, `-` when there is none.
#[derive(Clone, Copy, Debug)]
pub struct Relative {
    /// The point, if there is one.
    pub time: Option<Timestamp>,
    /// From where it is seen.
    pub now: Timestamp,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        // A listing has a million of them: whole numbers are written much faster than fractions.
        let octets = u128::from(self.0);
        let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter().zip(1..);
        let (mut unit, mut one) = ("", 1);
        for (next, power) in &mut units {
            (unit, one) = (next, 1 << (10 * power));
            // An amount that would be shown as 1024.0 belongs to the next unit.
            if octets * 20 < 20_479 * one {
                break;
            }
        }
        let (tenths, rest) = (octets * 10 / one, octets * 10 % one);
        let tenths = match (rest * 2).cmp(&one) {
            Ordering::Less => tenths,
            Ordering::Equal => tenths.next_multiple_of(2),
            Ordering::Greater => tenths + 1,
        };
        write!(f, "{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let XQuota { size, messages } = self.0;
        match (u64::try_from(size), size) {
            (Ok(size), _) => Size(size).fmt(f)?,
            (_, -1) => f.write_str("unlimited")?,
            _ => f.write_str("default")?,
        }
        match messages {
            0.. => write!(f, ", {messages} messages"),
            -1 => f.write_str(", unlimited"),
            _ => f.write_str(", default"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            secs @ ..60 => write!(f, "{secs}s"),
            secs @ ..3_600 => write!(f, "{}m", secs / 60),
            secs @ ..86_400 => two(f, (secs / 3_600, "h"), (secs / 60 % 60, "m")),
            secs => two(f, (secs / 86_400, "d"), (secs / 3_600 % 24, "h")),
        }
    }
}

/// The smaller one where there is some of it.
fn two(
    f: &mut fmt::Formatter<'_>,
    (large, of_large): (u64, &str),
    (small, of_small): (u64, &str),
) -> fmt::Result {
    write!(f, "{large}{of_large}")?;
    if small == 0 { Ok(()) } else { write!(f, "{small}{of_small}") }
}

impl Relative {
    /// Of something that has happened. What the clock, once ahead, said was later than now happened
    /// just now, as far as anybody can tell.
    pub fn past(self) -> String {
        Self { time: self.time.map(|time| time.min(self.now)), ..self }.to_string()
    }

    /// Of something that is to come: what was to come already comes `now`.
    pub fn next(self) -> String {
        match self.time {
            Some(time) if self.now.until(time) < SOON => "now".to_owned(),
            _ => self.to_string(),
        }
    }
}

impl fmt::Display for Relative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            None => f.write_str("-"),
            Some(time) if time > self.now => write!(f, "in {}", Span(self.now.until(time))),
            Some(time) => write!(f, "{} ago", Span(time.until(self.now))),
        }
    }
}

/// A time within this is now.
const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let rows = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (3 << 29, "1.5 GiB"),
            (1280, "1.2 KiB"),
            (1792, "1.8 KiB"),
            (1_048_524, "1023.9 KiB"),
            (1_048_525, "1.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (octets, want) in rows {
            assert_eq!(Size(octets).to_string(), want);
        }
        let rows = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3_599, "59m"),
            (3_600, "1h"),
            (4_859, "1h20m"),
            (86_399, "23h59m"),
            (172_800, "2d"),
            (192_000, "2d5h"),
        ];
        for (secs, want) in rows {
            assert_eq!(Span(Duration::from_secs(secs)).to_string(), want);
        }
        let at = |time| Relative { time, now: Timestamp(1_000_000) }.to_string();
        assert_eq!(at(Some(Timestamp(820_000))), "3m ago");
        assert_eq!(at(Some(Timestamp(1_300_000))), "in 5m");
        assert_eq!(at(None), "-");
        let next = |time| Relative { time, now: Timestamp(1_000_000) }.next();
        assert_eq!(next(Some(Timestamp(999_999))), "now");
        assert_eq!(next(Some(Timestamp(5_800_000))), "in 1h20m");
        assert_eq!(next(None), "-");
        let past = |time| Relative { time, now: Timestamp(1_000_000) }.past();
        assert_eq!(past(Some(Timestamp(820_000))), "3m ago");
        assert_eq!(past(Some(Timestamp(87_400_000))), "0s ago");
        assert_eq!(past(None), "-");
    }
}
