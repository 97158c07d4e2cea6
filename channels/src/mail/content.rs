//! The content of a message: header, blank line, body; lines ended by CRLF, no dot-stuffing.

use std::path::PathBuf;

use bytes::Bytes;

/// Where the octets of a message are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory; at most `spool.large_message` octets.
    Whole(Bytes),
    /// In a file of their own, from its first octet to its last.
    File {
        /// The file. It stays while any recipient is undelivered.
        path: PathBuf,
        /// Its length in octets.
        size: u64,
    },
}

impl Content {
    /// Octets.
    pub fn size(&self) -> u64 {
        match self {
            Self::Whole(octets) => octets.len() as u64,
            Self::File { size, .. } => *size,
        }
    }
}
