//! Start and end of a user's vacation.

use std::time::SystemTime;

use super::{allowance::IgnoredValue, entry::Entry};
use crate::timestamp::Timestamp;

/// Whether now lies between the two dates; a missing one is open, and so is one that is no date.
pub(super) fn on_vacation(entry: &Entry, now: SystemTime) -> bool {
    let now = generalized_time(now);
    // The first 14 digits of both are year to second, so that text order is time order.
    let date = |name| {
        let date = entry.first(name).filter(|date| is_date(date));
        date.map(|date| date.get(..14).unwrap_or(date))
    };
    date("vacationstartdate").is_none_or(|start| start <= now.as_str())
        && date("vacationenddate").is_none_or(|end| now.as_str() <= end)
}

/// The dates of an entry that are none.
pub(crate) fn ignored_dates(entry: &Entry) -> Vec<IgnoredValue> {
    let dates = ["vacationStartDate", "vacationEndDate"].into_iter();
    let ignored = dates.filter_map(|attribute| {
        let date = entry.first(&attribute.to_ascii_lowercase())?;
        let value = || date.chars().take(MOST_SHOWN).collect();
        (!is_date(date)).then(|| IgnoredValue { attribute, value: value(), wanted: WANTED })
    });
    ignored.collect()
}

/// Text order is time order for dates that begin with year, month and day.
fn is_date(text: &str) -> bool {
    text.len() >= 8 && text.bytes().take(8).all(|b| b.is_ascii_digit())
}

const WANTED: &str = "a time in UTC such as 20261231235959Z";
/// Characters of a value that are shown.
const MOST_SHOWN: usize = 40;

/// `YYYYMMDDHHMMSS`, UTC.
fn generalized_time(now: SystemTime) -> String {
    let mut text = Timestamp::from(now).to_string();
    text.retain(|c| c.is_ascii_digit());
    // Milliseconds are behind the seconds.
    text.truncate(14);
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_written_as_ldap_does() {
        let rows = [
            (0, "19700101000000"),
            (951_782_399, "20000228235959"),
            (951_782_400, "20000229000000"),
            (1_709_251_199, "20240229235959"),
            (1_795_305_600, "20261122000000"),
            (4_107_542_400, "21000301000000"),
        ];
        for (seconds, text) in rows {
            assert_eq!(generalized_time(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_vacation_lasts_from_start_to_end() {
        let now = UNIX_EPOCH + Duration::from_secs(1_795_305_600);
        let rows = [
            ("", "", true),
            ("20261122000000Z", "20261122000000Z", true),
            ("20261122000001Z", "", false),
            ("", "20261121235959Z", false),
            ("20261101000000Z", "20261201000000Z", true),
            ("20261101", "20261123", true),
            ("2026-12-01", "2026-01-01", true),
            ("tomorrow", "20261121235959Z", false),
        ];
        for (start, end, on) in rows {
            let mut entry = Entry::new("uid=x");
            if !start.is_empty() {
                entry.add("vacationStartDate", start);
            }
            if !end.is_empty() {
                entry.add("vacationEndDate", end);
            }
            assert_eq!(on_vacation(&entry, now), on, "{start} {end}");
            let ignored: Vec<_> = ignored_dates(&entry).into_iter().map(|its| its.value).collect();
            let is_none = |date: &&str| date.contains('-') || date.contains('w');
            let none: Vec<_> = [start, end].into_iter().filter(is_none).collect();
            assert_eq!(ignored, none);
        }
    }
}
