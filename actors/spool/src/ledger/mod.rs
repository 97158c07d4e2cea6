//! The ledger of what is alive: entries by channel, by segment, and blobs. Kept twice, from the
//! same events: once up to date, once as far as the index has followed (its checkpoint).

pub(crate) mod feed;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use relais_channels::mail::MessageId;
use relais_storage::{Change, Counts, EntryState, Stored};
use serde::{Deserialize, Serialize};

use crate::format::segment::HEAD;

/// Something that happened to the spool, in the order in which it did.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Messages were committed; the segment now has `data_len` bytes.
    Stored { segment: u32, data_len: u64, messages: Vec<Stored> },
    /// States changed; the state files named have that many bytes.
    Changed { changes: Vec<Change>, states: Vec<(u32, u64)> },
    /// Nothing will be appended to the segment any more.
    Closed { segment: u32, data_len: u64, states_len: u64 },
    /// The segment is empty and about to be deleted.
    Emptied { segment: u32 },
    /// The survivors of one segment are in another now, and the first is about to be deleted. Each
    /// entry comes with its new place, in the state it has.
    Moved { from: u32, to: u32, life: SegmentLife, entries: Vec<Change> },
    /// The file of a large message that is done is gone.
    BlobGone { id: MessageId },
}

/// Everything that is counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ledger {
    pub(crate) last_id: u64,
    /// The largest generation of an id.
    pub(crate) generation: u64,
    pub(crate) segments: BTreeMap<u32, SegmentLife>,
    pub(crate) counts: HashMap<Arc<str>, Counts>,
    /// Entries left of each message whose content is in a file of its own.
    pub(crate) blobs: HashMap<MessageId, u16>,
    /// The last file of each of them that has more than one.
    pub(crate) forms: HashMap<MessageId, u8>,
    /// Closed segments without a live entry.
    pub(crate) empty: BTreeSet<u32>,
}

/// One segment.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct SegmentLife {
    /// Bytes of its message file.
    pub(crate) data_len: u64,
    /// Bytes of its state file.
    pub(crate) states_len: u64,
    /// Entries ever stored in it.
    pub(crate) entries: u32,
    /// Entries not done.
    pub(crate) live: u32,
    /// Bytes of their records. What several entries share is counted for each of them: it is
    /// never less than what is alive.
    pub(crate) live_bytes: u64,
    /// It will not grow.
    pub(crate) closed: bool,
    /// The smallest and the largest id of the messages ever stored in it.
    pub(crate) ids: Option<(u64, u64)>,
}

impl Event {
    /// The segment that nothing refers to any more.
    pub(crate) fn leaves(&self) -> Option<u32> {
        match self {
            Self::Emptied { segment: gone } | Self::Moved { from: gone, .. } => Some(*gone),
            _ => None,
        }
    }
}

impl SegmentLife {
    /// A segment of which nothing is known yet.
    pub(crate) fn unread() -> Self {
        Self { data_len: HEAD as u64, states_len: HEAD as u64, ..Self::default() }
    }

    /// Whether a message with this id may be in it.
    pub(crate) fn spans(&self, id: MessageId) -> bool {
        self.ids.is_some_and(|(first, last)| (first..=last).contains(&id.0))
    }

    /// A message with this id is in it.
    pub(crate) fn span(&mut self, id: MessageId) {
        let (first, last) = self.ids.unwrap_or((id.0, id.0));
        self.ids = Some((first.min(id.0), last.max(id.0)));
    }
}

impl Ledger {
    /// Follows one event.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Stored { segment, data_len, messages } => {
                for stored in messages {
                    self.add(stored);
                }
                self.life(*segment).data_len = *data_len;
            }
            Event::Changed { changes, states } => {
                for change in changes {
                    self.change(change);
                }
                for (segment, states_len) in states {
                    if let Some(life) = self.segments.get_mut(segment) {
                        life.states_len = *states_len;
                    }
                }
            }
            Event::Closed { segment, data_len, states_len } => {
                let life = self.life(*segment);
                life.data_len = *data_len;
                life.states_len = life.states_len.max(*states_len);
                life.closed = true;
                if life.live == 0 {
                    self.empty.insert(*segment);
                }
            }
            Event::Emptied { segment } => {
                self.segments.remove(segment);
                self.empty.remove(segment);
            }
            Event::Moved { from, to, life, .. } => {
                self.segments.remove(from);
                self.segments.insert(*to, *life);
            }
            Event::BlobGone { id } => {
                self.blobs.remove(id);
                self.forms.remove(id);
            }
        }
    }

    fn add(&mut self, stored: &Stored) {
        self.last_id = self.last_id.max(stored.id.0);
        self.generation = self.generation.max(stored.id.generation());
        let life = self.life(stored.place.segment);
        let entries = stored.own_entries().count() as u32;
        life.entries += entries;
        life.live += entries;
        life.live_bytes += u64::from(entries) * u64::from(stored.place.length);
        life.span(stored.id);
        for (_, entry) in stored.own_entries() {
            self.channel(&entry.channel).add(stored.initial(entry), stored.size);
        }
        if stored.blob {
            let left = self.blobs.entry(stored.id).or_default();
            *left = left.saturating_add(entries as u16);
            if stored.form > 0 {
                let last = self.forms.entry(stored.id).or_default();
                *last = stored.form.max(*last);
            }
        }
    }

    fn change(&mut self, change: &Change) {
        let counts = self.channel(&change.channel);
        counts.take_off(change.was, change.size);
        counts.add(change.now, change.size);
        if change.now != EntryState::Done || change.was == EntryState::Done {
            return;
        }
        if let Some(life) = self.segments.get_mut(&change.place.segment) {
            life.live = life.live.saturating_sub(1);
            life.live_bytes = life.live_bytes.saturating_sub(change.place.length.into());
            if life.closed && life.live == 0 {
                self.empty.insert(change.place.segment);
            }
        }
        if let Some(left) = self.blobs.get_mut(&change.id) {
            *left = left.saturating_sub(1);
        }
    }

    fn life(&mut self, segment: u32) -> &mut SegmentLife {
        self.segments.entry(segment).or_insert(SegmentLife::unread())
    }

    fn channel(&mut self, name: &Arc<str>) -> &mut Counts {
        self.counts.entry(Arc::clone(name)).or_default()
    }

    /// Entries that are not done, by channel.
    pub(crate) fn by_channel(&self) -> BTreeMap<String, Counts> {
        self.counts.iter().map(|(channel, counts)| (channel.to_string(), *counts)).collect()
    }

    /// Entries of one channel that are not done.
    pub(crate) fn of_channel(&self, channel: &str) -> Counts {
        self.counts.get(channel).copied().unwrap_or_default()
    }

    /// Entries that are not done.
    pub(crate) fn stored(&self) -> u64 {
        self.counts.values().map(Counts::total).sum()
    }

    /// Bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().map(|life| life.data_len + life.states_len).sum()
    }
}
