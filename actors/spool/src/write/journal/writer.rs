//! State files while the journal writes to them: changes in, bytes out, syncs.
//!
//! A change waits in memory until it is durable: as itself while its file cannot be opened, as
//! bytes in the tail of its file from then on. The feed is told of it once the operating system has
//! it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::{disk::is_full, mail::MessageId};
use relais_storage::{Change, EntryState, Place, RecipientReplies, StorageError};

use crate::{
    alarm::Alarm, compact::forwarding::Forwarding, environment::Environment, format::change,
    ledger::Event, ledger::feed::Feed, write::journal::state_file::StateFile,
};

/// Writes changes into the state files of their segments, and syncs these.
pub(super) struct StateWriter {
    pub(super) environment: Arc<Environment>,
    pub(super) feed: Arc<Feed>,
    pub(super) forwarding: Arc<Forwarding>,
    files: BTreeMap<u32, StateFile>,
    /// Changes whose file could not be opened so far.
    unplaced: Vec<Change>,
    /// Changes not yet pushed to the feed: some of their bytes could not be written.
    unpushed: Vec<Change>,
    dirty: BTreeSet<u32>,
    /// A name in the directory has not been synced.
    new_names: bool,
    /// The last sync failed.
    pub(super) failing: bool,
    /// When the oldest unsynced change was written.
    pub(super) dirty_since: Option<Instant>,
    /// Large messages that are done, and whose files go after the next sync.
    done: Vec<MessageId>,
    /// When the reserve was last looked after.
    reserved: Option<Instant>,
    /// State changes are not on the disk.
    unsafe_changes: Alarm,
}

impl StateWriter {
    pub(super) fn new(
        environment: Arc<Environment>,
        feed: Arc<Feed>,
        forwarding: Arc<Forwarding>,
    ) -> Self {
        Self {
            environment,
            feed,
            forwarding,
            files: BTreeMap::new(),
            unplaced: Vec::new(),
            unpushed: Vec::new(),
            dirty: BTreeSet::new(),
            new_names: false,
            failing: false,
            dirty_since: None,
            done: Vec::new(),
            reserved: None,
            unsafe_changes: Alarm::default(),
        }
    }

    /// Hands changes to the operating system and, then, to the index. Those for which that fails
    /// wait for the next time.
    pub(super) fn write(&mut self, changes: Vec<Change>) {
        if changes.is_empty() && !self.has_waiting() {
            return;
        }
        if let Err(error) = self.hand_over(changes) {
            self.unsafe_changes.raise(
                &*self.environment.events,
                &error,
                "state changes wait in memory",
            );
        }
    }

    /// Whether there are changes that the operating system does not have.
    fn has_waiting(&self) -> bool {
        !self.unpushed.is_empty() || !self.unplaced.is_empty()
    }

    fn hand_over(&mut self, changes: Vec<Change>) -> Result<(), StorageError> {
        let mut placed = Ok(());
        // Changes that had to wait come first, and nothing of their segment overtakes them.
        let mut shut: HashSet<u32> = HashSet::new();
        let waited = mem::take(&mut self.unplaced);
        for mut change in waited.into_iter().chain(changes) {
            change.place = self.forwarding.place(change.place);
            if shut.contains(&change.place.segment) {
                self.unplaced.push(change);
                continue;
            }
            match self.encode(&change) {
                Ok(()) => {}
                Err(error @ StorageError::Gone { .. }) => {
                    self.environment.report(&error, "a state change has no segment to go to");
                    continue;
                }
                Err(error) => {
                    shut.insert(change.place.segment);
                    self.unplaced.push(change);
                    placed = placed.and(Err(error));
                    continue;
                }
            }
            self.unpushed.push(Change {
                replies: RecipientReplies::new(),
                reason: None,
                trip: None,
                ..change
            });
        }
        self.dirty_since.get_or_insert_with(Instant::now);
        let written = self.write_out();
        self.push_written();
        placed.and(written)
    }

    /// Tells the feed of the changes whose file has them.
    fn push_written(&mut self) {
        let is_written = |change: &Change| {
            self.files.get(&change.place.segment).is_none_or(StateFile::is_written)
        };
        let (changes, waiting): (Vec<_>, _) =
            mem::take(&mut self.unpushed).into_iter().partition(is_written);
        self.unpushed = waiting;
        if changes.is_empty() {
            return;
        }
        let mut segments: Vec<u32> = changes.iter().map(|change| change.place.segment).collect();
        segments.sort_unstable();
        segments.dedup();
        let length = |number| self.files.get(&number).map(|file| (number, file.end()));
        let states = segments.into_iter().filter_map(length).collect();
        let done: Vec<MessageId> = changes
            .iter()
            .filter(|change| change.now == EntryState::Done)
            .map(|change| change.id)
            .collect();
        self.feed.push_unsynced(Event::Changed { changes, states });
        self.feed.live(|ledger| {
            if !ledger.blobs.is_empty() {
                self.done.extend(done.into_iter().filter(|id| ledger.blobs.get(id) == Some(&0)));
            }
        });
    }

    /// Whether the operating system has everything.
    #[cfg(test)]
    pub(super) fn is_written(&self) -> bool {
        self.unpushed.is_empty()
    }

    /// Makes everything durable, or as much as the disk takes; then deletes the files of large
    /// messages that are done.
    pub(super) fn sync(&mut self) -> Result<(), StorageError> {
        let synced = self.sync_all();
        self.failing = synced.is_err();
        if let Err(error) = &synced {
            self.unsafe_changes.raise(
                &*self.environment.events,
                error,
                "state changes are not on the disk yet",
            );
            return synced;
        }
        if let Some(after) = self.unsafe_changes.clear() {
            tracing::info!(seconds = after.as_secs_f64(), "state changes are on the disk again");
        }
        self.dirty_since = None;
        self.feed.synced();
        self.forget_idle_files();
        self.remove_blobs();
        self.keep_reserve();
        Ok(())
    }

    /// One file that fails does not keep the others from being synced. The first error.
    fn sync_all(&mut self) -> Result<(), StorageError> {
        let mut synced = if self.has_waiting() { self.hand_over(Vec::new()) } else { Ok(()) };
        let dirty: Vec<u32> = self.dirty.iter().copied().collect();
        for number in dirty {
            match self.with_file(number, StateFile::sync) {
                Ok(()) => {
                    self.dirty.remove(&number);
                    let file = self.files.get_mut(&number);
                    self.new_names |= file.is_some_and(|file| mem::take(&mut file.fresh));
                }
                Err(error) => synced = synced.and(Err(error)),
            }
        }
        synced.and(self.sync_names())
    }

    /// Makes the names of files durable.
    pub(super) fn sync_names(&mut self) -> Result<(), StorageError> {
        if self.new_names {
            let root = self.environment.layout.root();
            self.environment
                .disk
                .sync_dir(root)
                .map_err(|error| self.environment.failure(root, error))?;
            self.new_names = false;
        }
        Ok(())
    }

    fn encode(&mut self, change: &Change) -> Result<(), StorageError> {
        let number = change.place.segment;
        let file = self.state_file(number)?;
        let (salt, at, durable) = (file.salt, file.end(), file.durable as u32);
        change::encode(change, (salt, at), durable, &mut file.tail);
        self.dirty.insert(number);
        Ok(())
    }

    pub(super) fn state_file(&mut self, number: u32) -> Result<&mut StateFile, StorageError> {
        if !self.files.contains_key(&number) {
            let file = match StateFile::open(&self.environment, number) {
                Err(StorageError::DiskFull { .. } | StorageError::NoInodes)
                    if self.release_reserve() =>
                {
                    StateFile::open(&self.environment, number)?
                }
                opened => opened?,
            };
            self.files.insert(number, file);
        }
        let (segment, offset, length) = (number, 0, 0);
        let gone = StorageError::Gone { place: Place { segment, offset, length } };
        self.files.get_mut(&number).ok_or(gone)
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        let dirty: Vec<u32> = self.dirty.iter().copied().collect();
        let mut written = Ok(());
        for number in dirty {
            written = written.and(self.with_file(number, StateFile::write_out));
        }
        written
    }

    /// Does something with a state file; once more if only the room for it was missing.
    fn with_file(
        &mut self,
        number: u32,
        work: fn(&mut StateFile) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        loop {
            let Some(file) = self.files.get_mut(&number) else { return Ok(()) };
            match work(file) {
                // The room that was kept for exactly this.
                Err(error) if is_full(&error) && self.release_reserve() => {}
                done => {
                    let failure = |error| {
                        self.environment.failure(&self.environment.layout.states(number), error)
                    };
                    return done.map_err(failure);
                }
            }
        }
    }

    fn forget_idle_files(&mut self) {
        if self.files.len() > MAX_OPEN {
            self.files.retain(|_, file| !file.tail.is_empty());
        }
    }

    /// Bytes in memory that the disk does not take.
    pub(super) fn stuck(&self) -> usize {
        let mut changes = self.unplaced.len();
        if !self.failing && self.unpushed.is_empty() {
            return changes * mem::size_of::<Change>();
        }
        if self.failing {
            // Changes wait in the feed until they are durable.
            changes += self.feed.weight();
        }
        let tails = self.files.values().map(|file| file.tail.len());
        changes * mem::size_of::<Change>() + tails.sum::<usize>()
    }

    /// Gives up the reserve, and says whether there was one.
    fn release_reserve(&mut self) -> bool {
        self.reserved = Some(Instant::now());
        self.environment.release_reserve("state changes go on")
    }

    /// Takes the reserve (again) when there is room for it.
    pub(super) fn keep_reserve(&mut self) {
        if self.reserved.is_some_and(|at| at.elapsed() < RESERVE_CHECKED_EVERY) {
            return;
        }
        self.reserved = Some(Instant::now());
        self.environment.keep_reserve();
    }
    /// Segments with changes that the operating system does not have.
    pub(super) fn unwritten(&self) -> HashSet<u32> {
        let changes = self.unplaced.iter().chain(&self.unpushed);
        changes.map(|change| change.place.segment).collect()
    }

    /// Whether the state file of a segment has changes that are not synced.
    pub(super) fn is_dirty(&self, number: u32) -> bool {
        self.dirty.contains(&number)
    }

    /// Takes in the state file of a segment that has been made beside it.
    pub(super) fn adopt(&mut self, number: u32, states: StateFile) {
        self.files.insert(number, states);
        self.new_names = true;
        self.dirty_since.get_or_insert_with(Instant::now);
    }

    /// Lets go of the state file of a segment that is about to be deleted.
    pub(super) fn forget(&mut self, number: u32) {
        self.files.remove(&number);
        self.dirty.remove(&number);
    }

    /// Deletes the content of large messages that are done, once that is durable.
    fn remove_blobs(&mut self) {
        let (disk, layout) = (&self.environment.disk, &self.environment.layout);
        let done = mem::take(&mut self.done);
        for id in &done {
            let last = self.feed.live(|ledger| ledger.forms.get(id).copied().unwrap_or(0));
            for form in 0..=u8::MAX {
                let path = layout.blob(*id, form);
                let Err(error) = disk.remove(&path) else { continue };
                if error.kind() == io::ErrorKind::NotFound {
                    // A number before the last may be without a file.
                    if form >= last {
                        break;
                    }
                    continue;
                }
                let error = StorageError::at(&path)(error);
                self.environment
                    .report(&error, "the content of a finished message was not deleted");
            }
        }
        if !done.is_empty() && disk.sync_dir(&layout.blob_dir()).is_ok() {
            for id in done {
                self.feed.push(Event::BlobGone { id });
            }
        }
    }
}

const RESERVE_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// State files kept open.
const MAX_OPEN: usize = 128;
