//! What is found at start: the files are tidied, followed from where the index left off, mended.
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

use std::collections::{BTreeSet, HashMap};

use relais_channels::mail::MessageId;

use crate::{
    environment::Environment,
    format::change::{Change, Names},
    format::extent::Extent,
    format::message::Stored,
    format::record::{Found, Kind, Walker},
    format::segment::{HEAD, Part, SegmentHead, now_ms},
    format::state::EntryState,
    ledger::{Event, Ledger, SegmentLife},
    recovery::error::{RecoverError, at},
    recovery::repair::{FollowedFile, Quarantined},
    recovery::survey::{compare, copies, next_number, remove_finished, size, tidy, youngest},
};

/// What recovery found.
#[derive(Debug, Default)]
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
    let (segments, lost) = tidy(environment)?;
    compare(environment, &known, &segments)?;
    let from_scratch = known.segments.is_empty();
    let next = next_number(environment, segments.union(&lost), &known)?;
    let findings = Findings { ledger: known, lost, next, ..Findings::default() };
    let mut recovery = Recovery { environment, each, findings, from_scratch };
    let copies = copies(environment, &segments, &recovery.findings.ledger)?;
    let youngest = youngest(environment, &segments)?;
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
    recovery.clear_blobs(&segments)?;
    Ok(recovery.findings)
}

/// Goes through all segments as far as `until` says, for an index that has to be made anew while
/// the spool is in use. Changes nothing on disk.
pub(crate) fn replay(
    environment: &Environment,
    until: &Ledger,
    each: &mut dyn FnMut(Event),
) -> Result<(), RecoverError> {
    let findings = Findings::default();
    let mut recovery = Recovery { environment, each, findings, from_scratch: true };
    for (number, life) in &until.segments {
        let path = environment.layout.messages(*number);
        let head = SegmentHead::load(&*environment.disk, &environment.layout, *number)
            .map_err(at(&path))?;
        let Some(head) = head else { continue };
        recovery.follow(head, &SegmentLife::unread(), life.data_len, life.states_len)?;
        if life.closed {
            let (data_len, states_len) = (life.data_len, life.states_len);
            recovery.emit(Event::Closed { segment: *number, data_len, states_len });
        }
    }
    Ok(())
}

pub(crate) struct Recovery<'a> {
    pub(crate) environment: &'a Environment,
    each: &'a mut dyn FnMut(Event),
    pub(crate) findings: Findings,
    from_scratch: bool,
}

/// What has happened to an entry since the index looked.
struct Latest {
    /// The states it left; only the first one when there is no index that might have seen others.
    left: Vec<EntryState>,
    change: Change,
}

type States = HashMap<(MessageId, u16), Latest>;

impl Recovery<'_> {
    fn segment(&mut self, number: u32, youngest: bool) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (messages, states) = (layout.messages(number), layout.states(number));
        let known = self.findings.ledger.segments.get(&number).copied();
        let data_len = size(disk, &messages)?;
        let states_len = size(disk, &states)?;
        let life = known.unwrap_or(SegmentLife::unread());
        if life.closed && (life.data_len, life.states_len) == (data_len, states_len) {
            return Ok(());
        }
        let Some(head) = SegmentHead::load(disk, layout, number).map_err(at(&messages))? else {
            return self.headless(number, data_len);
        };
        let (extent, states_extent) = self.follow(head, &life, data_len, states_len)?;
        let file = FollowedFile {
            head,
            part: Part::States,
            path: &states,
            extent: &states_extent,
            size: states_len,
        };
        self.mend(&file, youngest)?;
        let entries = self.findings.ledger.segments.get(&number).map_or(0, |life| life.entries);
        let nothing_lost = extent.bad.iter().all(|(offset, ..)| youngest && *offset >= extent.end);
        if entries == 0 && nothing_lost {
            self.findings.cut += data_len.saturating_sub(HEAD as u64);
            return self.remove(number);
        }
        let file = FollowedFile {
            head,
            part: Part::Messages,
            path: &messages,
            extent: &extent,
            size: data_len,
        };
        self.mend(&file, youngest)?;
        let data_len = size(disk, &messages)?;
        let states_len = size(disk, &states)?.max(HEAD as u64);
        self.emit(Event::Closed { segment: number, data_len, states_len });
        Ok(())
    }

    /// Lets an index that did not follow the compaction forget the segment; then removes it.
    fn replaced(&mut self, number: u32, copy: u32) -> Result<(), RecoverError> {
        if !self.from_scratch && !self.findings.ledger.segments.contains_key(&copy) {
            self.retract(number)?;
        }
        self.remove(number)
    }

    /// Tells that everything in a segment is done. What is not will be found in the copy.
    fn retract(&mut self, number: u32) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (path, states) = (layout.messages(number), layout.states(number));
        let unreadable = || RecoverError::Index(format!("replaced segment {number} is damaged"));
        let head = SegmentHead::load(disk, layout, number).map_err(at(&path))?;
        let head = head.ok_or_else(unreadable)?;
        let (data_len, states_len) = (size(disk, &path)?, size(disk, &states)?);
        let known = self.findings.ledger.segments.get(&number).copied();
        self.follow(head, &known.unwrap_or(SegmentLife::unread()), data_len, states_len)?;

        let (mut states, _) = self.states(head, HEAD as u64, states_len)?;
        let file = self.environment.disk.open(&path).map_err(at(&path))?;
        let mut records = Walker::new(&*file, head.salt(Part::Messages), HEAD as u64, data_len);
        let mut changes = Vec::new();
        while let Some(found) = records.next().map_err(at(&path))? {
            let Found::Record { offset, header, payload } = found else { return Err(unreadable()) };
            if header.kind == Kind::Seal {
                break;
            }
            let stored = Stored::from_record(number, offset, &header, payload);
            let stored = stored.ok_or_else(unreadable)?;
            for (entry, name) in stored.own_entries() {
                let untried = Change::moved(&stored, entry, name);
                let was = states.remove(&(stored.id, entry)).map_or(untried.now, |l| l.change.now);
                if was != EntryState::Done {
                    changes.push(Change { was, now: EntryState::Done, ..untried });
                }
            }
        }
        self.emit(Event::Changed { changes, states: Vec::new() });
        Ok(())
    }

    /// Reads what is new in a segment and tells it on.
    fn follow(
        &mut self,
        head: SegmentHead,
        life: &SegmentLife,
        data_len: u64,
        states_len: u64,
    ) -> Result<(Extent, Extent), RecoverError> {
        let (mut states, states_extent) = self.states(head, life.states_len, states_len)?;
        let path = self.environment.layout.messages(head.number);
        let file = self.environment.disk.open(&path).map_err(at(&path))?;
        let mut extent = Extent::from(life.data_len);
        let salt = head.salt(Part::Messages);
        let mut records = Walker::new(&*file, salt, life.data_len, data_len);
        let mut batch = Vec::new();
        while let Some(found) = records.next().map_err(at(&path))? {
            let Some((offset, header, payload)) = extent.step(found) else { continue };
            self.findings.replayed += 1;
            if matches!(header.kind, Kind::Seal | Kind::Change) {
                continue;
            }
            match Stored::from_record(head.number, offset, &header, payload) {
                Some(stored) => batch.push(stored),
                None => extent.bad.push((offset, header.length(), Some(header.id))),
            }
            if batch.len() >= BATCH {
                self.tell(head.number, extent.end, &mut batch, &mut states);
            }
        }
        self.tell(head.number, extent.end, &mut batch, &mut states);
        // What is left concerns messages from before; or such as are damaged now.
        let earlier = |latest: &Latest| u64::from(latest.change.place.offset) < life.data_len;
        let changes = states
            .into_values()
            .filter(|latest| life.entries > 0 && earlier(latest))
            .flat_map(Latest::steps)
            .collect();
        let states = vec![(head.number, states_extent.end)];
        self.emit(Event::Changed { changes, states });
        Ok((extent, states_extent))
    }

    fn states(
        &mut self,
        head: SegmentHead,
        from: u64,
        to: u64,
    ) -> Result<(States, Extent), RecoverError> {
        let path = self.environment.layout.states(head.number);
        let mut states = States::new();
        let mut extent = Extent::from(from);
        if to <= from {
            return Ok((states, extent));
        }
        let file = self.environment.disk.open(&path).map_err(at(&path))?;
        let mut records = Walker::new(&*file, head.salt(Part::States), from, to);
        // Channels and hosts are few, entries many.
        let mut names = Names::default();
        while let Some(found) = records.next().map_err(at(&path))? {
            let Some((offset, header, payload)) = extent.step(found) else { continue };
            self.findings.replayed += 1;
            let Some(mut change) = Change::decode(&header, payload, false) else {
                extent.bad.push((offset, header.length(), Some(header.id)));
                continue;
            };
            names.share(&mut change.channel);
            names.share(&mut change.host);
            let name = (change.id, change.entry);
            if let Some(latest) = states.get_mut(&name) {
                if !self.from_scratch {
                    latest.left.push(change.was);
                }
                latest.change = change;
            } else {
                states.insert(name, Latest { left: vec![change.was], change });
            }
        }
        Ok((states, extent))
    }

    /// Tells of messages, and of what has become of them since.
    fn tell(&mut self, segment: u32, data_len: u64, batch: &mut Vec<Stored>, states: &mut States) {
        let messages = std::mem::take(batch);
        let mut changes = Vec::new();
        for stored in &messages {
            for (number, _) in stored.own_entries() {
                let latest = states.remove(&(stored.id, number));
                changes.extend(latest.into_iter().flat_map(Latest::steps));
            }
        }
        self.emit(Event::Stored { segment, data_len, messages });
        self.emit(Event::Changed { changes, states: Vec::new() });
    }

    pub(crate) fn remove(&mut self, number: u32) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (path, finished) = (layout.messages(number), layout.finished(number));
        disk.rename(&path, &finished).map_err(at(&path))?;
        disk.sync_dir(layout.root()).map_err(at(layout.root()))?;
        remove_finished(disk, layout, number)?;
        self.emit(Event::Emptied { segment: number });
        Ok(())
    }

    /// Removes content whose message is done or was never stored.
    fn clear_blobs(&mut self, segments: &BTreeSet<u32>) -> Result<(), RecoverError> {
        let (disk, dir) = (&*self.environment.disk, self.environment.layout.blob_dir());
        let mut present = BTreeSet::new();
        for name in disk.list(&dir).map_err(at(&dir))? {
            let Ok(id) = name.parse::<MessageId>() else { continue };
            let left = self.findings.ledger.blobs.get(&id).copied();
            if left.is_none() && !self.from_scratch && self.is_referred_to(id, segments)? {
                return Err(RecoverError::Index(format!("it does not know large message {id}")));
            }
            if left.unwrap_or(0) > 0 {
                present.insert(id);
            } else {
                let path = dir.join(name);
                disk.remove(&path).map_err(at(&path))?;
            }
        }
        disk.sync_dir(&dir).map_err(at(&dir))?;
        for (id, left) in self.findings.ledger.blobs.clone() {
            if left == 0 {
                self.emit(Event::BlobGone { id });
            } else if !present.contains(&id) {
                tracing::error!(%id, "the content of a large message is missing");
                self.findings.missing.push(id);
            }
        }
        Ok(())
    }

    /// Whether a record of this id lies in any segment that was open after the id was given out.
    fn is_referred_to(
        &self,
        id: MessageId,
        segments: &BTreeSet<u32>,
    ) -> Result<bool, RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        for number in segments.iter().rev() {
            let path = layout.messages(*number);
            let Some(head) = SegmentHead::load(disk, layout, *number).map_err(at(&path))? else {
                continue;
            };
            let file = disk.open(&path).map_err(at(&path))?;
            let end = file.size().map_err(at(&path))?;
            let mut walker = Walker::new(&*file, head.salt(Part::Messages), HEAD as u64, end);
            while let Some(found) = walker.next().map_err(at(&path))? {
                if matches!(found, Found::Record { header, .. } if header.id == id) {
                    return Ok(true);
                }
            }
            // Ids begin with the time: an older segment was full before this one was given out,
            // unless the clock was ahead then.
            if head.created <= id.received_ms() && id.received_ms() <= now_ms() {
                break;
            }
        }
        Ok(false)
    }

    fn emit(&mut self, event: Event) {
        let nothing = match &event {
            Event::Stored { messages, .. } => messages.is_empty(),
            Event::Changed { changes, states } => changes.is_empty() && states.is_empty(),
            _ => false,
        };
        if !nothing {
            self.findings.ledger.apply(&event);
            (self.each)(event);
        }
    }
}

impl Latest {
    /// One change for each state that was left, so that whatever an index made of the earlier
    /// ones is found and undone.
    fn steps(self) -> impl Iterator<Item = Change> {
        let Self { left, change } = self;
        let next = left.clone().into_iter().skip(1).chain([change.now]);
        left.into_iter().zip(next).map(move |(was, now)| Change { was, now, ..change.clone() })
    }
}

/// Messages told of at once.
const BATCH: usize = 1000;
