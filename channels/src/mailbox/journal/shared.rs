//! Positions and health of a journal, which its writer and its checkpoints share.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::format::Header;
use crate::disk::DiskFile;

/// One for a journal; the writer and the checkpoints hold it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<JournalState>,
    pub(super) changed: Condvar,
    _lock: Locked,
}

/// The file whose lock keeps other processes away.
struct Locked(#[expect(dead_code, reason = "it is held, not used")] Arc<dyn DiskFile>);

pub(super) struct JournalState {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) capacity: u64,
    /// Everything before is durable in the mailboxes.
    pub(super) tail: u64,
    /// Everything before is in the mailboxes.
    pub(super) placed: u64,
    /// Where the next record goes.
    pub(super) head: u64,
    /// When the oldest record that no checkpoint covers was placed.
    pub(super) since: Option<Instant>,
    /// The writer is waiting for room, or somebody for quiet.
    pub(super) urgent: bool,
    /// The writer is gone.
    pub(super) closed: bool,
    pub(super) health: Health,
}

/// Whether anything can be promised.
pub(super) enum Health {
    Well,
    /// A write or a sync failed a moment ago: deliveries wait for another journal.
    Repairing(io::Error),
    /// The journal that was begun failed, too, and another is tried: deliveries are refused.
    Failing(io::Error),
}

impl Shared {
    pub(super) fn new(file: Arc<dyn DiskFile>, header: &Header, lock: Arc<dyn DiskFile>) -> Self {
        let state = Mutex::new(JournalState::new(file, header));
        Self { state, changed: Condvar::new(), _lock: Locked(lock) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, JournalState> {
        // The numbers are changed one by one; there is nothing that a panic could leave half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, JournalState>,
        limit: Duration,
    ) -> MutexGuard<'a, JournalState> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Everything before the head is in its place.
    pub(super) fn placed(&self, state: &mut JournalState) {
        if state.placed == state.head {
            return;
        }
        state.placed = state.head;
        // The thread that makes checkpoints sleeps as long as there is nothing to make.
        let mut wake = !state.health.is_well();
        if state.since.is_none() {
            state.since = Some(Instant::now());
            wake = true;
        }
        if state.head - state.tail > state.capacity / 2 {
            state.urgent = true;
            wake = true;
        }
        if wake {
            self.changed.notify_all();
        }
    }

    /// A write or a sync failed: another journal has to be begun.
    pub(super) fn fail(&self, state: &mut JournalState, error: io::Error) {
        if state.health.is_well() {
            state.health = Health::Repairing(error);
        }
        self.changed.notify_all();
    }
}

impl JournalState {
    pub(super) fn new(file: Arc<dyn DiskFile>, header: &Header) -> Self {
        let (tail, capacity) = (header.tail, header.capacity);
        Self {
            file,
            capacity,
            tail,
            placed: tail,
            head: tail,
            since: None,
            urgent: false,
            closed: false,
            health: Health::Well,
        }
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

impl fmt::Debug for JournalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tail, placed, head, .. } = self;
        write!(f, "State({tail} {placed} {head})")
    }
}

impl Health {
    pub(super) fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }

    pub(super) fn error(&self) -> Option<io::Error> {
        match self {
            Self::Well => None,
            Self::Repairing(error) | Self::Failing(error) => Some(again(error)),
        }
    }
}

/// The same error, for somebody else.
pub(super) fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}
