//! Failures of TLS with servers, told to a listener as they happen.

use std::{fmt, sync::OnceLock};

/// TLS with a server came to nothing, or the server gets no mail for want of it.
#[derive(Clone, Copy, Debug)]
pub struct TlsFailure<'a> {
    /// The channel that connects.
    pub channel: &'a str,
    /// The destination; empty for a UNIX socket.
    pub host: &'a str,
    /// The server: `host[address]:port`.
    pub peer: &'a str,
    /// In a word, of RFC 8460 section 4.3 where it has one; `timeout` else.
    pub cause: &'static str,
    /// In words.
    pub words: &'a str,
}

/// The listener that hears of failures; by default there is none.
#[derive(Default)]
pub(super) struct FailureListener(OnceLock<Box<Hear>>);

/// Must not wait.
type Hear = dyn Fn(&TlsFailure<'_>) + Send + Sync;

impl FailureListener {
    /// From now on this one hears; the first counts.
    pub(super) fn set(&self, hear: Box<Hear>) {
        // Nobody sets it twice.
        let _ = self.0.set(hear);
    }

    pub(super) fn tell(&self, failure: &TlsFailure<'_>) {
        if let Some(hear) = self.0.get() {
            hear(failure);
        }
    }
}

impl fmt::Debug for FailureListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FailureListener").field(&self.0.get().is_some()).finish()
    }
}
