//! Segments that go: those that are replaced by a copy, and those in which nothing is alive. Files
//! go only when the index has let go of them, and in an order that a crash cannot turn to harm.

use std::{
    collections::{BTreeSet, HashSet},
    io, mem,
    sync::Arc,
    time::{Duration, Instant},
};

use relais_storage::{EntryState, StorageError};
use tokio::sync::oneshot;

use crate::{
    alarm::Alarm,
    compact::copy::{Copied, drop_copy, each_change},
    cooldown::Cooldown,
    environment::Environment,
    format::change,
    format::record::{Found, Kind, Walker},
    format::segment::HEAD,
    ledger::Event,
    read::reader::Reader,
    write::journal::state_file::StateFile,
    write::journal::writer::StateWriter,
};

/// A segment that does not count any more, and is still there.
pub(crate) struct Replaced {
    from: u32,
    /// Must not go before that one: it is what says that it does not count.
    to: u32,
    gone: oneshot::Sender<()>,
}

/// Lets segments go.
pub(super) struct Retirement {
    reader: Arc<Reader>,
    /// Segments that nothing refers to any more.
    doomed: BTreeSet<u32>,
    /// Segments whose states could not be read when they should have gone.
    unchecked: Cooldown,
    /// When it was last tried to delete them.
    deleted: Option<Instant>,
    replaced: Option<Replaced>,
    /// Segments that are done stay.
    undeleted: Alarm,
}

impl Retirement {
    pub(super) fn new(reader: Arc<Reader>) -> Self {
        Self {
            reader,
            doomed: BTreeSet::new(),
            unchecked: Cooldown::default(),
            deleted: None,
            replaced: None,
            undeleted: Alarm::default(),
        }
    }

    /// Finds closed segments in which nothing is alive and lets the index forget them. They are
    /// deleted when it has, so that it never refers to a segment that is not there.
    pub(super) fn sweep(&mut self, states: &mut StateWriter) {
        let now = Instant::now();
        let unwritten = states.unwritten();
        let ready = |number: u32| {
            let unsynced = states.is_dirty(number) || unwritten.contains(&number);
            !unsynced && !self.unchecked.contains(number, now)
        };
        for (number, entries) in states.feed.take_empty(ready) {
            match alive(states, number, entries) {
                Ok(0) => states.feed.push(Event::Emptied { segment: number }),
                Ok(alive) => {
                    let segment = number;
                    tracing::error!(segment, alive, "its log does not say that all is done; kept");
                    states.feed.recount(number, alive);
                }
                Err(error) => {
                    states
                        .environment
                        .report(&error, "a segment could not be checked; kept for now");
                    self.unchecked.put_off(number, now);
                    states.feed.recount(number, 0);
                }
            }
        }
    }

    /// Lets a copy take the place of its segment; `gone` hears when that is deleted. See
    /// [`crate::compact`].
    pub(super) fn switch(
        &mut self,
        states: &mut StateWriter,
        copied: Copied,
        gone: oneshot::Sender<()>,
    ) {
        let (from, to) = (copied.from, copied.head.number);
        match make_count(states, copied) {
            Ok(true) => {
                self.replaced = Some(Replaced { from, to, gone });
                tracing::info!(segment = from, survivors = to, "segment compacted");
                // A sync that fails raises the alarm, and is done again.
                let _ = states.sync();
            }
            Ok(false) => drop_copy(&states.environment, to),
            Err(error) => {
                states.environment.report(&error, "a segment was not compacted and stays");
                drop_copy(&states.environment, to);
            }
        }
    }

    /// Deletes segments, in an order in which a crash at any point leaves no message without its
    /// states, and none that has moved in two places. What fails is tried again the next time.
    pub(super) fn delete(&mut self, states: &mut StateWriter, segments: &[u32]) {
        let due = || self.deleted.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if segments.is_empty() && (self.doomed.is_empty() || !due()) {
            return;
        }
        self.deleted = Some(Instant::now());
        self.doomed.extend(segments);
        // The copy of a segment must have its name for good before the segment goes; its
        // states have been synced.
        if let Err(error) = states.sync_names() {
            self.undeleted.raise(
                &*states.environment.events,
                &error,
                "segments that are done are not deleted yet",
            );
            return;
        }
        if let Some(from) = self.replaced.as_ref().map(|replaced| replaced.from)
            && self.doomed.contains(&from)
        {
            self.remove(states, &[from]);
        }
        let kept = self.replaced.as_ref().map(|replaced| replaced.to);
        let rest: Vec<u32> = self.doomed.iter().copied().filter(|n| Some(*n) != kept).collect();
        self.remove(states, &rest);
        if self.doomed.iter().all(|number| Some(*number) == kept)
            && self.undeleted.clear().is_some()
        {
            tracing::info!("segments that are done are deleted again");
        }
    }

    fn remove(&mut self, states: &mut StateWriter, segments: &[u32]) {
        let (disk, layout) =
            (Arc::clone(&states.environment.disk), states.environment.layout.clone());
        let mut removed = Vec::new();
        for number in segments {
            states.forget(*number);
            self.reader.forget(*number);
            match disk.rename(&layout.messages(*number), &layout.finished(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = StorageError::at(&layout.messages(*number))(error);
                    self.undeleted.raise(
                        &*states.environment.events,
                        &error,
                        "an empty segment was not deleted",
                    );
                }
                _ => removed.push(*number),
            }
        }
        if removed.is_empty() {
            return;
        }
        if let Err(error) = disk.sync_dir(layout.root()) {
            let error = StorageError::at(layout.root())(error);
            self.undeleted.raise(
                &*states.environment.events,
                &error,
                "state files of empty segments are left over",
            );
            return;
        }
        // States without messages would be taken for what is left of a lost segment.
        for number in &removed {
            let _ = disk.remove(&layout.states(*number));
        }
        let _ = disk.sync_dir(layout.root());
        for number in removed {
            if let Err(error) = remove_finished(&states.environment, number) {
                self.undeleted.raise(
                    &*states.environment.events,
                    &error,
                    "a segment that is done was not deleted",
                );
                continue;
            }
            self.doomed.remove(&number);
            self.unchecked.retain(|unchecked| unchecked != number);
            states.forwarding.forget(number);
            if let Some(replaced) = self.replaced.take_if(|replaced| replaced.from == number) {
                let _ = replaced.gone.send(());
            }
        }
    }

    /// Whether a segment that does not count any more is still there.
    #[cfg(test)]
    pub(super) fn is_replacing(&self) -> bool {
        self.replaced.is_some()
    }
}

/// Steps 2 to 5 of a compaction. `false`: the copy is of no use.
fn make_count(states: &mut StateWriter, mut copied: Copied) -> Result<bool, StorageError> {
    states.sync()?;
    let (disk, layout) = (Arc::clone(&states.environment.disk), states.environment.layout.clone());
    let (from, to) = (copied.from, copied.head.number);
    let old = states.feed.live(|ledger| ledger.segments.get(&from).copied());
    let Some(old) = old.filter(|old| old.live > 0) else { return Ok(false) };

    let end = states.state_file(from)?.durable;
    let mut survivors = StateFile::open(&states.environment, to)?;
    each_change(&states.environment, from, copied.followed..end, &mut |change| {
        if let Some(change) = copied.take_over(change) {
            let (at, durable) = (survivors.end(), survivors.durable as u32);
            change::encode(&change, (survivors.salt, at), durable, &mut survivors.tail);
        }
        Ok(())
    })?;
    survivors.sync().map_err(|error| states.environment.failure(&layout.states(to), error))?;
    disk.sync_dir(layout.root())
        .map_err(|error| states.environment.failure(layout.root(), error))?;

    let offsets = mem::take(&mut copied.offsets);
    let (life, entries) = copied.into_life(survivors.end());
    if life.live != old.live {
        let (counted, copied) = (old.live, life.live);
        tracing::error!(segment = from, counted, copied, "not as alive as it should be; kept");
        return Ok(false);
    }
    let messages = layout.messages(to);
    if let Err(error) = disk.rename(&layout.unfinished(to), &messages)
        && disk.open(&messages).is_err()
    {
        return Err(states.environment.failure(&messages, error));
    }
    states.forwarding.add(from, to, offsets);
    states.adopt(to, survivors);
    states.feed.push_unsynced(Event::Moved { from, to, life, entries });
    Ok(true)
}

/// Once its states are gone. What stays here goes at the next start.
fn remove_finished(environment: &Environment, number: u32) -> Result<(), StorageError> {
    let (disk, layout) = (&environment.disk, &environment.layout);
    for path in [layout.states(number), layout.finished(number)] {
        match disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::at(&path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// How many of the segment's entries are not done according to its own log. The ledger only
/// counts; before anything is deleted, this looks.
fn alive(states: &mut StateWriter, number: u32, entries: u32) -> Result<u32, StorageError> {
    let path = states.environment.layout.states(number);
    let file = states.state_file(number)?;
    let mut walker = Walker::new(&*file.file, file.salt, HEAD as u64, file.durable);
    let mut done = HashSet::new();
    while let Some(found) = walker.next().map_err(StorageError::at(&path))? {
        if let Found::Record { header, payload, .. } = found
            && header.kind == Kind::Change
            && let Some(change) = change::decode(&header, payload, false)
        {
            if change.now == EntryState::Done {
                done.insert((change.id, change.entry));
            } else {
                done.remove(&(change.id, change.entry));
            }
        }
    }
    Ok(entries.saturating_sub(done.len() as u32))
}

/// How often it is looked for what can be deleted when nothing changes: a segment may have been
/// closed after the last of its mail had left.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
