//! The events that the index has yet to follow, and the ledger that is ahead of it.
//!
//! The committer and the journal push events here in batches and go on; the index takes them when
//! it likes. Only events that are durable in the spool are handed out, so the index is never ahead
//! of what a power cut leaves. When the index falls far behind, those who push wait for it: memory
//! is bounded, and what they promise to others has been kept by then.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::ledger::{Event, Ledger};

/// Shared by committer, journal and index.
#[derive(Default)]
pub(crate) struct Feed {
    inner: Mutex<Inner>,
    /// Wakes the index.
    wake: Condvar,
    /// Wakes those who wait for the index.
    room: Condvar,
    /// Held from the moment the index can know of a batch until its listener knows, too.
    telling: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    /// Of the events, how many are durable.
    durable: usize,
    /// The journal has pushed something that it has not synced.
    unsynced: bool,
    /// Messages and changes in `events`.
    weight: usize,
    live: Ledger,
    poked: bool,
}

impl Feed {
    /// Starts from what recovery found.
    pub(crate) fn new(live: Ledger) -> Self {
        Self { inner: Mutex::new(Inner { live, ..Inner::default() }), ..Self::default() }
    }

    /// Takes in what is already durable.
    pub(crate) fn push(&self, event: Event) {
        let inner = self.enter(event);
        self.make_room(inner);
    }

    /// Takes in what is already durable, and tells the listener at once: see [`Feed::all_told`].
    pub(crate) fn push_and_tell(&self, event: Event, tell: impl FnOnce()) {
        let telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.enter(event));
        tell();
        drop(telling);
        self.make_room(self.lock());
    }

    /// Waits, some microseconds at most, until the listener has been told of everything that the
    /// index can have seen. What is found by a scan is new to the listener otherwise, and would
    /// be new once more when it is told.
    pub(crate) fn all_told(&self) {
        drop(self.telling.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Takes in what has been written; [`Feed::synced`] makes it count.
    pub(crate) fn push_unsynced(&self, event: Event) {
        let mut inner = self.lock();
        inner.live.apply(&event);
        inner.weight += weight(&event);
        inner.events.push_back(event);
        inner.unsynced = true;
        self.make_room(inner);
    }

    /// Everything that was pushed is durable.
    pub(crate) fn synced(&self) {
        let mut inner = self.lock();
        inner.unsynced = false;
        inner.durable = inner.events.len();
        if inner.weight >= BATCH {
            inner.poked = true;
            self.wake.notify_one();
        }
    }

    /// So much has piled up that the journal should sync before it goes on.
    pub(crate) fn is_crowded(&self) -> bool {
        self.lock().weight >= LIMIT / 2
    }

    /// Messages and changes that the index has not taken yet.
    pub(crate) fn weight(&self) -> usize {
        self.lock().weight
    }

    /// The index's side: waits until there is a batch, somebody poked, or the time is over.
    pub(crate) fn wait(&self, timeout: Duration) {
        let idle = |inner: &mut Inner| {
            let batch = inner.weight >= BATCH && inner.durable > 0;
            !(inner.poked || batch)
        };
        let waited = self.wake.wait_timeout_while(self.lock(), timeout, idle);
        waited.unwrap_or_else(PoisonError::into_inner).0.poked = false;
    }

    /// Lets [`Feed::wait`] return.
    pub(crate) fn poke(&self) {
        self.lock().poked = true;
        self.wake.notify_one();
    }

    /// The durable events so far.
    pub(crate) fn take(&self) -> Vec<Event> {
        let mut inner = self.lock();
        let durable = std::mem::take(&mut inner.durable);
        let events: Vec<Event> = inner.events.drain(..durable).collect();
        inner.weight = inner.events.iter().map(weight).sum();
        self.room.notify_all();
        events
    }

    /// Forgets all events and gives the ledger as of now, from where the index starts over, and
    /// the segments it would have been told to forget.
    pub(crate) fn start_over(&self) -> (Ledger, Vec<u32>) {
        let mut inner = self.lock();
        let emptied = inner.events.drain(..).filter_map(|event| event.leaves()).collect();
        (inner.durable, inner.weight) = (0, 0);
        self.room.notify_all();
        (inner.live.clone(), emptied)
    }

    /// Looks at the ledger.
    pub(crate) fn live<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.lock().live)
    }

    /// Closed segments without a live entry that are `ready`, with the number of their entries;
    /// each is told once.
    pub(crate) fn take_empty(&self, ready: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
        let live = &mut self.lock().live;
        let empty = std::mem::take(&mut live.empty);
        let (taken, left): (BTreeSet<u32>, _) = empty.into_iter().partition(|n| ready(*n));
        live.empty = left;
        taken.iter().filter_map(|n| Some((*n, live.segments.get(n)?.entries))).collect()
    }

    /// Of a closed segment that much is alive, whatever was counted.
    pub(crate) fn recount(&self, segment: u32, alive: u32) {
        let live = &mut self.lock().live;
        if let Some(life) = live.segments.get_mut(&segment) {
            life.live = alive;
            if alive == 0 {
                live.empty.insert(segment);
            }
        }
    }

    fn enter(&self, event: Event) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        inner.live.apply(&event);
        inner.weight += weight(&event);
        inner.events.push_back(event);
        if !inner.unsynced {
            inner.durable = inner.events.len();
        }
        inner
    }

    fn make_room(&self, inner: MutexGuard<'_, Inner>) {
        if inner.weight >= BATCH && inner.durable > 0 {
            self.wake.notify_one();
        }
        if inner.weight >= LIMIT {
            // With a time limit: a stuck index may cost memory, but not the mail.
            let full = |inner: &mut Inner| inner.weight >= LIMIT && inner.durable > 0;
            drop(self.room.wait_timeout_while(inner, PATIENCE, full));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Stored { messages, .. } => messages.len(),
        Event::Changed { changes, .. } | Event::Moved { entries: changes, .. } => changes.len(),
        _ => 1,
    }
}

/// Messages and changes after which the index does not wait any longer.
const BATCH: usize = 20_000;
/// Messages and changes beyond which the others wait for the index.
const LIMIT: usize = 200_000;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(2);
