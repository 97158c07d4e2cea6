//! Entrances for fuzzers, who have no use for files.

/// Reads a record of the journal as recovery does, and a count of a mailbox.
pub fn journal(octets: &[u8]) {
    let _ = super::recovery::parse(octets);
    let _ = super::quota::parse(octets);
}
