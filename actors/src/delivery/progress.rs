//! Progress of connections: the step at which each waits, for operators and the job controller.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use relais_channels::client::{Progress, WaitsFor};
use tokio::sync::Notify;

use crate::{ids::ConnectionId, timestamp::Timestamp};

/// The step at which each connection waits. Cheap to clone: all clones are one.
#[derive(Clone, Debug, Default)]
pub struct ConnectionProgress(Arc<Mutex<HashMap<ConnectionId, Followed>>>);

#[derive(Debug)]
struct Followed {
    progress: Progress,
    gives_way: GivesWay,
}

/// Tells a connection that others want its place.
pub(super) type GivesWay = Arc<Notify>;

impl ConnectionProgress {
    /// The step at which a connection waits, and since when in milliseconds since 1970.
    pub fn of(&self, connection: ConnectionId) -> Option<(WaitsFor, u64)> {
        self.lock().get(&connection)?.progress.seen()
    }

    /// Whether a connection has waited for so long at one step before its first message.
    pub fn is_silent_for(&self, connection: ConnectionId, time: Duration) -> bool {
        self.of(connection).is_some_and(|(what, since)| {
            what.is_before_mail() && Timestamp(since).until(Timestamp::now()) >= time
        })
    }

    /// Others want the place of a connection: it ends now, unless it takes messages already.
    pub fn give_way(&self, connection: ConnectionId) {
        if let Some(followed) = self.lock().get(&connection) {
            followed.gives_way.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a connection among those that can be asked about, for as long as it lives: a panic ends
/// that, too.
pub(super) struct OnTheWay {
    id: ConnectionId,
    all: ConnectionProgress,
}

impl OnTheWay {
    /// A connection that begins, and hears by `gives_way` that others want its place.
    pub(super) fn of(
        all: &ConnectionProgress,
        id: ConnectionId,
        (progress, gives_way): (&Progress, &GivesWay),
    ) -> Self {
        let followed = Followed { progress: progress.clone(), gives_way: Arc::clone(gives_way) };
        all.lock().insert(id, followed);
        Self { id, all: all.clone() }
    }
}

impl Drop for OnTheWay {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}
