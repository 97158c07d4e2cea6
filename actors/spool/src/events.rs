//! The observer of a spool, and how it hears of failures: each is logged and counted by one call,
//! so that neither is forgotten.

use std::time::Duration;

use relais_storage::StorageError;

/// Told what the spool does, for the metrics. Called from the spool's threads: be quick.
pub trait SpoolEvents: Send + Sync + 'static {
    /// A batch was made durable.
    fn committed(&self, messages: usize, bytes: u64, took: Duration) {
        let _ = (messages, bytes, took);
    }
    /// Something failed and was dealt with; it has been logged.
    fn failed(&self, error: &StorageError) {
        let _ = error;
    }
}

/// Nobody is interested.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl SpoolEvents for Unobserved {}

/// Logs a failure and counts it.
pub(crate) fn report(events: &dyn SpoolEvents, error: &StorageError, consequence: &'static str) {
    tracing::error!(%error, "{consequence}");
    events.failed(error);
}
