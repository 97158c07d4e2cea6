//! The second step of a start: records are read from where the index left off, and told on as
//! events.
//!
//! Without an index every record is read once, and memory does not grow with their number: at most
//! the state changes of one segment are held, some 300 bytes for each entry that was ever tried.

use std::collections::HashMap;

use relais_channels::mail::MessageId;
use relais_storage::{Change, EntryState, Stored};

use crate::{
    environment::Environment,
    format::change,
    format::change::Names,
    format::extent::Extent,
    format::message::stored_in,
    format::record::{Found, Kind, Walker},
    format::segment::{HEAD, Part, SegmentHead},
    ledger::{Event, Ledger, SegmentLife},
    recovery::error::{RecoverError, at},
    recovery::survey::size,
};

/// Goes through all segments as far as `until` says, for an index that has to be rebuilt while
/// the spool is in use. Changes nothing on disk.
pub(crate) fn replay(
    environment: &Environment,
    until: &Ledger,
    each: &mut dyn FnMut(Event),
) -> Result<(), RecoverError> {
    let mut replay = Replay::new(environment, Ledger::default(), each);
    for (number, life) in &until.segments {
        let path = environment.layout.messages(*number);
        let head = SegmentHead::load(&*environment.disk, &environment.layout, *number)
            .map_err(at(&path))?;
        let Some(head) = head else { continue };
        replay.follow(head, &SegmentLife::unread(), life.data_len, life.states_len)?;
        if life.closed {
            let (data_len, states_len) = (life.data_len, life.states_len);
            replay.emit(Event::Closed { segment: *number, data_len, states_len });
        }
    }
    Ok(())
}

/// Follows the records of segments, and tells of them.
pub(super) struct Replay<'a> {
    pub(super) environment: &'a Environment,
    each: &'a mut dyn FnMut(Event),
    pub(super) ledger: Ledger,
    /// Records read.
    pub(super) replayed: u64,
    /// The index knows nothing.
    pub(super) from_scratch: bool,
}

/// The states of an entry since the index looked.
struct Latest {
    /// The states it left; only the first one when there is no index that might have seen others.
    left: Vec<EntryState>,
    change: Change,
}

type States = HashMap<(MessageId, u16), Latest>;

impl<'a> Replay<'a> {
    /// Goes on from what the index knows: nothing, if that is empty.
    pub(super) fn new(
        environment: &'a Environment,
        known: Ledger,
        each: &'a mut dyn FnMut(Event),
    ) -> Self {
        let from_scratch = known.segments.is_empty();
        Self { environment, each, ledger: known, replayed: 0, from_scratch }
    }

    /// Tells that everything in a segment is done. What is not will be found in the copy.
    pub(super) fn retract(&mut self, number: u32) -> Result<(), RecoverError> {
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let (path, states) = (layout.messages(number), layout.states(number));
        let unreadable = || RecoverError::Index(format!("replaced segment {number} is damaged"));
        let head = SegmentHead::load(disk, layout, number).map_err(at(&path))?;
        let head = head.ok_or_else(unreadable)?;
        let (data_len, states_len) = (size(disk, &path)?, size(disk, &states)?);
        let known = self.ledger.segments.get(&number).copied();
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
            let stored = stored_in(number, offset, &header, payload);
            let stored = stored.ok_or_else(unreadable)?;
            for (entry, name) in stored.own_entries() {
                let untried = change::moved(&stored, entry, name);
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
    pub(super) fn follow(
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
            self.replayed += 1;
            if matches!(header.kind, Kind::Seal | Kind::Change) {
                continue;
            }
            match stored_in(head.number, offset, &header, payload) {
                Some(stored) => batch.push(stored),
                None => extent.bad.push((offset, header.length(), Some(header.id))),
            }
            // An index that followed so far goes on from there.
            if batch.len() >= BATCH && !records.is_in_group() {
                self.tell(head.number, extent.end, &mut batch, &mut states);
            }
        }
        self.tell(head.number, extent.end, &mut batch, &mut states);
        // The changes that are left concern messages from before; or such as are damaged now.
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
            self.replayed += 1;
            let Some(mut change) = change::decode(&header, payload, false) else {
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

    pub(super) fn emit(&mut self, event: Event) {
        let nothing = match &event {
            Event::Stored { messages, .. } => messages.is_empty(),
            Event::Changed { changes, states } => changes.is_empty() && states.is_empty(),
            _ => false,
        };
        if !nothing {
            self.ledger.apply(&event);
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
