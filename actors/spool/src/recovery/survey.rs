//! The first step of a start, before any record is read: which segments there are, which of them
//! count, and whether the index can be about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
};

use relais_channels::disk::Disk;

use crate::{
    environment::Environment,
    format::layout::{DRAFT, Layout, number_of},
    format::segment::{HEAD, SegmentHead},
    ledger::Ledger,
    recovery::error::{RecoverError, at},
};

/// The segments of a spool.
pub(super) struct Survey {
    /// Segments that have their messages.
    pub(super) segments: BTreeSet<u32>,
    /// Segments of which only the states are left.
    pub(super) lost: BTreeSet<u32>,
    /// Segments that do not count any more, each with the copy of what was alive in it.
    pub(super) copies: BTreeMap<u32, u32>,
    /// The segment that was appended to last.
    pub(super) youngest: Option<u32>,
    /// The number of the next segment.
    pub(super) next: u32,
}

/// Removes what a crash has left, and compares the segments with what the index knows of them.
pub(super) fn survey(environment: &Environment, known: &Ledger) -> Result<Survey, RecoverError> {
    let (segments, lost) = clear(environment)?;
    compare(environment, known, &segments)?;
    let next = next_number(environment, segments.union(&lost), known)?;
    let copies = copies(environment, &segments, known)?;
    let youngest = youngest(environment, &segments)?;
    Ok(Survey { segments, lost, copies, youngest, next })
}

/// Makes the directories, removes what a crash left, and lists the segments; and those of which
/// only the states are left.
fn clear(environment: &Environment) -> Result<(BTreeSet<u32>, BTreeSet<u32>), RecoverError> {
    let (disk, layout) = (&*environment.disk, &environment.layout);
    for dir in [layout.root().to_owned(), layout.blob_dir(), layout.quarantine()] {
        disk.create_dir(&dir).map_err(at(&dir))?;
    }
    let names = disk.list(layout.root()).map_err(at(layout.root()))?;
    let segments: BTreeSet<u32> = names.iter().filter_map(|name| number_of(name, "msg")).collect();
    for finished in names.iter().filter_map(|name| number_of(name, "old")) {
        remove_finished(disk, layout, finished)?;
    }
    for number in names.iter().filter_map(|name| number_of(name, "tmp")) {
        for path in [layout.states(number), layout.unfinished(number)] {
            match disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
    }
    let lost = lost(disk, layout, &names);
    for name in disk.list(&layout.blob_dir()).map_err(at(&layout.blob_dir()))? {
        if name.starts_with(DRAFT) {
            let path = layout.blob_dir().join(name);
            disk.remove(&path).map_err(at(&path))?;
        }
    }
    disk.sync_dir(layout.root()).map_err(at(layout.root()))?;
    Ok((segments, lost))
}

/// Removes what is left of a segment in which nothing is alive, its states first.
pub(super) fn remove_finished(
    disk: &dyn Disk,
    layout: &Layout,
    number: u32,
) -> Result<(), RecoverError> {
    let states = layout.states(number);
    match disk.remove(&states) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&states)(error)),
        _ => {}
    }
    disk.sync_dir(layout.root()).map_err(at(layout.root()))?;
    let path = layout.finished(number);
    disk.remove(&path).map_err(at(&path))
}

/// Segments of which only the states are there, among the names in the spool's directory: the
/// messages were taken away by somebody else. An engine at work is not mistaken for that one.
pub(crate) fn lost(disk: &dyn Disk, layout: &Layout, names: &[String]) -> BTreeSet<u32> {
    let is_lost = |number: &u32| {
        let others =
            [layout.messages(*number), layout.unfinished(*number), layout.finished(*number)];
        let nothing = others.iter().all(|path| is_missing(disk, path));
        // Looked for last: the states go before what is being deleted.
        nothing && !is_missing(disk, &layout.states(*number))
    };
    names.iter().filter_map(|name| number_of(name, "st")).filter(is_lost).collect()
}

fn is_missing(disk: &dyn Disk, path: &Path) -> bool {
    disk.open(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Whether what the index knows fits the files: they may have grown, and nothing else.
fn compare(
    environment: &Environment,
    known: &Ledger,
    segments: &BTreeSet<u32>,
) -> Result<(), RecoverError> {
    for (number, life) in &known.segments {
        if !segments.contains(number) {
            let what = match life.live {
                0 => String::new(),
                live => format!(", with {live} entries that were not done,"),
            };
            return Err(RecoverError::Index(format!("segment {number}{what} is not there")));
        }
        let data_len = size(&*environment.disk, &environment.layout.messages(*number))?;
        let states_len = size(&*environment.disk, &environment.layout.states(*number))?;
        if data_len < life.data_len || states_len.max(HEAD as u64) < life.states_len {
            return Err(RecoverError::Index(format!("segment {number} is shorter than it was")));
        }
    }
    Ok(())
}

/// The segments that do not count any more, each with the copy of what was alive in it. Of such a
/// pair the index knows one at most, and the copy has the higher number.
pub(crate) fn copies(
    environment: &Environment,
    segments: &BTreeSet<u32>,
    known: &Ledger,
) -> Result<BTreeMap<u32, u32>, RecoverError> {
    let mut copies = BTreeMap::new();
    let new = segments.iter().find(|number| !known.segments.contains_key(number));
    for number in new.into_iter().flat_map(|new| segments.range(new..)) {
        let path = environment.layout.messages(*number);
        let head = SegmentHead::load(&*environment.disk, &environment.layout, *number)
            .map_err(at(&path))?;
        let replaces = head.map_or(0, |head| head.replaces);
        if segments.contains(&replaces) {
            copies.insert(replaces, *number);
        }
    }
    Ok(copies)
}

/// The segment that was appended to last: copies are made whole.
fn youngest(
    environment: &Environment,
    segments: &BTreeSet<u32>,
) -> Result<Option<u32>, RecoverError> {
    for number in segments.iter().rev() {
        let path = environment.layout.messages(*number);
        let head = SegmentHead::load(&*environment.disk, &environment.layout, *number)
            .map_err(at(&path))?;
        if head.is_none_or(|head| head.replaces == 0) {
            return Ok(Some(*number));
        }
    }
    Ok(None)
}

/// Above every number that is or was in use, as far as can be seen.
fn next_number<'a>(
    environment: &Environment,
    segments: impl Iterator<Item = &'a u32>,
    known: &Ledger,
) -> Result<u32, RecoverError> {
    let dir = environment.layout.quarantine();
    let quarantined = environment.disk.list(&dir).map_err(at(&dir))?;
    let quarantined = quarantined.iter().filter_map(|name| name.get(..8)?.parse().ok());
    let known = known.segments.keys().copied();
    Ok(segments.copied().chain(known).chain(quarantined).max().unwrap_or(0) + 1)
}

/// The length of a file; 0 if it is not there.
pub(super) fn size(disk: &dyn Disk, path: &Path) -> Result<u64, RecoverError> {
    match disk.open(path).and_then(|file| file.size()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        size => size.map_err(at(path)),
    }
}
