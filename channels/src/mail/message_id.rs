//! Queue ids: unique over restarts, and in the order of arrival for as long as the clock is right.
//!
//! They hold the time, so that everybody can tell how old a message is. After the clock was ahead, the
//! largest ids are in the future; those that follow begin another *generation*, a part of the id in
//! which no other has been given out yet, and hold the right time again.

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};

use crate::clock;

/// A message's name in the queue, the log and `Received:`; 13 characters when written.
///
/// The upper 44 bits are milliseconds since 1970, the next 6 the generation, the lower 14 count within
/// both.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct MessageId(pub u64);

impl MessageId {
    /// When it was handed out, in milliseconds since 1970.
    pub fn received_ms(self) -> u64 {
        self.0 >> TIME_SHIFT
    }

    /// How often the clock had been set back, as far as that was noticed.
    pub fn generation(self) -> u64 {
        (self.0 >> COUNT_BITS) & LAST_GENERATION
    }

    fn at(ms: u64, generation: u64) -> Self {
        Self(ms << TIME_SHIFT | generation << COUNT_BITS)
    }

    /// The next one of this generation, in this millisecond or, if that has no more, in another.
    fn following(self) -> Self {
        if self.0 & LAST_COUNT == LAST_COUNT {
            Self::at(self.received_ms() + 1, self.generation())
        } else {
            Self(self.0 + 1)
        }
    }

    /// The one behind this when the clock says `now`.
    fn next_at(self, now: u64) -> Self {
        let (last, generation) = (self.received_ms(), self.generation());
        if now > last {
            Self::at(now, generation)
        } else if last - now > TOLERANCE && generation < LAST_GENERATION {
            Self::at(now, generation + 1)
        } else {
            self.following()
        }
    }
}

/// Hands out ids, none of them twice.
#[derive(Debug)]
pub struct MessageIds(AtomicU64);

impl MessageIds {
    /// Where `last` is the largest id found in the spool, and `generation` the largest of theirs.
    pub fn after(last: MessageId, generation: u64) -> Self {
        let generation = generation.min(LAST_GENERATION).max(last.generation());
        // Of its millisecond nothing is left, so that none of this generation comes again.
        Self(AtomicU64::new(MessageId::at(last.received_ms(), generation).0 | LAST_COUNT))
    }

    /// The next one.
    pub fn next(&self) -> MessageId {
        self.next_at(clock::now_ms().min(LAST_TIME))
    }

    fn next_at(&self, now: u64) -> MessageId {
        let step = |last: u64| Some(MessageId(last).next_at(now).0);
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        // The closure never declines, so both arms hold the value before the step.
        MessageId(last.unwrap_or_else(|last| last)).next_at(now)
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

const COUNT_BITS: u32 = 14;
const LAST_COUNT: u64 = (1 << COUNT_BITS) - 1;
const LAST_GENERATION: u64 = 63;
const TIME_SHIFT: u32 = COUNT_BITS + 6;
const LAST_TIME: u64 = u64::MAX >> TIME_SHIFT;
/// Milliseconds that the clock may be behind the last id before that is another generation: a busy
/// millisecond may lend from those that follow, and clocks are set by so much all the time.
const TOLERANCE: u64 = 1_000;
const DIGITS: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_and_hold_the_time() {
        let ids = MessageIds::after(MessageId(0), 0);
        let (a, b) = (ids.next(), ids.next());
        assert!(a < b, "{a} {b}");
        // now, the time of the id, its generation
        let rows = [
            ("a first", 5_000_000, 5_000_000, 0),
            ("the same millisecond", 5_000_000, 5_000_000, 0),
            ("a little behind", 4_999_900, 5_000_000, 0),
            ("ahead", 9_000_000, 9_000_000, 0),
            ("right again", 5_100_000, 5_100_000, 1),
            ("right still", 5_100_001, 5_100_001, 1),
            ("ahead once more", 9_000_000, 9_000_000, 1),
            ("and right", 5_100_000, 5_100_000, 2),
        ];
        let ids = MessageIds::after(MessageId(0), 0);
        let mut seen = std::collections::HashSet::new();
        for (name, now, time, generation) in rows {
            let id = ids.next_at(now);
            assert_eq!((id.received_ms(), id.generation()), (time, generation), "{name}");
            assert!(seen.insert(id), "{name}: {id} was given out before");
        }
    }

    #[test]
    fn no_id_comes_twice_over_restarts_while_the_largest_are_in_the_future() {
        let (mut seen, mut last, mut generation) =
            (std::collections::HashSet::new(), MessageId(0), 0);
        for restart in 0..80u64 {
            let ids = MessageIds::after(last, generation);
            // Mostly the same few milliseconds, and now and then a day ahead.
            let ahead = if restart % 7 == 0 { 86_400_000 } else { 0 };
            // More than a millisecond of one generation has.
            let many = if restart % 40 == 1 { 20_000 } else { 50 };
            for now in 7_000_000..7_000_005 {
                for _ in 0..many {
                    let id = ids.next_at(now + ahead);
                    assert!(seen.insert(id), "{restart}: {id} was given out before");
                    (last, generation) = (last.max(id), generation.max(id.generation()));
                }
            }
        }
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
