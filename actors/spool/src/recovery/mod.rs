//! A start: the files are surveyed, replayed from where the index left off, and repaired.
//!
//! *Torn*: written by the last batch before a crash and never acknowledged. It is cut off.
//! *Damaged*: anything else that does not match its checksum. It is copied to `quarantine/` and
//! reported, and what comes after it is kept. The durable length in each header tells the two
//! apart; only the youngest segment is believed to be torn. *Replaced*: compacted, and the copy
//! counts; only its deletion is left to do. Everything here can itself be interrupted at any point
//! and done again.
//!
//! With an index that is up to date, segments that have not changed since are not opened. Without
//! one, every record is read once, and memory does not grow with their number: at most the state
//! changes of one segment are held, some 300 bytes for each entry that was ever tried, and 16 to
//! 32 bytes for each large message; what is alive goes into the index as it is found.

mod blobs;
pub(crate) mod error;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod survey;

use std::collections::BTreeSet;

use relais_channels::mail::MessageId;

use self::{
    blobs::clear_blobs,
    error::{RecoverError, at},
    repair::{FollowedFile, Quarantined, Repair},
    replay::Replay,
    survey::{Survey, remove_finished, size, survey},
};
use crate::{
    environment::Environment,
    format::segment::{HEAD, Part, SegmentHead},
    ledger::{Event, Ledger, SegmentLife},
};

/// Everything that a start has found.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) ledger: Ledger,
    pub(crate) quarantined: Vec<Quarantined>,
    /// Large messages that are not done and whose content is gone.
    pub(crate) missing: Vec<MessageId>,
    /// Segments of which only the states are left.
    pub(crate) lost: BTreeSet<u32>,
    /// Bytes behind the last records.
    pub(crate) cut: u64,
    /// Records read.
    pub(crate) replayed: u64,
    /// The number of the next segment.
    pub(crate) next: u32,
}

/// Brings everything up to date, starting from what the index knows (nothing, if it is empty).
/// Each event is handed to `each` in order; `progress` hears how many bytes of how many are done.
pub(crate) fn recover(
    environment: &Environment,
    known: Ledger,
    progress: &mut dyn FnMut(u64, u64),
    each: &mut dyn FnMut(Event),
) -> Result<Findings, RecoverError> {
    let Survey { segments, lost, copies, youngest, next } = survey(environment, &known)?;
    let (replay, repair) = (Replay::new(environment, known, each), Repair::new(environment));
    let mut recovery = Recovery { environment, replay, repair };
    let mut sizes = Vec::with_capacity(segments.len());
    for number in &segments {
        sizes.push(size(&*environment.disk, &environment.layout.messages(*number))?);
    }
    let (mut done, all) = (0, sizes.iter().sum());
    for (number, bytes) in segments.iter().zip(sizes) {
        progress(done, all);
        done += bytes;
        match copies.get(number) {
            Some(copy) => recovery.replaced(*number, *copy)?,
            None => recovery.segment(*number, Some(*number) == youngest)?,
        }
    }
    progress(done, all);
    let missing = clear_blobs(&mut recovery.replay, &segments)?;
    let Recovery { replay: Replay { ledger, replayed, .. }, repair, .. } = recovery;
    let Repair { quarantined, cut, .. } = repair;
    Ok(Findings { ledger, quarantined, missing, lost, cut, replayed, next })
}

/// A start on its way.
struct Recovery<'a> {
    environment: &'a Environment,
    replay: Replay<'a>,
    repair: Repair<'a>,
}

impl Recovery<'_> {
    fn segment(&mut self, number: u32, youngest: bool) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (messages, states) = (layout.messages(number), layout.states(number));
        let known = self.replay.ledger.segments.get(&number).copied();
        let data_len = size(disk, &messages)?;
        let states_len = size(disk, &states)?;
        let life = known.unwrap_or(SegmentLife::unread());
        if life.closed && (life.data_len, life.states_len) == (data_len, states_len) {
            return Ok(());
        }
        let Some(head) = SegmentHead::load(disk, layout, number).map_err(at(&messages))? else {
            self.repair.headless(number, data_len)?;
            return self.remove(number);
        };
        let (extent, states_extent) = self.replay.follow(head, &life, data_len, states_len)?;
        let file = FollowedFile {
            head,
            part: Part::States,
            path: &states,
            extent: &states_extent,
            size: states_len,
        };
        self.repair.file(&file, youngest)?;
        let entries = self.replay.ledger.segments.get(&number).map_or(0, |life| life.entries);
        let nothing_lost = extent.bad.iter().all(|(offset, ..)| youngest && *offset >= extent.end);
        if entries == 0 && nothing_lost {
            self.repair.cut += data_len.saturating_sub(HEAD as u64);
            return self.remove(number);
        }
        let file = FollowedFile {
            head,
            part: Part::Messages,
            path: &messages,
            extent: &extent,
            size: data_len,
        };
        self.repair.file(&file, youngest)?;
        let data_len = size(disk, &messages)?;
        let states_len = size(disk, &states)?.max(HEAD as u64);
        self.replay.emit(Event::Closed { segment: number, data_len, states_len });
        Ok(())
    }

    /// Lets an index that did not follow the compaction forget the segment; then removes it.
    fn replaced(&mut self, number: u32, copy: u32) -> Result<(), RecoverError> {
        if !self.replay.from_scratch && !self.replay.ledger.segments.contains_key(&copy) {
            self.replay.retract(number)?;
        }
        self.remove(number)
    }

    /// Deletes a segment.
    fn remove(&mut self, number: u32) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (path, finished) = (layout.messages(number), layout.finished(number));
        disk.rename(&path, &finished).map_err(at(&path))?;
        disk.sync_dir(layout.root()).map_err(at(layout.root()))?;
        remove_finished(disk, layout, number)?;
        self.replay.emit(Event::Emptied { segment: number });
        Ok(())
    }
}
