//! Searches of one question, kept for whoever asks how its answer came about.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A search as a server answered it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Searched {
    /// The server, as in the configuration.
    pub server: String,
    /// Base, scope and filter.
    pub search: String,
    /// How many entries there were; or why there is no answer.
    pub outcome: Result<usize, String>,
    /// Until the answer was there.
    pub took: Duration,
}

/// The searches so far. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct SearchLog(Arc<Mutex<Vec<Searched>>>);

tokio::task_local! {
    /// Where the searches of this task go.
    static LOG: SearchLog;
}

impl SearchLog {
    /// Takes the searches out.
    pub fn take(&self) -> Vec<Searched> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the searches that are made in `work`.
    pub(super) async fn over<F: Future>(self, work: F) -> F::Output {
        LOG.scope(self, work).await
    }
}

/// Keeps a search, if somebody wants to know.
pub(super) fn keep(searched: impl FnOnce() -> Searched) {
    // Most tasks have none.
    let _ = LOG.try_with(|log| {
        log.0.lock().unwrap_or_else(PoisonError::into_inner).push(searched());
    });
}
