//! Rates: so many messages in a time, `100/1m`.

use std::{fmt, str::FromStr, time::Duration};

use crate::file::units::{format_duration, parse_duration};

/// So many messages in a time. They are spread over the time: of `60/1m` there is one a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    messages: u32,
    millis: u32,
}

/// A text that is no rate, or one beyond what there is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a rate is a number of messages and a time, such as \"100/1m\": 1 to 1000000 in 1s to 1d")]
pub struct RateError;

impl Rate {
    /// So many messages in so long.
    pub fn new(messages: u32, time: Duration) -> Result<Self, RateError> {
        let millis = u32::try_from(time.as_millis()).map_err(|_| RateError)?;
        let fits = (1..=MOST_MESSAGES).contains(&messages) && MILLIS.contains(&millis);
        fits.then_some(Self { messages, millis }).ok_or(RateError)
    }

    /// The time from one message to the next.
    pub fn interval(self) -> Duration {
        Duration::from_millis(self.millis.into()) / self.messages
    }

    /// Twice as many messages in the same time, as far as there are rates.
    #[must_use]
    pub fn doubled(self) -> Self {
        Self { messages: self.messages.saturating_mul(2).min(MOST_MESSAGES), ..self }
    }

    /// Both numbers in one, for whoever passes on numbers.
    pub fn packed(self) -> u64 {
        u64::from(self.messages) << 32 | u64::from(self.millis)
    }

    /// The rate of such a number.
    pub fn unpacked(packed: u64) -> Result<Self, RateError> {
        let [messages, millis] = [packed >> 32, packed & u64::from(u32::MAX)];
        let messages = u32::try_from(messages).map_err(|_| RateError)?;
        Self::new(messages, Duration::from_millis(millis))
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let (messages, time) = text.split_once('/').ok_or(RateError)?;
        let digits = messages.trim();
        let plain = !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit());
        let messages = digits.parse().ok().filter(|_| plain).ok_or(RateError)?;
        Self::new(messages, parse_duration(time).map_err(|_| RateError)?)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = format_duration(Duration::from_millis(self.millis.into()));
        write!(f, "{}/{time}", self.messages)
    }
}

const MOST_MESSAGES: u32 = 1_000_000;
const MILLIS: std::ops::RangeInclusive<u32> = 1_000..=86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_printed() {
        // text, as it is printed, from one to the next in milliseconds
        let rows = [
            ("100/1m", Some(("100/1m", 600))),
            ("1/1s", Some(("1/1s", 1_000))),
            ("10 / 60s", Some(("10/1m", 6_000))),
            ("1000/PT1H", Some(("1000/1h", 3_600))),
            ("1000000/1s", Some(("1000000/1s", 0))),
            ("1/1d", Some(("1/1d", 86_400_000))),
            ("0/1m", None),
            ("1000001/1s", None),
            ("1/500ms", None),
            ("1/2d", None),
            ("-1/1m", None),
            ("+1/1m", None),
            ("100", None),
            ("/1m", None),
            ("100/", None),
            ("100/1m/1m", None),
            ("4294967296/1m", None),
        ];
        for (text, want) in rows {
            let rate = text.parse::<Rate>();
            let shown = rate.map(|rate| (rate.to_string(), rate.interval().as_millis()));
            let want = want.map(|(printed, millis)| (printed.to_owned(), millis));
            assert_eq!(shown.ok(), want, "{text}");
            if let Ok(rate) = rate {
                assert_eq!(rate.to_string().parse(), Ok(rate));
                assert_eq!(Rate::unpacked(rate.packed()), Ok(rate));
            }
        }
        for packed in [0, 5, u64::MAX, 1 << 32, (1 << 32) + 999] {
            assert_eq!(Rate::unpacked(packed), Err(RateError), "{packed}");
        }
    }
}
