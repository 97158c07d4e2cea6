//! Events that a webhook has not taken yet: lines in segments, on disk.
//!
//! Lines are appended to the newest segment and taken from the oldest one; a segment whose lines are taken is
//! removed. After a start nothing is appended to a segment of before.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::batch::{Batch, Bounds, MOST_OCTETS, Position};

/// Events that wait for one webhook.
#[derive(Debug)]
pub(crate) struct Backlog {
    folder: PathBuf,
    /// Octets of all segments.
    size: u64,
    segments: VecDeque<Segment>,
    /// How far they are taken.
    taken: Position,
    /// Lines of the oldest segment that are taken.
    lines_taken: u64,
    /// The newest segment, where it was begun since the start.
    open: Option<File>,
    next: u64,
    is_dirty: bool,
    /// The last lines could not be appended.
    has_failed: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    octets: u64,
    lines: u64,
}

impl Backlog {
    /// Opens what is in a folder, and makes it where it is not there; only its owner may look into it.
    pub(crate) fn open(folder: &Path, size: u64) -> io::Result<Self> {
        make(folder)?;
        let taken = fs::read_to_string(folder.join(TAKEN)).ok();
        let taken = taken.as_deref().and_then(position).unwrap_or_default();
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".events"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last| last + 1).max(taken.segment + 1);
        let mut backlog = Self {
            folder: folder.to_owned(),
            size,
            segments: VecDeque::new(),
            taken,
            lines_taken: 0,
            open: None,
            next,
            is_dirty: false,
            has_failed: false,
        };
        for number in numbers {
            if number < taken.segment {
                fs::remove_file(backlog.path(number))?;
            } else {
                backlog.find(number)?;
            }
        }
        backlog.go_to_oldest();
        backlog.forget_taken();
        Ok(backlog)
    }

    /// Takes up a segment of before; half a line at its end is cut off.
    fn find(&mut self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        let octets = fs::read(&path)?;
        let whole = octets.iter().rposition(|c| *c == b'\n').map_or(0, |end| end + 1);
        if whole < octets.len() {
            OpenOptions::new().write(true).open(&path)?.set_len(whole as u64)?;
        }
        let lines = |octets: &[u8]| octets.split_inclusive(|c| *c == b'\n').count() as u64;
        if number == self.taken.segment {
            let before = usize::try_from(self.taken.offset).unwrap_or(usize::MAX).min(whole);
            self.taken.offset = before as u64;
            self.lines_taken = lines(&octets[..before]);
        }
        let segment = Segment { number, octets: whole as u64, lines: lines(&octets[..whole]) };
        self.segments.push_back(segment);
        Ok(())
    }

    /// Appends whole lines. Returns how many of the oldest were lost, for want of room.
    pub(crate) fn append(&mut self, lines: &[u8], count: u64) -> io::Result<u64> {
        let appended = self.append_now(lines, count);
        self.has_failed = appended.is_err();
        appended
    }

    fn append_now(&mut self, lines: &[u8], count: u64) -> io::Result<u64> {
        let largest = (self.size / SEGMENTS).min(LARGEST_SEGMENT);
        if self.segments.back().is_none_or(|its| its.octets >= largest) {
            self.open = None;
        }
        if self.open.is_none() {
            self.begin_segment()?;
        }
        let (Some(file), Some(segment)) = (&mut self.open, self.segments.back_mut()) else {
            return Ok(0);
        };
        if let Err(error) = file.write_all(lines) {
            // Half a line would spoil the one behind it.
            let _ = file.set_len(segment.octets);
            return Err(error);
        }
        segment.octets += lines.len() as u64;
        segment.lines += count;
        self.is_dirty = true;
        self.keep_to_size()
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let number = self.next;
        let mut options = OpenOptions::new();
        let options = options.append(true).create_new(true).mode(0o600);
        let path = self.path(number);
        let opened = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&self.folder)?;
                options.open(&path)
            }
            opened => opened,
        };
        self.open = Some(opened?);
        self.next += 1;
        self.segments.push_back(Segment { number, octets: 0, lines: 0 });
        self.go_to_oldest();
        Ok(())
    }

    /// Makes the folder again where it is gone, and forgets segments that are; returns how many lines these had.
    /// An error: what is told cannot be kept.
    pub(crate) fn look_after(&mut self) -> io::Result<u64> {
        make(&self.folder)?;
        let mut lost = 0;
        let segments = std::mem::take(&mut self.segments);
        let open = segments.back().map(|its| its.number).zip(self.open.take());
        for segment in segments {
            let path = self.path(segment.number);
            let its = open.as_ref().filter(|(number, _)| *number == segment.number);
            if is_there(&path, its.map(|(_, file)| file)) {
                self.segments.push_back(segment);
            } else {
                let is_taken = segment.number == self.taken.segment;
                let taken = if is_taken { self.lines_taken } else { 0 };
                lost += segment.lines.saturating_sub(taken);
            }
        }
        let newest = self.segments.back().map(|its| its.number);
        self.open = open.filter(|(number, _)| Some(*number) == newest).map(|(_, file)| file);
        self.go_to_oldest();
        if std::mem::take(&mut self.has_failed) && self.open.is_none() {
            let begun = self.begin_segment();
            self.has_failed = begun.is_err();
            begun?;
        }
        Ok(lost)
    }

    /// Whether the last lines could not be appended, and others could not, either.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Puts another bound in force.
    pub(crate) fn bound(&mut self, size: u64) -> io::Result<u64> {
        self.size = size;
        self.keep_to_size()
    }

    /// Removes the oldest segments until the others fit.
    fn keep_to_size(&mut self) -> io::Result<u64> {
        let mut lost = 0;
        while self.octets() > self.size
            && let Some(oldest) = self.segments.front()
        {
            lost += oldest.lines.saturating_sub(self.lines_taken);
            self.remove_oldest()?;
        }
        if lost > 0 {
            self.write_taken()?;
        }
        Ok(lost)
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.segments.pop_front() else { return Ok(()) };
        if self.segments.is_empty() {
            self.open = None;
        }
        self.go_to_oldest();
        match fs::remove_file(self.path(oldest.number)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Nothing is taken of another segment than the oldest.
    fn go_to_oldest(&mut self) {
        let oldest = self.segments.front().map_or(self.next, |its| its.number);
        if self.taken.segment != oldest {
            self.taken = Position { segment: oldest, offset: 0 };
            self.lines_taken = 0;
        }
    }

    /// The next events; `None`: all are taken.
    pub(crate) fn batch(&mut self, bounds: Bounds) -> io::Result<Option<Batch>> {
        let Some(oldest) = self.segments.front() else { return Ok(None) };
        if self.taken.offset >= oldest.octets {
            return Ok(None);
        }
        let mut file = match File::open(self.path(oldest.number)) {
            // It is forgotten by the next look.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.taken.offset))?;
        let rest = oldest.octets - self.taken.offset;
        let mut read = Vec::new();
        file.take(rest.min(MOST_READ)).read_to_end(&mut read)?;
        let mut batch = Batch::of(self.taken, &read, bounds);
        if batch.lines() == 0 {
            // No event is as long as what was read: the rest of this segment is none.
            batch.to.offset = oldest.octets;
            batch.damaged = oldest.lines.saturating_sub(self.lines_taken).max(1);
        }
        Ok(Some(batch))
    }

    /// The events of a batch are done with. Nothing happens where they have made room for others meanwhile.
    pub(crate) fn take(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.from != self.taken {
            return Ok(());
        }
        self.taken = batch.to;
        self.lines_taken += batch.lines();
        self.forget_taken();
        self.write_taken()
    }

    /// Removes segments all of whose lines are taken.
    fn forget_taken(&mut self) {
        while self.segments.front().is_some_and(|oldest| {
            oldest.number == self.taken.segment && self.taken.offset >= oldest.octets
        }) {
            // One that stays is told by its number at the next start.
            let _ = self.remove_oldest();
        }
    }

    fn write_taken(&self) -> io::Result<()> {
        let Position { segment, offset } = self.taken;
        let (new, text) = (self.folder.join(TAKEN_NEW), format!("{segment} {offset}\n"));
        match fs::write(&new, &text) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(&self.folder)?;
                fs::write(&new, &text)?;
            }
            written => written?,
        }
        fs::rename(new, self.folder.join(TAKEN))
    }

    /// Whether a batch is still the next one.
    pub(crate) fn is_next(&self, batch: &Batch) -> bool {
        batch.from == self.taken
    }

    /// Events that are not taken.
    pub(crate) fn waiting(&self) -> u64 {
        let lines: u64 = self.segments.iter().map(|its| its.lines).sum();
        lines.saturating_sub(self.lines_taken)
    }

    /// Octets of the disk.
    pub(crate) fn octets(&self) -> u64 {
        self.segments.iter().map(|its| its.octets).sum()
    }

    /// The file to sync, if something was appended since.
    pub(crate) fn take_dirty(&mut self) -> Option<File> {
        let is_dirty = std::mem::take(&mut self.is_dirty);
        self.open.as_ref().filter(|_| is_dirty).and_then(|file| file.try_clone().ok())
    }

    /// Removes all of it.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.segments.clear();
        self.open = None;
        remove(&self.folder)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:0DIGITS$}.events"))
    }
}

/// Whether everything in a folder is of the kinds that a backlog has.
pub(crate) fn is_ours(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() || !is_kind_of_ours(&entry.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes a folder and what a backlog has there; with anything else in it, it stays.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_kind_of_ours(&entry.file_name()) {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn is_kind_of_ours(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let number = name.strip_suffix(".events");
    let is_number = |text: &str| text.len() >= DIGITS && text.bytes().all(|c| c.is_ascii_digit());
    name == TAKEN || name == TAKEN_NEW || number.is_some_and(is_number)
}

/// Makes a folder that only its owner may look into, where it is not there.
fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Whether there is a file of this name: the one that is open, where it is.
fn is_there(path: &Path, open: Option<&File>) -> bool {
    let Ok(named) = fs::metadata(path) else { return false };
    let is_it = |ours: &fs::Metadata| (ours.dev(), ours.ino()) == (named.dev(), named.ino());
    open.is_none_or(|file| file.metadata().is_ok_and(|ours| is_it(&ours)))
}

fn position(text: &str) -> Option<Position> {
    let (segment, offset) = text.trim_end().split_once(' ')?;
    Some(Position { segment: segment.parse().ok()?, offset: offset.parse().ok()? })
}

/// Of a segment's number at least.
const DIGITS: usize = 10;
const TAKEN: &str = "taken";
const TAKEN_NEW: &str = "taken.new";
/// Segments at least, so that little is lost at once where all must not be larger.
const SEGMENTS: u64 = 16;
const LARGEST_SEGMENT: u64 = 8 << 20;
/// Octets that are read at once: more than any event has.
const MOST_READ: u64 = 2 * MOST_OCTETS as u64;
