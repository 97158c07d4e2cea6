//! A look at the whole spool that changes nothing: every record is read and its checksum compared.
//!
//! It may be taken while an engine works on the same files. What that is about to write or delete
//! is not mistaken for damage; the counts are then those of a moment that never was.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::Path,
    sync::Arc,
};

use relais_channels::{disk::ReadOnlyDisk, mail::MessageId};
use relais_storage::{Class, EntryState, StorageError, Stored, StoredEntry};
use serde::Serialize;

use crate::{
    environment::Environment,
    format::change,
    format::extent::Extent,
    format::layout::{blob_of, messages_of, number_of},
    format::message::stored_in,
    format::record::{Header, Kind, Walker},
    format::segment::{HEAD, Part, SegmentHead},
    ledger::Ledger,
    recovery::survey::{copies, lost},
};

/// The content of a spool, counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Segments.
    pub segments: u64,
    /// Bytes of all segments, states included.
    #[serde(rename = "octets")]
    pub bytes: u64,
    /// Messages.
    pub messages: MessageCounts,
    /// Bytes behind the last whole record of a segment: not used yet, or half written at a crash.
    pub tail: u64,
    /// Stretches that are not what was written there; 10,000 of them
    /// at most.
    pub damage: Vec<Damage>,
    /// How many of these there are, listed or not, that were certainly safe once.
    pub damaged: u64,
    /// Segments whose file of messages is gone, while that of their states is there.
    pub lost: Vec<String>,
    /// Content in files of its own.
    #[serde(rename = "large")]
    pub blobs: Blobs,
    /// Copies that some start has put into `quarantine/`.
    pub quarantine: Vec<QuarantinedFile>,
}

/// Messages, by the best any of their entries can hope for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct MessageCounts {
    /// With an entry to be delivered.
    pub alive: u64,
    /// With an entry on hold, and none to be delivered.
    pub held: u64,
    /// Finished, and still there because others in their segment are not.
    pub done: u64,
}

/// A stretch of a segment's file.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// Bytes from its beginning.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// The message, if so much can be read.
    pub id: Option<String>,
    /// It was certainly safe once. Otherwise it may be the remains of a crash, about which nobody
    /// was promised anything.
    pub acknowledged: bool,
}

/// The files in `large/`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Blobs {
    /// Files.
    pub files: u64,
    /// Messages that are not done and whose content is gone or of another size; 10,000 of them at
    /// most.
    pub missing: Vec<String>,
    /// How many of these there are.
    pub missing_count: u64,
    /// Files no message needs. The next start removes them; an engine that is running may be about
    /// to need or remove them.
    pub left_over: u64,
}

/// A copy of a damaged stretch.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct QuarantinedFile {
    /// `FILE.OFFSET`.
    pub name: String,
    /// Bytes.
    #[serde(rename = "octets")]
    pub bytes: u64,
}

impl CheckReport {
    /// Files that are not there.
    pub fn missing(&self) -> u64 {
        self.blobs.missing_count + self.lost.len() as u64
    }

    /// Whether something that was promised is not there.
    pub fn is_damaged(&self) -> bool {
        self.damaged > 0 || self.missing() > 0
    }
}

/// Reads all of the spool in `dir`. `progress` is told how many bytes of how many have been read.
pub fn check(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, StorageError> {
    let environment =
        Environment::new(dir, &relais_config::Spool::default(), Arc::new(ReadOnlyDisk));
    let names = environment.disk.list(dir).map_err(StorageError::at(dir))?;
    let segments: BTreeSet<u32> = names.iter().filter_map(|name| number_of(name, "msg")).collect();
    let replaced =
        copies(&environment, &segments, &Ledger::default()).map_err(StorageError::from)?;
    let mut checker =
        Checker { environment, found: CheckReport::default(), needed: HashSet::new() };
    let lost = lost(&*checker.environment.disk, &checker.environment.layout, &names);
    checker.found.lost = lost.into_iter().map(messages_of).collect();
    let blobs = checker.list(&checker.environment.layout.blob_dir())?;
    let sizes = segments.iter().map(|number| Ok((*number, checker.bytes_of(*number)?)));
    let sizes: Vec<(u32, u64)> = sizes.collect::<Result<_, StorageError>>()?;
    let (mut done, all) = (0, sizes.iter().map(|(_, bytes)| bytes).sum());
    for (number, bytes) in sizes {
        progress(done, all);
        if !replaced.contains_key(&number) {
            checker.segment(number)?;
        }
        done += bytes;
    }
    progress(done, all);
    checker.left_over(&blobs)?;
    checker.quarantine()?;
    Ok(checker.found)
}

struct Checker {
    environment: Environment,
    found: CheckReport,
    /// Large files that messages need.
    needed: HashSet<MessageId>,
}

type EntryStates = HashMap<(MessageId, u16), EntryState>;

impl Checker {
    /// A segment that an engine has deleted meanwhile counts for nothing.
    fn segment(&mut self, number: u32) -> Result<(), StorageError> {
        let path = self.environment.layout.messages(number);
        let bytes = self.bytes_of(number)?;
        let head = SegmentHead::load(&*self.environment.disk, &self.environment.layout, number);
        let Some(head) = head.map_err(StorageError::at(&path))? else {
            let length = self.size(&path)?.unwrap_or(0);
            if length > HEAD as u64 {
                // Once it was synced, at least one of two heads was safe.
                self.damage(&path, (0, length, None), true);
            }
            return Ok(());
        };
        let states = self.states(head)?;
        let Some(length) = self.size(&path)? else { return Ok(()) };
        self.found.segments += 1;
        self.found.bytes += bytes;
        let mut blobs = Vec::new();
        let (mut counts, mut unreadable) = (MessageCounts::default(), Vec::new());
        let extent = self.walk(head, Part::Messages, length, &mut |offset, header, payload| {
            if !matches!(header.kind, Kind::Whole | Kind::Blob) {
                return;
            }
            let Some(stored) = stored_in(number, offset, header, payload) else {
                unreadable.push((offset, header.length(), Some(header.id)));
                return;
            };
            let class = best(&stored, &states);
            counts.add(class);
            if stored.blob && class.is_some() {
                blobs.push(stored);
            }
        })?;
        let Some(extent) = extent else { return Ok(()) };
        for stretch in unreadable {
            self.damage(&path, stretch, true);
        }
        self.tell(&path, &extent, extent.sealed);
        let MessageCounts { alive, held, done } = counts;
        let all = &mut self.found.messages;
        (all.alive, all.held, all.done) = (all.alive + alive, all.held + held, all.done + done);
        self.blobs(head, &blobs)
    }

    fn states(&mut self, head: SegmentHead) -> Result<EntryStates, StorageError> {
        let path = self.environment.layout.states(head.number);
        let length = self.size(&path)?.unwrap_or(0);
        let (mut states, mut unreadable) = (EntryStates::new(), Vec::new());
        let extent = self.walk(head, Part::States, length, &mut |offset, header, payload| {
            match change::decode(header, payload, false) {
                Some(change) => drop(states.insert((change.id, change.entry), change.now)),
                None => unreadable.push((offset, header.length(), Some(header.id))),
            }
        })?;
        for stretch in unreadable {
            self.damage(&path, stretch, true);
        }
        if let Some(extent) = extent {
            self.tell(&path, &extent, false);
        }
        Ok(states)
    }

    /// Goes through the records of a file, if it is (still) there.
    fn walk(
        &self,
        head: SegmentHead,
        part: Part,
        length: u64,
        each: &mut dyn FnMut(u64, &Header, &[u8]),
    ) -> Result<Option<Extent>, StorageError> {
        let layout = &self.environment.layout;
        let path = match part {
            Part::Messages => layout.messages(head.number),
            Part::States => layout.states(head.number),
        };
        let file = match self.environment.disk.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(StorageError::at(&path))?,
        };
        let mut extent = Extent::from(HEAD as u64);
        let mut records = Walker::new(&*file, head.salt(part), HEAD as u64, length);
        while let Some(found) = records.next().map_err(StorageError::at(&path))? {
            if let Some((offset, header, payload)) = extent.step(found) {
                each(offset, &header, payload);
            }
        }
        Ok(Some(extent))
    }

    /// Tells of bad stretches. What is at the end of a file that has not been sealed is its tail.
    fn tell(&mut self, path: &Path, extent: &Extent, sealed: bool) {
        for stretch in &extent.bad {
            let (offset, length, _) = *stretch;
            if offset >= extent.end && !sealed {
                self.found.tail += length;
            } else {
                self.damage(path, *stretch, offset < extent.durable);
            }
        }
    }

    fn damage(
        &mut self,
        path: &Path,
        (offset, length, id): (u64, u64, Option<MessageId>),
        acknowledged: bool,
    ) {
        self.found.damaged += u64::from(acknowledged);
        if self.found.damage.len() < MAX_LISTED {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let id = id.map(|id| id.to_string());
            self.found.damage.push(Damage { file, offset, length, id, acknowledged });
        }
    }

    /// Looks for the content of messages that are not done.
    fn blobs(&mut self, head: SegmentHead, messages: &[Stored]) -> Result<(), StorageError> {
        let mut missing = Vec::new();
        for stored in messages {
            self.needed.insert(stored.id);
            if self.size(&self.environment.layout.blob(stored.id, stored.form))?
                != Some(stored.size)
            {
                missing.push(stored);
            }
        }
        if missing.is_empty()
            || self.size(&self.environment.layout.messages(head.number))?.is_none()
        {
            return Ok(());
        }
        // An engine may have finished with them a moment ago.
        let (mut states, length) =
            (EntryStates::new(), self.size(&self.environment.layout.states(head.number))?);
        self.walk(head, Part::States, length.unwrap_or(0), &mut |_, header, payload| {
            if let Some(change) = change::decode(header, payload, false) {
                states.insert((change.id, change.entry), change.now);
            }
        })?;
        for stored in missing.into_iter().filter(|stored| best(stored, &states).is_some()) {
            let found = &mut self.found.blobs;
            found.missing_count += 1;
            if found.missing.len() < MAX_LISTED {
                found.missing.push(stored.id.to_string());
            }
        }
        Ok(())
    }

    fn left_over(&mut self, names: &[String]) -> Result<(), StorageError> {
        for name in names {
            let needed = blob_of(name).is_some_and(|id| self.needed.contains(&id));
            if self.size(&self.environment.layout.blob_dir().join(name))?.is_some() {
                self.found.blobs.files += 1;
                self.found.blobs.left_over += u64::from(!needed);
            }
        }
        Ok(())
    }

    fn quarantine(&mut self) -> Result<(), StorageError> {
        let dir = self.environment.layout.quarantine();
        let mut names = self.list(&dir)?;
        names.sort_unstable();
        for name in names {
            let bytes = self.size(&dir.join(&name))?.unwrap_or(0);
            self.found.quarantine.push(QuarantinedFile { name, bytes });
        }
        Ok(())
    }

    fn bytes_of(&self, number: u32) -> Result<u64, StorageError> {
        let layout = &self.environment.layout;
        let (messages, states) = (layout.messages(number), layout.states(number));
        Ok(self.size(&messages)?.unwrap_or(0) + self.size(&states)?.unwrap_or(0))
    }

    /// The length of a file, if it is there.
    fn size(&self, path: &Path) -> Result<Option<u64>, StorageError> {
        match self.environment.disk.open(path).and_then(|file| file.size()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            size => size.map(Some).map_err(StorageError::at(path)),
        }
    }

    /// The names in a directory; none if it is not there.
    fn list(&self, dir: &Path) -> Result<Vec<String>, StorageError> {
        match self.environment.disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(StorageError::at(dir)),
        }
    }
}

impl MessageCounts {
    fn add(&mut self, class: Option<Class>) {
        *match class {
            None => &mut self.done,
            Some(Class::Held) => &mut self.held,
            Some(_) => &mut self.alive,
        } += 1;
    }
}

/// The best that any entry of a message can hope for; `None`: all are done.
fn best(stored: &Stored, states: &EntryStates) -> Option<Class> {
    let state = |(number, entry): (u16, &StoredEntry)| {
        states.get(&(stored.id, number)).copied().unwrap_or(stored.initial(entry)).class()
    };
    stored.own_entries().filter_map(state).min()
}

/// Bad stretches, or missing files, that are named one by one.
const MAX_LISTED: usize = 10_000;
