//! Start and end of a user's vacation.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::entry::Entry;

/// Whether now lies between the two dates; a missing one is open.
pub(super) fn on_vacation(entry: &Entry, now: SystemTime) -> bool {
    let now = generalized_time(now);
    // The first 14 digits of both are year to second, so that text order is time order.
    let date = |name| entry.first(name).map(|date| date.get(..14).unwrap_or(date));
    date("vacationstartdate").is_none_or(|start| start <= now.as_str())
        && date("vacationenddate").is_none_or(|end| now.as_str() <= end)
}

/// `YYYYMMDDHHMMSS`, UTC.
fn generalized_time(now: SystemTime) -> String {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days since 1 March of year 0, in eras of 400 years (proleptic Gregorian calendar).
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year + month / 10, (month + 2) % 12 + 1);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{:02}", second % 60)
}

#[cfg(test)]
mod tests {
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
        }
    }
}
