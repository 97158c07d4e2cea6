//! A spool with much in it, or with mail that lies for long: compaction, an index that is
//! damaged anywhere, what a start reads, what an operator is told.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::{
    mail::{Content, Enhanced, MessageId, Outcome, Reply},
    memory_disk::MemoryDisk,
};
use relais_storage::{Change, Class, EntryState, NewContent, QueueStorage, Stored};
use tokio::task::JoinSet;

use crate::{
    Damage, MessageCounts, Spool, check,
    cooldown::Cooldown,
    tests::{
        LAST_OF_THE_DAY, append, busy_day, copy_dir, done, envelope, eventually, later, live,
        segments, settings, start,
    },
};

#[tokio::test]
async fn survivors_move_and_nobody_notices() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut draft = spool.draft();
    draft.write(&vec![b'y'; 400_000]).await.unwrap();
    let large =
        spool.append(&mut envelope(1, &["a"]).into(), NewContent::Blob(draft)).await.unwrap();
    let stored = fill(&spool, 2..40).await;
    let (deferred, half_done) = (&stored[3], &stored[5]);
    let busy = Outcome::Deferred(Reply::new(450, Enhanced(4, 2, 1), "mailbox busy"));
    let first =
        Change { replies: [(0, busy.clone())].into(), at: 7, ..later(deferred, 0, 1, 5000) };
    spool.amend(first.clone());
    spool.amend(done(half_done, 1));
    for stored in stored.iter().filter(|stored| ![5, 7].contains(&stored.id.0)) {
        spool.amend(done(stored, 0));
        spool.amend(done(stored, 1));
    }
    spool.amend(done(deferred, 1));
    let want = live(&spool).await;
    assert_eq!(want.len(), 3);

    compact(&spool, 1).await;
    assert_eq!(live(&spool).await, want);
    assert!(!segments(dir.path()).contains("00000001.msg"));
    let page = spool.scan("a", Class::Untried, None, 10).await.unwrap();
    assert!(page.iter().all(|entry| entry.place.segment > stored[30].place.segment), "{page:?}");
    // Everybody still has the old places, and may use them for all there is to do.
    let (read, content) = spool.read(deferred.place).await.unwrap();
    assert_eq!(read.id, deferred.id);
    assert!(matches!(content, Content::Whole(bytes) if bytes.len() == 303));
    let (_, content) = spool.read(large.place).await.unwrap();
    assert!(matches!(content, Content::File { path, .. } if path.exists()));
    let mut history = spool.history(deferred.id, deferred.place).await.unwrap();
    let second = Change { was: first.now, at: 9, ..later(deferred, 0, 2, 6000) };
    spool.amend(second.clone());
    spool.flush().await.unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history.remove(0).replies, first.replies);
    let last = spool.last_replies(1, &HashSet::from([deferred.id, half_done.id])).await.unwrap();
    assert_eq!(last.into_iter().collect::<Vec<_>>(), [((deferred.id, 0, 0), (busy, 7))]);
    let page = spool.scan("a", Class::Tried, None, 10).await.unwrap();
    assert_eq!((page[0].id, page[0].state), (deferred.id, second.now));

    // A second time, with what was the copy.
    let (copy, want) = (page[0].place.segment, live(&spool).await);
    spool.amend(done(half_done, 0));
    compact(&spool, copy).await;
    spool.read(deferred.place).await.unwrap();
    spool.close().await.unwrap();
    let (spool, recovered) = start(dir.path());
    assert_eq!((live(&spool).await.len(), recovered.rebuilt), (want.len() - 1, None));
    let found = spool.find(deferred.id).await.unwrap();
    let now = Stored { place: found[0].place, ..deferred.clone() };
    spool.amend(Change { was: second.now, ..done(&now, 0) });
    spool.amend(done(&Stored { place: spool.find(large.id).await.unwrap()[0].place, ..large }, 0));
    eventually(|| fs::read_dir(dir.path().join("large")).unwrap().count() == 0, "all is done")
        .await;
    let gone = || !segments(dir.path()).contains(&format!("{:08}.msg", now.place.segment));
    eventually(gone, "a copy goes like any other segment").await;
}

#[tokio::test]
async fn a_segment_that_may_still_die_as_a_whole_is_compacted_only_when_room_is_short() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { min_free: 16 << 20, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let stored = fill(&spool, 1..40).await;
    for stored in &stored[1..] {
        spool.amend(done(stored, 0));
        spool.amend(done(stored, 1));
    }
    spool.flush().await.unwrap();
    let (mut cooldown, now) = (Cooldown::default(), Instant::now());
    let mut next = |now| spool.shared.compactor.next(&mut cooldown, now);
    assert_eq!(next(now), None);
    disk.set_capacity(Some(40 << 20));
    assert_eq!(next(now), Some(1));
    disk.set_capacity(Some(4 << 20));
    assert_eq!(next(now), None, "there must be room for the copy");
    disk.set_capacity(Some(40 << 20));
    cooldown.put_off(1, now);
    let mut next = |now| spool.shared.compactor.next(&mut cooldown, now);
    assert_eq!(next(now), None, "what could not be copied is left alone for a while");
    assert_eq!(next(now + Duration::from_secs(3600)), Some(1));
}

#[tokio::test]
async fn an_index_that_has_not_heard_of_a_compaction_follows_it() {
    let dir = tempfile::tempdir().unwrap();
    let (index, before) = (dir.path().join("index"), tempfile::tempdir().unwrap());
    let spool = start(dir.path()).0;
    let stored = fill(&spool, 1..40).await;
    for stored in &stored[1..20] {
        spool.amend(done(stored, 0));
    }
    spool.close().await.unwrap();
    let old = |name: &str| before.path().join(name);
    copy_dir(&index, &old("index"));

    let spool = start(dir.path()).0;
    spool.amend(later(&stored[2], 1, 1, 5000));
    spool.amend(done(&stored[3], 1));
    spool.flush().await.unwrap();
    for name in ["00000001.msg", "00000001.st"] {
        fs::copy(dir.path().join(name), old(name)).unwrap();
    }
    compact(&spool, 1).await;
    let latest = Change { was: later(&stored[2], 1, 1, 5000).now, ..later(&stored[2], 1, 2, 6000) };
    spool.amend(latest);
    let want = live(&spool).await;
    spool.close().await.unwrap();
    // As if the power had gone before the old segment and the index did.
    for name in ["00000001.msg", "00000001.st"] {
        fs::copy(old(name), dir.path().join(name)).unwrap();
    }
    fs::remove_dir_all(&index).unwrap();
    fs::rename(old("index"), &index).unwrap();

    let (spool, recovered) = start(dir.path());
    assert_eq!((live(&spool).await, recovered.rebuilt), (want, None));
    assert!(!segments(dir.path()).contains("00000001.msg"), "it does not count any more");
}

#[tokio::test]
async fn the_index_may_be_damaged_anywhere() {
    type Harm = fn(&mut Vec<u8>);
    let rows: [(&str, Harm); 12] = [
        ("emptied", |bytes| bytes.clear()),
        ("cut to a byte", |bytes| bytes.truncate(1)),
        ("cut to a quarter", |bytes| bytes.truncate(bytes.len() / 4)),
        ("cut to a half", |bytes| bytes.truncate(bytes.len() / 2)),
        ("cut by a byte", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
        ("flipped at the beginning", |bytes| flip(bytes, 0)),
        ("flipped after a quarter", |bytes| flip(bytes, 25)),
        ("flipped in the middle", |bytes| flip(bytes, 50)),
        ("flipped at the end", |bytes| flip(bytes, 99)),
        ("flipped everywhere", |bytes| bytes.iter_mut().step_by(97).for_each(|o| *o ^= 0x11)),
        ("one sector zeroed", |bytes| bytes.iter_mut().skip(512).take(512).for_each(|o| *o = 0)),
        ("all zeros", |bytes| bytes.fill(0)),
    ];
    let day = tempfile::tempdir().unwrap();
    let want = busy_day(day.path()).await;
    let files = files_below(&day.path().join("index"));
    assert!(files.len() > 1, "{files:?}");
    let check = async |name: &str, harm: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        copy_dir(day.path(), &spool);
        harm(&spool.join("index"));
        let (spool, recovered) = start(&spool);
        assert!(live(&spool).await == want, "{name}");
        assert_eq!(recovered.last_id, MessageId(LAST_OF_THE_DAY), "{name}");
        assert!(recovered.quarantined.is_empty(), "{name}");
        spool.close().await.unwrap();
        recovered.rebuilt
    };
    assert_eq!(check("untouched", &|_| ()).await, None);
    let gone = check("the directory deleted", &|index| fs::remove_dir_all(index).unwrap()).await;
    assert!(gone.is_some());
    let other = check("a file in its place", &|index| {
        fs::remove_dir_all(index).unwrap();
        fs::write(index, "not a directory").unwrap();
    });
    assert!(other.await.is_some());
    for file in &files {
        let name = file.display().to_string();
        check(&name, &|index| fs::remove_file(index.join(file)).unwrap()).await;
        for (what, harm) in rows {
            check(&format!("{name} {what}"), &|index| {
                let path = index.join(file);
                let mut bytes = fs::read(&path).unwrap();
                harm(&mut bytes);
                fs::write(&path, bytes).unwrap();
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_start_does_not_read_what_the_index_knows() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { segment_size: 1 << 20, ..settings() };
    let open = || Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap();
    let mut bytes = 0;
    for round in 0..3 {
        let before = disk.bytes_read();
        let (opened, recovered) = open();
        assert_eq!((recovered.replayed, recovered.rebuilt), (0, None));
        bytes = disk.bytes_read() - before;
        let spool = opened.start(|_| ()).unwrap();
        let mut batch = JoinSet::new();
        for id in round * 1500..(round + 1) * 1500 {
            let spool = spool.clone();
            batch.spawn(async move {
                let stored = append(&spool, id + 1, &["a"], b"small").await.unwrap();
                spool.amend(later(&stored, 0, 1, 5000));
            });
        }
        batch.join_all().await;
        spool.close().await.unwrap();
    }
    assert!(bytes < 200, "{bytes} bytes read at a start with 3000 records");
    let before = disk.bytes_read();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(open().1.entries["a"].total(), 4500);
    assert!(disk.bytes_read() - before > 500_000, "without an index it reads everything");
}

#[tokio::test]
async fn an_inspection_finds_what_is_wrong_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut draft = spool.draft();
    draft.write(&vec![b'y'; 400_000]).await.unwrap();
    let large =
        spool.append(&mut envelope(1, &["a"]).into(), NewContent::Blob(draft)).await.unwrap();
    let stored = fill(&spool, 2..40).await;
    spool.amend(done(&stored[0], 0));
    spool.amend(done(&stored[0], 1));
    for entry in [0, 1] {
        spool.amend(Change {
            now: EntryState::Held { open: 1, attempts: 0 },
            ..done(&stored[1], entry)
        });
    }
    spool.flush().await.unwrap();
    let look = || {
        let mut told = Vec::new();
        let found = check(dir.path(), &mut |done, all| told.push((done, all))).unwrap();
        assert!(told.is_sorted() && told.last().is_some_and(|(done, all)| done == all), "{told:?}");
        found
    };
    let found = look();
    assert!(!found.is_damaged() && found.damage.is_empty(), "{found:?}");
    assert_eq!(found.messages, MessageCounts { alive: 37, held: 1, done: 1 });
    assert_eq!((found.blobs.files, found.blobs.left_over), (1, 0));
    spool.close().await.unwrap();
    assert_eq!(look().tail, 0, "nothing is half done after an orderly end");

    let victim = stored[4].place;
    let path = dir.path().join(format!("{:08}.msg", victim.segment));
    let mut bytes = fs::read(&path).unwrap();
    bytes[(victim.offset + victim.length) as usize - 3] ^= 0x20;
    fs::write(&path, &bytes).unwrap();
    let last = dir.path().join(segments(dir.path()).last().unwrap());
    let torn = fs::read(&last).unwrap();
    fs::write(&last, &torn[..torn.len() - 40]).unwrap();
    fs::remove_file(dir.path().join("large").join(large.id.to_string())).unwrap();
    fs::write(dir.path().join("large/draft-3"), "left by a crash").unwrap();
    fs::write(dir.path().join("quarantine/00000009.msg.36"), "from last year").unwrap();
    let before = files_below(dir.path());
    let found = look();
    let damage = Damage {
        file: format!("{:08}.msg", victim.segment),
        offset: victim.offset.into(),
        length: victim.length.into(),
        id: Some(stored[4].id.to_string()),
        acknowledged: true,
    };
    assert_eq!((found.damage.as_slice(), found.damaged), ([damage].as_slice(), 1));
    assert_eq!(found.blobs.missing, [large.id.to_string()]);
    assert_eq!((found.blobs.files, found.blobs.left_over), (1, 1));
    assert_eq!(
        (found.quarantine[0].name.as_str(), found.quarantine[0].bytes),
        ("00000009.msg.36", 14)
    );
    assert!(found.tail > 0 && found.is_damaged());
    assert_eq!(files_below(dir.path()), before);
}

#[tokio::test]
async fn an_index_made_anew_on_demand_has_everything() {
    let dir = tempfile::tempdir().unwrap();
    let want = busy_day(dir.path()).await;
    let disk = Arc::new(super::RealDisk);
    let made = Spool::rebuild(dir.path(), &settings(), disk, &mut |_, _| ()).unwrap();
    assert_eq!(made.last_id, MessageId(LAST_OF_THE_DAY));
    assert!(made.replayed >= LAST_OF_THE_DAY);
    let (spool, recovered) = start(dir.path());
    assert_eq!((live(&spool).await, recovered.rebuilt), (want, None));
}

/// Appends messages with two entries each, one after the other.
async fn fill(spool: &Spool, ids: std::ops::Range<u64>) -> Vec<Stored> {
    let mut stored = Vec::new();
    for id in ids {
        stored.push(append(spool, id, &["a", "b"], &[b'x'; 300]).await.unwrap());
    }
    stored
}

/// Does as the compactor when it finds that a segment is worth it.
async fn compact(spool: &Spool, segment: u32) {
    let shared = &spool.shared;
    let copied = shared.compactor.copy(segment, &mut || true).unwrap().expect("something is alive");
    shared.journal.switch(copied).await.expect("the old segment goes");
}

/// Flips some bits of the byte at this part of a hundred.
fn flip(bytes: &mut [u8], part: usize) {
    let at = bytes.len() * part / 100;
    bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 0x11);
}

/// The files in a directory and below.
fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                files.insert(entry.path().strip_prefix(dir).unwrap().to_owned());
            }
        }
    }
    files
}
