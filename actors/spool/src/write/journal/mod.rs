//! The journal: writes state changes beside the segments, and deletes what is done.
//!
//! A change is in the operating system's hands within about a millisecond, so a crash of the
//! process does not undo it, and on the disk within [`SYNC_EVERY`]. What has not been synced is
//! kept in memory, so that a failed write or sync is simply repeated. Files are deleted only after
//! the changes that make them superfluous are durable.

mod queue;
mod retire;
mod state_file;
mod writer;

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub(crate) use self::queue::JournalQueue;
use self::{
    retire::{LOOK_EVERY, Retirement},
    writer::StateWriter,
};
use relais_storage::{Change, StorageError};

use crate::{
    compact::copy::Copied, compact::forwarding::Forwarding, environment::Environment,
    ledger::feed::Feed, read::reader::Reader,
};

/// Writes changes and deletes segments; one per spool.
pub(crate) struct Journal {
    states: StateWriter,
    retirement: Retirement,
}

impl Journal {
    pub(crate) fn new(
        environment: Arc<Environment>,
        feed: Arc<Feed>,
        reader: Arc<Reader>,
        forwarding: Arc<Forwarding>,
    ) -> Self {
        let states = StateWriter::new(environment, feed, forwarding);
        Self { states, retirement: Retirement::new(reader) }
    }

    /// The thread: works until the queue is closed and everything is synced, or cannot be.
    pub(crate) fn run(mut self, queue: &JournalQueue) {
        self.states.keep_reserve();
        let mut last_tries = LAST_TRIES;
        loop {
            let deadline = match self.states.dirty_since {
                Some(since) => since + SYNC_EVERY,
                None => Instant::now() + LOOK_EVERY,
            };
            let (wanted, closed) = queue.take(deadline);
            let wrote = !wanted.changes.is_empty();
            self.write(wanted.changes);
            let due = self.states.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY);
            if due || closed || !wanted.flushes.is_empty() || self.states.feed.is_crowded() {
                let synced = self.sync();
                for answer in wanted.flushes {
                    let _ = answer.send(synced.clone());
                }
                if synced.is_err() {
                    // Let the disk recover; what waits is in memory.
                    thread::sleep(RETRY_AFTER);
                }
            }
            queue.set_stuck(self.states.stuck());
            if let Some((copied, gone)) = wanted.copied {
                self.switch(copied, gone);
            }
            self.delete(&wanted.retired);
            self.sweep();
            if closed {
                if !self.states.failing || last_tries == 0 {
                    return;
                }
                last_tries -= 1;
            }
            if wrote {
                // A change that comes within this time shares the next call.
                thread::sleep(PACE);
            }
        }
    }

    /// See [`StateWriter::write`].
    pub(crate) fn write(&mut self, changes: Vec<Change>) {
        self.states.write(changes);
    }

    /// See [`StateWriter::sync`].
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        self.states.sync()
    }

    /// See [`Retirement::switch`].
    pub(crate) fn switch(&mut self, copied: Copied, gone: oneshot::Sender<()>) {
        self.retirement.switch(&mut self.states, copied, gone);
    }

    /// See [`Retirement::delete`].
    pub(crate) fn delete(&mut self, segments: &[u32]) {
        self.retirement.delete(&mut self.states, segments);
    }

    /// See [`Retirement::sweep`].
    pub(crate) fn sweep(&mut self) {
        self.retirement.sweep(&mut self.states);
    }

    /// Whether the operating system has everything.
    #[cfg(test)]
    pub(crate) fn is_written(&self) -> bool {
        self.states.is_written()
    }

    /// Whether a segment that does not count any more is still there.
    #[cfg(test)]
    pub(crate) fn is_replacing(&self) -> bool {
        self.retirement.is_replacing()
    }
}

/// How long a change may be lost by a power cut.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(150);
/// How long the next write may wait for company. A crash of the process repeats what was delivered
/// within this time; a write, with its wake-up, costs as much as taking half a message.
const PACE: Duration = Duration::from_millis(1);
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How often what fails at the end is tried again.
const LAST_TRIES: u32 = 10;
