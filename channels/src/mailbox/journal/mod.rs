//! The journal of a partition: what makes a delivery durable in one write.
//!
//! A Maildir wants a file and a directory entry per message, and to sync each of them costs a
//! commit of the file system. Instead, the octets of all messages that are waiting go into one
//! preallocated file, one behind the other, with a single `fdatasync` that touches no metadata;
//! then they are put into their mailboxes without any sync. From time to time `syncfs` makes the
//! mailboxes themselves durable, and the journal before that point is free again.
//!
//! Guaranteed: however the last process ended, and whatever became of the file system since,
//! [`Journal::open`] restores every record whose [`Journal::append`] returned `Ok` and which no
//! checkpoint has covered since; possibly some that were being appended; never a damaged one. It
//! never asks whether the machine was started anew: a file system can fail, and be mounted again,
//! under the same kernel. [`Mailboxes::restore`] looks before it writes.
//!
//! When a write or a sync fails, nobody knows any more what is on the disk. Then everything since
//! the last checkpoint is written into its mailboxes once more, and another journal begun: see
//! [`Checkpoints::run`]. Deliveries wait for that, and are refused when it fails.

use std::{
    fmt,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::disk::{Disk, DiskFile};

/// The writer's end. One thread has it.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    batch: Vec<u8>,
    /// How long a delivery waits for another journal.
    patience: Duration,
}

/// Makes the mailboxes durable, and room in the journal. Another thread has it, since it takes
/// its time.
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    /// Octets that a journal should have.
    wanted: u64,
    shared: Arc<Shared>,
    header: Header,
    mailboxes: Box<dyn Mailboxes>,
    /// A sync of the mailboxes has failed: what was placed since the last checkpoint may only look
    /// as if it were on the disk.
    doubtful: bool,
}

/// Where records go.
pub trait Mailboxes: Send {
    /// Sees every record before the first is restored: a later one may take an earlier one back.
    fn foresee(&mut self, record: &[u8]) -> io::Result<()>;
    /// Puts the message of a record where it belongs, unless the disk has it there already.
    fn restore(&mut self, record: &[u8]) -> io::Result<()>;
    /// Writes the message of a record again wherever it still is, whatever is there.
    fn rewrite(&mut self, record: &[u8]) -> io::Result<()>;
}

/// What came of opening a journal.
#[derive(Debug)]
pub struct Opened {
    /// The writer's end.
    pub journal: Journal,
    /// The other end.
    pub checkpoints: Checkpoints,
}

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Two processes at one partition would overwrite each other's records.
    #[error("the store is in use by another process")]
    InUse,
    /// Said by the system.
    #[error("{doing}: {source}{}", hint(source))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        source: io::Error,
    },
}

/// What becomes of the journal.
#[derive(Debug)]
pub enum Happening {
    /// It cannot be written, or the mailboxes cannot be synced. Told once for each trouble.
    Failed(io::Error),
    /// Another one was begun; deliveries go on.
    Mended {
        /// How long that took.
        after: Duration,
    },
}

/// Positions count octets since the journal was made and never repeat; the place of a position
/// in the file is its rest by the capacity.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    _lock: Locked,
}

/// The file whose lock keeps other processes away.
struct Locked(#[expect(dead_code, reason = "it is held, not used")] Arc<dyn DiskFile>);

struct State {
    file: Arc<dyn DiskFile>,
    capacity: u64,
    /// Everything before is durable in the mailboxes.
    tail: u64,
    /// Everything before is in the mailboxes.
    placed: u64,
    /// Where the next record goes.
    head: u64,
    /// When the oldest record that no checkpoint covers was placed.
    since: Option<Instant>,
    /// The writer is waiting for room, or somebody for quiet.
    urgent: bool,
    /// The writer is gone.
    closed: bool,
    health: Health,
}

/// Whether anything can be promised.
enum Health {
    Well,
    /// A write or a sync failed a moment ago: deliveries wait for another journal.
    Mending(io::Error),
    /// That did not help, and is tried again: deliveries are refused.
    Failing(io::Error),
}

/// The first page of the file, twice, written in turn.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Header {
    /// Of two headers, the one written later counts.
    turn: u64,
    tail: u64,
    capacity: u64,
}

/// What there is to do for the thread that makes checkpoints.
enum Due {
    /// A checkpoint, up to here.
    Checkpoint(u64),
    /// To begin another journal.
    Mending,
    /// Nothing any more.
    End,
}

impl Journal {
    /// Opens the journal of the partition at `root`, making it if there is none, and restores
    /// every record that may not be in the mailboxes; when that fails, so does opening, and the
    /// next attempt will find the same records.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        wanted: u64,
        mut mailboxes: Box<dyn Mailboxes>,
    ) -> Result<Opened, JournalError> {
        let lock = lock(&*disk, root)?;
        let (file, mut header) = existing(&*disk, root, wanted)?;
        let unplaced = "what the journal holds cannot be put into the mailboxes";
        scan(&*file, &header, |record| mailboxes.foresee(record)).map_err(failed(unplaced))?;
        let end =
            scan(&*file, &header, |record| mailboxes.restore(record)).map_err(failed(unplaced))?;
        if file.sync_fs().is_err() {
            // Perhaps that tells only of what failed while the last process had the disk.
            scan(&*file, &header, |record| mailboxes.rewrite(record)).map_err(failed(unplaced))?;
            file.sync_fs().map_err(failed("the mailboxes cannot be synced"))?;
        }
        // Whatever lies behind the end belongs to no position that will be used again.
        header.tail = end.next_multiple_of(PAGE) + header.capacity;
        header.write(&*file).map_err(failed("the journal cannot be written"))?;
        let shared = Arc::new(Shared::new(file, &header, lock));
        let checkpoints = Checkpoints {
            disk,
            root: root.to_owned(),
            wanted,
            shared: shared.clone(),
            header,
            mailboxes,
            doubtful: false,
        };
        Ok(Opened { journal: Self { shared, batch: Vec::new(), patience: PATIENCE }, checkpoints })
    }

    /// Adds a record to the batch; `parts` are its octets, one behind the other. `false`: it is
    /// larger than half of the journal, and has not been added.
    pub fn add(&mut self, parts: &[&[u8]]) -> bool {
        if Self::record_size(parts.iter().map(|part| part.len()).sum()) > self.max_batch() {
            return false;
        }
        let start = self.batch.len();
        self.batch.extend_from_slice(&[0; RECORD_HEAD]);
        for part in parts {
            self.batch.extend_from_slice(part);
        }
        let length = self.batch.len() - start - RECORD_HEAD;
        self.batch.resize(self.batch.len().next_multiple_of(ALIGN), 0);
        self.batch[start + 8..start + 12].copy_from_slice(&(length as u32).to_le_bytes());
        true
    }

    /// Octets of records that can be in one batch, their heads included.
    pub fn max_batch(&self) -> usize {
        usize::try_from(self.shared.lock().capacity / 2).unwrap_or(usize::MAX)
    }

    /// Octets that a record with so much in it takes.
    pub fn record_size(octets: usize) -> usize {
        (RECORD_HEAD + octets).next_multiple_of(ALIGN)
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

    /// Waits until there is room for `octets`, and a journal; where they go.
    fn room(&self, octets: u64) -> io::Result<(Arc<dyn DiskFile>, u64, u64)> {
        let mut state = self.shared.lock();
        // Who appends is not placing any more, whatever became of it.
        self.shared.placed(&mut state);
        let patience = Instant::now() + self.patience;
        loop {
            match &state.health {
                Health::Well if octets > state.capacity => {
                    return Err(io::Error::other("a record is larger than the journal"));
                }
                Health::Well if state.head + octets - state.tail <= state.capacity => {
                    return Ok((state.file.clone(), state.capacity, state.head));
                }
                Health::Well => {
                    state.urgent = true;
                    self.shared.changed.notify_all();
                }
                Health::Mending(_) if Instant::now() < patience => {}
                Health::Mending(error) | Health::Failing(error) => return Err(again(error)),
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
                Due::Mending => {
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
                            tell(Happening::Mended { after });
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
                // What is being placed has to be in its place first.
                let quiet = state.placed == state.head;
                if quiet && (now >= retry || state.closed) {
                    return Due::Mending;
                }
                if quiet { retry - now } else { IDLE }
            };
            state = self.shared.wait(state, pause);
        }
    }

    fn advance(&mut self, placed: u64) -> io::Result<()> {
        let file = {
            let mut state = self.shared.lock();
            // What is placed from now on may come too late for this one.
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
    fn mend(&mut self) -> io::Result<()> {
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
        *state = State { closed: state.closed, ..State::new(file, &header) };
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

impl Shared {
    fn new(file: Arc<dyn DiskFile>, header: &Header, lock: Arc<dyn DiskFile>) -> Self {
        let state = Mutex::new(State::new(file, header));
        Self { state, changed: Condvar::new(), _lock: Locked(lock) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The numbers are changed one by one; there is nothing that a panic could leave half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, limit: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner).0
    }

    fn placed(&self, state: &mut State) {
        if state.placed == state.head {
            return;
        }
        state.placed = state.head;
        // The thread that makes checkpoints sleeps as long as there is nothing to make.
        let mut wake = !state.health.is_well();
        if state.since.is_none() {
            state.since = Some(Instant::now());
            wake = true;
        }
        if state.head - state.tail > state.capacity / 2 {
            state.urgent = true;
            wake = true;
        }
        if wake {
            self.changed.notify_all();
        }
    }

    fn fail(&self, state: &mut State, error: io::Error) {
        if state.health.is_well() {
            state.health = Health::Mending(error);
        }
        self.changed.notify_all();
    }
}

impl State {
    fn new(file: Arc<dyn DiskFile>, header: &Header) -> Self {
        let (tail, capacity) = (header.tail, header.capacity);
        Self {
            file,
            capacity,
            tail,
            placed: tail,
            head: tail,
            since: None,
            urgent: false,
            closed: false,
            health: Health::Well,
        }
    }
}

impl fmt::Debug for Locked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked")
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tail, placed, head, .. } = self;
        write!(f, "State({tail} {placed} {head})")
    }
}

impl Health {
    fn is_well(&self) -> bool {
        matches!(self, Self::Well)
    }

    fn error(&self) -> Option<io::Error> {
        match self {
            Self::Well => None,
            Self::Mending(error) | Self::Failing(error) => Some(again(error)),
        }
    }
}

impl Header {
    fn read(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let mut newest: Option<Self> = None;
        for slot in 0..2 {
            let mut octets = [0; HEADER_SIZE];
            if file.read_at(&mut octets, slot * PAGE)? == octets.len()
                && let Some(header) = Self::decode(&octets)
                && newest.as_ref().is_none_or(|newest| newest.turn < header.turn)
            {
                newest = Some(header);
            }
        }
        let size = file.size()?;
        Ok(newest.filter(|header| size == DATA + header.capacity))
    }

    fn write(&mut self, file: &dyn DiskFile) -> io::Result<()> {
        self.turn += 1;
        file.write_at(&mut [IoSlice::new(&self.encode())], self.turn % 2 * PAGE)?;
        file.sync_data()
    }

    fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut octets = [0; HEADER_SIZE];
        octets[..8].copy_from_slice(MAGIC);
        octets[8..16].copy_from_slice(&self.turn.to_le_bytes());
        octets[16..24].copy_from_slice(&self.tail.to_le_bytes());
        octets[24..32].copy_from_slice(&self.capacity.to_le_bytes());
        let sum = crc32c::crc32c(&octets[..48]);
        octets[48..].copy_from_slice(&sum.to_le_bytes());
        octets
    }

    fn decode(octets: &[u8; HEADER_SIZE]) -> Option<Self> {
        let sum = u32::from_le_bytes(octets[48..].try_into().ok()?);
        if &octets[..8] != MAGIC || sum != crc32c::crc32c(&octets[..48]) {
            return None;
        }
        let number = |at: usize| Some(u64::from_le_bytes(octets[at..at + 8].try_into().ok()?));
        let header = Self { turn: number(8)?, tail: number(16)?, capacity: number(24)? };
        (header.capacity > 0 && header.capacity.is_multiple_of(PAGE)).then_some(header)
    }
}

/// Takes the partition for this process. The journal itself may be replaced, so it cannot be what is
/// locked.
fn lock(disk: &dyn Disk, root: &Path) -> Result<Arc<dyn DiskFile>, JournalError> {
    let path = root.join(LOCK);
    let opened = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(&path),
        opened => opened,
    };
    let file = opened.map_err(failed("the lock of the store, .lock, cannot be opened"))?;
    let locked = file.lock().map_err(failed("the store cannot be locked"))?;
    if locked { Ok(file) } else { Err(JournalError::InUse) }
}

/// The journal that is there, or a new one.
fn existing(
    disk: &dyn Disk,
    root: &Path,
    wanted: u64,
) -> Result<(Arc<dyn DiskFile>, Header), JournalError> {
    let path = root.join(FILE);
    let file = match disk.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(failed("the journal, .journal, cannot be opened"))?),
    };
    if let Some(file) = file {
        let reading = "the journal, .journal, cannot be read";
        if let Some(header) = Header::read(&*file).map_err(failed(reading))? {
            return Ok((file, header));
        }
        if file.size().map_err(failed(reading))? > 0 {
            let aside = root.join(DAMAGED);
            disk.rename(&path, &aside)
                .map_err(failed("a damaged journal cannot be set aside as .journal.damaged"))?;
            tracing::error!(
                journal = %aside.display(),
                "the journal of the store is damaged and was set aside: of the last deliveries \
                 before the end of the last run, those may be missing that were only in it"
            );
        }
    }
    create(disk, root, wanted).map_err(failed("a journal, .journal.new, cannot be made"))
}

/// Makes a journal in the place of the one that may be there. Every octet of it is written once,
/// so that writing them again touches no metadata.
fn create(disk: &dyn Disk, root: &Path, wanted: u64) -> io::Result<(Arc<dyn DiskFile>, Header)> {
    let draft = root.join(DRAFT);
    let make = || {
        let file = disk.create(&draft)?;
        let mut header = Header { capacity: capacity(disk, root, wanted)?, ..Header::default() };
        let end = DATA + header.capacity;
        for at in (0..end).step_by(ZEROS.len()) {
            let piece = &ZEROS[..ZEROS.len().min((end - at) as usize)];
            file.write_at(&mut [IoSlice::new(piece)], at)?;
        }
        header.write(&*file)?;
        disk.rename(&draft, &root.join(FILE))?;
        disk.sync_dir(root)?;
        Ok((file, header))
    };
    make().inspect_err(|_| {
        // It takes room that may be what is missing.
        let _ = disk.remove(&draft);
    })
}

/// Gives each record of a batch its position and its checksum.
fn number(batch: &mut [u8], head: u64) {
    let mut at = 0;
    while let Some(record) = batch.get_mut(at..).filter(|rest| rest.len() > RECORD_HEAD) {
        let length = u32_at(record, 8) as usize;
        if length == 0 {
            return;
        }
        record[..8].copy_from_slice(&(head + at as u64).to_le_bytes());
        let sum = checksum(&record[..RECORD_HEAD + length]);
        record[12..16].copy_from_slice(&sum.to_le_bytes());
        at += Journal::record_size(length);
    }
}

/// Calls `each` for every record from the tail on; where the last one ends.
fn scan(
    file: &dyn DiskFile,
    header: &Header,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let (mut at, limit) = (header.tail, header.tail + header.capacity);
    loop {
        let next = match record(file, header.capacity, at, limit)? {
            Some(record) => {
                each(&record[RECORD_HEAD..])?;
                at + Journal::record_size(record.len() - RECORD_HEAD) as u64
            }
            // The rest of a batch's last page is empty.
            None if !at.is_multiple_of(PAGE) => at.next_multiple_of(PAGE),
            None => return Ok(at),
        };
        at = next;
    }
}

/// The record at a position, head included.
fn record(file: &dyn DiskFile, capacity: u64, at: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
    if limit - at.min(limit) < RECORD_HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; RECORD_HEAD];
    read_at(file, capacity, at, &mut head)?;
    let length = RECORD_HEAD + u32_at(&head, 8) as usize;
    if head[..8] != at.to_le_bytes() || length == RECORD_HEAD || length as u64 > limit - at {
        return Ok(None);
    }
    let mut record = vec![0; length];
    read_at(file, capacity, at, &mut record)?;
    Ok((checksum(&record) == u32_at(&record, 12)).then_some(record))
}

/// Of everything but the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[..12]), &record[RECORD_HEAD..])
}

fn u32_at(octets: &[u8], at: usize) -> u32 {
    octets[at..at + 4].iter().rev().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

fn write_at(file: &dyn DiskFile, capacity: u64, at: u64, octets: &[u8]) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = octets.split_at(octets.len().min((capacity - place) as usize));
    file.write_at(&mut [IoSlice::new(first)], DATA + place)?;
    if rest.is_empty() { Ok(()) } else { file.write_at(&mut [IoSlice::new(rest)], DATA) }
}

fn read_at(file: &dyn DiskFile, capacity: u64, at: u64, octets: &mut [u8]) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = octets.split_at_mut(octets.len().min((capacity - place) as usize));
    for (part, at) in [(first, DATA + place), (rest, DATA)] {
        if file.read_at(part, at)? < part.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// On a small file system, a journal that leaves room for mail.
fn capacity(disk: &dyn Disk, root: &Path, wanted: u64) -> io::Result<u64> {
    let free = disk.free_space(root)?;
    Ok(wanted.min((free / 16).max(MIN_CAPACITY)).next_multiple_of(PAGE))
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> JournalError {
    move |source| JournalError::Io { doing, source }
}

/// What the operator can do.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => "; mount the file system for writing and start again",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room on the file system (octets and inodes)"
        }
        io::ErrorKind::PermissionDenied => "; the store must belong to the user of the program",
        _ => "",
    }
}

/// The same error, for somebody else.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}

/// Octets of journal when there is plenty of room.
pub const CAPACITY: u64 = 32 << 20;
const MIN_CAPACITY: u64 = 1 << 20;
pub(super) const FILE: &str = ".journal";
pub(super) const LOCK: &str = ".lock";
/// A journal that is being made.
const DRAFT: &str = ".journal.new";
/// A journal that could not be read.
const DAMAGED: &str = ".journal.damaged";
const MAGIC: &[u8; 8] = b"relaisJ1";
const PAGE: u64 = 4_096;
/// Where the records begin, behind the two headers.
const DATA: u64 = 2 * PAGE;
const HEADER_SIZE: usize = 52;
/// Position, length, checksum.
const RECORD_HEAD: usize = 16;
const ALIGN: usize = 16;
/// What was delivered within it before a power cut and then deleted by its reader comes back.
const INTERVAL: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(3_600);
/// See [`Journal`].
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is tried to begin another journal while that fails.
const RETRY: Duration = Duration::from_secs(1);
/// What a new journal is filled with.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

#[cfg(test)]
pub(super) mod tests;
