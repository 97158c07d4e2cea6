//! What the journal has to do: changes, flushes, deletions, and a copy that takes over.

use std::{
    mem,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{compact::copy::Copied, error::SpoolError, format::change::Change};

/// Changes and wishes on their way to the journal's thread.
#[derive(Default)]
pub(crate) struct JournalQueue {
    inner: Mutex<Wanted>,
    wake: Condvar,
}

/// What there is to do.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) changes: Vec<Change>,
    pub(crate) flushes: Vec<oneshot::Sender<Result<(), SpoolError>>>,
    pub(crate) retired: Vec<u32>,
    pub(crate) copied: Option<Switch>,
    asleep: bool,
    closed: bool,
    /// Bytes that could not be written yet.
    stuck: usize,
}

/// A copy that is to take a segment's place, and who wants to know when that is gone.
pub(crate) type Switch = (Copied, oneshot::Sender<()>);

impl JournalQueue {
    /// Lets a change be written. Never waits.
    pub(crate) fn push(&self, change: Change) {
        let mut inner = self.lock();
        inner.changes.push(change);
        self.notify(inner);
    }

    /// Asks for everything before to be synced.
    pub(crate) fn flush(&self) -> oneshot::Receiver<Result<(), SpoolError>> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.lock();
        // After the end nobody answers: who asks then is told so by the dropped sender.
        if !inner.closed {
            inner.flushes.push(answer);
            self.notify(inner);
        }
        answered
    }

    /// The index does not need these segments any more.
    pub(crate) fn retire(&self, segments: Vec<u32>) {
        let mut inner = self.lock();
        inner.retired.extend(segments);
        self.notify(inner);
    }

    /// A copy is to take a segment's place. Answered when that is gone; not at all if it stays.
    pub(crate) fn switch(&self, copied: Copied) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        let mut inner = self.lock();
        if !inner.closed {
            inner.copied = Some((copied, answer));
            self.notify(inner);
        }
        answered
    }

    /// How much the disk has not taken yet.
    pub(crate) fn set_stuck(&self, bytes: usize) {
        self.lock().stuck = bytes;
    }

    /// Changes and bytes that wait because the disk does not take them.
    pub(crate) fn backlog(&self) -> usize {
        let inner = self.lock();
        inner.stuck + inner.changes.len() * mem::size_of::<Change>()
    }

    /// What is there is still written and synced.
    pub(crate) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        self.notify(inner);
    }

    /// What there is to do, waiting for it until `deadline`. The flag: the queue is closed.
    pub(crate) fn take(&self, deadline: Instant) -> (Wanted, bool) {
        let idle = |inner: &mut Wanted| {
            inner.asleep = inner.changes.is_empty()
                && inner.flushes.is_empty()
                && inner.retired.is_empty()
                && inner.copied.is_none()
                && !inner.closed;
            inner.asleep
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.wake.wait_timeout_while(self.lock(), left, idle);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        inner.asleep = false;
        let (closed, stuck) = (inner.closed, inner.stuck);
        (mem::replace(&mut *inner, Wanted { closed, stuck, ..Wanted::default() }), closed)
    }

    fn notify(&self, mut inner: MutexGuard<'_, Wanted>) {
        if mem::take(&mut inner.asleep) {
            self.wake.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
