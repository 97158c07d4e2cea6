//! Durations and sizes as operators write them: `"10m"`, `"1d"`, `"PT10M"`, `"10MiB"`.
//!
//! What is printed parses back to the same value. Nothing is rounded: a value that its unit
//! cannot express exactly is printed in a smaller one.

use std::time::Duration;

/// Why a text is not a duration or a size.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnitError {
    /// No number, no unit, or a unit that is not known.
    #[error("{0:?} is not a time")]
    Duration(String),
    /// No number, or a unit that is not known.
    #[error("{0:?} is not a size")]
    Size(String),
    /// Above what 64 bits hold.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// Reads a time: numbers with `ms`, `s`, `m`, `h`, `d` or `w` (`"1h30m"`), with these units
/// written out or cut short (`"1 hour 30 min"`), or ISO 8601 (`"P1DT2H"`), in upper or lower case.
/// Seconds may have up to three decimals. A year has 365 days, a month 30.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let lower = text.trim().to_ascii_lowercase();
    let millis = match lower.strip_prefix('p') {
        Some(iso) => iso_millis(iso),
        None => sum_millis(&lower, FRIENDLY, true),
    };
    match millis {
        Parts::Sum(millis) => Ok(Duration::from_millis(millis)),
        Parts::Malformed => Err(UnitError::Duration(text.to_owned())),
        Parts::TooLarge => Err(UnitError::TooLarge(text.to_owned())),
    }
}

/// The shortest spelling in one unit: `"90s"`, `"2h"`, `"1w"`. Below a millisecond is dropped:
/// no text says it.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let fits = |(_, unit): &&(&str, u64)| millis.is_multiple_of(u128::from(*unit));
    let (name, unit) = FRIENDLY.iter().rev().find(fits).unwrap_or(&FRIENDLY[0]);
    format!("{}{name}", millis / u128::from(*unit))
}

/// Reads a size in octets: a number with `B`, `kB`, `MB`, `GB`, `TB` (powers of 1,000) or `KiB`,
/// `MiB`, `GiB`, `TiB` (powers of 1,024; `K`, `M`, `G` and `T` are the same), in upper or lower
/// case, or a number alone.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = match unit.trim_start() {
        unit if OCTETS.iter().any(|name| name.eq_ignore_ascii_case(unit)) => "B",
        unit => unit,
    };
    let unit = match unit {
        "K" | "k" => "KiB",
        "M" | "m" => "MiB",
        "G" | "g" => "GiB",
        "T" | "t" => "TiB",
        unit => unit,
    };
    let factor = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let factor = match factor {
        Some((_, factor)) if digits > 0 => *factor,
        None if digits > 0 && unit.is_empty() => 1,
        _ => return Err(UnitError::Size(text.to_owned())),
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
}

/// The largest unit that divides `octets`, powers of 1,024 first; a plain number when none does.
pub fn format_size(octets: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| octets >= *unit && octets.is_multiple_of(*unit);
    match SIZES.iter().find(fits) {
        Some((name, unit)) if *unit > 1 => format!("{}{name}", octets / unit),
        _ => octets.to_string(),
    }
}

/// A number for readers: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

enum Parts {
    Sum(u64),
    Malformed,
    TooLarge,
}

/// Reads the text behind the `P` of ISO 8601.
fn iso_millis(iso: &str) -> Parts {
    let (date, time) = match iso.split_once('t') {
        Some((_, "")) => return Parts::Malformed,
        Some((date, time)) => (date, time),
        None => (iso, ""),
    };
    let part = |text: &str, units| {
        if text.is_empty() { Parts::Sum(0) } else { sum_millis(text, units, false) }
    };
    match (part(date, ISO_DATE), part(time, ISO_TIME)) {
        _ if date.is_empty() && time.is_empty() => Parts::Malformed,
        (Parts::Malformed, _) | (_, Parts::Malformed) => Parts::Malformed,
        (Parts::Sum(date), Parts::Sum(time)) => {
            date.checked_add(time).map_or(Parts::TooLarge, Parts::Sum)
        }
        _ => Parts::TooLarge,
    }
}

/// The short name of a unit that may be written out; itself when it is no unit.
fn friendly(unit: &str) -> &str {
    match unit {
        "msec" | "msecs" | "millisecond" | "milliseconds" => "ms",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        unit => unit,
    }
}

/// Adds up `1h30m`; each unit may come once, in any order. `free`: units may be written out, and
/// blanks may stand between; ISO 8601 knows neither.
fn sum_millis(text: &str, units: &[(&str, u64)], free: bool) -> Parts {
    fn skip(text: &str, free: bool) -> &str {
        if free { text.trim_start() } else { text }
    }
    let mut rest = text;
    let mut seen = Vec::new();
    let mut sum = Some(0_u64);
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_where(skip(after, free), |c| c.is_ascii_alphabetic());
        let unit = if free { friendly(unit) } else { unit };
        let Some((name, factor)) = units.iter().find(|(name, _)| *name == unit) else {
            return Parts::Malformed;
        };
        let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
        let decimals_allowed = !number.contains('.') || *name == "s";
        if whole.is_empty() || !decimals_allowed || seen.contains(name) {
            return Parts::Malformed;
        }
        let Some(thousandths) = thousandths(decimals) else { return Parts::Malformed };
        let whole = whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(*factor));
        sum = sum.and_then(|sum| sum.checked_add(whole?)?.checked_add(thousandths));
        seen.push(name);
        rest = skip(after, free);
    }
    match sum {
        _ if seen.is_empty() => Parts::Malformed,
        Some(sum) => Parts::Sum(sum),
        None => Parts::TooLarge,
    }
}

/// `"5"` is 500.
fn thousandths(decimals: &str) -> Option<u64> {
    let plain = (1..=3).contains(&decimals.len()) && decimals.bytes().all(|c| c.is_ascii_digit());
    if plain { format!("{decimals:0<3}").parse().ok() } else { None }
}

fn split_where(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Forms of a time, for messages.
pub const DURATION_FORMS: &str = "a time with its unit is expected: \"500ms\", \"30s\", \"10m\" or \"10 min\", \"2h\", \"1d\", \"1w\", or ISO 8601 such as \"PT10M\"";

/// Forms of a size, for messages.
pub const SIZE_FORMS: &str = "a number of octets is expected, alone or with a unit: 65536, \"512KiB\", \"10MiB\" or \"10M\", \"10MB\", \"1 GiB\"";

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

const FRIENDLY: &[(&str, u64)] =
    &[("ms", 1), ("s", SECOND), ("m", MINUTE), ("h", HOUR), ("d", DAY), ("w", 7 * DAY)];
const ISO_DATE: &[(&str, u64)] = &[("y", 365 * DAY), ("m", 30 * DAY), ("w", 7 * DAY), ("d", DAY)];
const ISO_TIME: &[(&str, u64)] = &[("h", HOUR), ("m", MINUTE), ("s", SECOND)];

/// Other words for an octet.
const OCTETS: &[&str] = &["byte", "bytes", "octet", "octets"];
/// Largest first, binary before decimal.
const SIZES: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_numbers_have_separators() {
        for (number, want) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (65_536, "65,536"),
            (1_000_000, "1,000,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(number), want);
        }
    }

    #[test]
    fn every_spelling_of_a_time() {
        let rows = [
            ("milliseconds", "500ms", 500),
            ("seconds", "30s", 30 * SECOND),
            ("seconds with decimals", "1.5s", 1_500),
            ("minutes, not months", "10M", 10 * MINUTE),
            ("hours", "2h", 2 * HOUR),
            ("days", "1D", DAY),
            ("weeks", "1w", 7 * DAY),
            ("several units", "1h30m", 90 * MINUTE),
            ("with a blank", "10 m", 10 * MINUTE),
            ("cut short", "15 min", 15 * MINUTE),
            ("written out", "2 Hours", 2 * HOUR),
            ("written out without a blank", "3days", 3 * DAY),
            ("several written out", " 1 hour 30 minutes ", 90 * MINUTE),
            ("nothing is a time too", "0s", 0),
            ("ISO minutes", "PT10M", 10 * MINUTE),
            ("ISO in lower case", "pt10m", 10 * MINUTE),
            ("ISO date and time", "P1DT2H", DAY + 2 * HOUR),
            ("ISO months and minutes", "P1MT1M", 30 * DAY + MINUTE),
            ("ISO year", "P1Y", 365 * DAY),
            ("ISO weeks", "P2W", 14 * DAY),
            ("ISO fraction", "PT0.25S", 250),
        ];
        for (name, text, want) in rows {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(want)), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_time() {
        for text in [
            "",
            "10",
            "m",
            "10 mi",
            "P 1D",
            "PT10 M",
            "PT10MIN",
            "10x",
            "1m1m",
            "-1s",
            "1.5h",
            "1.s",
            "1.2345s",
            "P",
            "PT",
            "P1DT",
            "P1H",
            "PT1D",
            "1y",
            "ten minutes",
            "1 month",
        ] {
            assert_eq!(parse_duration(text), Err(UnitError::Duration(text.to_owned())), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615w", "P18446744073709551D"] {
            assert_eq!(parse_duration(text), Err(UnitError::TooLarge(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn times_are_printed_in_their_largest_exact_unit() {
        for text in ["0s", "1ms", "1500ms", "90s", "10m", "2h", "1d", "8d", "1w"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes() {
        let rows = [
            ("plain", "65537", 65_537),
            ("octets", "17B", 17),
            ("binary", "10MiB", 10 << 20),
            ("decimal", "10MB", 10_000_000),
            ("lower case", "512kib", 512 << 10),
            ("with a blank", "1 GiB", 1 << 30),
            ("decimal with a blank", "1 GB", 1_000_000_000),
            ("in mixed letters", "1Gb", 1_000_000_000),
            ("written out", "10 octets", 10),
            ("one letter is binary", "10M", 10 << 20),
            ("one small letter", "512k", 512 << 10),
            ("one letter with a blank", "1 G", 1 << 30),
            ("the largest", "18446744073709551615", u64::MAX),
        ];
        for (name, text, want) in rows {
            assert_eq!(parse_size(text), Ok(want), "{name}");
        }
        for text in ["", "MiB", "M", "10 Mi B", "-1", "1.5MiB", "1e3"] {
            assert_eq!(parse_size(text), Err(UnitError::Size(text.to_owned())), "{text}");
        }
        for text in ["18446744073709551616", "16777216TiB"] {
            assert_eq!(parse_size(text), Err(UnitError::TooLarge(text.to_owned())), "{text}");
        }
        for text in ["0", "1023", "1KiB", "10MB", "65537", "1TiB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(millis in any::<u64>(), octets in any::<u64>()) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(octets)), Ok(octets));
        }

        #[test]
        fn no_text_is_too_strange(text in ".{0,40}") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
