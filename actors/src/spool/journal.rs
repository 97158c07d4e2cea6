//! The journal: writes state changes beside the segments, and deletes what is done.
//!
//! A change is in the operating system's hands within about a millisecond, so a crash of the
//! process does not undo it, and on the disk within [`SYNC_EVERY`]. What has not been synced is
//! kept in memory, so that a failed write or sync is simply repeated. Files are deleted only after
//! the changes that make them superfluous are durable.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io, mem,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use relais_channels::mail::MessageId;
use tokio::sync::oneshot;

use super::{
    Change, EntryState, SpoolError,
    base::Base,
    compaction::{Copied, drop_copy, each_change},
    disk::is_full,
    feed::Feed,
    forwarding::Forwarding,
    journal_queue::JournalQueue,
    ledger::Event,
    reader::Reader,
    record::{Found, Kind, Walker},
    segment::HEAD,
    state_file::StateFile,
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

/// A segment that does not count any more, and is still there.
struct Replaced {
    from: u32,
    /// Must not go before that one: it is what says that it does not count.
    to: u32,
    gone: oneshot::Sender<()>,
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

    /// Finds closed segments in which nothing is alive and lets the index forget them. They are
    /// deleted when it has, so that it never refers to a segment that is not there.
    pub(crate) fn sweep(&mut self) {
        if self.dirty_since.is_some() {
            return;
        }
        for (number, entries) in self.feed.take_empty() {
            match self.is_done(number, entries) {
                Ok(true) => self.feed.push(Event::Emptied { segment: number }),
                Ok(false) => {
                    tracing::error!(
                        segment = number,
                        "its log does not say that all is done; kept"
                    );
                }
                Err(error) => {
                    self.base.report(&error, "a segment could not be checked; kept");
                }
            }
        }
    }

    /// Lets a copy take the place of its segment; `gone` hears when that is deleted. See
    /// [`super::compaction`].
    pub(crate) fn switch(&mut self, copied: Copied, gone: oneshot::Sender<()>) {
        let (from, to) = (copied.from, copied.head.number);
        match self.make_count(copied) {
            Ok(true) => {
                self.replaced = Some(Replaced { from, to, gone });
                tracing::info!(segment = from, survivors = to, "segment compacted");
                if let Err(error) = self.sync() {
                    self.base.report(&error, "state changes are not on the disk yet");
                }
            }
            Ok(false) => drop_copy(&self.base, to),
            Err(error) => {
                self.base.report(&error, "a segment was not compacted and stays");
                drop_copy(&self.base, to);
            }
        }
    }

    /// Steps 2 to 5 of a compaction. `false`: the copy is of no use.
    fn make_count(&mut self, mut copied: Copied) -> Result<bool, SpoolError> {
        self.sync()?;
        let (disk, layout) = (Arc::clone(&self.base.disk), self.base.layout.clone());
        let (from, to) = (copied.from, copied.head.number);
        let old = self.feed.live(|ledger| ledger.segments.get(&from).copied());
        let Some(old) = old.filter(|old| old.live > 0) else { return Ok(false) };

        let end = self.state_file(from)?.durable;
        let mut states = StateFile::open(&self.base, to)?;
        each_change(&self.base, from, copied.followed..end, &mut |change| {
            if let Some(change) = copied.take_over(change) {
                change.encode(states.salt, states.end(), states.durable as u32, &mut states.tail);
            }
            Ok(())
        })?;
        let synced = states.write_out().and_then(|()| states.sync());
        synced.map_err(|error| self.base.failure(&layout.states(to), error))?;
        disk.sync_dir(layout.root()).map_err(|error| self.base.failure(layout.root(), error))?;

        let offsets = mem::take(&mut copied.offsets);
        let (life, entries) = copied.into_life(states.end());
        if life.live != old.live {
            let (counted, copied) = (old.live, life.live);
            tracing::error!(segment = from, counted, copied, "not as alive as it should be; kept");
            return Ok(false);
        }
        let messages = layout.messages(to);
        if let Err(error) = disk.rename(&layout.unfinished(to), &messages)
            && disk.open(&messages).is_err()
        {
            return Err(self.base.failure(&messages, error));
        }
        self.forwarding.add(from, to, offsets);
        self.files.insert(to, states);
        self.new_names = true;
        self.dirty_since.get_or_insert_with(Instant::now);
        self.feed.push_unsynced(Event::Moved { from, to, life, entries });
        Ok(true)
    }

    /// Deletes segments, in an order in which a crash at any point leaves no message without its
    /// states, and none that has moved in two places. What fails is tried again the next time.
    pub(crate) fn delete(&mut self, segments: &[u32]) {
        let due = || self.deleted.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if segments.is_empty() && (self.doomed.is_empty() || !due()) {
            return;
        }
        self.deleted = Some(Instant::now());
        self.doomed.extend(segments);
        // What takes the place of a segment must have its name for good before that goes.
        if self.new_names
            && let Err(error) = self.sync()
        {
            return self.base.report(&error, "segments that are done are not deleted yet");
        }
        if let Some(from) = self.replaced.as_ref().map(|replaced| replaced.from)
            && self.doomed.contains(&from)
        {
            self.remove(&[from]);
        }
        let kept = self.replaced.as_ref().map(|replaced| replaced.to);
        let rest: Vec<u32> = self.doomed.iter().copied().filter(|n| Some(*n) != kept).collect();
        self.remove(&rest);
    }

    fn remove(&mut self, segments: &[u32]) {
        let (disk, layout) = (Arc::clone(&self.base.disk), self.base.layout.clone());
        let mut removed = Vec::new();
        for number in segments {
            self.files.remove(number);
            self.dirty.remove(number);
            self.reader.forget(*number);
            match disk.remove(&layout.messages(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = SpoolError::at(&layout.messages(*number))(error);
                    self.base.report(&error, "an empty segment was not deleted");
                }
                _ => removed.push(*number),
            }
        }
        if removed.is_empty() {
            return;
        }
        if let Err(error) = disk.sync_dir(layout.root()) {
            let error = SpoolError::at(layout.root())(error);
            return self.base.report(&error, "state files of empty segments are left over");
        }
        for number in removed {
            let _ = disk.remove(&layout.states(number));
            self.doomed.remove(&number);
            self.forwarding.forget(number);
            if let Some(replaced) = self.replaced.take_if(|replaced| replaced.from == number) {
                let _ = replaced.gone.send(());
            }
        }
    }

    /// Whether the segment's own log says that all its entries are done. The ledger only counts;
    /// before anything is deleted, this looks.
    fn is_done(&mut self, number: u32, entries: u32) -> Result<bool, SpoolError> {
        let path = self.base.layout.states(number);
        let file = self.state_file(number)?;
        let mut walker = Walker::new(&*file.file, file.salt, HEAD as u64, file.durable);
        let mut done = HashSet::new();
        while let Some(found) = walker.next().map_err(SpoolError::at(&path))? {
            if let Found::Record { header, payload, .. } = found
                && header.kind == Kind::Change
                && let Some(change) = Change::decode(&header, payload, false)
            {
                if change.now == EntryState::Done {
                    done.insert((change.id, change.entry));
                } else {
                    done.remove(&(change.id, change.entry));
                }
            }
        }
        Ok(done.len() >= entries as usize)
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

    fn remove_large(&mut self) {
        let (disk, layout) = (&self.base.disk, &self.base.layout);
        let done = mem::take(&mut self.done);
        for id in &done {
            if let Err(error) = disk.remove(&layout.large(*id))
                && error.kind() != io::ErrorKind::NotFound
            {
                let error = SpoolError::at(&layout.large(*id))(error);
                self.base.report(&error, "the content of a finished message was not deleted");
            }
        }
        if !done.is_empty() && disk.sync_dir(&layout.large_dir()).is_ok() {
            for id in done {
                self.feed.push(Event::LargeGone { id });
            }
        }
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
