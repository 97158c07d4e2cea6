//! What each connection waits for, for those who want to know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use relais_channels::client::{Progress, WaitsFor};

use crate::ids::ConnectionId;

/// What each thread waits for, for those who want to know. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct ThreadProgress(Arc<Mutex<HashMap<ConnectionId, Progress>>>);

impl ThreadProgress {
    fn begun(&self, thread: ConnectionId, progress: Progress) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(thread, progress);
    }

    fn ended(&self, thread: ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&thread);
    }

    /// What a thread waits for, and since when in milliseconds since 1970.
    pub fn of(&self, thread: ConnectionId) -> Option<(WaitsFor, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&thread)?.seen()
    }
}

/// Keeps a thread among those that can be asked about, for as long as it lives: a panic ends that,
/// too.
pub(super) struct OnTheWay {
    id: ConnectionId,
    all: ThreadProgress,
}

impl OnTheWay {
    /// A thread that begins.
    pub(super) fn of(all: &ThreadProgress, id: ConnectionId, progress: &Progress) -> Self {
        all.begun(id, progress.clone());
        Self { id, all: all.clone() }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.all.ended(self.id);
    }
}
