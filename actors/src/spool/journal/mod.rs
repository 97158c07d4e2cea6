//! The journal: writes state changes beside the segments, and deletes what is done.
//!
//! A change is in the operating system's hands within about a millisecond, so a crash of the
//! process does not undo it, and on the disk within [`SYNC_EVERY`]. What has not been synced is
//! kept in memory, so that a failed write or sync is simply repeated. Files are deleted only after
//! the changes that make them superfluous are durable.

mod queue;
mod retirement;
mod state_file;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use relais_channels::mail::MessageId;

pub(crate) use self::queue::JournalQueue;
use self::{retirement::Replaced, state_file::StateFile};
use super::{
    Change, EntryState, SpoolError, base::Base, disk::is_full, feed::Feed, forwarding::Forwarding,
    ledger::Event, reader::Reader,
};

/// Writes changes; one per spool.
pub(crate) struct Journal {
    base: Arc<Base>,
    feed: Arc<Feed>,
    reader: Arc<Reader>,
    forwarding: Arc<Forwarding>,
    files: BTreeMap<u32, StateFile>,
    /// Changes whose file could not be opened so far.
    unplaced: Vec<Change>,
    /// Changes not yet pushed to the feed: some of their octets could not be written.
    unpushed: Vec<Change>,
    dirty: BTreeSet<u32>,
    /// A name in the directory has not been synced.
    new_names: bool,
    /// When the oldest unsynced change was written.
    dirty_since: Option<Instant>,
    /// Large messages that are done, and whose files go after the next sync.
    done: Vec<MessageId>,
    /// Segments that nothing refers to any more.
    doomed: BTreeSet<u32>,
    /// When it was last tried to delete them.
    deleted: Option<Instant>,
    replaced: Option<Replaced>,
    reserved: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(
        base: Arc<Base>,
        feed: Arc<Feed>,
        reader: Arc<Reader>,
        forwarding: Arc<Forwarding>,
    ) -> Self {
        Self {
            base,
            feed,
            reader,
            forwarding,
            files: BTreeMap::new(),
            unplaced: Vec::new(),
            unpushed: Vec::new(),
            dirty: BTreeSet::new(),
            new_names: false,
            dirty_since: None,
            done: Vec::new(),
            doomed: BTreeSet::new(),
            deleted: None,
            replaced: None,
            reserved: None,
        }
    }

    /// The thread: works until the queue is closed and everything is synced.
    pub(crate) fn run(mut self, queue: &JournalQueue) {
        self.keep_reserve();
        loop {
            let deadline = match self.dirty_since {
                Some(since) => since + SYNC_EVERY,
                None => Instant::now() + LOOK_EVERY,
            };
            let (wanted, closed) = queue.take(deadline);
            let wrote = !wanted.changes.is_empty();
            self.write(wanted.changes);
            let due = self.dirty_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY);
            if due || closed || !wanted.flushes.is_empty() || self.feed.is_crowded() {
                let synced = self.sync();
                for answer in wanted.flushes {
                    let _ = answer.send(synced.clone());
                }
                if let Err(error) = synced {
                    self.base.report(&error, "state changes are not on the disk yet");
                    // Let the disk recover; what waits is in memory.
                    thread::sleep(RETRY_AFTER);
                }
            }
            queue.set_stuck(self.stuck());
            if let Some((copied, gone)) = wanted.copied {
                self.switch(copied, gone);
            }
            self.delete(&wanted.retired);
            self.sweep();
            if closed {
                return;
            }
            if wrote {
                // Whoever comes within this time shares the next call.
                thread::sleep(PACE);
            }
        }
    }

    /// Hands changes to the operating system and, then, to the index.
    pub(crate) fn write(&mut self, changes: Vec<Change>) {
        if changes.is_empty() && self.unpushed.is_empty() && self.unplaced.is_empty() {
            return;
        }
        // Those that had to wait come first, and nothing of their segment overtakes them.
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
                Err(error @ SpoolError::Gone { .. }) => {
                    self.base.report(&error, "a state change has no segment to go to");
                    continue;
                }
                Err(error) => {
                    self.base.report(&error, "state changes wait for their file");
                    shut.insert(change.place.segment);
                    self.unplaced.push(change);
                    continue;
                }
            }
            self.unpushed.push(Change { replies: Vec::new(), reason: None, ..change });
        }
        self.dirty_since.get_or_insert_with(Instant::now);
        if let Err(error) = self.write_out() {
            self.base.report(&error, "state changes wait in memory");
            return;
        }
        let changes = mem::take(&mut self.unpushed);
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
            if !ledger.large.is_empty() {
                self.done.extend(done.into_iter().filter(|id| ledger.large.get(id) == Some(&0)));
            }
        });
    }

    /// Whether the operating system has everything.
    #[cfg(test)]
    pub(crate) fn is_written(&self) -> bool {
        self.unpushed.is_empty()
    }

    /// Whether a segment that does not count any more is still there.
    #[cfg(test)]
    pub(crate) fn is_replacing(&self) -> bool {
        self.replaced.is_some()
    }

    /// Makes everything written durable; then deletes the files of large messages that are done.
    pub(crate) fn sync(&mut self) -> Result<(), SpoolError> {
        if self.dirty.is_empty() && !self.new_names && self.unplaced.is_empty() {
            self.dirty_since = None;
            return Ok(());
        }
        if !self.unpushed.is_empty() || !self.unplaced.is_empty() {
            self.write(Vec::new());
        }
        if let Some(change) = self.unplaced.first() {
            self.state_file(change.place.segment)?;
        }
        self.write_out()?;
        while let Some(number) = self.dirty.first().copied() {
            if let Some(file) = self.files.get_mut(&number) {
                if let Err(error) = file.sync() {
                    if is_full(&error) {
                        self.release_reserve();
                    }
                    return Err(self.base.failure(&self.base.layout.states(number), error));
                }
                self.new_names |= mem::take(&mut file.fresh);
            }
            self.dirty.remove(&number);
        }
        if self.new_names {
            let root = self.base.layout.root();
            self.base.disk.sync_dir(root).map_err(|error| self.base.failure(root, error))?;
            self.new_names = false;
        }
        self.dirty_since = None;
        self.feed.synced();
        self.forget_idle_files();
        self.remove_large();
        self.keep_reserve();
        Ok(())
    }

    fn encode(&mut self, change: &Change) -> Result<(), SpoolError> {
        let number = change.place.segment;
        let file = self.state_file(number)?;
        let (salt, at, durable) = (file.salt, file.end(), file.durable as u32);
        change.encode(salt, at, durable, &mut file.tail);
        self.dirty.insert(number);
        Ok(())
    }

    fn state_file(&mut self, number: u32) -> Result<&mut StateFile, SpoolError> {
        if !self.files.contains_key(&number) {
            let file = match StateFile::open(&self.base, number) {
                Err(SpoolError::DiskFull { .. }) if self.release_reserve() => {
                    StateFile::open(&self.base, number)?
                }
                opened => opened?,
            };
            self.files.insert(number, file);
        }
        let (segment, offset, length) = (number, 0, 0);
        let gone = SpoolError::Gone { place: super::Place { segment, offset, length } };
        self.files.get_mut(&number).ok_or(gone)
    }

    fn write_out(&mut self) -> Result<(), SpoolError> {
        let dirty: Vec<u32> = self.dirty.iter().copied().collect();
        for number in dirty {
            let Some(file) = self.files.get_mut(&number) else { continue };
            let mut written = file.write_out();
            if written.as_ref().is_err_and(is_full) && self.release_reserve() {
                // The room that was kept for exactly this.
                let Some(file) = self.files.get_mut(&number) else { continue };
                written = file.write_out();
            }
            let path = self.base.layout.states(number);
            written.map_err(|error| self.base.failure(&path, error))?;
        }
        Ok(())
    }

    fn forget_idle_files(&mut self) {
        if self.files.len() > MAX_OPEN {
            self.files.retain(|_, file| !file.tail.is_empty());
        }
    }

    fn stuck(&self) -> usize {
        let unplaced = self.unplaced.len() * mem::size_of::<Change>();
        if self.unpushed.is_empty() {
            return unplaced;
        }
        let unwritten = self.files.values().map(|file| file.tail.len() - file.written);
        unplaced + unwritten.sum::<usize>()
    }

    /// Gives up the reserve, and says whether there was one.
    fn release_reserve(&mut self) -> bool {
        self.reserved = Some(Instant::now());
        self.base.release_reserve("state changes go on")
    }

    /// Takes the reserve (again) when there is room for it.
    fn keep_reserve(&mut self) {
        if self.reserved.is_some_and(|at| at.elapsed() < RESERVE_CHECKED_EVERY) {
            return;
        }
        self.reserved = Some(Instant::now());
        self.base.keep_reserve();
    }
}

/// How often it is looked for what can be deleted when nothing changes: a segment may have been
/// closed after the last of its mail had left.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a change may be lost by a power cut.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(150);
/// How long the next write may wait for company. A crash of the process repeats what was delivered
/// within this time; a write costs as much as parsing several messages.
const PACE: Duration = Duration::from_micros(250);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RESERVE_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// State files kept open.
const MAX_OPEN: usize = 128;
