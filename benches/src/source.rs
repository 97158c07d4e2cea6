//! The origin of a load.

/// How `smtp-source` is called.
#[derive(Clone, Copy)]
pub struct Source {
    /// It speaks LMTP.
    pub lmtp: bool,
    /// One connection for many messages.
    pub keep: bool,
    /// Octets of a message.
    pub size: usize,
    /// Connections at once.
    pub sessions: usize,
    /// Recipients of a message.
    pub recipients: usize,
    /// Each message is for another recipient, whose number, from 0, stands before the name.
    pub numbered: bool,
}
