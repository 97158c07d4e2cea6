//! Segments that go: those that are replaced by a copy, and those in which nothing is alive.

use std::{collections::HashSet, io, mem, sync::Arc, time::Instant};

use tokio::sync::oneshot;

use super::{Journal, LOOK_EVERY, state_file::StateFile};
use crate::{
    compact::copy::{Copied, drop_copy, each_change},
    error::SpoolError,
    format::change::Change,
    format::record::{Found, Kind, Walker},
    format::segment::HEAD,
    format::state::EntryState,
    ledger::Event,
};

/// A segment that does not count any more, and is still there.
pub(crate) struct Replaced {
    from: u32,
    /// Must not go before that one: it is what says that it does not count.
    to: u32,
    gone: oneshot::Sender<()>,
}

impl Journal {
    /// Finds closed segments in which nothing is alive and lets the index forget them. They are
    /// deleted when it has, so that it never refers to a segment that is not there.
    pub(crate) fn sweep(&mut self) {
        let now = Instant::now();
        let waiting: HashSet<u32> =
            self.unplaced.iter().chain(&self.unpushed).map(|change| change.place.segment).collect();
        let ready = |number: u32| {
            let unsynced = self.dirty.contains(&number) || waiting.contains(&number);
            !unsynced && !self.unchecked.contains(number, now)
        };
        for (number, entries) in self.feed.take_empty(ready) {
            match self.alive(number, entries) {
                Ok(0) => self.feed.push(Event::Emptied { segment: number }),
                Ok(alive) => {
                    let segment = number;
                    tracing::error!(segment, alive, "its log does not say that all is done; kept");
                    self.feed.recount(number, alive);
                }
                Err(error) => {
                    self.environment.report(&error, "a segment could not be checked; kept for now");
                    self.unchecked.put_off(number, now);
                    self.feed.recount(number, 0);
                }
            }
        }
    }

    /// Lets a copy take the place of its segment; `gone` hears when that is deleted. See
    /// [`crate::compact::copy`].
    pub(crate) fn switch(&mut self, copied: Copied, gone: oneshot::Sender<()>) {
        let (from, to) = (copied.from, copied.head.number);
        match self.make_count(copied) {
            Ok(true) => {
                self.replaced = Some(Replaced { from, to, gone });
                tracing::info!(segment = from, survivors = to, "segment compacted");
                // What fails is told of, and done again.
                let _ = self.sync();
            }
            Ok(false) => drop_copy(&self.environment, to),
            Err(error) => {
                self.environment.report(&error, "a segment was not compacted and stays");
                drop_copy(&self.environment, to);
            }
        }
    }

    /// Steps 2 to 5 of a compaction. `false`: the copy is of no use.
    fn make_count(&mut self, mut copied: Copied) -> Result<bool, SpoolError> {
        self.sync()?;
        let (disk, layout) = (Arc::clone(&self.environment.disk), self.environment.layout.clone());
        let (from, to) = (copied.from, copied.head.number);
        let old = self.feed.live(|ledger| ledger.segments.get(&from).copied());
        let Some(old) = old.filter(|old| old.live > 0) else { return Ok(false) };

        let end = self.state_file(from)?.durable;
        let mut states = StateFile::open(&self.environment, to)?;
        each_change(&self.environment, from, copied.followed..end, &mut |change| {
            if let Some(change) = copied.take_over(change) {
                change.encode(states.salt, states.end(), states.durable as u32, &mut states.tail);
            }
            Ok(())
        })?;
        states.sync().map_err(|error| self.environment.failure(&layout.states(to), error))?;
        disk.sync_dir(layout.root())
            .map_err(|error| self.environment.failure(layout.root(), error))?;

        let offsets = mem::take(&mut copied.offsets);
        let (life, entries) = copied.into_life(states.end());
        if life.live != old.live {
            let (counted, copied) = (old.live, life.live);
            tracing::error!(segment = from, counted, copied, "not as alive as it should be; kept");
            return Ok(false);
        }
        let messages = layout.messages(to);
        if let Err(error) = disk.rename(&layout.unfinished(to), &messages)
            && disk.open(&messages).is_err()
        {
            return Err(self.environment.failure(&messages, error));
        }
        self.forwarding.add(from, to, offsets);
        self.files.insert(to, states);
        self.new_names = true;
        self.dirty_since.get_or_insert_with(Instant::now);
        self.feed.push_unsynced(Event::Moved { from, to, life, entries });
        Ok(true)
    }

    /// Deletes segments, in an order in which a crash at any point leaves no message without its
    /// states, and none that has moved in two places. What fails is tried again the next time.
    pub(crate) fn delete(&mut self, segments: &[u32]) {
        let due = || self.deleted.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
        if segments.is_empty() && (self.doomed.is_empty() || !due()) {
            return;
        }
        self.deleted = Some(Instant::now());
        self.doomed.extend(segments);
        // What takes the place of a segment must have its name for good before that goes; its
        // states have been synced.
        if let Err(error) = self.sync_names() {
            self.undeleted.raise(
                &*self.environment.events,
                &error,
                "segments that are done are not deleted yet",
            );
            return;
        }
        if let Some(from) = self.replaced.as_ref().map(|replaced| replaced.from)
            && self.doomed.contains(&from)
        {
            self.remove(&[from]);
        }
        let kept = self.replaced.as_ref().map(|replaced| replaced.to);
        let rest: Vec<u32> = self.doomed.iter().copied().filter(|n| Some(*n) != kept).collect();
        self.remove(&rest);
        if self.doomed.iter().all(|number| Some(*number) == kept)
            && self.undeleted.clear().is_some()
        {
            tracing::info!("segments that are done are deleted again");
        }
    }

    fn remove(&mut self, segments: &[u32]) {
        let (disk, layout) = (Arc::clone(&self.environment.disk), self.environment.layout.clone());
        let mut removed = Vec::new();
        for number in segments {
            self.files.remove(number);
            self.dirty.remove(number);
            self.reader.forget(*number);
            match disk.rename(&layout.messages(*number), &layout.finished(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let error = SpoolError::at(&layout.messages(*number))(error);
                    self.undeleted.raise(
                        &*self.environment.events,
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
            let error = SpoolError::at(layout.root())(error);
            self.undeleted.raise(
                &*self.environment.events,
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
            if let Err(error) = self.remove_finished(number) {
                self.undeleted.raise(
                    &*self.environment.events,
                    &error,
                    "a segment that is done was not deleted",
                );
                continue;
            }
            self.doomed.remove(&number);
            self.unchecked.retain(|unchecked| unchecked != number);
            self.forwarding.forget(number);
            if let Some(replaced) = self.replaced.take_if(|replaced| replaced.from == number) {
                let _ = replaced.gone.send(());
            }
        }
    }

    /// Once its states are gone. What stays here goes at the next start.
    fn remove_finished(&self, number: u32) -> Result<(), SpoolError> {
        let (disk, layout) = (&self.environment.disk, &self.environment.layout);
        for path in [layout.states(number), layout.finished(number)] {
            match disk.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(SpoolError::at(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// How many of the segment's entries are not done according to its own log. The ledger only
    /// counts; before anything is deleted, this looks.
    fn alive(&mut self, number: u32, entries: u32) -> Result<u32, SpoolError> {
        let path = self.environment.layout.states(number);
        let file = self.state_file(number)?;
        let mut walker = Walker::new(&*file.file, file.salt, HEAD as u64, file.durable);
        let mut done = HashSet::new();
        while let Some(found) = walker.next().map_err(SpoolError::at(&path))? {
            if let Found::Record { header, payload, .. } = found
                && header.kind == Kind::Change
                && let Some(change) = Change::decode(&header, payload, false)
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

    pub(crate) fn remove_blobs(&mut self) {
        let (disk, layout) = (&self.environment.disk, &self.environment.layout);
        let done = mem::take(&mut self.done);
        for id in &done {
            if let Err(error) = disk.remove(&layout.blob(*id))
                && error.kind() != io::ErrorKind::NotFound
            {
                let error = SpoolError::at(&layout.blob(*id))(error);
                self.environment
                    .report(&error, "the content of a finished message was not deleted");
            }
        }
        if !done.is_empty() && disk.sync_dir(&layout.blob_dir()).is_ok() {
            for id in done {
                self.feed.push(Event::BlobGone { id });
            }
        }
    }
}
