//! The delivery history: what became of each message, for some days, to be asked by queue id, address,
//! Message-ID or the id that another server gave it.
//!
//! # Promises
//!
//! - Whoever tells something never waits ([`Tap`]): what finds no room is counted, and the history says
//!   how much is missing and when.
//! - It is no part of the mail's safety: nothing is synced for a message, and after a power cut the last
//!   seconds may be missing. After a crash of the process alone they are there.
//! - It is bounded: by days and by octets of the disk, in whole segments, oldest first; and it gives
//!   its room away before the spool lacks any.
//! - A torn end is cut off, a damaged block is left out and told of; an index is made anew.
//!
//! # On disk
//!
//! | file | holds |
//! | --- | --- |
//! | `N.seg` | blocks of some thousand notes, of each what nobody would guess, compressed, each with its CRC |
//! | `N.idx` | of a sealed segment: which blocks hold which key, about three octets a key |
//! | `N.tail` | of the newest segment: notes that are in no block yet |
//!
//! # Threads
//!
//! One thread writes. Those that tell append to buffers, which it empties ten times a second. Readers
//! read files, and ask it for what is in none yet.

mod block;
#[cfg(test)]
mod block_tests;
mod codec;
mod dictionary;
mod error;
mod files;
mod forget;
mod index;
mod keys;
mod newest;
mod note;
mod read_block;
mod reader;
mod segment;
mod shape;
mod steady;
mod streams;
mod tail;
mod tap;
#[cfg(test)]
mod tests;
mod writer;

pub use error::HistoryError;
pub use forget::{Forgettable, Forgotten};
pub use keys::{Key, key_of, key_of_id};
pub use newest::Settings;
pub use note::{LOST, Named, Note, Record};
pub use reader::{Found, History, Question, Traced};
pub use tap::{Figures, Stop, Tap};
pub use writer::Keeper;

/// Octets as a text, if they are one.
fn text_of(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
