//! Checkpoints: they make the mailboxes durable, which frees the journal; and they begin another
//! journal when this one, or the disk, has failed.

use std::{
    fmt, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    file::create,
    format::{Header, scan},
    replay::Restorer,
    shared::{Health, JournalState, Shared},
};
use crate::disk::{Disk, DiskFile};

/// Makes the mailboxes durable, and room in the journal. Another thread has it, since it takes
/// its time.
pub struct Checkpoints {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) root: PathBuf,
    /// Bytes that a journal should have.
    pub(super) wanted: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) header: Header,
    pub(super) mailboxes: Box<dyn Restorer>,
    /// A sync of the mailboxes has failed: what was placed since the last checkpoint may only look
    /// as if it were on the disk.
    pub(super) doubtful: bool,
}

/// A journal failed, or another one took its place.
#[derive(Debug)]
pub enum Happening {
    /// It cannot be written, or the mailboxes cannot be synced. Told once for each trouble.
    Failed(io::Error),
    /// Another one was begun; deliveries go on.
    Repaired {
        /// How long that took.
        after: Duration,
    },
}

/// The next step of the thread that makes checkpoints.
enum Due {
    /// A checkpoint, up to here.
    Checkpoint(u64),
    /// To begin another journal.
    Repair,
    /// Nothing any more.
    End,
}

impl Checkpoints {
    /// Makes checkpoints as they become due, until the journal is dropped; the last one then. When
    /// the journal or the disk fails, begins another journal as soon as that works. `tell` is told
    /// of both.
    pub fn run(mut self, mut tell: impl FnMut(Happening)) {
        let _ended = Ended(self.shared.clone());
        let (mut since, mut attempts) = (None, 0);
        loop {
            match self.wait(attempts) {
                Due::Checkpoint(placed) => {
                    if let Err(error) = self.advance(placed) {
                        self.shared.fail(&mut self.shared.lock(), error);
                    }
                }
                Due::Repair => {
                    if since.is_none() {
                        since = Some(Instant::now());
                        if let Some(error) = self.shared.lock().health.error() {
                            tell(Happening::Failed(error));
                        }
                    }
                    attempts += 1;
                    match self.mend() {
                        Ok(()) => {
                            let after = since.take().unwrap_or_else(Instant::now).elapsed();
                            attempts = 0;
                            tell(Happening::Repaired { after });
                        }
                        // The first attempt may only be told what failed before.
                        Err(_) if attempts == 1 => {}
                        Err(error) => {
                            let mut state = self.shared.lock();
                            state.health = Health::Failing(error);
                            self.shared.changed.notify_all();
                            if state.closed {
                                return;
                            }
                        }
                    }
                }
                Due::End => return,
            }
        }
    }

    /// Waits until something is due. `attempts`: how often another journal could not be begun.
    fn wait(&self, attempts: u32) -> Due {
        let retry = Instant::now() + if attempts < 2 { Duration::ZERO } else { RETRY };
        let mut state = self.shared.lock();
        loop {
            let now = Instant::now();
            let pause = if state.health.is_well() {
                let pending = state.placed > state.tail;
                let due = state.since.map(|since| since + INTERVAL);
                if pending && (state.urgent || state.closed || due.is_some_and(|due| due <= now)) {
                    return Due::Checkpoint(state.placed);
                }
                if state.closed {
                    return Due::End;
                }
                due.filter(|_| pending).map_or(IDLE, |due| due - now)
            } else {
                // Deliveries under way have to be in their places first.
                let quiet = state.placed == state.head;
                if quiet && (now >= retry || state.closed) {
                    return Due::Repair;
                }
                if quiet { retry - now } else { IDLE }
            };
            state = self.shared.wait(state, pause);
        }
    }

    /// Makes a checkpoint: everything before `placed` is durable in the mailboxes.
    pub(super) fn advance(&mut self, placed: u64) -> io::Result<()> {
        let file = {
            let mut state = self.shared.lock();
            // A message placed from now on may come too late for this checkpoint.
            state.since = (state.head > placed).then(Instant::now);
            state.urgent = false;
            state.file.clone()
        };
        self.sync(&*file)?;
        self.header.tail = placed;
        self.header.write(&*file)?;
        self.shared.lock().tail = placed;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Makes everything that is in the mailboxes durable.
    fn sync(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        let synced = file.sync_fs();
        self.doubtful |= synced.is_err();
        synced
    }

    /// Makes sure that nothing depends on the journal, and begins another one.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        let (file, header) = {
            let state = self.shared.lock();
            let header = Header { tail: state.tail, ..self.header.clone() };
            (state.file.clone(), header)
        };
        if self.doubtful {
            scan(&*file, &header, |record| self.mailboxes.rewrite(record))?;
        }
        self.sync(&*file)?;
        self.doubtful = false;
        let (file, header) = create(&*self.disk, &self.root, self.wanted)?;
        let mut state = self.shared.lock();
        *state = JournalState { closed: state.closed, ..JournalState::new(file, &header) };
        self.header = header;
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpoints").field("root", &self.root).finish_non_exhaustive()
    }
}

/// Without checkpoints there will be no room one day: better no delivery than one that waits for
/// ever.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.closed && state.health.is_well() {
            state.health = Health::Failing(io::Error::other("nobody makes checkpoints"));
        }
        self.0.changed.notify_all();
    }
}

/// A message delivered within it before a power cut, and then deleted by its reader, comes back.
pub(super) const INTERVAL: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(3_600);
/// How often it is tried to begin another journal while that fails.
const RETRY: Duration = Duration::from_secs(1);
