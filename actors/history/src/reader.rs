//! Reads the history: finds messages by a key, then gathers all that happened to each.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::PoisonError,
    time::{Duration, Instant},
};

use crate::{
    block::BlockBuilder,
    codec::Octets,
    error::HistoryError,
    files::Files,
    index::{BlockPlace, OpenIndex, SealedIndex, Wanted},
    keys::{Key, LOST_KEY, key_of, time_of_id},
    note::{LOST, MAX_RECIPIENTS, Named, Note, Record},
    read_block::Block,
    segment::SegmentReader,
    tail,
    writer::{Desk, Keeper},
};

/// Where the history is read: files, and what their writer has not written yet.
#[derive(Clone, Debug)]
pub struct History {
    /// Where nobody writes.
    files: PathBuf,
    pub(crate) desk: Option<Desk>,
}

/// Which messages are wanted.
pub struct Question<'a> {
    /// Keys of the texts that are asked for.
    pub keys: Vec<Key>,
    /// Whether an address, a Message-ID or a peer's id is what is asked for.
    pub matches: &'a dyn Fn(&str) -> bool,
    /// A queue id that is asked for; 0: none.
    pub id: u64,
    /// Milliseconds since 1970; earlier notes do not count.
    pub since: u64,
    /// The same of later ones.
    pub until: u64,
    /// Messages, the newest first.
    pub limit: usize,
}

/// The answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Found {
    /// The newest first.
    pub messages: Vec<Traced>,
    /// There may be more of them.
    pub more: bool,
    /// Records that say how many were lost, and until when.
    pub lost: Vec<Record>,
    /// Blocks that could not be read.
    pub damaged: usize,
}

/// A message, and all that happened to it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Traced {
    /// The queue id; 0 where it had none.
    pub id: u64,
    /// Each thing.
    pub records: Vec<Record>,
    /// There were more than are kept in memory.
    pub cut: bool,
}

impl History {
    /// The history in files to which nobody writes.
    pub fn of_files(folder: &Path) -> Self {
        Self { files: folder.to_owned(), desk: None }
    }

    /// The history of this writer.
    pub fn of(keeper: &Keeper) -> Self {
        Self { files: PathBuf::new(), desk: Some(keeper.desk()) }
    }

    /// The folder; that of a writer may change.
    pub(crate) fn folder(&self) -> PathBuf {
        self.desk.as_ref().map_or_else(|| self.files.clone(), Desk::folder)
    }

    /// Finds messages. Reads files: not for a thread that others wait for.
    pub fn find(&self, question: &Question<'_>) -> Result<Found, HistoryError> {
        let shared = self.desk.as_ref().map(|desk| &desk.shared.moving);
        let _unmoved = shared.map(|its| its.read().unwrap_or_else(PoisonError::into_inner));
        let mut search = Search::open(self)?;
        let mut found = search.find(question)?;
        search.gather(&mut found.messages)?;
        found.lost = search.lost(question)?;
        found.damaged = search.damaged.len();
        Ok(found)
    }
}

/// The segments of one question, the newest first.
struct Search<'a> {
    desk: Option<&'a Desk>,
    parts: Vec<Part>,
    /// Blocks that were read a moment ago.
    blocks: HashMap<(u64, u64), Rc<Block>>,
    damaged: HashSet<(u64, u64)>,
    until: Instant,
}

struct Part {
    number: u64,
    segment: SegmentReader,
    index: Index,
}

enum Index {
    Sealed(SealedIndex),
    /// Made from the segment.
    Made(OpenIndex, Option<Rc<Block>>),
    /// In the writer's memory.
    Writers,
}

/// Where notes are.
#[derive(Clone)]
enum Place {
    Block(u64, BlockPlace),
    Pending(Rc<Block>),
}

impl<'a> Search<'a> {
    fn open(history: &'a History) -> Result<Self, HistoryError> {
        let (desk, folder) = (history.desk.as_ref(), &history.folder());
        let files = Files(folder.clone());
        let newest = desk.and_then(|desk| desk.find(&Wanted::default()));
        let (mut parts, mut damaged) = (Vec::new(), HashSet::new());
        let numbers = if folder.exists() { files.segments() } else { Ok(Vec::new()) };
        let numbers = numbers.map_err(HistoryError::at(folder))?;
        let last = numbers.last().copied();
        for number in numbers.into_iter().rev() {
            let path = files.segment(number);
            let segment = SegmentReader::open(&path).map_err(HistoryError::at(&path))?;
            let index = if newest.as_ref().is_some_and(|newest| newest.number == number) {
                Index::Writers
            } else if let Ok(index) = SealedIndex::open(&files.index(number)) {
                Index::Sealed(index)
            } else {
                let (index, survey) = segment.index();
                let is_last = last == Some(number);
                let tail = is_last.then(|| tail::read(&files.tail(number), survey.good));
                let of_tail = tail.as_ref().map_or(0, |tail| tail.damaged);
                // No block begins there.
                damaged.extend((0..of_tail).map(|n| (number, u64::MAX - n)));
                Index::Made(index, tail.map(|tail| Rc::new(block(&tail.notes))))
            };
            parts.push(Part { number, segment, index });
        }
        Ok(Self { desk, parts, blocks: HashMap::new(), damaged, until: Instant::now() + MOST_TIME })
    }

    /// The messages that are asked for, without what happened to them.
    fn find(&mut self, question: &Question<'_>) -> Result<Found, HistoryError> {
        let mut found = Found::default();
        let mut ids = HashSet::new();
        let mut wanted = Wanted::of_keys(&question.keys);
        if question.id != 0 {
            wanted.add_id(question.id);
        }
        for number in 0..self.parts.len() {
            for place in self.places(number, &wanted)?.into_iter().rev() {
                let is_outside =
                    |its: &BlockPlace| its.last < question.since || its.first > question.until;
                if matches!(&place, Place::Block(_, its) if is_outside(its)) {
                    continue;
                }
                let Some(block) = self.read(&place) else { continue };
                let mut hits = Vec::new();
                let read = block.each(|note, recipients| {
                    if question.is_met(note, recipients) {
                        hits.push((note.id, (note.id == 0).then(|| note.record(recipients))));
                    }
                    true
                });
                if read.is_err() {
                    self.note_damage(&place);
                }
                for (id, record) in hits.into_iter().rev() {
                    if id != 0 && !ids.insert(id) {
                        continue;
                    }
                    if found.messages.len() >= question.limit || self.is_late() {
                        found.more = true;
                        return Ok(found);
                    }
                    let records = record.into_iter().collect();
                    found.messages.push(Traced { id, records, cut: false });
                }
            }
        }
        Ok(found)
    }

    /// Fills in what happened to each message.
    fn gather(&mut self, messages: &mut [Traced]) -> Result<(), HistoryError> {
        let ids = messages.iter().enumerate().filter(|(_, its)| its.id != 0);
        let places: HashMap<u64, usize> = ids.map(|(place, its)| (its.id, place)).collect();
        let mut wanted = Wanted::default();
        for id in places.keys() {
            wanted.add_id(*id);
        }
        let Some(earliest) = places.keys().map(|id| time_of_id(*id).0).min() else { return Ok(()) };
        for number in (0..self.parts.len()).rev() {
            let ended = |its: &SealedIndex| its.last.saturating_add(CLOCK_SLACK) < earliest;
            if matches!(&self.parts[number].index, Index::Sealed(its) if ended(its)) {
                continue;
            }
            for place in self.places(number, &wanted)? {
                let Some(block) = self.read(&place) else { continue };
                let read = block.each(|note, recipients| {
                    if let Some(at) = places.get(&note.id) {
                        let message = &mut messages[*at];
                        if message.records.len() < MAX_RECORDS {
                            message.records.push(note.record(recipients));
                        } else {
                            message.cut = true;
                        }
                    }
                    true
                });
                if read.is_err() {
                    self.note_damage(&place);
                }
            }
        }
        for message in &mut *messages {
            // One thread's notes come in order, those of several may not.
            message.records.sort_by_key(|record| (record.at, record.action != 'E'));
        }
        let newest = |its: &Traced| its.records.first().map_or(0, |record| record.at);
        messages.sort_by_key(|its| std::cmp::Reverse(newest(its)));
        Ok(())
    }

    /// Notes about notes that were lost in the time that is asked about.
    fn lost(&mut self, question: &Question<'_>) -> Result<Vec<Record>, HistoryError> {
        let (mut lost, wanted) = (BTreeMap::new(), Wanted::of_keys(&[key_of(LOST_KEY)]));
        for number in 0..self.parts.len() {
            for place in self.places(number, &wanted)? {
                let Some(block) = self.read(&place) else { continue };
                let _ = block.each(|note, _| {
                    let is_wanted = (question.since..=question.until).contains(&note.at);
                    if note.action == LOST && is_wanted && lost.len() < MAX_RECORDS {
                        lost.insert(note.at, note.record(&[]));
                    }
                    true
                });
            }
        }
        Ok(lost.into_values().collect())
    }

    /// Where notes with these keys may be, the oldest first.
    fn places(&self, number: usize, wanted: &Wanted) -> Result<Vec<Place>, HistoryError> {
        let Part { number, segment, index } = &self.parts[number];
        let block = |place: BlockPlace| Place::Block(*number, place);
        Ok(match index {
            Index::Sealed(index) => {
                // Where the index is damaged, the segment itself knows.
                let found = index.find(wanted).unwrap_or_else(|_| segment.index().0.find(wanted));
                found.into_iter().map(block).collect()
            }
            Index::Made(index, pending) => {
                let found = index.find(wanted).into_iter().map(block);
                found.chain(pending.clone().map(Place::Pending)).collect()
            }
            Index::Writers => {
                let newest =
                    self.desk.and_then(|desk| desk.find(wanted)).ok_or(HistoryError::Ended)?;
                // It may have begun another segment meanwhile.
                let places = newest.places.into_iter().map(|its| Place::Block(newest.number, its));
                let pending = newest.pending.map(|its| Place::Pending(Rc::new(Block::of(&its))));
                places.chain(pending).collect()
            }
        })
    }

    fn read(&mut self, place: &Place) -> Option<Rc<Block>> {
        let (number, at) = match place {
            Place::Pending(block) => return Some(Rc::clone(block)),
            Place::Block(number, place) => (*number, place.at),
        };
        if let Some(block) = self.blocks.get(&(number, at)) {
            return Some(Rc::clone(block));
        }
        let part = self.parts.iter().find(|part| part.number == number)?;
        let Ok(block) = part.segment.read(at).map(Rc::new) else {
            self.damaged.insert((number, at));
            return None;
        };
        if self.blocks.len() >= MAX_CACHED {
            self.blocks.clear();
        }
        self.blocks.insert((number, at), Rc::clone(&block));
        Some(block)
    }

    fn note_damage(&mut self, place: &Place) {
        if let Place::Block(number, place) = place {
            self.damaged.insert((*number, place.at));
        }
    }

    fn is_late(&self) -> bool {
        Instant::now() > self.until
    }
}

impl Question<'_> {
    fn is_met(&self, note: &Note<'_>, recipients: &[Named<'_>]) -> bool {
        let is = |text: &str| !text.is_empty() && (self.matches)(text);
        if !(self.since..=self.until).contains(&note.at) {
            return false;
        }
        note.id != 0 && note.id == self.id
            || is(note.from)
            || is(note.message_id)
            || is(note.peer_id)
            || recipients.iter().any(|its| is(its.original) || is(its.routed))
    }
}

/// Notes as they were told, as a block.
fn block(notes: &[u8]) -> Block {
    let mut builder = BlockBuilder::default();
    let mut octets = Octets(notes);
    while let Some((note, recipients)) = Note::decode(&mut octets) {
        builder.add(&note, &recipients.take(MAX_RECIPIENTS).collect::<Vec<_>>());
    }
    Block::of(&builder.streams)
}

/// Records of one message in an answer.
const MAX_RECORDS: usize = 1_000;
/// Blocks in memory, of some five MiB.
const MAX_CACHED: usize = 20;
/// For one search.
const MOST_TIME: Duration = Duration::from_secs(20);
/// Milliseconds by which the clock may have been set back.
const CLOCK_SLACK: u64 = 24 * 3_600_000;
