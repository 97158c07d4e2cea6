//! Messages by their ids. The index cannot find them: it is sorted by what jobs want.
//!
//! Ids grow with time, so that a segment has those of some stretch of it, and the ledger knows of
//! which. One segment, rarely two, is gone through; of all records but those that are sought only
//! the header is looked at. What the ledger knows is in the files: so is what is found here.
//!
//! A damaged message is found as well, for it must be possible to hold or delete it: by its
//! envelope if that can be made out, by the changes of its states otherwise.

use std::collections::{BTreeMap, HashMap, HashSet};

use relais_channels::mail::MessageId;
use relais_storage::{Change, Cursor, EntryState, Place, ScannedEntry, StorageError, Stored};

use crate::{
    format::message::stored_in,
    format::record::{Found, Header, Kind, Walker},
    format::segment::HEAD,
    index::block::key,
    ledger::feed::Feed,
    ledger::{Ledger, SegmentLife},
    read::reader::Reader,
};

/// Every entry of these messages that is not done, by id and entry.
pub(crate) fn find(
    reader: &Reader,
    feed: &Feed,
    ids: &HashSet<MessageId>,
) -> Result<Vec<ScannedEntry>, StorageError> {
    loop {
        let segments = feed.live(|ledger| ledger.segments_of(ids));
        let found: Result<Vec<_>, _> =
            segments.iter().map(|(number, life)| reader.find_in(*number, life, ids)).collect();
        let still_there = |ledger: &Ledger| {
            segments.iter().all(|(number, _)| ledger.segments.contains_key(number))
        };
        // A segment that was compacted meanwhile is elsewhere now, and so are its messages.
        if feed.live(still_there) {
            let mut found: Vec<_> = found?.into_iter().flatten().collect();
            found.sort_unstable_by_key(|entry| (entry.id, entry.entry));
            return Ok(found);
        }
    }
}

/// Where the records of a message are that can be read, the oldest first.
pub(crate) fn places(
    reader: &Reader,
    feed: &Feed,
    id: MessageId,
) -> Result<Vec<Place>, StorageError> {
    let ids = HashSet::from([id]);
    let segments: Vec<(u32, SegmentLife)> = feed.live(|ledger| {
        let spans = ledger.segments.iter().filter(|(_, life)| life.spans(id));
        spans.map(|(number, life)| (*number, *life)).collect()
    });
    let mut records: Vec<(u64, Place)> = Vec::new();
    for (number, life) in segments {
        match reader.messages_in(number, &life, &ids) {
            Ok((messages, _)) => {
                records.extend(messages.iter().map(|stored| (stored.rerouted, stored.place)));
            }
            // It was compacted meanwhile; what happened until then is not lost, but not told now.
            Err(StorageError::Gone { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    records.sort_unstable();
    Ok(records.into_iter().map(|(_, place)| place).collect())
}

impl Ledger {
    /// The segments that may have an entry of these messages that is not done.
    fn segments_of(&self, ids: &HashSet<MessageId>) -> Vec<(u32, SegmentLife)> {
        // The count of a closed segment is checked against its log when it comes to nothing.
        let may_have = |life: &SegmentLife| {
            (life.live > 0 || !life.closed) && ids.iter().any(|id| life.spans(*id))
        };
        let segments = self.segments.iter().filter(|(_, life)| may_have(life));
        segments.map(|(number, life)| (*number, *life)).collect()
    }
}

impl Reader {
    fn find_in(
        &self,
        segment: u32,
        life: &SegmentLife,
        ids: &HashSet<MessageId>,
    ) -> Result<Vec<ScannedEntry>, StorageError> {
        let (messages, illegible) = self.messages_in(segment, life, ids)?;
        if messages.is_empty() && illegible.is_empty() {
            return Ok(Vec::new());
        }
        let mut changed: HashMap<(MessageId, u16), EntryState> = HashMap::new();
        let mut newest: BTreeMap<(MessageId, u16), Change> = BTreeMap::new();
        self.changes(
            Place { segment, offset: 0, length: 0 },
            |id| illegible.contains(&id) || messages.iter().any(|stored| stored.id == id),
            |change| {
                if illegible.contains(&change.id) {
                    newest.insert((change.id, change.entry), change);
                    return;
                }
                changed.insert((change.id, change.entry), change.now);
            },
        )?;
        let state_of = |stored: &Stored, number: u16| changed.get(&(stored.id, number)).copied();
        let legible = messages.iter().flat_map(|stored| entries(stored, state_of));
        Ok(legible.chain(newest.values().filter_map(entry_of)).collect())
    }

    /// The messages of a segment among these, and the ids whose envelope cannot be made out.
    fn messages_in(
        &self,
        segment: u32,
        life: &SegmentLife,
        ids: &HashSet<MessageId>,
    ) -> Result<(Vec<Stored>, HashSet<MessageId>), StorageError> {
        let path = self.environment.layout.messages(segment);
        let opened = self.segment(Place { segment, offset: 0, length: 0 })?;
        let mut walker = Walker::new(&*opened.file, opened.salt, HEAD as u64, life.data_len);
        let wanted = |header: &Header| {
            matches!(header.kind, Kind::Whole | Kind::Blob) && ids.contains(&header.id)
        };
        let (mut messages, mut illegible) = (Vec::new(), HashSet::new());
        while let Some(found) = walker.next_of(wanted).map_err(StorageError::at(&path))? {
            match found {
                Found::Record { offset, header, payload } => {
                    match stored_in(segment, offset, &header, payload) {
                        Some(stored) => messages.push(stored),
                        None => drop(illegible.insert(header.id)),
                    }
                }
                Found::Bad { offset, length, id: Some(id) } => {
                    let place = Place { segment, offset: offset as u32, length: length as u32 };
                    match self.damaged(place, id)? {
                        Some(stored) => messages.push(stored),
                        None => drop(illegible.insert(id)),
                    }
                }
                Found::Bad { id: None, .. } => {}
            }
        }
        Ok((messages, illegible))
    }

    /// A damaged message, as far as its envelope can be made out.
    fn damaged(&self, place: Place, id: MessageId) -> Result<Option<Stored>, StorageError> {
        let front = self.front_at(place)?.filter(|(header, envelope)| {
            envelope.id == id && envelope.entries.len() == usize::from(header.entries)
        });
        Ok(front.map(|(header, envelope)| Stored::of(&envelope, header.kind == Kind::Blob, place)))
    }
}

/// The entries of a message that are not done.
fn entries(
    stored: &Stored,
    state_of: impl Fn(&Stored, u16) -> Option<EntryState>,
) -> Vec<ScannedEntry> {
    let alive = stored.own_entries().filter_map(|(number, entry)| {
        let state = state_of(stored, number).unwrap_or(stored.initial(entry));
        Some(ScannedEntry {
            cursor: Cursor(key(state, stored.id, number)?),
            id: stored.id,
            entry: number,
            channel: entry.channel.clone(),
            place: stored.place,
            host: entry.host.clone(),
            state,
            size: stored.size,
            priority: stored.priority,
        })
    });
    alive.collect()
}

/// An entry of a message of which nothing but this is known; `None` if it is done.
fn entry_of(change: &Change) -> Option<ScannedEntry> {
    Some(ScannedEntry {
        cursor: Cursor(key(change.now, change.id, change.entry)?),
        id: change.id,
        entry: change.entry,
        channel: change.channel.clone(),
        place: change.place,
        host: change.host.clone(),
        state: change.now,
        size: change.size,
        priority: change.priority,
    })
}

#[cfg(test)]
mod tests {
    use std::{io::IoSlice, sync::Arc};

    use crate::{
        Spool,
        format::record::HEADER,
        tests::{
            LAST_OF_THE_DAY, append, busy_day, done, eventually, later, segments, settings, start,
        },
    };
    use relais_channels::{disk::Disk, memory_disk::MemoryDisk};
    use relais_storage::Class;

    use relais_storage::QueueStorage;

    use super::*;

    #[tokio::test]
    async fn a_message_is_found_by_its_id_as_a_scan_finds_it() {
        let dir = tempfile::tempdir().unwrap();
        busy_day(dir.path()).await;
        assert!(segments(dir.path()).len() > 3);
        let spool = start(dir.path()).0;
        // One that was compacted, and some with a life behind the start.
        let first = scanned(&spool).await[0].place.segment;
        let compactor = &spool.shared.compactor;
        let copied = compactor.copy(first, &mut || true).unwrap().expect("something is alive");
        spool.shared.journal.switch(copied).await.expect("the old segment goes");
        let next = LAST_OF_THE_DAY + 1;
        for id in next..next + 3 {
            let stored = append(&spool, id, &["a", "b"], &[b'x'; 200]).await.unwrap();
            spool.amend(later(&stored, 1, 3, id));
            if id == next {
                spool.amend(done(&stored, 0));
            }
        }

        let scanned = scanned(&spool).await;
        let ids: HashSet<_> = scanned.iter().map(|entry| entry.id).collect();
        for id in &ids {
            let of_id: Vec<_> = scanned.iter().filter(|entry| entry.id == *id).cloned().collect();
            assert_eq!(spool.find(*id).await.unwrap(), of_id);
        }
        assert_eq!(spool.find_all(ids).await.unwrap(), scanned);
        for nobody in [MessageId(2), MessageId(next + 3)] {
            assert_eq!(spool.find(nobody).await.unwrap(), [], "{nobody} is done, or never was");
        }
    }

    #[tokio::test]
    async fn a_damaged_message_is_found_by_its_id() {
        let (dir, disk) = (tempfile::tempdir().unwrap(), MemoryDisk::new());
        let opened = Spool::open(dir.path(), &settings(), Arc::new(disk.clone())).unwrap().0;
        let spool = opened.start(|_| ()).unwrap();
        let content = append(&spool, 1, &["a", "b"], &[b'x'; 500]).await.unwrap();
        let envelope = append(&spool, 2, &["a", "b"], &[b'x'; 500]).await.unwrap();
        for stored in [&content, &envelope] {
            let first = later(stored, 0, 1, 5);
            let second = Change { was: first.now, ..later(stored, 0, 2, 9) };
            spool.amend(first);
            spool.amend(second);
        }
        let want = scanned(&spool).await;
        assert_eq!(want.len(), 4);
        let file = disk.open(&dir.path().join("00000001.msg")).unwrap();
        for (stored, at) in [(&content, content.place.length - 1), (&envelope, HEADER as u32)] {
            let at = u64::from(stored.place.offset + at);
            file.write_at(&mut [IoSlice::new(&[0xff; 1])], at).unwrap();
            assert!(spool.read(stored.place).await.is_err());
        }
        assert_eq!(spool.find(MessageId(1)).await.unwrap(), want[..2]);
        assert_eq!(spool.find(MessageId(2)).await.unwrap(), want[2..3], "what has changed");
        assert_eq!(spool.find_all([1, 2].map(MessageId).into()).await.unwrap(), want[..3]);
    }

    /// However it comes about: what is counted must not hide what is there.
    #[tokio::test]
    async fn an_entry_that_is_done_twice_hides_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let spool = start(dir.path()).0;
        let stored = append(&spool, 1, &["a", "b"], b"").await.unwrap();
        for _ in 0..2 {
            spool.amend(done(&stored, 0));
        }
        assert_eq!(spool.find(stored.id).await.unwrap().len(), 1, "while it is appended to");
        let last = append(&spool, 2, &["a"], &[b'x'; 10_000]).await.unwrap();
        spool.amend(done(&last, 0));
        spool.flush().await.unwrap();
        let next = append(&spool, 3, &["a"], b"").await.unwrap();
        assert_ne!(next.place.segment, stored.place.segment);
        let alive = || spool.shared.feed.live(|ledger| ledger.segments[&1].live);
        eventually(|| alive() == 1, "the log is believed").await;
        assert_eq!(spool.find(stored.id).await.unwrap().len(), 1, "and afterwards");
    }

    async fn scanned(spool: &Spool) -> Vec<ScannedEntry> {
        let mut all = Vec::new();
        for channel in ["a", "b"] {
            for class in [Class::Untried, Class::Tried, Class::Held] {
                all.extend(spool.scan(channel, class, None, 100_000).await.unwrap());
            }
        }
        all.sort_unstable_by_key(|entry| (entry.id, entry.entry));
        all
    }
}
