//! Compaction: what is alive in a mostly dead segment moves to another one, and the first goes.
//!
//! # Which, when, how fast
//!
//! A closed segment of which at most a quarter is alive ([`is_worth_it`]): each byte written frees
//! three or more, and a message that lies for days is copied three or four times until its segment
//! is too small to matter. The oldest first, and none younger than [`MIN_AGE`]: most segments die
//! as a whole soon, and then nothing needs to be copied; when the disk is short of room none is too
//! young. One segment at a time, [`SLICE`] bytes read and at most as many written in each
//! [`PAUSE`]: 10 MiB/s at most, a segment of 64 MiB in seven seconds, 600 GiB freed in a day. It
//! has a thread of its own and mail never waits for it; the journal is kept for the time of a few
//! syncs.
//!
//! # How it is done
//!
//! Let `old` be the segment and `new` the next free number.
//!
//! 1. The compactor copies the messages that have an entry alive to `new.tmp`, under the head of
//!    segment `new`, which says that it replaces `old`; then what `old.st` says of them, their
//!    history, to `new.st`. A message that is done is done for good, so all that can change
//!    meanwhile is that a copy was not necessary. Both files are synced. Until step 4 a start
//!    removes them, and nothing has happened.
//! 2. The journal, which alone writes states, makes `old.st` durable, appends to `new.st` what was
//!    appended to `old.st` meanwhile, syncs it, and syncs the directory: the name of `new.st` is
//!    safe before that of the messages.
//! 3. It counts: as many entries must be alive in the copy as the ledger says of `old`, or the
//!    copy is dropped and `old` stays.
//! 4. It renames `new.tmp` to `new.msg`. From this moment `new` counts, and `old` does not.
//! 5. Changes go to `new.st` from now on, whatever place they were made for: [`Forwarding`] knows.
//!    None of them is called durable before the directory has been synced once more. So a power cut
//!    leaves either `old` alone with everything that was ever promised, or `new`.
//! 6. The index is told the new place of each entry ([`Event::Moved`]). When it does not refer to
//!    `old` any more, the journal deletes that; `new` cannot go, nor be compacted itself, before
//!    `old` is gone for good, so that nothing can come back from the dead.
//!
//! A start that finds both takes `new`, lets an index that did not follow so far forget what it
//! knows of `old`, and removes that. Who holds an old place while the engine runs may use it as
//! long as the message lives.
//!
//! A segment with damage in it is not compacted: it is left as it is, for inspection. What fails
//! for another reason is tried again later, see [`Cooldown`].

use std::{
    collections::{HashMap, HashSet},
    io::{self, IoSlice},
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use relais_channels::{disk::DiskFile, mail::MessageId};
use tokio::sync::oneshot;

#[cfg(doc)]
use crate::ledger::Event;
use crate::{
    compact::forwarding::Forwarding,
    cooldown::Cooldown,
    environment::{Environment, RESERVE},
    error::SpoolError,
    format::change::{Change, Names},
    format::message::Stored,
    format::record::{Found, HEADER, Header, Kind, Place, Salt, Walker},
    format::segment::{HEAD, Numbers, Part, SegmentHead, create_states},
    format::state::EntryState,
    inbox::Inbox,
    ledger::SegmentLife,
    ledger::feed::Feed,
};

/// Decides what is compacted, and copies it; on a thread of its own.
pub(crate) struct Compactor {
    environment: Arc<Environment>,
    feed: Arc<Feed>,
    forwarding: Arc<Forwarding>,
    numbers: Arc<Numbers>,
}

/// Lets the compactor rest, until it has to end.
#[derive(Default)]
pub(crate) struct Rest(Inbox<()>);

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

impl Rest {
    /// Waits that long; says whether to go on.
    fn take(&self, time: Duration) -> bool {
        let ((), closed) = self.0.take(Some(Instant::now() + time), None, |()| true);
        !closed
    }

    /// Ends the compactor.
    pub(crate) fn end(&self) {
        self.0.close();
    }
}

impl Compactor {
    pub(crate) fn new(
        environment: Arc<Environment>,
        feed: Arc<Feed>,
        forwarding: Arc<Forwarding>,
        numbers: Arc<Numbers>,
    ) -> Self {
        Self { environment, feed, forwarding, numbers }
    }

    /// The thread. `switch` hands a copy to the journal, and is answered when the old segment is
    /// gone.
    pub(crate) fn run(&self, rest: &Rest, switch: impl Fn(Copied) -> oneshot::Receiver<()>) {
        let mut cooldown = Cooldown::default();
        while rest.take(LOOK_EVERY) {
            while let Some(segment) = self.next(&mut cooldown, Instant::now()) {
                match self.copy(segment, &mut || rest.take(PAUSE)) {
                    Ok(Some(copied)) => {
                        if switch(copied).blocking_recv().is_err() {
                            cooldown.put_off(segment, Instant::now());
                        }
                    }
                    // It is told to stop, or somebody else took the room that was there.
                    Ok(None) | Err(SpoolError::DiskFull { .. }) => break,
                    Err(error) => {
                        self.environment.report(&error, "a segment was not compacted and stays");
                        if matches!(error, SpoolError::Damaged { .. }) {
                            cooldown.give_up(segment);
                        } else {
                            cooldown.put_off(segment, Instant::now());
                        }
                    }
                }
            }
        }
    }

    /// The segment to compact now.
    pub(crate) fn next(&self, cooldown: &mut Cooldown, now: Instant) -> Option<u32> {
        let settings = &self.environment.settings;
        let free = self.environment.disk.free_space(self.environment.layout.root()).ok()?;
        let fits = |life: &SegmentLife| free > life.live_bytes.saturating_add(RESERVE);
        let worth: Vec<u32> = self.feed.live(|ledger| {
            cooldown.retain(|number| ledger.segments.contains_key(&number));
            let worth = |(number, life): (&u32, &SegmentLife)| {
                let worth = is_worth_it(life, settings.segment_size) && fits(life);
                (worth && !cooldown.contains(*number, now)).then_some(*number)
            };
            ledger.segments.iter().filter_map(worth).collect()
        });
        let short_of_room = free < settings.min_free.saturating_mul(SHORT);
        // Segments are in the order in which they were begun.
        let oldest = *worth.first()?;
        let ripe = short_of_room || self.age(oldest).is_some_and(|age| age >= MIN_AGE);
        (ripe && self.forwarding.len() < MAX_FORWARDED).then_some(oldest)
    }

    fn age(&self, segment: u32) -> Option<Duration> {
        let head = SegmentHead::load(&*self.environment.disk, &self.environment.layout, segment)
            .ok()??;
        let begun = UNIX_EPOCH + Duration::from_millis(head.created);
        SystemTime::now().duration_since(begun).ok()
    }

    /// Copies what is alive in a segment. `pause` is called after each [`SLICE`] and says whether
    /// to go on. `None`: it does not, or the segment does not need it any more.
    pub(crate) fn copy(
        &self,
        segment: u32,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Copied>, SpoolError> {
        let life = self.feed.live(|ledger| ledger.segments.get(&segment).copied());
        let Some(life) = life.filter(|life| life.closed && life.live > 0) else { return Ok(None) };
        let head = SegmentHead::new(self.numbers.take(), segment);
        let copied = self.copy_files(head, &life, pause);
        if !matches!(copied, Ok(Some(_))) {
            drop_copy(&self.environment, head.number);
        }
        copied
    }

    fn copy_files(
        &self,
        head: SegmentHead,
        life: &SegmentLife,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Copied>, SpoolError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let path = layout.messages(head.replaces);
        let old = SegmentHead::load(disk, layout, head.replaces).map_err(SpoolError::at(&path))?;
        let old = old.ok_or(damaged(head.replaces, 0, 0))?;
        let mut done = HashSet::new();
        each_change(&self.environment, old.number, HEAD as u64..life.states_len, &mut |change| {
            if change.now == EntryState::Done {
                done.insert((change.id, change.entry));
            }
            Ok(())
        })?;
        let segment = Old { head: old, life, done };
        let Some(mut copied) = self.copy_messages(&segment, head, pause)? else {
            return Ok(None);
        };
        drop(segment);
        let file = create_states(disk, layout, head);
        let mut out =
            Output::new(&self.environment, layout.states(head.number), file, HEAD as u64)?;
        let salt = head.salt(Part::States);
        each_change(&self.environment, old.number, HEAD as u64..life.states_len, &mut |change| {
            if let Some(change) = copied.take_over(change) {
                change.encode(salt, out.end(), HEAD as u32, &mut out.buffer);
            }
            if out.buffer.len() < SLICE { Ok(()) } else { out.write_out() }
        })?;
        out.write_out()?;
        Ok(Some(copied))
    }

    fn copy_messages(
        &self,
        segment: &Old<'_>,
        head: SegmentHead,
        pause: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Copied>, SpoolError> {
        let Old { head: old, life, done } = segment;
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let path = layout.messages(old.number);
        let file = disk.open(&path).map_err(SpoolError::at(&path))?;
        let mut records = Walker::new(&*file, old.salt(Part::Messages), HEAD as u64, life.data_len);
        let unfinished = layout.unfinished(head.number);
        let mut out =
            Output::new(&self.environment, unfinished.clone(), disk.create(&unfinished), 0)?;
        out.buffer.extend(head.to_bytes());
        let mut copied = Copied::of(old.number, head, life.states_len);
        let mut names = Names::default();
        let mut paused_at = 0;
        while let Some(found) = records.next().map_err(SpoolError::at(&path))? {
            let (offset, header, payload) = match found {
                Found::Record { offset, header, payload } => (offset, header, payload),
                Found::Bad { offset, length, .. } => {
                    return Err(damaged(old.number, offset, length));
                }
            };
            if matches!(header.kind, Kind::Whole | Kind::Blob) {
                let to = out.end();
                let stored = Stored::from_record(head.number, to, &header, payload)
                    .ok_or(damaged(old.number, offset, header.length()))?;
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
            let mut change = Change::moved(stored, number, entry);
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
    ) -> Result<Self, SpoolError> {
        let file = file.map_err(|error| environment.failure(&path, error))?;
        Ok(Self { environment, path, file, written, buffer: Vec::new() })
    }

    fn end(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn append(&mut self, header: &Header, payload: &[u8], salt: Salt) {
        let (start, end) = (self.buffer.len(), self.end());
        let header = Header { durable: self.written as u32, ..*header };
        self.buffer.resize(start + HEADER, 0);
        header.write(salt, end, &mut self.buffer[start..]);
        self.buffer.extend_from_slice(payload);
    }

    fn write_out(&mut self) -> Result<(), SpoolError> {
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
    each: &mut dyn FnMut(Change) -> Result<(), SpoolError>,
) -> Result<(), SpoolError> {
    if stretch.is_empty() {
        return Ok(());
    }
    let (disk, path) = (&*environment.disk, environment.layout.states(segment));
    let head =
        SegmentHead::load(disk, &environment.layout, segment).map_err(SpoolError::at(&path))?;
    let head = head.ok_or(damaged(segment, 0, 0))?;
    let file = disk.open(&path).map_err(SpoolError::at(&path))?;
    let mut walker = Walker::new(&*file, head.salt(Part::States), stretch.start, stretch.end);
    while let Some(found) = walker.next().map_err(SpoolError::at(&path))? {
        let change = match found {
            Found::Record { header, payload, .. } => Change::decode(&header, payload, true),
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

/// Whether a copy of what is alive frees enough.
pub(crate) fn is_worth_it(life: &SegmentLife, segment_size: u64) -> bool {
    // The states do not count: those of survivors may be longer than the messages, and move along.
    life.closed
        && life.live > 0
        && life.live_bytes.saturating_mul(4) <= life.data_len
        && life.data_len - life.live_bytes >= segment_size / 64
}

fn damaged(segment: u32, offset: u64, length: u64) -> SpoolError {
    let place = Place { segment, offset: offset as u32, length: length as u32 };
    SpoolError::Damaged { place }
}

/// Bytes read, and written at most, before a pause.
const SLICE: usize = 1 << 20;
const PAUSE: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Most messages are done within this time.
const MIN_AGE: Duration = Duration::from_secs(600);
/// The disk is short of room when less than this many times `min_free` is free.
const SHORT: u64 = 4;
/// Messages in the table of old places; 16 MiB. Beyond, compaction waits until some are done.
const MAX_FORWARDED: usize = 2_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compacted_frees_three_times_what_it_costs() {
        const MIB: u64 = 1 << 20;
        let life = |data_len, live_bytes| SegmentLife {
            data_len,
            live_bytes,
            live: u32::from(live_bytes > 0),
            closed: true,
            ..SegmentLife::unread()
        };
        let rows = [
            ("nothing alive: it goes as it is", life(64 * MIB, 0), false),
            ("one small message", life(64 * MIB, 4096), true),
            ("a quarter", life(64 * MIB, 16 * MIB), true),
            ("more than a quarter", life(64 * MIB, 17 * MIB), false),
            ("a copy of a copy", life(4 * MIB, 4096), true),
            ("too small to matter", life(MIB, 4096), false),
            ("open", SegmentLife { closed: false, ..life(64 * MIB, 4096) }, false),
        ];
        for (name, life, want) in rows {
            assert_eq!(is_worth_it(&life, 64 * MIB), want, "{name}");
        }
    }
}
