//! The spool as its users see it, threads and index included.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use relais_channels::{
    disk::{Disk, DiskFile, RealDisk},
    mail::{
        Content, Enhanced, Envelope, MessageId, Origin, Outcome, Reply, Rerouted, Timings, Trip,
    },
    memory_disk::MemoryDisk,
};
pub(super) use relais_storage::suite::envelope;
use relais_storage::{
    Change, Class, EntryState, Gone, MoreContent, NewContent, QueueStorage, RecipientReplies,
    StorageError, Stored, StoredEntry,
};

use crate::{Recovered, Spool, full_disk_tests::used};

#[tokio::test]
async fn what_was_stored_is_read_scanned_and_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let batches = Arc::clone(&told);
    let opened = Spool::open(dir.path(), &settings(), Arc::new(RealDisk)).unwrap().0;
    let spool = opened.start(move |batch| batches.lock().unwrap().extend(batch)).unwrap();

    let a = append(&spool, 1, &["a", "b"], b"hello").await.unwrap();
    let b = append(&spool, 2, &["a"], b"world").await.unwrap();
    assert_eq!(*told.lock().unwrap(), [a.clone(), b.clone()], "the queue is told of each batch");

    let (read, content) = spool.read(b.place).await.unwrap();
    assert_eq!(*read, Envelope { size: 8, ..envelope(2, &["a"]) });
    assert!(matches!(content, Content::Whole(bytes) if bytes == "I: world"));

    spool.amend(later(&b, 0, 1, 5000));
    spool.amend(held(&a, 1));
    let page = spool.scan("a", Class::Untried, None, 10).await.unwrap();
    assert_eq!(names(&page), [(1, 0)]);
    assert_eq!((page[0].place, &*page[0].host, page[0].size), (a.place, "host.a", 8));
    let page = spool.scan("a", Class::Tried, None, 10).await.unwrap();
    assert_eq!((names(&page), page[0].state), (vec![(2, 0)], later(&b, 0, 1, 5000).now));
    assert_eq!(page[0].size, 8, "the size outlives a change");
    let page = spool.scan("b", Class::Held, None, 10).await.unwrap();
    assert_eq!(names(&page), [(1, 1)]);
    assert_eq!(names(&spool.find(MessageId(1)).await.unwrap()), [(1, 0), (1, 1)]);
    let counts = spool.counts();
    assert_eq!((counts["a"].untried, counts["a"].tried, counts["b"].held), (1, 1, 1));
    spool.close().await.unwrap();
    assert!(matches!(append(&spool, 3, &["a"], b"").await, Err(StorageError::Closed)));
}

/// Records of one message in one segment, over a copy of that, over a start with the index and one
/// without.
#[tokio::test]
async fn a_message_goes_on_under_its_id_to_more_entries() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let first = append(&spool, 7, &["a", "b", "c"], b"hello").await.unwrap();
    let (read, content) = spool.read(first.place).await.unwrap();
    let more = |channels: &[&str], at: u64| {
        let mut more = envelope(7, channels);
        let origin = Origin { member: "m@example.org".into(), ..Origin::default() };
        more.entries[0].recipients[0].origin = Some(Box::new(origin));
        Envelope { rerouted: Some(Rerouted { at, entry: 0, recipients: 1, form: 0 }), ..more }
    };
    let (on, stored) =
        spool.append_more(more(&["a", "d"], 9), 3, MoreContent::Same(&content)).await.unwrap();
    spool.amend(done(&first, 0));
    let numbers: Vec<u16> = stored.own_entries().map(|(number, _)| number).collect();
    assert_eq!(numbers, [3, 4]);
    let rerouted = Some(Rerouted { at: 10, entry: 1, recipients: 0b110, form: 0 });
    let from_second = Envelope { rerouted, ..more(&["e"], 10) };
    let same = MoreContent::Same(&content);
    let (again, _) = spool.append_more(from_second, read.entries.len(), same).await.unwrap();
    assert_eq!(again.entries.len(), 6, "a number is given once");
    spool.amend(done(&first, 1));
    spool.amend(change_of(&stored, 4, EntryState::Held { open: 1, attempts: 0 }));

    let want = [(7, 2), (7, 3), (7, 4), (7, 5)];
    let look = async |spool: &Spool, when: &str| {
        let found = spool.find(MessageId(7)).await.unwrap();
        assert_eq!(names(&found), want, "{when}");
        let channels: Vec<_> = found.iter().map(|entry| entry.channel.to_string()).collect();
        assert_eq!(channels, ["c", "a", "d", "e"], "{when}");
        let due = EntryState::Waiting { open: 1, attempts: 0, due: 9 };
        assert_eq!(found[1].state, due, "{when}: it is due since it was routed again");
        for entry in &found {
            let (envelope, content) = spool.read(entry.place).await.unwrap();
            let own = &envelope.entries[usize::from(entry.entry)];
            assert_eq!(own.channel, entry.channel, "{when}");
            assert!(matches!(content, Content::Whole(bytes) if bytes == "I: hello"), "{when}");
        }
        let (envelope, _) = spool.read(found[1].place).await.unwrap();
        assert_eq!(envelope, on, "{when}");
        let counts = spool.counts();
        let of = |name: &str| (counts[name].untried, counts[name].held);
        assert_eq!(
            [of("c"), of("a"), of("d"), of("e")],
            [(1, 0), (1, 0), (0, 1), (1, 0)],
            "{when}"
        );
        assert_eq!(counts["b"].total(), 0, "{when}");
        for (name, class, entry) in [("a", Class::Untried, 3), ("d", Class::Held, 4)] {
            let page = spool.scan(name, class, None, 10).await.unwrap();
            assert_eq!(names(&page), [(7, entry)], "{when}");
        }
        assert_eq!(spool.places(MessageId(7)).await.unwrap().len(), 3, "{when}");
        for (entry, recipients) in [(0, 1), (1, 0b110), (2, 0)] {
            let gone = spool.gone_on(MessageId(7), entry).await.unwrap();
            assert_eq!((gone.recipients, gone.in_part), (recipients, recipients != 0), "{when}");
        }
    };
    look(&spool, "as it was stored").await;
    spool.close().await.unwrap();
    let spool = start(dir.path()).0;
    look(&spool, "after a start").await;
    let copied = spool.shared.compactor.copy(first.place.segment, &mut || true).unwrap();
    spool.shared.journal.switch(copied.expect("it is alive")).await.expect("the old one goes");
    look(&spool, "compacted").await;
    spool.close().await.unwrap();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let spool = start(dir.path()).0;
    look(&spool, "without an index").await;
    let (last, _) =
        spool.append_more(more(&["f"], 11), 3, MoreContent::Same(&content)).await.unwrap();
    assert_eq!(last.entries.len(), 7, "numbers of an earlier run are known");
}

#[tokio::test]
async fn the_file_of_a_large_message_stays_for_what_it_goes_on_to() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut draft = spool.draft();
    draft.write(&[b'x'; 5_000]).await.unwrap();
    let first =
        spool.append(&mut envelope(7, &["a"]).into(), NewContent::Blob(draft)).await.unwrap();
    let (_, content) = spool.read(first.place).await.unwrap();
    let same = MoreContent::Same(&content);
    let (_, more) = spool.append_more(envelope(7, &["b", "c"]), 1, same).await.unwrap();
    spool.amend(done(&first, 0));
    spool.amend(change_of(&more, 1, EntryState::Done));
    let file = || fs::read_dir(dir.path().join("large")).unwrap().count();
    for how in ["at once", "after a start", "without an index"] {
        spool.flush().await.unwrap();
        assert_eq!(file(), 1, "{how}");
        let copy = tempfile::tempdir().unwrap();
        let copied = copy.path().join("spool");
        copy_dir(dir.path(), &copied);
        if how == "without an index" {
            fs::remove_dir_all(copied.join("index")).unwrap();
        }
        let spool = start(&copied).0;
        assert_eq!(names(&spool.find(MessageId(7)).await.unwrap()), [(7, 2)], "{how}");
        let (_, content) = spool.read(more.place).await.unwrap();
        assert!(matches!(content, Content::File { size: 5_000, .. }), "{how}");
        let large = copied.join("large");
        assert_eq!(fs::read_dir(&large).unwrap().count(), 1, "{how}");
        spool.amend(change_of(&more, 2, EntryState::Done));
        spool.flush().await.unwrap();
        eventually(|| fs::read_dir(&large).unwrap().count() == 0, how).await;
    }
}

/// A message of either size goes on in two other forms; the first is a part of what they come to.
#[tokio::test]
async fn a_message_goes_on_in_other_forms_than_it_came_in() {
    for is_large in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let spool = start(dir.path()).0;
        let content = async |text: &'static str| {
            if !is_large {
                return NewContent::Whole(text.as_bytes().into());
            }
            let mut draft = spool.draft();
            draft.write(text.as_bytes()).await.unwrap();
            NewContent::Blob(draft)
        };
        let own = content("as it came").await;
        let first = spool.append(&mut envelope(7, &["a"]).into(), own).await.unwrap();
        let goes_on = |channel, recipients| Envelope {
            rerouted: Some(Rerouted { at: 9, entry: 0, recipients, form: 0 }),
            ..envelope(7, &[channel])
        };
        for (channel, recipients, text) in [("b", 0, "one form"), ("c", 1, "the other")] {
            let new = MoreContent::New(content(text).await);
            spool.append_more(goes_on(channel, recipients), 1, new).await.unwrap();
            let gone = spool.gone_on(MessageId(7), 0).await.unwrap();
            assert_eq!((gone.recipients, gone.in_part), (recipients, true), "{text}");
        }
        spool.amend(done(&first, 0));
        spool.close().await.unwrap();
        for how in ["after a start", "without an index"] {
            if how == "without an index" {
                fs::remove_dir_all(dir.path().join("index")).unwrap();
            }
            let spool = start(dir.path()).0;
            let found = spool.find(MessageId(7)).await.unwrap();
            assert_eq!(names(&found), [(7, 1), (7, 2)], "{how}");
            for (entry, want) in found.iter().zip(["one form", "the other"]) {
                let (envelope, content) = spool.read(entry.place).await.unwrap();
                let text = match &content {
                    Content::Whole(octets) => octets.to_vec(),
                    Content::File { path, .. } => fs::read(path).unwrap(),
                };
                assert_eq!(String::from_utf8_lossy(&text), want, "{how}");
                assert_eq!((envelope.size, content.size()), (text.len() as u64, want.len() as u64));
            }
            let gone = spool.gone_on(MessageId(7), 0).await.unwrap();
            assert_eq!((gone.recipients, gone.in_part), (1, true), "{how}");
            if how == "without an index" {
                let more = MoreContent::New(content("a third").await);
                let (last, stored) = spool.append_more(goes_on("d", 1), 1, more).await.unwrap();
                let form = last.rerouted.unwrap().form;
                assert_eq!(
                    form,
                    if is_large { 3 } else { 0 },
                    "numbers of an earlier run are known"
                );
                spool.amend(change_of(&stored, 3, EntryState::Done));
                for entry in found {
                    spool.amend(Change::of(&entry, EntryState::Done, 10, None));
                }
                spool.flush().await.unwrap();
                let large = dir.path().join("large");
                eventually(|| fs::read_dir(&large).unwrap().count() == 0, how).await;
            }
            spool.close().await.unwrap();
        }
    }
}

/// The second form finds no room: the first must not leave alone, for when it had left and its record
/// was gone nobody would know. The numbers of files that nobody got are given to the next.
#[tokio::test]
async fn forms_are_stored_together_or_not_at_all() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let draft = async |octets: usize| {
        let mut draft = spool.draft();
        draft.write(&vec![b'x'; octets]).await.unwrap();
        NewContent::Blob(draft)
    };
    let mut original: Arc<Envelope> = envelope(7, &["a"]).into();
    let first = spool.append(&mut original, draft(5_000).await).await.unwrap();
    let form = |channel| Envelope {
        rerouted: Some(Rerouted { at: 9, entry: 0, recipients: 1, form: 0 }),
        ..envelope(7, &[channel])
    };
    let forms = async |octets| {
        let second = draft(octets).await;
        let forms = vec![(form("b"), draft(100).await), (form("c"), second)];
        spool.append_forms(forms, 1).await
    };
    let large = dir.path().join("large");
    let files = || {
        let is_content = |path: &&PathBuf| path.parent() == Some(&large) && disk.has(path);
        let paths = disk.paths();
        paths
            .iter()
            .filter(is_content)
            .filter(|path| !path.to_string_lossy().contains("draft"))
            .count()
    };
    for _ in 0..200 {
        disk.set_capacity(Some(used(&disk) + 10_000));
        assert!(matches!(forms(20_000).await, Err(StorageError::DiskFull { .. })));
        disk.set_capacity(None);
        assert_eq!(names(&spool.find(MessageId(7)).await.unwrap()), [(7, 0)]);
        assert_eq!(spool.gone_on(MessageId(7), 0).await.unwrap(), Gone::default());
        assert_eq!(files(), 1, "only the file that it came in");
    }
    let stored = forms(200).await.unwrap();
    let numbers: Vec<u8> = stored.iter().map(|(_, stored)| stored.form).collect();
    assert_eq!(numbers, [1, 2], "none was burnt");
    assert_eq!(names(&spool.find(MessageId(7)).await.unwrap()), [(7, 0), (7, 1), (7, 2)]);
    assert_eq!(spool.gone_on(MessageId(7), 0).await.unwrap().recipients, 1);
    // One that is missing keeps none of the others.
    disk.remove(&large.join(format!("{}.1", MessageId(7)))).unwrap();
    spool.amend(done(&first, 0));
    for (n, (_, stored)) in (1..).zip(&stored) {
        spool.amend(change_of(stored, n, EntryState::Done));
    }
    spool.flush().await.unwrap();
    eventually(|| files() == 0, "all files go").await;
}

/// Messages that belong together: where the disk takes but one of them it keeps none, and a record that is
/// torn takes the others along.
#[tokio::test]
async fn messages_are_stored_together_or_not_at_all() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let open = || Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = open().start(|_| ()).unwrap();
    let messages = async |ids: [u64; 3], octets: usize| {
        let mut draft = spool.draft();
        draft.write(&vec![b'x'; octets]).await.unwrap();
        let contents = [b"one".as_slice(), b"two"].map(|its| NewContent::Whole(its.into()));
        let contents = contents.into_iter().chain([NewContent::Blob(draft)]);
        let envelopes = ids.into_iter().map(|id| Arc::new(envelope(id, &["a"])));
        spool.append_all(envelopes.zip(contents).collect()).await
    };
    let files = || {
        let name = |path: &PathBuf| path.file_name()?.to_str()?.parse::<MessageId>().ok();
        disk.paths().iter().filter(|path| disk.has(path)).filter_map(name).collect::<Vec<_>>()
    };
    disk.set_capacity(Some(used(&disk) + 10_000));
    let refused = messages([1, 2, 3], 20_000).await;
    assert!(matches!(refused, Err(StorageError::DiskFull { .. })), "{refused:?}");
    disk.set_capacity(None);
    assert!(live(&spool).await.is_empty() && files().is_empty(), "{:?}", files());
    let stored = messages([4, 5, 6], 100).await.unwrap();
    let ids: Vec<u64> = stored.iter().map(|(_, stored)| stored.id.0).collect();
    assert_eq!((ids, files()), (vec![4, 5, 6], vec![MessageId(6)]));
    let (_, content) = spool.read(stored[1].1.place).await.unwrap();
    assert!(matches!(content, Content::Whole(its) if &*its == b"two"));

    spool.close().await.unwrap();
    let path = dir.path().join("00000001.msg");
    let mut bytes = disk.contents(&path).unwrap();
    let place = stored[2].1.place;
    bytes[(place.offset + place.length) as usize - 3] ^= 0x20;
    disk.put(&path, bytes);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let spool = open().start(|_| ()).unwrap();
    assert!(live(&spool).await.is_empty());
}

#[tokio::test]
async fn a_scan_goes_from_page_to_page_in_order_of_due_time() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    for id in 1..=20 {
        let stored = append(&spool, id, &["a"], b"").await.unwrap();
        spool.amend(later(&stored, 0, 1, 1000 - id));
    }
    let (mut after, mut ids) = (None, Vec::new());
    loop {
        let page = spool.scan("a", Class::Tried, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.cursor);
        ids.extend(page.iter().map(|entry| entry.id.0));
    }
    assert_eq!(ids, (1..=20).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_tells_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let stored = append(&spool, 1, &["a"], b"").await.unwrap();
    let other = append(&spool, 2, &["a"], b"").await.unwrap();
    let busy = Reply::new(450, Enhanced(4, 2, 1), "mailbox busy");
    let replies = [(0, Outcome::Deferred(busy))].into();
    let first = Change {
        replies,
        reason: Some("first try".into()),
        trip: Some(Arc::new(Trip {
            peer: "store.test[192.0.2.1]:24".into(),
            protection: "TLSv1.3".into(),
            timings: Timings { queue: 1, dialogue: 70_000, ..Timings::default() },
        })),
        ..later(&stored, 0, 1, 5000)
    };
    spool.amend(first.clone());
    spool.amend(done(&other, 0));
    let second = Change { was: first.now, ..done(&stored, 0) };
    spool.amend(second.clone());
    spool.flush().await.unwrap();
    assert_eq!(spool.history(stored.id, stored.place).await.unwrap(), [first, second]);
}

#[tokio::test]
async fn an_index_from_yesterday_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let (index, old) = (dir.path().join("index"), dir.path().join("old"));
    let spool = start(dir.path()).0;
    let mut stored = Vec::new();
    for id in 1..=40 {
        stored.push(append(&spool, id, &["a", "b"], &[b'x'; 300]).await.unwrap());
    }
    spool.amend(later(&stored[0], 0, 1, 5000));
    spool.close().await.unwrap();
    copy_dir(&index, &old);

    let spool = start(dir.path()).0;
    // Through several states, so that an index that saw only some of them has to undo them.
    spool.amend(Change { was: later(&stored[0], 0, 1, 5000).now, ..later(&stored[0], 0, 2, 6000) });
    let half = live(&spool).await;
    assert_eq!(half.len(), 80);
    spool.amend(Change { was: later(&stored[0], 0, 2, 6000).now, ..done(&stored[0], 0) });
    spool.amend(held(&stored[1], 1));
    let new = append(&spool, 41, &["a"], b"new").await.unwrap();
    spool.amend(done(&new, 0));
    append(&spool, 42, &["a"], b"newer").await.unwrap();
    let want = live(&spool).await;
    spool.close().await.unwrap();
    fs::remove_dir_all(&index).unwrap();
    fs::rename(&old, &index).unwrap();

    let (spool, recovered) = start(dir.path());
    assert_eq!((live(&spool).await, recovered.rebuilt), (want, None));
    assert!(recovered.replayed > 0);
}

#[tokio::test]
async fn a_damaged_message_goes_to_quarantine_and_the_others_stay() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut stored = Vec::new();
    for id in 1..=3 {
        stored.push(append(&spool, id, &["a"], b"some content").await.unwrap());
    }
    spool.close().await.unwrap();
    let path = dir.path().join("00000001.msg");
    let mut bytes = fs::read(&path).unwrap();
    let place = stored[1].place;
    bytes[(place.offset + place.length) as usize - 3] ^= 0x20;
    fs::write(&path, &bytes).unwrap();

    let spool = start(dir.path()).0;
    let error = spool.read(place).await.unwrap_err();
    assert!(matches!(error, StorageError::Damaged { place: at } if at == place), "{error}");
    spool.close().await.unwrap();

    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (spool, recovered) = start(dir.path());
    let [found] = &recovered.quarantined[..] else { panic!("{recovered:?}") };
    assert_eq!((found.segment, found.id, found.acknowledged), (1, Some(MessageId(2)), true));
    let record = place.offset as usize..(place.offset + place.length) as usize;
    assert_eq!(fs::read(&found.copy).unwrap(), bytes[record]);
    let left: BTreeSet<u64> = live(&spool).await.keys().map(|(_, id, _)| *id).collect();
    assert_eq!(left, BTreeSet::from([1, 3]));
    for stored in [&stored[0], &stored[2]] {
        spool.read(stored.place).await.unwrap();
    }
}

#[tokio::test]
async fn a_segment_goes_when_nothing_in_it_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut last = None;
    for id in 1..=100 {
        let stored = append(&spool, id, &["a"], &[b'x'; 500]).await.unwrap();
        if id != 50 {
            spool.amend(done(&stored, 0));
        }
        last = Some(stored.place.segment);
    }
    let kept = spool.find(MessageId(50)).await.unwrap()[0].place.segment;
    let want: BTreeSet<String> =
        [kept, last.unwrap()].into_iter().map(|number| format!("{number:08}.msg")).collect();
    eventually(|| segments(dir.path()) == want, "only the segments with living messages stay")
        .await;
    spool.close().await.unwrap();
    let spool = start(dir.path()).0;
    assert_eq!(live(&spool).await.len(), 1);
}

#[tokio::test]
async fn a_large_message_has_a_file_of_its_own_until_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let large = dir.path().join("large");
    let count = |dir: &Path| fs::read_dir(dir).unwrap().count();

    let mut given_up = spool.draft();
    given_up.write(&vec![b'x'; 600_000]).await.unwrap();
    assert_eq!(count(&large), 1);
    drop(given_up);
    eventually(|| count(&large) == 0, "a draft that is dropped leaves nothing").await;

    let mut draft = spool.draft();
    for _ in 0..10 {
        draft.write(&vec![b'y'; 100_000]).await.unwrap();
    }
    let (mut envelope, content) = (envelope(7, &["a", "b"]).into(), NewContent::Blob(draft));
    let stored = spool.append(&mut envelope, content).await.unwrap();
    assert_eq!((stored.size, stored.blob), (1_000_000, true));
    let (_, content) = spool.read(stored.place).await.unwrap();
    let Content::File { path, size } = content else { panic!("{content:?}") };
    assert_eq!((size, fs::read(&path).unwrap()), (1_000_000, vec![b'y'; 1_000_000]));

    spool.amend(done(&stored, 0));
    spool.flush().await.unwrap();
    assert!(path.exists(), "one entry is left");
    spool.close().await.unwrap();
    fs::write(large.join("draft-0"), "left by a crash").unwrap();
    fs::write(large.join(MessageId(6).to_string()), "never referred to").unwrap();
    let spool = start(dir.path()).0;
    assert_eq!(count(&large), 1, "what no message refers to is removed at start");
    spool.amend(done(&stored, 1));
    spool.flush().await.unwrap();
    eventually(|| count(&large) == 0, "the content goes with the last entry").await;
}

/// As the jobs of a list do whose recipients leave one by one: each reads the message again.
#[tokio::test]
async fn a_message_with_many_entries_is_not_decoded_for_each_of_them() {
    const ENTRIES: usize = 5_000;
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let settings = relais_config::Spool { segment_size: 1 << 20, ..settings() };
    let opened = Spool::open(dir.path(), &settings, Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let stored = append(&spool, 1, &vec!["a"; ENTRIES], &[b'x'; 1000]).await.unwrap();
    let before = disk.bytes_read();
    for _ in 0..ENTRIES {
        let (envelope, _) = spool.read(stored.place).await.unwrap();
        assert_eq!(envelope.entries.len(), ENTRIES);
    }
    let read = disk.bytes_read() - before;
    assert!(read < 2 * u64::from(stored.place.length), "{read} bytes were read");
}

#[tokio::test]
async fn a_failed_sync_is_an_error_and_ends_the_segment() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
    let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
    let spool = opened.start(|_| ()).unwrap();
    let first = append(&spool, 1, &["a"], b"").await.unwrap();
    disk.fail_syncs(1);
    assert!(matches!(append(&spool, 2, &["a"], b"").await, Err(StorageError::Io { .. })));
    let third = append(&spool, 3, &["a"], b"").await.unwrap();
    assert_eq!(third.place.segment, first.place.segment + 1);
    spool.read(first.place).await.unwrap();
}

#[tokio::test]
async fn an_envelope_that_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spool = start(dir.path()).0;
    let mut crowded = envelope(1, &["a"]);
    let recipient = crowded.entries[0].recipients[0].clone();
    crowded.entries[0].recipients = vec![recipient; 65];
    for envelope in [envelope(1, &[]), crowded] {
        let content = NewContent::Whole(Bytes::new());
        let refused = spool.append(&mut envelope.into(), content).await;
        assert!(matches!(refused, Err(StorageError::Envelope(_))), "{refused:?}");
    }
}

#[test]
fn a_real_file_does_what_is_asked_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file: Arc<dyn DiskFile> = RealDisk.create(&path).unwrap();
    let pieces: Vec<Vec<u8>> = (0..3000u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let mut parts: Vec<_> = pieces.iter().map(|piece| std::io::IoSlice::new(piece)).collect();
    file.write_at(&mut parts, 5).unwrap();
    let want = [vec![0; 5], pieces.concat()].concat();
    assert_eq!(fs::read(&path).unwrap(), want, "more parts than one call takes");
    let mut bytes = vec![0; want.len()];
    if file.read_cached(&mut bytes, 0).unwrap() {
        assert_eq!(bytes, want);
    }
    assert!(!file.read_cached(&mut [0; 20], want.len() as u64 - 10).unwrap(), "all or nothing");
    assert_eq!(file.read_at(&mut [0; 20], want.len() as u64 - 10).unwrap(), 10);
}

/// Stores and changes this and that, over several segments; returns what is alive then.
pub(super) async fn busy_day(dir: &Path) -> Live {
    let spool = start(dir).0;
    for id in 1..=LAST_OF_THE_DAY {
        let stored = append(&spool, id, &["a", "b"], &[b'x'; 200]).await.unwrap();
        match id % 5 {
            0 => spool.amend(later(&stored, 0, 1, id * 1000)),
            1 => spool.amend(held(&stored, 1)),
            2 => {
                spool.amend(done(&stored, 0));
                spool.amend(done(&stored, 1));
            }
            _ => {}
        }
        if id == LAST_OF_THE_DAY / 2 {
            // Lets the index see half of it early.
            live(&spool).await;
        }
    }
    let live = live(&spool).await;
    spool.close().await.unwrap();
    live
}

pub(super) type Live = BTreeMap<(String, u64, u16), (EntryState, u64)>;

/// Everything the index has; also checks that it can be read.
pub(super) async fn live(spool: &Spool) -> Live {
    let mut live = Live::new();
    for channel in ["a", "b"] {
        for class in [Class::Untried, Class::Tried, Class::Held] {
            // The first scan may find the index broken and have it rebuilt.
            let mut scanned = spool.scan(channel, class, None, 100_000).await;
            if scanned.is_err() {
                scanned = spool.scan(channel, class, None, 100_000).await;
            }
            for entry in scanned.unwrap() {
                let (envelope, _) = spool.read(entry.place).await.unwrap();
                assert_eq!(envelope.id, entry.id);
                live.insert((channel.into(), entry.id.0, entry.entry), (entry.state, entry.size));
            }
        }
    }
    live
}

pub(super) fn start(dir: &Path) -> (Spool, Recovered) {
    let (opened, recovered) = Spool::open(dir, &settings(), Arc::new(RealDisk)).unwrap();
    (opened.start(|_| ()).unwrap(), recovered)
}

pub(super) fn settings() -> relais_config::Spool {
    relais_config::Spool { segment_size: 8192, large_message: 1 << 18, min_free: 0 }
}

pub(super) async fn append(
    spool: &Spool,
    id: u64,
    channels: &[&str],
    body: &[u8],
) -> Result<Stored, StorageError> {
    let content = NewContent::Whole([b"I: ", body].concat().into());
    let stored = spool.append(&mut envelope(id, channels).into(), content).await;
    // Each test is about records on the disk.
    spool.shared.reader.fresh.clear();
    stored
}

pub(super) fn change(stored: &Stored, entry: u16, now: EntryState) -> Change {
    let StoredEntry { channel, host, .. } = stored.entries[usize::from(entry)].clone();
    let (id, place, was) = (stored.id, stored.place, EntryState::fresh(1));
    let (priority, size) = (stored.priority, stored.size);
    let (at, replies, reason) = (1, RecipientReplies::new(), None);
    Change {
        id,
        place,
        entry,
        channel,
        host,
        priority,
        size,
        at,
        was,
        now,
        replies,
        reason,
        trip: None,
    }
}

/// A change of an entry that was routed again.
fn change_of(stored: &Stored, entry: u16, now: EntryState) -> Change {
    let was = stored.initial(&stored.entries[usize::from(entry)]);
    Change { was, ..change(stored, entry, now) }
}

pub(super) fn later(stored: &Stored, entry: u16, attempts: u16, due: u64) -> Change {
    change(stored, entry, EntryState::Waiting { open: 1, attempts, due })
}

pub(super) fn held(stored: &Stored, entry: u16) -> Change {
    change(stored, entry, EntryState::Held { open: 1, attempts: 0 })
}

pub(super) fn done(stored: &Stored, entry: u16) -> Change {
    change(stored, entry, EntryState::Done)
}

fn names(page: &[relais_storage::ScannedEntry]) -> Vec<(u64, u16)> {
    page.iter().map(|entry| (entry.id.0, entry.entry)).collect()
}

pub(super) fn segments(dir: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| Path::new(name).extension().is_some_and(|kind| kind == "msg")).collect()
}

pub(super) async fn eventually(holds: impl Fn() -> bool, what: &str) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(super) fn copy_dir(from: &Path, to: &PathBuf) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

pub(super) const LAST_OF_THE_DAY: u64 = 300;
