//! The writer of a journal: deliveries become durable in batches, one write and one sync each.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    format::{PAGE, number, put_record, record_size, write_at},
    shared::{Health, Shared, again},
};
use crate::disk::DiskFile;

/// A point of a journal that a checkpoint is to pass.
pub struct Awaited {
    file: Arc<dyn DiskFile>,
    head: u64,
}

impl fmt::Debug for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Awaited({})", self.head)
    }
}

/// The writer's end of a journal. One thread has it.
#[derive(Debug)]
pub struct Journal {
    pub(super) shared: Arc<Shared>,
    batch: Vec<u8>,
    /// How long a delivery waits for another journal.
    pub(super) patience: Duration,
}

impl Journal {
    /// The writer of the journal behind `shared`.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, batch: Vec::new(), patience: PATIENCE }
    }

    /// Adds a record to the batch; `parts` are its bytes, one behind the other. `false`: it is
    /// larger than half of the journal, and has not been added.
    pub fn add(&mut self, parts: &[&[u8]]) -> bool {
        if record_size(parts.iter().map(|part| part.len()).sum()) > self.max_batch() {
            return false;
        }
        put_record(&mut self.batch, parts);
        true
    }

    /// Bytes of records that can be in one batch, their heads included.
    pub fn max_batch(&self) -> usize {
        usize::try_from(self.shared.lock().capacity / 2).unwrap_or(usize::MAX)
    }

    /// Makes the batch durable, waiting for room if need be, and empties it. After an error
    /// nothing of it is promised.
    pub fn append(&mut self) -> io::Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        batch.resize(batch.len().next_multiple_of(PAGE as usize), 0);
        // Into another journal, when this one fails.
        let appended = self.append_once(&mut batch).or_else(|error| {
            let Some(error) = error else { return self.append_once(&mut batch) };
            Err(Some(error))
        });
        batch.clear();
        self.batch = batch;
        appended.map_err(|error| error.unwrap_or_else(|| io::Error::other("the journal failed")))
    }

    /// `Err(None)`: it failed just now, and another journal may do.
    fn append_once(&self, batch: &mut [u8]) -> Result<(), Option<io::Error>> {
        let (file, capacity, head) = self.room(batch.len() as u64).map_err(Some)?;
        number(batch, head);
        let written = write_at(&*file, capacity, head, batch).and_then(|()| file.sync_data());
        let mut state = self.shared.lock();
        match written {
            Ok(()) => {
                state.head = head + batch.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.shared.fail(&mut state, error);
                Err(None)
            }
        }
    }

    /// Everything appended so far is in the mailboxes now, or has been refused.
    pub fn placed(&self) {
        let mut state = self.shared.lock();
        self.shared.placed(&mut state);
    }

    /// Asks for a checkpoint of all that was appended so far, which is in its place.
    pub fn ask_for_checkpoint(&self) -> Awaited {
        let mut state = self.shared.lock();
        self.shared.placed(&mut state);
        state.urgent = true;
        self.shared.changed.notify_all();
        Awaited { file: state.file.clone(), head: state.head }
    }

    /// Whether no start would restore anything that was appended before this point.
    pub fn has_passed(&self, point: &Awaited) -> bool {
        let state = self.shared.lock();
        // Another journal is begun when nothing depends on the one before. What could not be appended
        // to one that failed may be on the disk all the same.
        let passed = state.health.is_well() && state.tail >= point.head;
        passed || !Arc::ptr_eq(&state.file, &point.file)
    }

    /// Waits until there is room for `bytes`, and a journal; where they go.
    fn room(&self, bytes: u64) -> io::Result<(Arc<dyn DiskFile>, u64, u64)> {
        let mut state = self.shared.lock();
        // The caller places nothing more of the batch before, whatever became of that.
        self.shared.placed(&mut state);
        let patience = Instant::now() + self.patience;
        loop {
            match &state.health {
                Health::Well if bytes > state.capacity => {
                    return Err(io::Error::other("a record is larger than the journal"));
                }
                Health::Well if state.head + bytes - state.tail <= state.capacity => {
                    return Ok((state.file.clone(), state.capacity, state.head));
                }
                Health::Well => {
                    state.urgent = true;
                    self.shared.changed.notify_all();
                }
                Health::Repairing(_) if Instant::now() < patience => {}
                Health::Repairing(error) | Health::Failing(error) => return Err(again(error)),
            }
            state = self.shared.wait(state, self.patience);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        self.shared.placed(&mut state);
        state.closed = true;
        self.shared.changed.notify_all();
    }
}

/// A delivery waits for another journal for so long.
const PATIENCE: Duration = Duration::from_secs(5);
