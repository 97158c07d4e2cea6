//! Start and end of a user's vacation.

use std::time::SystemTime;

use super::entry::Entry;
use crate::timestamp::Timestamp;

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
