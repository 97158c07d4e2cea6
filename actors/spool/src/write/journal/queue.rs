//! Work for the journal: changes, flushes, deletions, and a copy that takes over.

use std::{
    mem,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use relais_storage::{Change, StorageError};
use tokio::sync::oneshot;

use crate::{
    compact::copy::Copied,
    inbox::{Inbox, Work},
};

/// Changes and orders on their way to the journal's thread.
#[derive(Default)]
pub(crate) struct JournalQueue {
    inbox: Inbox<Wanted>,
    /// Bytes that could not be written yet.
    stuck: AtomicUsize,
}

/// Work for the journal.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) changes: Vec<Change>,
    pub(crate) flushes: Vec<oneshot::Sender<Result<(), StorageError>>>,
    pub(crate) retired: Vec<u32>,
    pub(crate) copied: Option<Switch>,
}

/// A copy that is to take a segment's place, and who wants to know when that is gone.
pub(crate) type Switch = (Copied, oneshot::Sender<()>);

impl JournalQueue {
    /// Lets a change be written. Never waits.
    pub(crate) fn push(&self, change: Change) {
        self.inbox.leave(|wanted| wanted.changes.push(change));
    }

    /// Asks for everything before to be synced.
    pub(crate) fn flush(&self) -> oneshot::Receiver<Result<(), StorageError>> {
        let (answer, answered) = oneshot::channel();
        // After the end nobody answers: the dropped sender says so to the caller.
        self.inbox.leave_if_open(|wanted| wanted.flushes.push(answer));
        answered
    }

    /// The index does not need these segments any more.
    pub(crate) fn retire(&self, segments: Vec<u32>) {
        self.inbox.leave(|wanted| wanted.retired.extend(segments));
    }

    /// A copy is to take a segment's place. Answered when that is gone; not at all if it stays.
    pub(crate) fn switch(&self, copied: Copied) -> oneshot::Receiver<()> {
        let (answer, answered) = oneshot::channel();
        self.inbox.leave_if_open(|wanted| wanted.copied = Some((copied, answer)));
        answered
    }

    /// How much the disk has not taken yet.
    pub(crate) fn set_stuck(&self, bytes: usize) {
        self.stuck.store(bytes, Ordering::Relaxed);
    }

    /// Changes and bytes that wait because the disk does not take them.
    pub(crate) fn backlog(&self) -> usize {
        let waiting = self.inbox.look(|wanted| wanted.changes.len());
        self.stuck.load(Ordering::Relaxed) + waiting * mem::size_of::<Change>()
    }

    /// Ends the journal; everything left before is still written and synced.
    pub(crate) fn close(&self) {
        self.inbox.close();
    }

    /// Takes the work, waiting for it until `deadline`. The flag: the queue is closed.
    pub(crate) fn take(&self, deadline: Instant) -> (Wanted, bool) {
        self.inbox.take(Some(deadline))
    }
}

impl Work for Wanted {
    fn amount(&self) -> usize {
        let Self { changes, flushes, retired, copied } = self;
        changes.len() + flushes.len() + retired.len() + usize::from(copied.is_some())
    }
}
