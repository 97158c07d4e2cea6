//! A full disk: mail is refused, nothing is lost, and every way in which room is found again.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::{disk::Disk, memory_disk::MemoryDisk};
use relais_storage::{Class, QueueStorage, StorageError, Stored};

use crate::{
    Spool,
    environment::{Environment, RESERVE},
    index::Question,
    tests::{append, done, eventually, settings},
};

#[tokio::test]
async fn a_full_disk_refuses_mail_takes_states_and_recovers_by_itself() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { min_free: 0, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let first = append(&spool, 1, &["a"], &[b'x'; 500]).await.unwrap();
    disk.set_capacity(Some(used(&disk) + 300));
    let refused = append(&spool, 2, &["a"], &[b'x'; 500]).await;
    assert!(matches!(refused, Err(StorageError::DiskFull { .. })), "{refused:?}");
    spool.amend(done(&first, 0));
    spool.flush().await.expect("a state change is small enough");

    disk.set_capacity(None);
    let second = append(&spool, 3, &["a"], &[b'x'; 500]).await.unwrap();
    assert_eq!(second.place.segment, first.place.segment, "the segment is still good");
    spool.read(second.place).await.unwrap();
    spool.close().await.unwrap();
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk)).unwrap();
    assert_eq!(opened.1.entries["a"].total(), 1, "nothing of the refused message is left");
}

/// Nothing can be appended, so nothing closes the segment that is appended to; and only a closed
/// one is deleted.
#[tokio::test]
async fn a_full_disk_lets_go_of_its_last_segment_when_the_mail_in_it_has_left() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { segment_size: 1 << 20, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let content = vec![b'x'; 300_000];
    let stored = append(&spool, 1, &["a"], &content).await.unwrap();
    disk.set_capacity(Some(used(&disk) + 100_000));
    let refused = append(&spool, 2, &["a"], &content).await;
    assert!(matches!(refused, Err(StorageError::DiskFull { .. })), "{refused:?}");
    spool.amend(done(&stored, 0));
    spool.flush().await.unwrap();
    let refused = append(&spool, 3, &["a"], &content).await;
    assert!(matches!(refused, Err(StorageError::DiskFull { .. })), "{refused:?}");
    // Nobody has to come meanwhile.
    let first = dir.path().join("00000001.msg");
    eventually(|| disk.contents(&first).is_none(), "the segment goes").await;
    append(&spool, 4, &["a"], &content).await.unwrap();
}

/// The same when mail is refused before it comes so far.
#[tokio::test]
async fn who_asks_whether_there_is_room_has_the_last_segment_let_go() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { segment_size: 4 << 20, min_free: 1 << 20, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let stored = append(&spool, 1, &["a"], &vec![b'x'; 300_000]).await.unwrap();
    disk.set_capacity(Some(used(&disk) + (1 << 20) - 1));
    eventually(|| spool.room().is_err(), "no mail is taken").await;
    spool.amend(done(&stored, 0));
    eventually(|| spool.room().is_ok(), "mail is taken").await;
    append(&spool, 2, &["a"], b"x").await.unwrap();
}

/// There is no room for an index before something is deleted: so that must not wait for one.
#[tokio::test]
async fn an_index_that_cannot_be_made_anew_keeps_no_segment() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    // Only the index lies there, everything else is in memory.
    let root = dir.path().join("spool");
    let opened = Spool::open(&root, &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let mut stored = Vec::new();
    for id in 1..=40 {
        stored.push(append(&spool, id, &["a"], &[b'x'; 1000]).await.unwrap());
    }
    let waiting = || spool.scan("a", Class::Untried, None, 100);
    assert_eq!(waiting().await.unwrap().len(), 40);

    damage_index(&spool).await;
    fs::remove_dir_all(&root).unwrap();
    symlink(dir.path().join("nowhere"), &root).unwrap();
    assert!(matches!(waiting().await, Err(StorageError::Index(_))));
    let first_segment = |stored: &&Stored| stored.place.segment == 1;
    let gone: Vec<_> = stored.iter().filter(first_segment).collect();
    for stored in &gone {
        spool.amend(done(stored, 0));
    }
    spool.flush().await.unwrap();
    let messages = root.join("00000001.msg");
    eventually(|| disk.contents(&messages).is_none(), "the segment goes without an index").await;

    fs::remove_file(&root).unwrap();
    fs::create_dir(&root).unwrap();
    let mut found = waiting().await;
    while matches!(found, Err(StorageError::Index(_))) {
        found = waiting().await;
    }
    assert_eq!(found.unwrap().len(), stored.len() - gone.len(), "all that is left is found again");
}

/// By the clock alone nobody would look before the disk is full.
#[test]
fn a_fast_sender_leaves_half_of_what_is_to_be_free() {
    const MIN_FREE: u64 = 2 << 20;
    for bytes in [10_000, 100_000, 900_000, 1_900_000, 3_000_000] {
        let (disk, root) = (MemoryDisk::new(), Path::new("/spool"));
        let settings = relais_config::Spool { min_free: MIN_FREE, ..settings() };
        let environment = Environment::new(root, &settings, Arc::new(disk.clone()));
        disk.set_capacity(Some(MIN_FREE + (1 << 20)));
        let mut batches = 0;
        let refused = loop {
            match environment.take_space(bytes) {
                Ok(_) => disk.put(&environment.layout.messages(batches), vec![0; bytes as usize]),
                Err(refused) => break refused,
            }
            batches += 1;
        };
        let StorageError::DiskFull { needed, .. } = refused else { panic!("{refused}") };
        let free = disk.free_space(root).unwrap();
        assert!(needed >= MIN_FREE && needed > free, "{bytes}: {refused}");
        assert!(free >= MIN_FREE / 2, "{bytes}: {free} bytes are left");
    }
}

#[tokio::test]
async fn it_is_known_in_advance_whether_mail_is_taken() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { min_free: 1 << 20, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    spool.room().unwrap();
    disk.set_capacity(Some(used(&disk) + (1 << 20) - 1));
    eventually(|| spool.room().is_err(), "no mail is taken").await;
    let told = spool.room().unwrap_err().to_string();
    let want = "the spool's disk has 1048575 octets left and needs 1048576 (spool.min_free)";
    assert_eq!(told, want);
    assert_eq!(append(&spool, 1, &["a"], b"x").await.unwrap_err().to_string(), want);
    disk.set_capacity(None);
    eventually(|| spool.room().is_ok(), "mail is taken").await;
    append(&spool, 1, &["a"], b"x").await.unwrap();
}

#[tokio::test]
async fn an_index_is_not_made_anew_before_there_is_room_for_it() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    for id in 1..=40 {
        append(&spool, id, &["a"], b"x").await.unwrap();
    }
    let waiting = || spool.scan("a", Class::Untried, None, 100);
    assert_eq!(waiting().await.unwrap().len(), 40);
    damage_index(&spool).await;
    disk.set_capacity(Some(used(&disk) + 1999));
    assert!(waiting().await.is_err());
    assert!(waiting().await.is_err());
    assert!(!dir.path().join("index").exists(), "the old one leaves its room");
    disk.set_capacity(None);
    let started = Instant::now();
    while waiting().await.is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "it is made when there is room");
    }
    assert_eq!(waiting().await.unwrap().len(), 40);
}

#[test]
fn the_reserve_is_taken_when_new_mail_does_not_need_the_room() {
    const MIN_FREE: u64 = 1 << 20;
    let rows = [
        ("plenty", MIN_FREE + RESERVE, true),
        ("mail would be refused then", MIN_FREE + RESERVE - 1, false),
        ("mail is refused already", MIN_FREE - 1, false),
    ];
    for (name, free, want) in rows {
        let (disk, root) = (MemoryDisk::new(), Path::new("/spool"));
        let settings = relais_config::Spool { min_free: MIN_FREE, ..settings() };
        let environment = Environment::new(root, &settings, Arc::new(disk.clone()));
        disk.set_capacity(Some(free));
        environment.keep_reserve();
        assert_eq!(disk.contents(&environment.layout.reserve()).is_some(), want, "{name}");
    }
}

pub(crate) fn used(disk: &MemoryDisk) -> u64 {
    disk.paths().iter().filter_map(|path| disk.contents(path)).map(|file| file.len() as u64).sum()
}

/// Takes an entry out behind its back.
async fn damage_index(spool: &Spool) {
    let (answer, lost) = tokio::sync::oneshot::channel();
    assert!(spool.ask(Question::LoseFirst("a".into(), answer), lost).await.unwrap());
}
