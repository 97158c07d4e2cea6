//! The journal, alone and on a disk that forgets.

use std::{
    io::{self, IoSlice},
    sync::Mutex,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    checkpoints::INTERVAL,
    file::DAMAGED,
    format::{DATA, PAGE, RECORD_HEAD},
    shared::again,
    *,
};
use crate::{disk::RealDisk, memory_disk::MemoryDisk};

const SMALL: u64 = 4 * PAGE;

/// Keeps the records that it is to restore.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<Vec<u8>>>>);

impl Restorer for Kept {
    fn foresee(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn restore(&mut self, record: &[u8]) -> io::Result<()> {
        self.0.lock().expect("no panic").push(record.to_vec());
        Ok(())
    }

    fn rewrite(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Journal {
    /// Nobody begins another journal while it waits.
    pub(in crate::mailbox) fn set_impatient(&mut self) {
        self.patience = Duration::ZERO;
    }

    /// Whether it takes deliveries.
    pub(in crate::mailbox) fn is_well(&self) -> bool {
        self.shared.lock().health.is_well()
    }

    /// Whether a checkpoint is needed before more is appended.
    pub(in crate::mailbox) fn is_half_full(&self) -> bool {
        let state = self.shared.lock();
        state.head - state.tail > state.capacity / 2
    }
}

impl Checkpoints {
    /// The next step of its thread: a checkpoint, or another journal.
    pub(in crate::mailbox) fn step(&mut self) -> io::Result<()> {
        let (well, placed) = {
            let state = self.shared.lock();
            (state.health.is_well(), state.placed)
        };
        if well {
            let advanced = self.advance(placed);
            return advanced.inspect_err(|error| {
                self.shared.fail(&mut self.shared.lock(), again(error));
            });
        }
        self.mend()
    }
}

fn open_on(disk: &MemoryDisk) -> (Opened, Vec<Vec<u8>>) {
    let kept = Kept::default();
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let opened = open(disk, Path::new("/store"), SMALL, Box::new(kept.clone()));
    let opened = opened.expect("a journal");
    let records = std::mem::take(&mut *kept.0.lock().expect("no panic"));
    (opened, records)
}

fn append(journal: &mut Journal, records: &[&[u8]]) {
    for record in records {
        assert!(journal.add(&[&record[..1], &record[1..]]), "it is small");
    }
    journal.append().expect("room");
}

#[test]
fn what_was_appended_is_restored_after_any_end_and_only_once() {
    let disk = MemoryDisk::new();
    let mut opened = open_on(&disk).0;
    append(&mut opened.journal, &[b"one", b"two"]);
    append(&mut opened.journal, &[&[b'x'; 5_000]]);
    drop(opened);
    let (opened, records) = open_on(&disk);
    assert_eq!(records, [b"one".to_vec(), b"two".to_vec(), vec![b'x'; 5_000]]);
    drop(opened);
    assert_eq!(open_on(&disk).1, Vec::<Vec<u8>>::new());
}

#[test]
fn a_checkpoint_forgets_what_was_placed_and_nothing_else() {
    let disk = MemoryDisk::new();
    let mut opened = open_on(&disk).0;
    append(&mut opened.journal, &[b"placed"]);
    opened.journal.placed();
    append(&mut opened.journal, &[b"not yet"]);
    let placed = opened.journal.shared.lock().placed;
    opened.checkpoints.advance(placed).expect("a checkpoint");
    drop(opened);
    assert_eq!(open_on(&disk).1, [b"not yet".to_vec()]);
}

#[test]
fn a_damaged_record_ends_what_can_be_recovered() {
    let disk = MemoryDisk::new();
    let mut opened = open_on(&disk).0;
    append(&mut opened.journal, &[b"whole"]);
    append(&mut opened.journal, &[b"torn"]);
    let file = opened.journal.shared.lock().file.clone();
    let at = DATA + PAGE + RECORD_HEAD as u64 + 2;
    file.write_at(&mut [IoSlice::new(b"X")], at).expect("room");
    drop((opened, file));
    assert_eq!(open_on(&disk).1, [b"whole".to_vec()]);
}

#[test]
fn a_journal_without_a_header_is_set_aside_and_not_thrown_away() {
    let disk = MemoryDisk::new();
    let path = Path::new("/store").join(FILE);
    disk.put(&path, vec![7; 9_000]);
    open_on(&disk);
    assert_eq!(disk.contents(&Path::new("/store").join(DAMAGED)), Some(vec![7; 9_000]));
    assert_eq!(disk.contents(&path).map(|bytes| bytes.len() as u64), Some(DATA + SMALL));
}

#[test]
fn two_processes_cannot_have_the_same_store() {
    let root = tempfile::tempdir().expect("a directory");
    let open = || open(Arc::new(RealDisk), root.path(), SMALL, Box::<Kept>::default());
    let first = open().expect("a journal");
    assert!(matches!(open(), Err(JournalError::InUse)));
    drop(first);
    assert!(open().is_ok());
}

#[test]
fn a_full_journal_waits_for_a_checkpoint() {
    let disk = MemoryDisk::new();
    let Opened { mut journal, checkpoints } = open_on(&disk).0;
    let checkpoints = std::thread::spawn(move || checkpoints.run(|what| panic!("{what:?}")));
    for n in 0..40u8 {
        append(&mut journal, &[&[n + 1; 3_000]]);
        journal.placed();
    }
    drop(journal);
    checkpoints.join().expect("no panic");
    assert_eq!(open_on(&disk).1, Vec::<Vec<u8>>::new());
}

#[test]
fn a_record_larger_than_the_journal_is_not_taken_and_hangs_nobody() {
    let mut journal = open_on(&MemoryDisk::new()).0.journal;
    assert!(!journal.add(&[&vec![1; SMALL as usize]]));
    append(&mut journal, &[b"another"]);
}

#[test]
fn a_checkpoint_comes_two_seconds_after_a_delivery_that_nobody_follows() {
    let disk = MemoryDisk::new();
    let Opened { mut journal, checkpoints } = open_on(&disk).0;
    let thread = std::thread::spawn(move || checkpoints.run(|what| panic!("{what:?}")));
    // It sleeps by now, for nothing is there to be made durable.
    std::thread::sleep(Duration::from_millis(50));
    append(&mut journal, &[b"one"]);
    journal.placed();
    let placed = Instant::now();
    let is_covered = |journal: &Journal| {
        let state = journal.shared.lock();
        state.tail == state.head
    };
    while !is_covered(&journal) && placed.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = placed.elapsed();
    assert!(took >= INTERVAL && took < Duration::from_secs(20), "{took:?}");
    drop(journal);
    thread.join().expect("no panic");
}

#[test]
fn a_sync_that_fails_is_told_once_and_another_journal_begun() {
    let disk = MemoryDisk::new();
    let Opened { mut journal, checkpoints } = open_on(&disk).0;
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let thread = std::thread::spawn(move || {
        checkpoints.run(|what| tell.lock().expect("no panic").push(format!("{what:?}")));
    });
    append(&mut journal, &[b"before"]);
    journal.placed();
    disk.fail_syncs(1);
    append(&mut journal, &[b"after"]);
    let count = || told.lock().expect("no panic").len();
    let comes_to = |want| {
        let begun = Instant::now();
        while count() < want && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(count(), want);
    };
    comes_to(2);
    // So often that the store gives up for now.
    disk.fail_syncs(9);
    journal.add(&[b"refused"]);
    assert!(journal.append().is_err());
    comes_to(3);
    journal.add(&[b"refused, too"]);
    assert!(journal.append().is_err());
    comes_to(3);
    disk.fail_syncs(0);
    let begun = Instant::now();
    let mut appended = false;
    while !appended && begun.elapsed() < Duration::from_secs(20) {
        journal.add(&[b"again"]);
        appended = journal.append().is_ok();
        std::thread::sleep(Duration::from_millis(50));
    }
    comes_to(4);
    let told = told.lock().expect("no panic").clone();
    assert!(told[0].starts_with("Failed") && told[1].starts_with("Repaired"), "{told:?}");
    assert!(told[2].starts_with("Failed") && told[3].starts_with("Repaired"), "{told:?}");
    drop(journal);
    thread.join().expect("no panic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_history_recovers_what_no_checkpoint_covers(
        steps in prop::collection::vec((0usize..3, prop::collection::vec(1usize..2_500, 1..4)), 1..12),
    ) {
        let disk = MemoryDisk::new();
        let mut opened = open_on(&disk).0;
        let mut open_records: Vec<Vec<u8>> = Vec::new();
        for (n, (kind, sizes)) in steps.into_iter().enumerate() {
            let mut records: Vec<_> = sizes.iter().map(|s| vec![n as u8 + 1; *s]).collect();
            let need: u64 = records.iter().map(|r| record_size(r.len()) as u64).sum();
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
                let (again, recovered) = open_on(&disk);
                prop_assert_eq!(&recovered, &open_records);
                open_records.clear();
                opened = again;
            }
        }
        drop(opened);
        prop_assert_eq!(open_on(&disk).1, open_records);
    }
}
