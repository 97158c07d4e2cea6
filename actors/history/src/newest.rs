//! The newest segment as it grows, and when old ones go.

use std::{
    mem,
    path::PathBuf,
    sync::{Arc, TryLockError, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use rustix::fs::statvfs;
use tracing::{info, warn};

use crate::{
    block::BlockBuilder,
    codec::Octets,
    error::HistoryError,
    files::Files,
    index::{BlockPlace, OpenIndex, SealedIndex, Wanted},
    note::{LOST, MAX_RECIPIENTS, Note},
    now_ms,
    segment::{SegmentFile, SegmentReader},
    steady::SteadyClock,
    streams::{LEVEL, Streams},
    tail::{self, Tail, TailNotes},
    tap::Shared,
};

/// The room of a history, and its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The folder.
    pub folder: PathBuf,
    /// How long notes are kept, at least; at most a quarter of a day longer.
    pub age: Duration,
    /// Octets of the disk. 0: nothing is written, and what was is removed.
    pub size: u64,
    /// Octets of the disk that others need: nothing is written as soon as they are nearly reached, and below
    /// them the oldest segments go.
    pub min_free: u64,
    /// How long the clock of the wall must have gone on evenly before what is old by it goes.
    pub believed_after: Duration,
}

/// The answer about the newest segment.
#[derive(Debug)]
pub(crate) struct Newest {
    pub(crate) number: u64,
    pub(crate) places: Vec<BlockPlace>,
    /// Notes that are in no block yet; whoever asks reads them, for the writer has others to serve.
    pub(crate) pending: Option<Streams>,
}

/// The newest segment, and what is known of the others.
pub(crate) struct Writer {
    pub(crate) settings: Settings,
    files: Files,
    shared: Arc<Shared>,
    number: u64,
    segment: SegmentFile,
    index: OpenIndex,
    tail: Tail,
    block: BlockBuilder,
    compressor: zstd::bulk::Compressor<'static>,
    /// The sealed ones, the oldest first.
    sealed: Vec<Sealed>,
    unsynced: Option<Instant>,
    clock: SteadyClock,
    /// The disk has no room, or is broken.
    is_stopped: bool,
    /// When writing last failed.
    failed: Option<Instant>,
    /// Notes that could not be written since.
    lost: u64,
}

#[derive(Clone, Copy, Debug)]
struct Sealed {
    number: u64,
    octets: u64,
    last: u64,
}

impl Writer {
    pub(crate) fn open(settings: Settings, shared: Arc<Shared>) -> Result<Self, HistoryError> {
        let folder = settings.folder.clone();
        let at = || HistoryError::at(&folder);
        let files = Files::create(&folder).map_err(at())?;
        files.sweep().map_err(at())?;
        let mut numbers = files.segments().map_err(at())?;
        let newest = numbers.pop_if(|number| SealedIndex::open(&files.index(*number)).is_err());
        let mut sealed = Vec::new();
        for number in &numbers {
            sealed.push(look_at(&files, *number)?);
        }
        let number = newest.or_else(|| numbers.last().map(|last| last + 1)).unwrap_or(1);
        let path = files.segment(number);
        let (index, good) = match newest {
            Some(_) => {
                let reader = SegmentReader::open(&path).map_err(HistoryError::at(&path))?;
                let (index, survey) = reader.index();
                tell_of(survey.damaged, number);
                (index, survey.good)
            }
            None => (OpenIndex::default(), 0),
        };
        let segment = SegmentFile::reopen(&path, good).map_err(HistoryError::at(&path))?;
        let path = files.tail(number);
        let TailNotes { notes: pending, damaged } = tail::read(&path, segment.length);
        if damaged > 0 {
            warn!(
                segment = number,
                places = damaged,
                "the tail of the history is damaged: the rest is used"
            );
            shared.lost.fetch_add(damaged, Relaxed);
        }
        let tail = Tail::create(&path, segment.length).map_err(HistoryError::at(&path))?;
        let compressor = zstd::bulk::Compressor::new(LEVEL).map_err(at())?;
        let mut writer = Self {
            settings,
            files,
            shared,
            number,
            segment,
            index,
            tail,
            block: BlockBuilder::default(),
            compressor,
            sealed,
            unsynced: None,
            clock: SteadyClock::new(Instant::now(), now_ms()),
            is_stopped: false,
            failed: None,
            lost: 0,
        };
        writer.write(&pending);
        writer.look_after();
        Ok(writer)
    }

    /// Adds notes, as they were told.
    pub(crate) fn write(&mut self, notes: &[u8]) {
        if notes.is_empty() {
            return;
        }
        if self.is_stopped {
            return self.lose(count(notes));
        }
        if let Err(error) = self.tail.append(notes) {
            self.stop(&error);
            return self.lose(count(notes));
        }
        self.unsynced.get_or_insert_with(Instant::now);
        let mut octets = Octets(notes);
        let mut written = 0;
        let mut named = Vec::new();
        while let Some((note, recipients)) = Note::decode(&mut octets) {
            named.clear();
            named.extend(recipients.take(MAX_RECIPIENTS));
            self.block.add(&note, &named);
            written += 1;
            if self.block.notes >= MAX_NOTES || self.block.octets() >= MAX_BLOCK {
                // The rest of these notes are in the tail that this begins anew.
                self.end_block(octets.0);
            }
        }
        self.shared.figures.notes.fetch_add(written, Relaxed);
    }

    /// Writes that notes were lost.
    pub(crate) fn write_lost(&mut self) {
        let lost = self.lost + self.shared.lost.swap(0, Relaxed);
        if lost == 0 {
            return;
        }
        self.shared.figures.lost.fetch_add(lost - self.lost, Relaxed);
        self.lost = lost;
        if self.is_stopped {
            return;
        }
        self.lost = 0;
        warn!(lost, "notes of the history were lost");
        let note = Note { action: LOST, at: now_ms(), size: lost, ..Note::default() };
        let mut octets = Vec::new();
        note.encode(&mut octets, [].into_iter());
        self.write(&octets);
    }

    fn lose(&mut self, notes: u64) {
        self.lost += notes;
        self.shared.figures.lost.fetch_add(notes, Relaxed);
    }

    /// Writes the block that has been filled; `rest`: notes that are not in it.
    fn end_block(&mut self, rest: &[u8]) {
        if self.block.notes == 0 {
            return self.end_full_segment(rest);
        }
        match self.segment.append(&self.block, &mut self.compressor) {
            Ok(place) => self.index.add(place, &self.block.keys),
            Err(error) => {
                self.lose(u64::from(self.block.notes));
                self.stop(&error);
            }
        }
        self.block.clear();
        let restarted = self.tail.restart(self.segment.length);
        let restarted = restarted.and_then(|()| match rest {
            [] => Ok(()),
            rest => self.tail.append(rest),
        });
        if let Err(error) = restarted {
            self.stop(&error);
        }
        self.end_full_segment(rest);
        self.keep_to_size();
    }

    fn end_full_segment(&mut self, rest: &[u8]) {
        let most = (self.settings.size / 16).clamp(MIN_SEGMENT, MAX_SEGMENT);
        if self.segment.length >= most || self.index.is_full() {
            self.end_segment(rest);
        }
    }

    fn end_segment(&mut self, rest: &[u8]) {
        if let Err(error) = self.try_end_segment(rest) {
            self.stop(&error);
        }
    }

    /// Seals the segment, and begins another.
    fn try_end_segment(&mut self, rest: &[u8]) -> Result<(), HistoryError> {
        if self.index.blocks.is_empty() {
            return Ok(());
        }
        let path = self.files.segment(self.number);
        self.segment.sync().map_err(HistoryError::at(&path))?;
        let number = self.number + 1;
        // The index is what seals it: by then there is somewhere to go on.
        let begun = self.begin(number, rest);
        let sealed = begun.and_then(|begun| Ok((begun, self.seal_index()?)));
        let ((segment, tail), sealed) = sealed.inspect_err(|_| {
            // A segment that is begun would be taken for the newest.
            let _ = std::fs::remove_file(self.files.segment(number));
        })?;
        self.sealed.push(sealed);
        (self.segment, self.tail, self.index) = (segment, tail, OpenIndex::default());
        let before = self.files.tail(mem::replace(&mut self.number, number));
        std::fs::remove_file(&before).map_err(HistoryError::at(&before))
    }

    /// The files of the next segment; `rest`: notes that begin it.
    fn begin(&self, number: u64, rest: &[u8]) -> Result<(SegmentFile, Tail), HistoryError> {
        let (path, tail_path) = (self.files.segment(number), self.files.tail(number));
        let segment = SegmentFile::create(&path).map_err(HistoryError::at(&path))?;
        let tail = Tail::create(&tail_path, segment.length);
        let tail = tail.and_then(|mut tail| match rest {
            [] => Ok(tail),
            rest => tail.append(rest).map(|()| tail),
        });
        Ok((segment, tail.map_err(HistoryError::at(&tail_path))?))
    }

    fn seal_index(&mut self) -> Result<Sealed, HistoryError> {
        let (number, last) = (self.number, self.index.last());
        let octets = self.index.write(&self.files.index(number))? + self.segment.length;
        Ok(Sealed { number, octets, last })
    }

    pub(crate) fn seal(&mut self) -> Result<(), HistoryError> {
        self.end_block(&[]);
        self.try_end_segment(&[])
    }

    pub(crate) fn find(&self, wanted: &Wanted) -> Newest {
        let pending = self.block.may_hold(wanted).then(|| self.block.streams.clone());
        Newest { number: self.number, places: self.index.find(wanted), pending }
    }

    /// Whether somebody has removed its files: what it writes is nowhere.
    pub(crate) fn is_gone(&self) -> bool {
        self.segment.is_gone() || self.tail.is_gone()
    }

    /// Notes that are in no segment.
    pub(crate) fn pending(&self) -> u64 {
        u64::from(self.block.notes)
    }

    /// Room, age, and what the disk has in its own memory.
    pub(crate) fn look_after(&mut self) {
        if self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
            self.sync();
        }
        let now = now_ms();
        if self.block.notes > 0 && now.saturating_sub(self.block.first) > ms(MAX_BLOCK_AGE) {
            self.end_block(&[]);
        }
        let first = self.index.blocks.first().map_or(now, |its| its.first);
        if now.saturating_sub(first) > ms(MAX_SEGMENT_AGE) {
            self.end_segment(&[]);
        }
        let oldest = now.saturating_sub(ms(self.settings.age));
        // A clock that has jumped is not believed at once: what goes is gone for good.
        if self.clock.is_steady(Instant::now(), now, self.settings.believed_after) {
            while self.sealed.first().is_some_and(|its| its.last < oldest) && self.remove_oldest() {
            }
        }
        self.keep_to_size();
        self.look_at_disk();
    }

    fn look_at_disk(&mut self) {
        let Ok(disk) = statvfs(&self.settings.folder) else { return };
        let (free, least) = (disk.f_bavail * disk.f_frsize, self.settings.min_free);
        if free < least {
            // One a second: what else fills the disk may be on its way out.
            self.remove_oldest();
        }
        if free < least.saturating_add(MARGIN.min(least)) {
            self.is_stopped = true;
            let wanted = least.saturating_add(MARGIN.min(least)) >> 20;
            let why = format!("the disk has {} MiB free, and {wanted} MiB are wanted", free >> 20);
            if self.shared.figures.begin_stop(why) {
                warn!(free, "the disk is nearly full: the history is not written");
            }
        } else if self.is_stopped && self.failed.is_none_or(|at| at.elapsed() > TRY_AGAIN) {
            (self.is_stopped, self.failed) = (false, None);
            // The tail may end in the middle of something.
            self.end_block(&[]);
            self.write_lost();
            if !self.is_stopped {
                info!("the history is written again");
            }
        }
        if !self.is_stopped {
            self.shared.figures.end_stop();
        }
    }

    fn keep_to_size(&mut self) {
        let sealed = |its: &Self| its.sealed.iter().map(|one| one.octets).sum::<u64>();
        let keys = self.index.octets_to_come();
        while sealed(self) + self.segment.length + keys > self.settings.size && self.remove_oldest()
        {
        }
        self.shared.figures.octets.store(sealed(self) + self.segment.length, Relaxed);
    }

    /// Removes the oldest segment; `false`: there is none, or somebody reads it.
    fn remove_oldest(&mut self) -> bool {
        let Some(oldest) = self.sealed.first() else { return false };
        let moving = match self.shared.moving.try_write() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        let removed = self.files.remove(oldest.number);
        drop(moving);
        if let Err(error) = removed {
            warn!(%error, "a segment of the history cannot be removed");
            return false;
        }
        self.sealed.remove(0);
        true
    }

    pub(crate) fn sync(&mut self) {
        self.unsynced = None;
        if let Err(error) = self.segment.sync().and_then(|()| self.tail.sync()) {
            self.stop(&error);
        }
    }

    fn stop(&mut self, error: &dyn std::fmt::Display) {
        self.failed = Some(Instant::now());
        self.is_stopped = true;
        if self.shared.figures.begin_stop(error.to_string()) {
            warn!(%error, "the history cannot be written");
        }
    }
}

/// The size and the age of a sealed segment; an index that is missing is made.
fn look_at(files: &Files, number: u64) -> Result<Sealed, HistoryError> {
    let path = files.index(number);
    let last = if let Ok(index) = SealedIndex::open(&path) {
        index.last
    } else {
        let segment = files.segment(number);
        let reader = SegmentReader::open(&segment).map_err(HistoryError::at(&segment))?;
        let (mut index, survey) = reader.index();
        tell_of(survey.damaged, number);
        index.write(&path)?;
        index.last()
    };
    Ok(Sealed { number, octets: files.size(number), last })
}

fn tell_of(damaged: usize, segment: u64) {
    if damaged > 0 {
        warn!(segment, places = damaged, "a segment of the history is damaged: the rest is used");
    }
}

pub(crate) fn count(notes: &[u8]) -> u64 {
    let mut octets = Octets(notes);
    let mut count = 0;
    while Note::decode(&mut octets).is_some() {
        count += 1;
    }
    count
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const SYNC_EVERY: Duration = Duration::from_secs(5);
/// Notes of a block.
const MAX_NOTES: u32 = 16_384;
/// Octets of a block before it is compressed, and of its texts.
const MAX_BLOCK: usize = 4 << 20;
const MAX_BLOCK_AGE: Duration = Duration::from_secs(3_600);
/// Segments go as a whole, and so by the hour.
const MAX_SEGMENT_AGE: Duration = Duration::from_secs(6 * 3_600);
/// Octets of a segment.
const MAX_SEGMENT: u64 = 16 << 20;
const MIN_SEGMENT: u64 = 64 << 10;
/// After nothing could be written.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// Octets above those that others need, at which nothing is written any more.
const MARGIN: u64 = 64 << 20;
