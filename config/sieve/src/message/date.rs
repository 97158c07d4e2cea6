//! Dates of header fields, and their parts: RFC 5260 4.

use jiff::{
    Timestamp, Zoned,
    civil::DateTime,
    tz::{Offset, TimeZone},
};

/// A date of RFC 5322 3.3 in its own zone, without one in UTC; of a trace field, the one behind its
/// last semicolon.
pub(crate) fn parse_date(value: &str) -> Option<Zoned> {
    // A text longer than any date is none.
    let start = value.len().saturating_sub(LONGEST);
    let start = (start..value.len()).find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    let text = without_comments(&value[start..]);
    let text = match text.rsplit_once(';') {
        Some((_, text)) => text,
        None if start > 0 => return None,
        None => &text,
    };
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).peekable();
    words.next_if(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|it| it.eq_ignore_ascii_case(month))? + 1;
    let year = year(words.next()?)?;
    let mut time = words.next()?.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute) = (time.next()??, time.next()??);
    let second = time.next().unwrap_or(Some(0))?;
    // A leap second, which the calendar here does not have.
    let second = if second == 60 { 59 } else { second };
    let offset = offset(words.next().unwrap_or("GMT"))?;
    let date = DateTime::new(year, i8::try_from(month).ok()?, day, hour, minute, second, 0).ok()?;
    date.to_zoned(TimeZone::fixed(offset)).ok()
}

/// Octets of a date with its comments.
const LONGEST: usize = 512;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Zones by their names, in hours: RFC 5322 4.3.
const ZONES: [(&str, i32); 8] = [
    ("EDT", -4),
    ("EST", -5),
    ("CDT", -5),
    ("CST", -6),
    ("MDT", -6),
    ("MST", -7),
    ("PDT", -7),
    ("PST", -8),
];

/// A year of four digits, or one of two or three: RFC 5322 4.3.
fn year(text: &str) -> Option<i16> {
    let year: i16 = text.parse().ok().filter(|year| *year >= 0)?;
    match text.len() {
        2 if year < 50 => Some(year + 2_000),
        2 | 3 => Some(year + 1_900),
        4 => Some(year),
        _ => None,
    }
}

/// `+hhmm`, `-hhmm`, or a name; names that nobody knows are UTC.
fn offset(zone: &str) -> Option<Offset> {
    if zone.starts_with(['+', '-']) {
        return numeric_offset(zone);
    }
    let known = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(zone));
    let is_name = zone.bytes().all(|c| c.is_ascii_alphabetic());
    is_name.then(|| Offset::from_seconds(known.map_or(0, |(_, hours)| hours * 3_600)).ok())?
}

/// `+hhmm` or `-hhmm`.
fn numeric_offset(offset: &str) -> Option<Offset> {
    let (sign, digits) = offset.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok().filter(|_| minutes < 60)
}

fn without_comments(value: &str) -> String {
    let mut depth = 0_usize;
    let outside = |c: &char| {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                return false;
            }
            _ => {}
        }
        depth == 0
    };
    value.chars().filter(outside).collect()
}

/// A moment in the zone in which it is looked at.
pub(crate) struct Moment(pub(crate) Zoned);

impl Moment {
    /// The same moment in another zone: `+hhmm` or `-hhmm`.
    pub(crate) fn at_offset(&self, offset: &str) -> Option<Self> {
        let offset = numeric_offset(offset)?;
        Some(Self(self.0.with_time_zone(TimeZone::fixed(offset))))
    }

    /// The same moment in the zone of another one.
    pub(crate) fn in_zone_of(&self, other: &Zoned) -> Self {
        Self(self.0.with_time_zone(other.time_zone().clone()))
    }

    /// A part by its name in lower case; nothing when there is no such part.
    pub(crate) fn part(&self, name: &str) -> Option<String> {
        let at = &self.0;
        Some(match name {
            "year" => format!("{:04}", at.year()),
            "month" => format!("{:02}", at.month()),
            "day" => format!("{:02}", at.day()),
            "date" => format!("{:04}-{:02}-{:02}", at.year(), at.month(), at.day()),
            "julian" => self.julian().to_string(),
            "hour" => format!("{:02}", at.hour()),
            "minute" => format!("{:02}", at.minute()),
            "second" => format!("{:02}", at.second()),
            "time" => format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second()),
            "iso8601" => {
                let zone = if at.offset().is_zero() { "Z".to_owned() } else { self.zone(":") };
                format!("{}{zone}", at.strftime("%Y-%m-%dT%H:%M:%S"))
            }
            "std11" => format!("{} {}", at.strftime("%a, %d %b %Y %H:%M:%S"), self.zone("")),
            "zone" => self.zone(""),
            "weekday" => at.weekday().to_sunday_zero_offset().to_string(),
            _ => return None,
        })
    }

    /// The modified Julian day: days since 1858-11-17.
    fn julian(&self) -> i64 {
        const UNIX_EPOCH: i64 = 40_587;
        let midnight = self.0.datetime().with().time(jiff::civil::Time::midnight()).build();
        let seconds = midnight
            .ok()
            .and_then(|it| it.to_zoned(TimeZone::UTC).ok())
            .map_or(Timestamp::UNIX_EPOCH, |it| it.timestamp());
        seconds.as_second().div_euclid(86_400) + UNIX_EPOCH
    }

    fn zone(&self, between: &str) -> String {
        let seconds = self.0.offset().seconds();
        let sign = if seconds < 0 { '-' } else { '+' };
        let minutes = seconds.abs() / 60;
        format!("{sign}{:02}{between}{:02}", minutes / 60, minutes % 60)
    }
}
