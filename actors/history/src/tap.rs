//! Where notes are told: buffers that the writer empties.

use std::{
    cell::Cell,
    mem,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    note::{Named, Note},
    now_ms,
};

/// Takes notes. Cheap to clone; usable from any thread; never waits.
#[derive(Clone, Debug, Default)]
pub struct Tap(pub(crate) Arc<Shared>);

/// Numbers of a history.
#[derive(Debug, Default)]
pub struct Figures {
    /// Notes that were written.
    pub notes: AtomicU64,
    /// Notes that were lost: no room in memory, or none on the disk.
    pub lost: AtomicU64,
    /// Octets on the disk.
    pub octets: AtomicU64,
    /// Nothing can be written.
    stop: Mutex<Option<Stop>>,
}

/// Nothing can be written: the disk is full, or broken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stop {
    /// Since when, in milliseconds since 1970.
    pub since: u64,
    /// Why, in words.
    pub why: String,
}

impl Figures {
    /// Why nothing is written, if that is so.
    pub fn stop(&self) -> Option<Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nothing can be written any more; `true`: until now it could.
    pub(crate) fn begin_stop(&self, why: String) -> bool {
        let mut stop = self.stop.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = stop.is_none();
        let since = stop.as_ref().map_or_else(now_ms, |stop| stop.since);
        *stop = Some(Stop { since, why });
        is_new
    }

    /// It is written again, or nobody wants it.
    pub(crate) fn end_stop(&self) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    shards: [Mutex<Vec<u8>>; SHARDS],
    /// Somebody writes down what is told.
    pub(crate) is_open: AtomicBool,
    /// The writer has been told that there is something.
    pub(crate) is_awake: AtomicBool,
    /// Notes that found no room, since the writer last looked.
    pub(crate) lost: AtomicU64,
    pub(crate) wake: Mutex<bool>,
    pub(crate) woken: Condvar,
    /// Held while an address is forgotten: two at once would write the same drafts.
    pub(crate) forgetting: Mutex<()>,
    /// Held to read, or to remove and replace, segments.
    pub(crate) moving: RwLock<()>,
    pub(crate) figures: Figures,
}

impl Tap {
    /// Tells something of a message. Thrown away where there is no history.
    pub fn tell<'r>(&self, note: &Note<'_>, recipients: impl Iterator<Item = Named<'r>>) {
        let shared = &*self.0;
        if !shared.is_open.load(Relaxed) {
            return;
        }
        // A thread has one place for good, so that two meet at it only where there are many threads.
        let mut buffer = shared.shards[place()].lock().unwrap_or_else(PoisonError::into_inner);
        let before = buffer.len();
        if before >= MAX_SHARD {
            shared.lost.fetch_add(1, Relaxed);
        } else {
            note.encode(&mut buffer, recipients);
        }
        // The one that fills the half says so: the others need not ask whether it was heard.
        let is_much = (before..buffer.len()).contains(&(MAX_SHARD / 2));
        drop(buffer);
        if is_much || !shared.is_awake.load(Relaxed) && !shared.is_awake.swap(true, Relaxed) {
            shared.wake(is_much);
        }
    }

    /// Whether what is told is written down.
    pub fn is_open(&self) -> bool {
        self.0.is_open.load(Relaxed)
    }

    /// The numbers so far.
    pub fn figures(&self) -> &Figures {
        &self.0.figures
    }
}

impl Shared {
    /// Wakes the writer; at once, or after its usual pause.
    pub(crate) fn wake(&self, hurry: bool) {
        let mut hurries = self.wake.lock().unwrap_or_else(PoisonError::into_inner);
        if !*hurries {
            *hurries |= hurry;
            self.woken.notify_one();
        }
    }

    pub(crate) fn hurries(&self) -> MutexGuard<'_, bool> {
        self.wake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has been told since, in exchange for an empty buffer.
    pub(crate) fn take(&self, shard: usize, empty: &mut Vec<u8>) {
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *shard, empty);
    }
}

fn place() -> usize {
    thread_local! {
        static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    PLACE.get().unwrap_or_else(|| {
        let place = NEXT.fetch_add(1, Relaxed) % SHARDS;
        PLACE.set(Some(place));
        place
    })
}

/// Buffers.
pub(crate) const SHARDS: usize = 8;
/// Octets of one buffer: some thousand notes.
const MAX_SHARD: usize = 2 << 20;
