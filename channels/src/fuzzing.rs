//! Entrances for fuzzers to what is nobody else's business.

use crate::wire::replies::Replies;

pub use crate::mailbox::fuzzing::journal;

/// Takes replies out of octets that come in two pieces.
pub fn replies(octets: &[u8]) {
    let (first, second) = octets.split_at(octets.len() / 2);
    let mut replies = Replies::default();
    for piece in [first, second] {
        replies.room().extend_from_slice(piece);
        loop {
            match replies.take() {
                Ok(Some(reply)) => assert!(reply.code < 1_000),
                Ok(None) => break,
                Err(_garbled) => return,
            }
        }
    }
}
