//! The journal: writes state changes beside the segments, and deletes what is done.
//!
//! A change is in the operating system's hands within about a millisecond, so a crash of the
//! process does not undo it, and on the disk within [`SYNC_EVERY`]. What has not been synced is
//! kept in memory, so that a failed write or sync is simply repeated. Files are deleted only after
//! the changes that make them superfluous are durable.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::{self, IoSlice},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use relais_channels::mail::MessageId;
use tokio::sync::oneshot;

use super::{
    Change, EntryState, SpoolError,
    base::{Base, RESERVE},
    disk::{DiskFile, is_full},
    feed::Feed,
    ledger::Event,
    reader::Reader,
    record::{Found, Kind, Salt, Walker},
    segment::{HEAD, Part, SegmentHead, create_states},
};

/// Changes and wishes on their way to the journal's thread.
#[derive(Default)]
pub(crate) struct JournalQueue {
    inner: Mutex<Wanted>,
    wake: Condvar,
}

#[derive(Default)]
struct Wanted {
    changes: Vec<Change>,
    flushes: Vec<oneshot::Sender<Result<(), SpoolError>>>,
    retired: Vec<u32>,
    asleep: bool,
    closed: bool,
    /// Octets that could not be written yet.
    stuck: usize,
}

/// Writes changes; one per spool.
pub(crate) struct Journal {
    base: Arc<Base>,
    feed: Arc<Feed>,
    reader: Arc<Reader>,
    files: BTreeMap<u32, StateFile>,
    /// Changes not yet pushed to the feed: some of their octets could not be written.
    unpushed: Vec<Change>,
    dirty: BTreeSet<u32>,
    /// When the oldest unsynced change was written.
    dirty_since: Option<Instant>,
    /// Large messages that are done, and whose files go after the next sync.
    done: Vec<MessageId>,
    reserved: Option<Instant>,
}

/// One `.st` file.
struct StateFile {
    file: Arc<dyn DiskFile>,
    salt: Salt,
    /// Octets that are durable.
    durable: u64,
    /// What comes after them.
    tail: Vec<u8>,
    /// How much of the tail has been written.
    written: usize,
    /// The file was made just now; its name has not been synced.
    fresh: bool,
}

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

    /// Changes and octets that wait because the disk does not take them.
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
    fn take(&self, deadline: Option<Instant>) -> (Wanted, bool) {
        let idle = |inner: &mut Wanted| {
            inner.asleep = inner.changes.is_empty()
                && inner.flushes.is_empty()
                && inner.retired.is_empty()
                && !inner.closed;
            inner.asleep
        };
        let mut inner = match deadline {
            None => self.wake.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let waited = self.wake.wait_timeout_while(self.lock(), left, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
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

impl Journal {
    pub(crate) fn new(base: Arc<Base>, feed: Arc<Feed>, reader: Arc<Reader>) -> Self {
        Self {
            base,
            feed,
            reader,
            files: BTreeMap::new(),
            unpushed: Vec::new(),
            dirty: BTreeSet::new(),
            dirty_since: None,
            done: Vec::new(),
            reserved: None,
        }
    }

    /// The thread: works until the queue is closed and everything is synced.
    pub(crate) fn run(mut self, queue: &JournalQueue) {
        self.keep_reserve();
        loop {
            let (wanted, closed) = queue.take(self.dirty_since.map(|since| since + SYNC_EVERY));
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
            queue.lock().stuck = self.stuck();
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
        if changes.is_empty() && self.unpushed.is_empty() {
            return;
        }
        for change in changes {
            if let Err(error) = self.encode(&change) {
                self.base.report(&error, "a state change has no segment to go to");
                continue;
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
        self.feed.push_changes(changes, states);
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

    /// Makes everything written durable; then deletes the files of large messages that are done.
    pub(crate) fn sync(&mut self) -> Result<(), SpoolError> {
        if self.dirty.is_empty() {
            self.dirty_since = None;
            return Ok(());
        }
        if !self.unpushed.is_empty() {
            self.write(Vec::new());
        }
        self.write_out()?;
        let mut new_names = false;
        while let Some(number) = self.dirty.first().copied() {
            let Some(file) = self.files.get_mut(&number) else { continue };
            if let Err(error) = file.file.sync_data() {
                // The kernel may have given up on these pages: write them once more.
                file.written = 0;
                return Err(self.base.failure(&self.base.layout.states(number), error));
            }
            file.durable = file.end();
            file.tail.clear();
            file.written = 0;
            self.dirty.remove(&number);
            new_names |= mem::take(&mut file.fresh);
        }
        if new_names {
            let root = self.base.layout.root();
            self.base.disk.sync_dir(root).map_err(|error| self.base.failure(root, error))?;
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

    /// Deletes segments, in an order in which a crash at any point leaves no message without its
    /// states.
    pub(crate) fn delete(&mut self, segments: &[u32]) {
        if segments.is_empty() {
            return;
        }
        let (disk, layout) = (&self.base.disk, &self.base.layout);
        for number in segments {
            self.files.remove(number);
            self.reader.forget(*number);
            if let Err(error) = disk.remove(&layout.messages(*number))
                && error.kind() != io::ErrorKind::NotFound
            {
                let error = SpoolError::at(&layout.messages(*number))(error);
                self.base.report(&error, "an empty segment was not deleted");
            }
        }
        if let Err(error) = disk.sync_dir(layout.root()) {
            let error = SpoolError::at(layout.root())(error);
            // The next start removes them.
            return self.base.report(&error, "state files of empty segments are left over");
        }
        for number in segments {
            let _ = disk.remove(&layout.states(*number));
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
            let file = StateFile::open(&self.base, number)?;
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
        if self.unpushed.is_empty() {
            return 0;
        }
        self.files.values().map(|file| file.tail.len() - file.written).sum()
    }

    /// Gives up the reserve, and says whether there was one.
    fn release_reserve(&mut self) -> bool {
        self.reserved = Some(Instant::now());
        let released = self.base.release_reserve();
        if released {
            tracing::warn!("the disk is full: state changes go on in the space reserved for them");
        }
        released
    }

    /// Takes the reserve (again) when there is room for it.
    fn keep_reserve(&mut self) {
        if self.reserved.is_some_and(|at| at.elapsed() < RESERVE_CHECKED_EVERY) {
            return;
        }
        self.reserved = Some(Instant::now());
        let (disk, path) = (&self.base.disk, self.base.layout.reserve());
        if disk.open(&path).is_ok() || self.base.check_space().is_err() {
            return;
        }
        let allocated = disk.create(&path).and_then(|file| file.allocate(RESERVE));
        if allocated.is_err() {
            let _ = disk.remove(&path);
        }
    }
}

impl StateFile {
    fn open(base: &Base, number: u32) -> Result<Self, SpoolError> {
        let (disk, layout) = (&*base.disk, &base.layout);
        let path = layout.states(number);
        let place = super::Place { segment: number, offset: 0, length: 0 };
        let head = SegmentHead::load(disk, layout, number).map_err(SpoolError::at(&path))?;
        let head = head.ok_or(SpoolError::Gone { place })?;
        let (file, fresh) = match disk.open(&path) {
            Ok(file) => (file, false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                (create_states(disk, layout, head).map_err(SpoolError::at(&path))?, true)
            }
            Err(error) => return Err(SpoolError::at(&path)(error)),
        };
        let durable = file.size().map_err(SpoolError::at(&path))?.max(HEAD as u64);
        let salt = head.salt(Part::States);
        Ok(Self { file, salt, durable, tail: Vec::new(), written: 0, fresh })
    }

    /// Where the next record goes.
    fn end(&self) -> u64 {
        self.durable + self.tail.len() as u64
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.written < self.tail.len() {
            let (at, rest) = (self.durable + self.written as u64, &self.tail[self.written..]);
            self.file.write_at(&mut [IoSlice::new(rest)], at)?;
            self.written = self.tail.len();
        }
        Ok(())
    }
}

/// How long a change may be lost by a power cut.
pub(crate) const SYNC_EVERY: Duration = Duration::from_millis(150);
/// How long the next write may wait for company. A crash of the process repeats what was delivered
/// within this time; a write costs as much as parsing several messages.
const PACE: Duration = Duration::from_micros(250);
const RETRY_AFTER: Duration = Duration::from_millis(100);
const RESERVE_CHECKED_EVERY: Duration = Duration::from_secs(10);
/// State files kept open.
const MAX_OPEN: usize = 128;
