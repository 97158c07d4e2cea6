//! Queue ids: unique over restarts, and in the order of arrival.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// A message's name in the queue, the log and `Received:`; 13 characters when written.
///
/// The upper 44 bits are milliseconds since 1970, the lower 20 count within them.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MessageId(pub u64);

impl MessageId {
    /// When it was handed out, in milliseconds since 1970.
    pub fn received_ms(self) -> u64 {
        self.0 >> COUNT_BITS
    }
}

/// Hands out ids, each larger than all before it.
#[derive(Debug)]
pub struct MessageIds(AtomicU64);

impl MessageIds {
    /// Starts above `last`, the largest id found in the spool, even if the clock was set back.
    pub fn after(last: MessageId) -> Self {
        Self(AtomicU64::new(last.0))
    }

    /// The next one.
    pub fn next(&self) -> MessageId {
        let now = u64::try_from(
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis(),
        )
        .unwrap_or(u64::MAX >> COUNT_BITS)
            << COUNT_BITS;
        let step = |last: u64| Some(now.max(last + 1));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        // The closure never declines, so both arms hold the value before the step.
        MessageId(now.max(last.unwrap_or_else(|last| last) + 1))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; DIGITS];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = ALPHABET[(rest % 32) as usize];
            rest /= 32;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for MessageId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        let malformed = || MalformedId(text.chars().take(40).collect());
        if text.len() != DIGITS {
            return Err(malformed());
        }
        text.bytes()
            .try_fold(0u64, |id, c| {
                let digit = ALPHABET.iter().position(|a| *a == c.to_ascii_uppercase())?;
                id.checked_mul(32)?.checked_add(digit as u64)
            })
            .map(Self)
            .ok_or_else(malformed)
    }
}

/// Not a queue id.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is not a queue id: 13 characters of 0-9 A-V are")]
pub struct MalformedId(String);

const COUNT_BITS: u32 = 20;
const DIGITS: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_was_set_back() {
        let far = MessageId(u64::MAX - 10);
        let ids = MessageIds::after(far);
        assert!(far < ids.next());
        let ids = MessageIds::after(MessageId(0));
        let (a, b) = (ids.next(), ids.next());
        assert!(a < b, "{a} {b}");
    }

    #[test]
    fn an_id_survives_being_written_and_read() {
        for id in [0, 1, 0x1234_5678_9abc_def0, u64::MAX] {
            assert_eq!(MessageId(id).to_string().parse(), Ok(MessageId(id)));
        }
        for text in ["", "0", "ZZZZZZZZZZZZZ", "VVVVVVVVVVVVV", "00000000000000"] {
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
    }
}
