//! The first step of a compaction: the copy of a segment. The journal takes over from there, with
//! the changes that were made meanwhile.

use std::{
    collections::{HashMap, HashSet},
    io::{self, IoSlice},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use relais_channels::{disk::DiskFile, mail::MessageId};
use relais_storage::{Change, EntryState, Place, StorageError, Stored};

use crate::{
    environment::Environment,
    format::change,
    format::change::Names,
    format::message::stored_in,
    format::record::{Found, HEADER, Header, Kind, Salt, Walker},
    format::segment::{HEAD, Part, SegmentHead, create_states},
    ledger::SegmentLife,
};

/// A copy that is whole and does not count yet.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) from: u32,
    pub(crate) head: SegmentHead,
    /// Bytes of the messages, seal included.
    data_len: u64,
    /// How much of the old state file has been taken over.
    pub(crate) followed: u64,
    /// Old offset and new one, sorted.
    pub(crate) offsets: Vec<(u32, u32)>,
    /// Each entry of the copied messages, changed from the state it has to the same.
    entries: HashMap<(MessageId, u16), Change>,
}

/// Copies what is alive in the segment that `head` replaces. `pause` is called after each [`SLICE`]
/// and says whether to go on. `None`: it does not, or the segment does not need it any more.
pub(super) fn copy(
    environment: &Environment,
    life: &SegmentLife,
    head: SegmentHead,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Option<Copied>, StorageError> {
    let copied = copy_files(environment, head, life, pause);
    if !matches!(copied, Ok(Some(_))) {
        drop_copy(environment, head.number);
    }
    copied
}

fn copy_files(
    environment: &Environment,
    head: SegmentHead,
    life: &SegmentLife,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Option<Copied>, StorageError> {
    let (disk, layout) = (&*environment.disk, &environment.layout);
    let path = layout.messages(head.replaces);
    let old = SegmentHead::load(disk, layout, head.replaces).map_err(StorageError::at(&path))?;
    let old = old.ok_or(damaged(head.replaces, 0, 0))?;
    let mut done = HashSet::new();
    each_change(environment, old.number, HEAD as u64..life.states_len, &mut |change| {
        if change.now == EntryState::Done {
            done.insert((change.id, change.entry));
        }
        Ok(())
    })?;
    let segment = Old { head: old, life, done };
    let Some(mut copied) = copy_messages(environment, &segment, head, pause)? else {
        return Ok(None);
    };
    drop(segment);
    let file = create_states(disk, layout, head);
    let mut out = Output::new(environment, layout.states(head.number), file, HEAD as u64)?;
    let salt = head.salt(Part::States);
    each_change(environment, old.number, HEAD as u64..life.states_len, &mut |change| {
        if let Some(change) = copied.take_over(change) {
            let at = out.end();
            change::encode(&change, (salt, at), HEAD as u32, &mut out.buffer);
        }
        if out.buffer.len() < SLICE { Ok(()) } else { out.write_out() }
    })?;
    out.write_out()?;
    Ok(Some(copied))
}

fn copy_messages(
    environment: &Environment,
    segment: &Old<'_>,
    head: SegmentHead,
    pause: &mut dyn FnMut() -> bool,
) -> Result<Option<Copied>, StorageError> {
    let Old { head: old, life, done } = segment;
    let (disk, layout) = (&*environment.disk, &environment.layout);
    let path = layout.messages(old.number);
    let file = disk.open(&path).map_err(StorageError::at(&path))?;
    let mut records = Walker::new(&*file, old.salt(Part::Messages), HEAD as u64, life.data_len);
    let unfinished = layout.unfinished(head.number);
    let mut out = Output::new(environment, unfinished.clone(), disk.create(&unfinished), 0)?;
    out.buffer.extend(head.to_bytes());
    let mut copied = Copied::of(old.number, head, life.states_len);
    let mut names = Names::default();
    let mut paused_at = 0;
    while let Some(found) = records.next().map_err(StorageError::at(&path))? {
        let (offset, header, payload) = match found {
            Found::Record { offset, header, payload } => (offset, header, payload),
            Found::Bad { offset, length, .. } => {
                return Err(damaged(old.number, offset, length));
            }
        };
        if matches!(header.kind, Kind::Whole | Kind::Blob) {
            let to = out.end();
            let stored = stored_in(head.number, to, &header, payload).ok_or(damaged(
                old.number,
                offset,
                header.length(),
            ))?;
            if !stored.own_entries().all(|(entry, _)| done.contains(&(stored.id, entry))) {
                out.append(&header, payload, head.salt(Part::Messages));
                copied.add(offset as u32, &stored, &mut names);
            }
        }
        if out.buffer.len() >= SLICE || offset - paused_at >= SLICE as u64 {
            out.write_out()?;
            paused_at = offset;
            if !pause() {
                return Ok(None);
            }
        }
    }
    out.append(&Header::seal(out.end() as u32), &[], head.salt(Part::Messages));
    out.write_out()?;
    copied.data_len = out.end();
    Ok(Some(copied))
}

/// The segment that is copied.
struct Old<'a> {
    head: SegmentHead,
    life: &'a SegmentLife,
    /// Entries that are not copied.
    done: HashSet<(MessageId, u16)>,
}

impl Copied {
    fn of(from: u32, head: SegmentHead, followed: u64) -> Self {
        let (offsets, entries) = (Vec::new(), HashMap::new());
        Self { from, head, data_len: 0, followed, offsets, entries }
    }

    fn add(&mut self, from: u32, stored: &Stored, names: &mut Names) {
        self.offsets.push((from, stored.place.offset));
        for (number, entry) in stored.own_entries() {
            let mut change = change::moved(stored, number, entry);
            names.share(&mut change.channel);
            names.share(&mut change.host);
            self.entries.insert((stored.id, number), change);
        }
    }

    /// A change made in the old segment, as it is made in the new one. `None`: its message was not
    /// copied, for it is done.
    pub(crate) fn take_over(&mut self, mut change: Change) -> Option<Change> {
        let entry = self.entries.get_mut(&(change.id, change.entry))?;
        change.place = entry.place;
        (entry.was, entry.now) = (change.now, change.now);
        Some(change)
    }

    /// The life of the new segment for the ledger, and the entries that are alive.
    pub(crate) fn into_life(self, states_len: u64) -> (SegmentLife, Vec<Change>) {
        let entries = self.entries.len() as u32;
        let ids = self.entries.keys().map(|(id, _)| id.0);
        let ids = ids.clone().min().zip(ids.max());
        let alive = self.entries.into_values().filter(|entry| entry.now != EntryState::Done);
        let alive: Vec<Change> = alive.collect();
        let live_bytes = alive.iter().map(|entry| u64::from(entry.place.length)).sum();
        let life = SegmentLife {
            data_len: self.data_len,
            states_len,
            entries,
            live: alive.len() as u32,
            live_bytes,
            closed: true,
            ids,
        };
        (life, alive)
    }
}

/// A file that is written to its end and synced as it goes.
struct Output<'a> {
    environment: &'a Environment,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    /// Bytes that are durable.
    written: u64,
    buffer: Vec<u8>,
}

impl<'a> Output<'a> {
    fn new(
        environment: &'a Environment,
        path: PathBuf,
        file: io::Result<Arc<dyn DiskFile>>,
        written: u64,
    ) -> Result<Self, StorageError> {
        let file = file.map_err(|error| environment.failure(&path, error))?;
        Ok(Self { environment, path, file, written, buffer: Vec::new() })
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn append(&mut self, header: &Header, payload: &[u8], salt: Salt) {
        let (start, end) = (self.buffer.len(), self.end());
        // The others of its group may be done: from here on it counts alone.
        let header = Header { durable: self.written as u32, grouped: false, ..*header };
        self.buffer.resize(start + HEADER, 0);
        header.write(salt, end, &mut self.buffer[start..]);
        self.buffer.extend_from_slice(payload);
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        let written = self.file.write_at(&mut [IoSlice::new(&self.buffer)], self.written);
        let synced = written.and_then(|()| self.file.sync_data());
        synced.map_err(|error| self.environment.failure(&self.path, error))?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }
}

/// Goes through the changes in a stretch of a segment's state file.
pub(crate) fn each_change(
    environment: &Environment,
    segment: u32,
    stretch: Range<u64>,
    each: &mut dyn FnMut(Change) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    if stretch.is_empty() {
        return Ok(());
    }
    let (disk, path) = (&*environment.disk, environment.layout.states(segment));
    let head =
        SegmentHead::load(disk, &environment.layout, segment).map_err(StorageError::at(&path))?;
    let head = head.ok_or(damaged(segment, 0, 0))?;
    let file = disk.open(&path).map_err(StorageError::at(&path))?;
    let mut walker = Walker::new(&*file, head.salt(Part::States), stretch.start, stretch.end);
    while let Some(found) = walker.next().map_err(StorageError::at(&path))? {
        let change = match found {
            Found::Record { header, payload, .. } => change::decode(&header, payload, true),
            Found::Bad { .. } => None,
        };
        each(change.ok_or(damaged(segment, 0, 0))?)?;
    }
    Ok(())
}

/// Removes a copy that is not to count.
pub(crate) fn drop_copy(environment: &Environment, number: u32) {
    // A file that is left over is removed at the next start.
    let _ = environment.disk.remove(&environment.layout.states(number));
    let _ = environment.disk.remove(&environment.layout.unfinished(number));
}

fn damaged(segment: u32, offset: u64, length: u64) -> StorageError {
    let place = Place { segment, offset: offset as u32, length: length as u32 };
    StorageError::Damaged { place }
}

/// Bytes read, and written at most, before a pause.
pub(super) const SLICE: usize = 1 << 20;
