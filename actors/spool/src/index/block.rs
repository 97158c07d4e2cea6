//! Blocks: neighbours in the index share one value of the database.
//!
//! The database keeps a few hundred bytes in memory for each of its pages, and a page has 16 keys
//! at most, however small they are: a key for each entry would cost more memory than anything else
//! in a long queue. So up to [`MOST`] entries of one class, sorted by their keys, lie in a block. A
//! block stands under its *fence*: no key in it is larger, and each one is larger than the fence
//! before. The last fence of a class is [`last_of`] it, so that each key has a block to go to: the
//! first one whose fence is not smaller.

use std::sync::Arc;

use relais_channels::mail::{MessageId, Priority};
use relais_storage::{Class, EntryState, Place, append_postcard};
use serde::{Deserialize, Serialize};

use crate::index::broken::Broken;

/// Class, due time, id, entry; big-endian, so that bytes sort as the numbers do.
pub(crate) type Key = [u8; 19];

/// An entry as a block has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Item {
    pub(crate) key: Key,
    pub(crate) value: Value,
}

/// The value behind a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Value {
    pub(crate) place: Place,
    pub(crate) host: Arc<str>,
    pub(crate) open: u64,
    pub(crate) attempts: u16,
    pub(crate) size: u64,
    pub(crate) priority: Priority,
    pub(crate) reached: u64,
}

/// A key taken apart.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Parts {
    pub(crate) class: u8,
    pub(crate) due: u64,
    pub(crate) id: u64,
    pub(crate) entry: u16,
}

/// An [`Item`] as written: numbers that neighbours share are differences to the item before.
#[derive(Deserialize, Serialize)]
struct WrittenItem<'a> {
    due: i64,
    id: i64,
    entry: u16,
    segment: i32,
    offset: i32,
    length: u32,
    /// `None`: as before.
    #[serde(borrow)]
    host: Option<&'a str>,
    open: u64,
    attempts: u16,
    size: u64,
    priority: Priority,
    reached: u64,
}

/// Reads a block, item by item.
pub(crate) struct Items<'a> {
    rest: &'a [u8],
    key: Parts,
    place: Place,
    host: Option<Arc<str>>,
}

impl Parts {
    pub(crate) fn of(key: &Key) -> Self {
        let long =
            |at: usize| key[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let entry = u16::from_be_bytes([key[17], key[18]]);
        Self { class: key[0], due: long(1), id: long(9), entry }
    }

    pub(crate) fn key(self) -> Key {
        let mut key = Key::default();
        key[0] = self.class;
        key[1..9].copy_from_slice(&self.due.to_be_bytes());
        key[9..17].copy_from_slice(&self.id.to_be_bytes());
        key[17..].copy_from_slice(&self.entry.to_be_bytes());
        key
    }
}

/// Where an entry in this state is found; nowhere when it is done.
pub(crate) fn key(state: EntryState, id: MessageId, entry: u16) -> Option<Key> {
    let due = match state {
        EntryState::Waiting { due, .. } | EntryState::Owing { due, .. } => due,
        EntryState::Held { .. } | EntryState::Done => 0,
    };
    Some(Parts { class: state.class()? as u8, due, id: id.0, entry }.key())
}

/// The largest key of a class, and the fence of its last block.
pub(crate) fn last_of(class: u8) -> Key {
    let mut key = [u8::MAX; 19];
    key[0] = class;
    key
}

/// A block of these items, which are sorted.
pub(crate) fn encode_block(items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(items.len() * BYTES_OF_ITEM);
    let (mut before, mut place) = (Parts::default(), NOWHERE);
    let mut host: Option<&Arc<str>> = None;
    for Item { key, value } in items {
        let parts = Parts::of(key);
        let written = WrittenItem {
            due: parts.due.wrapping_sub(before.due).cast_signed(),
            id: parts.id.wrapping_sub(before.id).cast_signed(),
            entry: parts.entry,
            segment: value.place.segment.wrapping_sub(place.segment).cast_signed(),
            offset: value.place.offset.wrapping_sub(place.offset).cast_signed(),
            length: value.place.length,
            host: (host != Some(&value.host)).then_some(&*value.host),
            open: value.open,
            attempts: value.attempts,
            size: value.size,
            priority: value.priority,
            reached: value.reached,
        };
        append_postcard(&written, &mut bytes);
        (before, place, host) = (parts, value.place, Some(&value.host));
    }
    bytes
}

impl<'a> Items<'a> {
    /// Of the block under this fence. `host` is one that its items may well have: it saves them
    /// from having a copy each.
    pub(crate) fn of(fence: &[u8], block: &'a [u8], host: Option<Arc<str>>) -> Self {
        let class = fence.first().copied().unwrap_or_default();
        let key = Parts { class, ..Parts::default() };
        Self { rest: block, key, place: NOWHERE, host }
    }

    /// The host of the item read last.
    pub(crate) fn into_host(self) -> Option<Arc<str>> {
        self.host
    }

    fn read(&mut self) -> Result<Item, Broken> {
        let (written, rest) =
            postcard::take_from_bytes::<WrittenItem<'_>>(self.rest).map_err(Broken::because)?;
        self.rest = rest;
        self.key = Parts {
            class: self.key.class,
            due: self.key.due.wrapping_add(written.due.cast_unsigned()),
            id: self.key.id.wrapping_add(written.id.cast_unsigned()),
            entry: written.entry,
        };
        self.place = Place {
            segment: self.place.segment.wrapping_add(written.segment.cast_unsigned()),
            offset: self.place.offset.wrapping_add(written.offset.cast_unsigned()),
            length: written.length,
        };
        if let Some(host) = written.host.filter(|host| self.host.as_deref() != Some(*host)) {
            self.host = Some(host.into());
        }
        let host = self.host.clone().ok_or_else(|| Broken("an entry without a host".to_owned()))?;
        let WrittenItem { open, attempts, size, priority, reached, .. } = written;
        let value = Value { place: self.place, host, open, attempts, size, priority, reached };
        Ok(Item { key: self.key.key(), value })
    }
}

impl Iterator for Items<'_> {
    type Item = Result<Item, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.read();
        if item.is_err() {
            self.rest = &[];
        }
        Some(item)
    }
}

impl Value {
    /// The state of the entry with this key.
    pub(crate) fn state(&self, key: Parts) -> Result<EntryState, Broken> {
        let (open, attempts, due, reached) = (self.open, self.attempts, key.due, self.reached);
        Ok(match key.class {
            0 | 1 => EntryState::Waiting { open, attempts, due },
            2 => EntryState::Held { open, attempts },
            3 => EntryState::Owing { open, attempts, due, reached },
            other => return Err(Broken(format!("a key of class {other}"))),
        })
    }
}

/// Makes the changes, sorted by their keys as the items are; says whether there were any to make.
pub(crate) fn merge(items: &mut Vec<Item>, changes: Vec<(Key, Option<Value>)>) -> bool {
    let mut old = std::mem::take(items).into_iter().peekable();
    let mut differs = false;
    for (key, value) in changes {
        while let Some(item) = old.next_if(|item| item.key < key) {
            items.push(item);
        }
        let replaced = old.next_if(|item| item.key == key);
        differs |= replaced.as_ref().map(|item| &item.value) != value.as_ref();
        items.extend(value.map(|value| Item { key, value }));
    }
    items.extend(old);
    differs
}

/// Cuts items into pieces for a block each. In the last block of a class most of what is new comes
/// at the end, and what is before that is full; elsewhere it comes anywhere, and each piece has
/// room for more.
pub(crate) fn pieces(items: &[Item], is_last: bool) -> impl Iterator<Item = &[Item]> {
    let blocks = items.len().div_ceil(MOST).max(1);
    items.chunks(if is_last { MOST } else { items.len().div_ceil(blocks).max(1) })
}

/// Entries of a block at most.
pub(crate) const MOST: usize = 32;
/// With fewer than these it becomes a part of the next block.
pub(crate) const FEW: usize = 6;
/// Bytes that most items take, rather more than less.
pub(crate) const BYTES_OF_ITEM: usize = 32;
/// Before the first item.
const NOWHERE: Place = Place { segment: 0, offset: 0, length: 0 };
const _: () = assert!(Class::Owing as u8 == 3);
