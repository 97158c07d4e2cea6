//! A disk that errs: nothing is called safe that is not, and what fails holds up nothing else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use relais_channels::memory_disk::{Fate, MemoryDisk};
use relais_storage::{Class, QueueStorage, StorageError};
use tokio::time::sleep;

use crate::{
    Spool, SpoolEvents,
    environment::Environment,
    format::layout::Layout,
    format::segment::{HEAD, SegmentHead},
    ledger::feed::Feed,
    ledger::{Event, Ledger},
    read::reader::Reader,
    tests::{append, done, later, settings},
    write::journal::Journal,
};

#[tokio::test]
async fn a_flush_that_succeeds_has_written_every_change() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    for count in 1..=4 {
        // In a segment of its own.
        let stored = append(&spool, count, &["a"], &[b'x'; 10_000]).await.unwrap();
        disk.fail_opens(count as u32);
        spool.amend(done(&stored, 0));
        let scanned = spool.scan("a", Class::Untried, None, 9).await;
        disk.fail_opens(0);
        let Ok(found) = scanned else { continue };
        assert!(found.iter().all(|entry| entry.id != stored.id), "{count}: it was delivered");
    }
}

#[tokio::test]
async fn a_failure_that_passes_loses_nothing_at_the_end() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let stored = append(&spool, 1, &["a"], b"x").await.unwrap();
    disk.fail_opens(7);
    spool.amend(done(&stored, 0));
    spool.close().await.unwrap();
    let recovered = Spool::open(dir.path(), &settings(), Arc::new(disk)).unwrap().1;
    assert_eq!(recovered.entries["a"].total(), 0, "it was delivered");
}

#[tokio::test]
async fn what_cannot_be_synced_counts_as_backlog() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let stored = append(&spool, 1, &["a"], b"x").await.unwrap();
    disk.fail_syncs(u32::MAX);
    for round in 0..1000 {
        let reason = Some("x".repeat(1000).into());
        spool.amend(relais_storage::Change { reason, ..later(&stored, 0, 1, round) });
    }
    assert!(spool.flush().await.is_err());
    sleep(Duration::from_millis(300)).await;
    let backlog = spool.state_backlog();
    assert!(backlog > 1 << 20, "1 MB is not on the disk; the backlog says {backlog}");
    disk.fail_syncs(0);
    spool.flush().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(spool.state_backlog(), 0);
}

#[tokio::test]
async fn a_state_file_that_fails_does_not_keep_others_from_being_synced() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let mut stored = Vec::new();
    for id in 1..=3 {
        stored.push(append(&spool, id, &["a"], &[b'x'; 10_000]).await.unwrap());
    }
    disk.fail_file(&dir.path().join("00000001.st"));
    for stored in &stored {
        spool.amend(done(stored, 0));
    }
    assert!(spool.flush().await.is_err());
    let left = disk.after_crash(Fate::Dropped);
    spool.close().await.unwrap();
    let opened = Spool::open(dir.path(), &settings(), Arc::new(left)).unwrap();
    assert_eq!(opened.1.entries["a"].untried, 1, "only the first comes back");
}

#[tokio::test]
async fn a_full_disk_does_not_fill_the_log() {
    #[derive(Default)]
    struct Reports(AtomicUsize);

    impl SpoolEvents for Reports {
        fn failed(&self, _: &StorageError) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let reports = Arc::new(Reports::default());
    let spool = opened.observed_by(Arc::clone(&reports) as _).start(|_| ()).unwrap();
    let stored = append(&spool, 1, &["a"], b"x").await.unwrap();
    disk.set_capacity(Some(0));
    spool.amend(done(&stored, 0));
    sleep(Duration::from_secs(2)).await;
    let told = reports.0.load(Ordering::Relaxed);
    assert!((1..5).contains(&told), "{told} lines in two seconds");
}

#[test]
fn a_head_is_read_from_whichever_file_can_be_read() {
    let (disk, layout) = (MemoryDisk::new(), Layout::new("/spool".as_ref()));
    let head = SegmentHead::new(1, 0);
    let (messages, states) = (layout.messages(1), layout.states(1));
    for path in [&messages, &states] {
        disk.put(path, head.to_bytes().to_vec());
    }
    disk.fail_file(&messages);
    assert_eq!(SegmentHead::load(&disk, &layout, 1).unwrap(), Some(head));
    disk.put(&states, vec![0; HEAD]);
    assert!(SegmentHead::load(&disk, &layout, 1).is_err(), "not the same as that it has none");
}

#[test]
fn a_segment_whose_log_cannot_be_read_is_looked_at_again() {
    let disk = MemoryDisk::new();
    let environment =
        Arc::new(Environment::new("/spool".as_ref(), &settings(), Arc::new(disk.clone())));
    let head = SegmentHead::new(1, 0).to_bytes().to_vec();
    disk.put(&environment.layout.messages(1), head.clone());
    disk.put(&environment.layout.states(1), [head, vec![0; 100]].concat());
    disk.fail_file(&environment.layout.states(1));
    let mut ledger = Ledger::default();
    ledger.apply(&Event::Closed { segment: 1, data_len: HEAD as u64, states_len: 136 });
    let (feed, forwarding) = (Arc::new(Feed::new(ledger)), Arc::default());
    let reader = Arc::new(Reader::new(Arc::clone(&environment), Arc::clone(&forwarding)));
    let mut journal = Journal::new(environment, Arc::clone(&feed), reader, forwarding);
    for _ in 0..2 {
        journal.sweep();
        assert!(feed.live(|ledger| ledger.empty.contains(&1)));
        assert!(feed.take().is_empty(), "the index is not told to forget it");
    }
}
