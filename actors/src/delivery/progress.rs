//! Progress of connections: the step at which each waits, for operators.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use relais_channels::client::{Progress, WaitsFor};

use crate::ids::ConnectionId;

/// The step at which each connection waits. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct ConnectionProgress(Arc<Mutex<HashMap<ConnectionId, Progress>>>);

impl ConnectionProgress {
    fn begun(&self, connection: ConnectionId, progress: Progress) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, progress);
    }

    fn ended(&self, connection: ConnectionId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }

    /// The step at which a connection waits, and since when in milliseconds since 1970.
    pub fn of(&self, connection: ConnectionId) -> Option<(WaitsFor, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&connection)?.seen()
    }
}

/// Keeps a connection among those that can be asked about, for as long as it lives: a panic ends
/// that, too.
pub(super) struct OnTheWay {
    id: ConnectionId,
    all: ConnectionProgress,
}

impl OnTheWay {
    /// A connection that begins.
    pub(super) fn of(all: &ConnectionProgress, id: ConnectionId, progress: &Progress) -> Self {
        all.begun(id, progress.clone());
        Self { id, all: all.clone() }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.all.ended(self.id);
    }
}
