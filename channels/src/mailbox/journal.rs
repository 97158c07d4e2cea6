//! The journal of a partition: what makes a delivery durable in one write.
//!
//! A Maildir wants a file and a directory entry per message, and to sync each of them costs a
//! commit of the file system. Instead, the octets of all messages that are waiting go into one
//! preallocated file, one behind the other, with a single `fdatasync` that touches no metadata;
//! then they are put into their mailboxes without any sync. From time to time `syncfs` makes the
//! mailboxes themselves durable, and the journal before that point is free again.
//!
//! Guaranteed: after a power cut, [`Journal::open`] returns every record whose
//! [`Journal::append`] returned `Ok` and which no checkpoint has covered since; possibly some that
//! were being appended; never a damaged one. After a crash of the process alone it returns
//! nothing: the mailboxes are in the hands of the kernel, which has not crashed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock, fstatvfs, syncfs};

/// The writer's end. One thread has it.
#[derive(Debug)]
pub struct Journal {
    file: Arc<File>,
    shared: Arc<Shared>,
    batch: Vec<u8>,
}

/// Makes the mailboxes durable, and room in the journal. Another thread has it, since it takes
/// its time.
#[derive(Debug)]
pub struct Checkpoints {
    file: Arc<File>,
    /// Any file of the file system that the mailboxes are on.
    root: File,
    shared: Arc<Shared>,
    header: Header,
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
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Positions count octets since the journal was made and never repeat; the place of a position
/// in the file is its rest by the capacity.
#[derive(Debug)]
struct Shared {
    capacity: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
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
    /// A write or a sync failed: nothing can be promised any more.
    failed: bool,
}

/// The first page of the file, twice, written in turn.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Header {
    /// Of two headers, the one written later counts.
    turn: u64,
    tail: u64,
    capacity: u64,
    /// The kernel's name for the time since it started.
    boot: [u8; 16],
}

impl Journal {
    /// Opens the journal of the partition at `root`, making it if there is none. `recover` is
    /// called for each record that may not be in the mailboxes; when it fails, so does opening,
    /// and the next attempt will find the same records.
    pub fn open(
        root: &Path,
        wanted: u64,
        mut recover: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Opened, JournalError> {
        let directory = File::open(root)?;
        let path = root.join(FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| match errno {
            rustix::io::Errno::WOULDBLOCK => JournalError::InUse,
            errno => JournalError::Io(errno.into()),
        })?;
        let boot = boot_id();
        let mut header = match Header::read(&file) {
            Some(header) => header,
            None => Header::create(&file, &directory, capacity(&directory, wanted)?)?,
        };
        let crashed = header.boot != boot || boot == [0; 16];
        let end = scan(&file, &header, |record| if crashed { recover(record) } else { Ok(()) })?;
        // Whatever lies behind the end belongs to no position that will be used again.
        header.tail = end.next_multiple_of(PAGE) + header.capacity;
        header.boot = boot;
        syncfs(&directory).map_err(io::Error::from)?;
        header.write(&file)?;
        Ok(Self::start(file, directory, header))
    }

    fn start(file: File, root: File, header: Header) -> Opened {
        let tail = header.tail;
        let state = State {
            tail,
            placed: tail,
            head: tail,
            since: None,
            urgent: false,
            closed: false,
            failed: false,
        };
        let (capacity, state) = (header.capacity, Mutex::new(state));
        let shared = Arc::new(Shared { capacity, state, changed: Condvar::new() });
        let file = Arc::new(file);
        let checkpoints = Checkpoints { file: file.clone(), root, shared: shared.clone(), header };
        Opened { journal: Self { file, shared, batch: Vec::new() }, checkpoints }
    }

    /// Adds a record to the batch; `parts` are its octets, one behind the other.
    pub fn add(&mut self, parts: &[&[u8]]) {
        let start = self.batch.len();
        self.batch.extend_from_slice(&[0; RECORD_HEAD]);
        for part in parts {
            self.batch.extend_from_slice(part);
        }
        let length = self.batch.len() - start - RECORD_HEAD;
        self.batch.resize(self.batch.len().next_multiple_of(ALIGN), 0);
        // The position is filled in when it is known; until then, where in the batch it starts.
        self.batch[start..start + 8].copy_from_slice(&(start as u64).to_le_bytes());
        self.batch[start + 8..start + 12].copy_from_slice(&(length as u32).to_le_bytes());
    }

    /// Octets of records that can be in one batch, their heads included.
    pub fn max_batch(&self) -> usize {
        usize::try_from(self.shared.capacity / 2).unwrap_or(usize::MAX)
    }

    /// Octets that a record with so much in it takes.
    pub fn record_size(octets: usize) -> usize {
        (RECORD_HEAD + octets).next_multiple_of(ALIGN)
    }

    /// Makes the batch durable, waiting for room if need be, and empties it. After an error
    /// nothing of it is promised, and every later call fails too.
    pub fn append(&mut self) -> io::Result<()> {
        let mut batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        batch.resize(batch.len().next_multiple_of(PAGE as usize), 0);
        let head = self.room(batch.len() as u64)?;
        number(&mut batch, head);
        let written = write_at(&self.file, self.shared.capacity, head, &batch)
            .and_then(|()| self.file.sync_data());
        let mut state = self.shared.lock();
        match &written {
            Ok(()) => state.head = head + batch.len() as u64,
            Err(_) => state.failed = true,
        }
        batch.clear();
        self.batch = batch;
        written
    }

    /// Everything appended so far is in the mailboxes now, or has been refused.
    pub fn placed(&self) {
        let mut state = self.shared.lock();
        state.placed = state.head;
        if state.since.is_none() {
            state.since = Some(Instant::now());
        }
        if state.head - state.tail > self.shared.capacity / 2 {
            state.urgent = true;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until there is room for `octets`; where they go.
    fn room(&self, octets: u64) -> io::Result<u64> {
        let mut state = self.shared.lock();
        loop {
            if state.failed {
                return Err(io::Error::other("an earlier write to the journal failed"));
            }
            if state.head + octets - state.tail <= self.shared.capacity {
                return Ok(state.head);
            }
            state.urgent = true;
            self.shared.changed.notify_all();
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Checkpoints {
    /// Makes checkpoints as they become due, until the journal is dropped; the last one then.
    pub fn run(mut self) -> io::Result<()> {
        while let Some(placed) = self.wait() {
            if let Err(error) = self.advance(placed) {
                let mut state = self.shared.lock();
                state.failed = true;
                self.shared.changed.notify_all();
                drop(state);
                // What the mailboxes hold is uncertain: let the next start look at all of it.
                self.header.boot = [0; 16];
                self.header.write(&self.file)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits until a checkpoint is due; up to where.
    fn wait(&self) -> Option<u64> {
        let mut state = self.shared.lock();
        loop {
            let pending = state.placed > state.tail;
            let due = state.since.map(|since| since + INTERVAL);
            let now = Instant::now();
            if pending && (state.urgent || state.closed || due.is_some_and(|due| due <= now)) {
                return Some(state.placed);
            }
            if state.closed {
                return None;
            }
            let pause = due.filter(|_| pending).map_or(IDLE, |due| due - now);
            let changed = self.shared.changed.wait_timeout(state, pause);
            state = changed.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn advance(&mut self, placed: u64) -> io::Result<()> {
        {
            let mut state = self.shared.lock();
            // What is placed from now on may come too late for this one.
            state.since = (state.head > placed).then(Instant::now);
            state.urgent = false;
        }
        syncfs(&self.root)?;
        self.header.tail = placed;
        self.header.write(&self.file)?;
        self.shared.lock().tail = placed;
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The numbers are changed one by one; there is nothing that a panic could leave half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Header {
    fn read(file: &File) -> Option<Self> {
        let read = |slot: u64| {
            let mut octets = [0; HEADER_SIZE];
            file.read_exact_at(&mut octets, slot * PAGE).ok()?;
            Self::decode(&octets)
        };
        let header = [read(0), read(1)].into_iter().flatten().max_by_key(|header| header.turn)?;
        // Cut short while it was being made.
        (file.metadata().ok()?.len() == DATA + header.capacity).then_some(header)
    }

    /// Writes every octet of the file once, so that writing them again touches no metadata.
    fn create(file: &File, directory: &File, capacity: u64) -> io::Result<Self> {
        file.set_len(0)?;
        let zeros = vec![0; 1 << 20];
        let end = DATA + capacity;
        for at in (0..end).step_by(zeros.len()) {
            file.write_all_at(&zeros[..zeros.len().min((end - at) as usize)], at)?;
        }
        let mut header = Self { capacity, ..Self::default() };
        file.sync_all()?;
        header.write(file)?;
        directory.sync_all()?;
        Ok(header)
    }

    fn write(&mut self, file: &File) -> io::Result<()> {
        self.turn += 1;
        file.write_all_at(&self.encode(), self.turn % 2 * PAGE)?;
        file.sync_data()
    }

    fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut octets = [0; HEADER_SIZE];
        octets[..8].copy_from_slice(MAGIC);
        octets[8..16].copy_from_slice(&self.turn.to_le_bytes());
        octets[16..24].copy_from_slice(&self.tail.to_le_bytes());
        octets[24..32].copy_from_slice(&self.capacity.to_le_bytes());
        octets[32..48].copy_from_slice(&self.boot);
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
        let boot = octets[32..48].try_into().ok()?;
        let header = Self { turn: number(8)?, tail: number(16)?, capacity: number(24)?, boot };
        (header.capacity > 0 && header.capacity.is_multiple_of(PAGE)).then_some(header)
    }
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
    file: &File,
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
fn record(file: &File, capacity: u64, at: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
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

fn write_at(file: &File, capacity: u64, at: u64, octets: &[u8]) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = octets.split_at(octets.len().min((capacity - place) as usize));
    file.write_all_at(first, DATA + place)?;
    file.write_all_at(rest, DATA)
}

fn read_at(file: &File, capacity: u64, at: u64, octets: &mut [u8]) -> io::Result<()> {
    let place = at % capacity;
    let (first, rest) = octets.split_at_mut(octets.len().min((capacity - place) as usize));
    file.read_exact_at(first, DATA + place)?;
    file.read_exact_at(rest, DATA)
}

/// On a small file system, a journal that leaves room for mail.
fn capacity(directory: &File, wanted: u64) -> io::Result<u64> {
    let space = fstatvfs(directory)?;
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    Ok(wanted.min((free / 16).max(MIN_CAPACITY)).next_multiple_of(PAGE))
}

/// Zeros when the system does not tell: then every start looks at the journal.
fn boot_id() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.trim().replace('-', "");
    u128::from_str_radix(&digits, 16).unwrap_or(0).to_le_bytes()
}

/// Octets of journal when there is plenty of room.
pub const CAPACITY: u64 = 32 << 20;
const MIN_CAPACITY: u64 = 1 << 20;
const FILE: &str = ".journal";
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

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: u64 = 4 * PAGE;

    /// Opens as if the machine had been started anew, and returns what has to be recovered.
    fn reopen(root: &Path) -> (Opened, Vec<Vec<u8>>) {
        cut_power(root);
        let mut records = Vec::new();
        let opened = Journal::open(root, SMALL, |record| {
            records.push(record.to_vec());
            Ok(())
        });
        (opened.expect("a journal"), records)
    }

    fn open(root: &Path) -> Opened {
        Journal::open(root, SMALL, |_| panic!("nothing to recover")).expect("a journal")
    }

    fn append(journal: &mut Journal, records: &[&[u8]]) {
        for record in records {
            journal.add(&[&record[..1], &record[1..]]);
        }
        journal.append().expect("room");
    }

    /// Makes a closed journal look as if it had been written before the machine was started.
    pub(in crate::mailbox) fn cut_power(root: &Path) {
        let file = OpenOptions::new().read(true).write(true).open(root.join(FILE)).expect("a file");
        let mut header = Header::read(&file).expect("a header");
        header.boot = [7; 16];
        header.write(&file).expect("room");
    }

    #[test]
    fn what_was_appended_is_there_after_a_power_cut_and_only_once() {
        let root = tempfile::tempdir().expect("a directory");
        let mut opened = open(root.path());
        append(&mut opened.journal, &[b"one", b"two"]);
        append(&mut opened.journal, &[&[b'x'; 5_000]]);
        drop(opened);
        let (opened, records) = reopen(root.path());
        assert_eq!(records, [b"one".to_vec(), b"two".to_vec(), vec![b'x'; 5_000]]);
        drop(opened);
        assert_eq!(reopen(root.path()).1, Vec::<Vec<u8>>::new());
    }

    #[test]
    fn after_a_crash_of_the_process_alone_nothing_is_recovered() {
        let root = tempfile::tempdir().expect("a directory");
        append(&mut open(root.path()).journal, &[b"one"]);
        open(root.path());
    }

    #[test]
    fn a_checkpoint_forgets_what_was_placed_and_nothing_else() {
        let root = tempfile::tempdir().expect("a directory");
        let mut opened = open(root.path());
        append(&mut opened.journal, &[b"placed"]);
        opened.journal.placed();
        append(&mut opened.journal, &[b"not yet"]);
        let placed = opened.journal.shared.lock().placed;
        opened.checkpoints.advance(placed).expect("a checkpoint");
        drop(opened);
        assert_eq!(reopen(root.path()).1, [b"not yet".to_vec()]);
    }

    #[test]
    fn a_damaged_record_ends_what_can_be_recovered() {
        let root = tempfile::tempdir().expect("a directory");
        let mut opened = open(root.path());
        append(&mut opened.journal, &[b"whole"]);
        append(&mut opened.journal, &[b"torn"]);
        let file = opened.journal.file.clone();
        file.write_all_at(b"X", DATA + PAGE + RECORD_HEAD as u64 + 2).expect("room");
        drop((opened, file));
        assert_eq!(reopen(root.path()).1, [b"whole".to_vec()]);
    }

    #[test]
    fn two_processes_cannot_have_the_same_store() {
        let root = tempfile::tempdir().expect("a directory");
        let _first = open(root.path());
        let second = Journal::open(root.path(), SMALL, |_| Ok(()));
        assert!(matches!(second, Err(JournalError::InUse)));
    }

    #[test]
    fn a_full_journal_waits_for_a_checkpoint() {
        let root = tempfile::tempdir().expect("a directory");
        let Opened { mut journal, checkpoints } = open(root.path());
        let checkpoints = std::thread::spawn(move || checkpoints.run());
        for n in 0..40u8 {
            append(&mut journal, &[&[n + 1; 3_000]]);
            journal.placed();
        }
        drop(journal);
        checkpoints.join().expect("no panic").expect("checkpoints");
        assert_eq!(reopen(root.path()).1, Vec::<Vec<u8>>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn any_history_recovers_what_no_checkpoint_covers(
            steps in prop::collection::vec((0usize..3, prop::collection::vec(1usize..2_500, 1..4)), 1..12),
        ) {
            let root = tempfile::tempdir().expect("a directory");
            let mut opened = open(root.path());
            let mut open_records: Vec<Vec<u8>> = Vec::new();
            for (n, (kind, sizes)) in steps.into_iter().enumerate() {
                let mut records: Vec<_> = sizes.iter().map(|s| vec![n as u8 + 1; *s]).collect();
                let need: u64 = records.iter().map(|r| Journal::record_size(r.len()) as u64).sum();
                let state = opened.journal.shared.lock();
                let full = state.head - state.tail + need.next_multiple_of(PAGE) > SMALL;
                drop(state);
                if kind == 0 || full {
                    opened.journal.placed();
                    let placed = opened.journal.shared.lock().placed;
                    opened.checkpoints.advance(placed).expect("a checkpoint");
                    open_records.clear();
                }
                append(&mut opened.journal, &records.iter().map(Vec::as_slice).collect::<Vec<_>>());
                open_records.append(&mut records);
                if kind == 1 {
                    drop(opened);
                    let (again, recovered) = reopen(root.path());
                    prop_assert_eq!(&recovered, &open_records);
                    open_records.clear();
                    opened = again;
                }
            }
            drop(opened);
            prop_assert_eq!(reopen(root.path()).1, open_records);
        }
    }
}
