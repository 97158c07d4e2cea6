//! Sled, and everything that knows of it: keys, values, trees, the checkpoint.
//!
//! A tree per channel; a key is class, due time, id and entry, so that a scan meets untried
//! entries first, then tried ones by due time. Neighbours share a value, see [`block`]. Sled may
//! panic where others return errors; [`crate::index::broken::guarded`] makes both the same.

use std::{collections::HashMap, fs, io, path::Path, sync::Arc, thread, time::Duration};

use relais_channels::mail::MessageId;
use serde::{Serialize, de::DeserializeOwned};
use sled::{Batch, Db, Tree};

use relais_storage::{Class, Counts, Cursor, ScannedEntry, Sums, append_postcard};

#[cfg(doc)]
use crate::index::block;
use crate::{
    index::block::{
        FEW, Item, Items, Key, MOST, Parts, Value, encode_block, last_of, merge, pieces,
    },
    index::broken::Broken,
    ledger::{Ledger, SegmentLife},
};

/// An open sled database.
pub(crate) struct Tables {
    db: Db,
    checkpoint: Tree,
    channels: HashMap<Arc<str>, Tree>,
}

impl Tables {
    /// Opens what is there, or begins an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, Broken> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
        let db = open_patiently(&config)?;
        let checkpoint = db.open_tree(b"checkpoint")?;
        let mut tables = Self { db, checkpoint, channels: HashMap::new() };
        for name in tables.db.tree_names() {
            if let Some(channel) = name.strip_prefix(b"q:") {
                let channel = std::str::from_utf8(channel).map_err(Broken::because)?;
                tables.channel(&channel.into())?;
            }
        }
        Ok(tables)
    }

    /// Begins an empty one in place of whatever is there.
    pub(crate) fn create(path: &Path) -> Result<Self, Broken> {
        Self::remove(path)?;
        let tables = Self::open(path)?;
        tables.checkpoint.insert(VERSION_KEY, VERSION)?;
        Ok(tables)
    }

    /// Removes whatever is there.
    pub(crate) fn remove(path: &Path) -> Result<(), Broken> {
        // One that was given up is still open: its room would not be free before the next start.
        let db = fs::OpenOptions::new().write(true).open(path.join("db"));
        let _ = db.and_then(|db| db.set_len(0));
        match fs::remove_dir_all(path).or_else(|_| fs::remove_file(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Broken(format!("{}: {error}", path.display())))
            }
            _ => Ok(()),
        }
    }

    /// The ledger as of the last checkpoint.
    pub(crate) fn ledger(&self) -> Result<Ledger, Broken> {
        if self.checkpoint.get(VERSION_KEY)?.as_deref() != Some(VERSION) {
            return Err(Broken("it was written by another version".to_owned()));
        }
        let mut ledger = Ledger::default();
        for item in &self.checkpoint {
            let (key, value) = item?;
            let Some((kind, key)) = key.split_first() else { continue };
            let number = |key: &[u8]| key.try_into().map(u32::from_be_bytes);
            let id = |key: &[u8]| key.try_into().map(u64::from_be_bytes);
            match *kind {
                b's' => {
                    let number = number(key).map_err(Broken::because)?;
                    let life: SegmentLife = decode(&value)?;
                    if life.closed && life.live == 0 {
                        ledger.empty.insert(number);
                    }
                    ledger.segments.insert(number, life);
                }
                b'c' => {
                    let channel = std::str::from_utf8(key).map_err(Broken::because)?;
                    ledger.counts.insert(channel.into(), decode(&value)?);
                }
                b'l' => {
                    let id = MessageId(id(key).map_err(Broken::because)?);
                    ledger.blobs.insert(id, decode(&value)?);
                }
                b'f' => {
                    let id = MessageId(id(key).map_err(Broken::because)?);
                    ledger.forms.insert(id, decode(&value)?);
                }
                b'i' => ledger.last_id = decode(&value)?,
                b'g' => ledger.generation = decode(&value)?,
                _ => {}
            }
        }
        Ok(ledger)
    }

    /// Writes down how far the index has followed, in one atomic step.
    pub(crate) fn save(&self, ledger: &Ledger, saved: &Ledger) -> Result<(), Broken> {
        let mut batch = Batch::default();
        for (number, life) in &ledger.segments {
            if saved.segments.get(number) != Some(life) {
                batch.insert(tagged(b's', &number.to_be_bytes()), encode(life));
            }
        }
        for number in saved.segments.keys().filter(|n| !ledger.segments.contains_key(n)) {
            batch.remove(tagged(b's', &number.to_be_bytes()));
        }
        for (channel, counts) in &ledger.counts {
            if saved.counts.get(channel) != Some(counts) {
                batch.insert(tagged(b'c', channel.as_bytes()), encode(counts));
            }
        }
        for (id, left) in &ledger.blobs {
            if saved.blobs.get(id) != Some(left) {
                batch.insert(tagged(b'l', &id.0.to_be_bytes()), encode(left));
            }
        }
        for id in saved.blobs.keys().filter(|id| !ledger.blobs.contains_key(id)) {
            batch.remove(tagged(b'l', &id.0.to_be_bytes()));
        }
        for (id, last) in &ledger.forms {
            if saved.forms.get(id) != Some(last) {
                batch.insert(tagged(b'f', &id.0.to_be_bytes()), encode(last));
            }
        }
        for id in saved.forms.keys().filter(|id| !ledger.forms.contains_key(id)) {
            batch.remove(tagged(b'f', &id.0.to_be_bytes()));
        }
        batch.insert(tagged(b'i', b""), encode(&ledger.last_id));
        if ledger.generation != saved.generation {
            batch.insert(tagged(b'g', b""), encode(&ledger.generation));
        }
        Ok(self.checkpoint.apply_batch(batch)?)
    }

    /// Hands everything written to the operating system.
    pub(crate) fn flush(&self) -> Result<(), Broken> {
        self.db.flush()?;
        Ok(())
    }

    /// Compares a small index with its checkpoint, key by key. (A large one is compared when a
    /// scan comes to the end of a class.)
    pub(crate) fn verify(&self, ledger: &Ledger) -> Result<(), Broken> {
        let total: u64 = ledger.counts.values().map(Counts::total).sum();
        if total > VERIFIED_AT_ONCE {
            return Ok(());
        }
        for (channel, tree) in &self.channels {
            let mut counts = Counts::default();
            let mut before: Option<Key> = None;
            for block in tree {
                let (fence, block) = block?;
                for item in Items::of(&fence, &block, None) {
                    let item = item?;
                    if before.is_some_and(|before| before >= item.key) || item.key[..] > fence[..] {
                        return Err(Broken(format!("{channel}: entries out of their order")));
                    }
                    before = Some(item.key);
                    let entry = scanned(channel, item)?;
                    if !ledger.segments.contains_key(&entry.place.segment) {
                        return Err(Broken(format!("{} is in no known segment", entry.id)));
                    }
                    counts.add(entry.state, entry.size);
                }
            }
            let want = ledger.counts.get(channel).copied().unwrap_or_default();
            if counts != want {
                return Err(Broken(format!("channel {channel}: {counts:?}, not {want:?}")));
            }
        }
        Ok(())
    }

    /// The tree of a channel.
    fn channel(&mut self, channel: &Arc<str>) -> Result<&Tree, Broken> {
        if !self.channels.contains_key(channel) {
            let tree = self.db.open_tree([b"q:", channel.as_bytes()].concat())?;
            self.channels.insert(Arc::clone(channel), tree);
        }
        Ok(&self.channels[channel])
    }

    /// Writes and removes entries of a channel, which come sorted by their keys. All that becomes
    /// of one block, or of two neighbours, is one atomic step; the whole is not, and need not be:
    /// the checkpoint is written afterwards.
    pub(crate) fn update(
        &mut self,
        channel: &Arc<str>,
        changes: Vec<(Key, Option<Value>)>,
    ) -> Result<(), Broken> {
        let tree = self.channel(channel)?;
        let mut changes = changes.into_iter().peekable();
        while let Some((first, _)) = changes.peek() {
            let mut block = Block::of(tree, first)?;
            let mut until = |fence: Key| {
                std::iter::from_fn(|| changes.next_if(|(key, _)| *key <= fence)).collect()
            };
            let mut differs = merge(&mut block.items, until(block.fence));
            let mut gone = None;
            if differs && block.is_sparse() {
                let next = Block::of(tree, &behind(block.fence))?;
                gone = Some(std::mem::replace(&mut block.fence, next.fence));
                block.items.extend(next.items);
                differs |= merge(&mut block.items, until(block.fence));
            }
            if differs {
                block.save(tree, gone)?;
            }
        }
        Ok(())
    }

    /// Entries of a class behind `after`, and whether the end was reached.
    pub(crate) fn scan(
        &mut self,
        channel: &Arc<str>,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<ScannedEntry>, bool), Broken> {
        let mut entries = Vec::new();
        let ended = self.walk(channel, class, after, &mut |item| {
            let wanted = entries.len() < limit;
            if wanted {
                entries.push(scanned(channel, item)?);
            }
            Ok(wanted)
        })?;
        Ok((entries, ended))
    }

    /// The sums of up to `limit` entries of a class behind `after`, and the last of these entries
    /// when there are more.
    pub(crate) fn sum(
        &mut self,
        channel: &Arc<str>,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Sums, Option<Cursor>), Broken> {
        let (mut sums, mut seen, mut last) = (Sums::default(), 0, None);
        let ended = self.walk(channel, class, after, &mut |Item { key, value }| {
            let wanted = seen < limit;
            if wanted {
                (seen, last) = (seen + 1, Some(Cursor(key)));
                sums.add(MessageId(Parts::of(&key).id), &value.host, (value.open, value.size));
            }
            Ok(wanted)
        })?;
        Ok((sums, last.filter(|_| !ended)))
    }

    /// Shows the entries of a class behind `after`, in order, until one is not wanted; and says
    /// whether there was none such.
    fn walk(
        &mut self,
        channel: &Arc<str>,
        class: Class,
        after: Option<Cursor>,
        each: &mut dyn FnMut(Item) -> Result<bool, Broken>,
    ) -> Result<bool, Broken> {
        let after = after.map(|Cursor(key)| key);
        let from = after.map_or_else(|| first_of(class), behind);
        let mut host = None;
        for block in self.channel(channel)?.range(from..=last_of(class as u8)) {
            let (fence, block) = block?;
            let mut items = Items::of(&fence, &block, host.take());
            for item in items.by_ref() {
                let item = item?;
                if item.key >= from && !each(item)? {
                    return Ok(false);
                }
            }
            host = items.into_host();
        }
        Ok(true)
    }
}

/// A block that is about to change.
struct Block {
    fence: Key,
    items: Vec<Item>,
}

impl Block {
    /// The one that has room for a key; empty, if there is none yet.
    fn of(tree: &Tree, key: &Key) -> Result<Self, Broken> {
        let last = last_of(key[0]);
        let Some(found) = tree.range(*key..=last).next() else {
            return Ok(Self { fence: last, items: Vec::new() });
        };
        let (fence, block) = found?;
        let items = Items::of(&fence, &block, None).collect::<Result<_, _>>()?;
        let fence = Key::try_from(&fence[..]);
        Ok(Self { fence: fence.map_err(|_| Broken("a key of a wrong length".to_owned()))?, items })
    }

    /// It has so few items that they should lie in the next one.
    fn is_sparse(&self) -> bool {
        (1..FEW).contains(&self.items.len()) && self.fence != last_of(self.fence[0])
    }

    /// Writes it, in as many pieces as it takes, and removes the block `gone`.
    fn save(&self, tree: &Tree, gone: Option<Key>) -> Result<(), Broken> {
        let is_last = self.fence == last_of(self.fence[0]);
        let mut pieces = pieces(&self.items, is_last).peekable();
        if gone.is_none() && self.items.len() <= MOST {
            // Sled is faster without a batch.
            match &self.items[..] {
                [] => tree.remove(self.fence)?,
                items => tree.insert(self.fence, encode_block(items))?,
            };
            return Ok(());
        }
        let mut batch = Batch::default();
        if let Some(gone) = gone {
            batch.remove(&gone);
        }
        if self.items.is_empty() {
            batch.remove(&self.fence);
        }
        while let Some(piece) = pieces.next() {
            let last = piece.last().filter(|_| pieces.peek().is_some());
            let fence = last.map_or(self.fence, |item| item.key);
            batch.insert(&fence, encode_block(piece));
        }
        Ok(tree.apply_batch(batch)?)
    }
}

/// The least key of a class.
fn first_of(class: Class) -> Key {
    let mut key = Key::default();
    key[0] = class as u8;
    key
}

/// The next key. The last one of a class has none, and is none.
fn behind(key: Key) -> Key {
    let Parts { class, due, id, entry } = Parts::of(&key);
    let (entry, carry) = entry.overflowing_add(1);
    let (id, carry) = id.overflowing_add(u64::from(carry));
    let due = due.saturating_add(u64::from(carry));
    Parts { class, due, id, entry }.key()
}

/// Opens a database. A handle that was dropped a moment ago may still have its lock: sled's own
/// threads let go of it when they come to it.
fn open_patiently(config: &sled::Config) -> Result<Db, Broken> {
    let mut tries = 0;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) && tries < LOCK_TRIES => {
                tries += 1;
                thread::sleep(LOCK_PAUSE);
            }
            opened => return Ok(opened?),
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("acquire lock")
}

/// An entry as those who scan see it.
fn scanned(channel: &Arc<str>, Item { key, value }: Item) -> Result<ScannedEntry, Broken> {
    let parts = Parts::of(&key);
    let state = value.state(parts)?;
    let Value { place, host, size, priority, .. } = value;
    Ok(ScannedEntry {
        cursor: Cursor(key),
        id: MessageId(parts.id),
        entry: parts.entry,
        channel: Arc::clone(channel),
        place,
        host,
        state,
        size,
        priority,
    })
}

/// The postcard form of anything.
fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    append_postcard(value, &mut bytes);
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Broken> {
    postcard::from_bytes(bytes).map_err(Broken::because)
}

fn tagged(kind: u8, key: &[u8]) -> Vec<u8> {
    [&[kind], key].concat()
}

/// How often, and how long in between, a lock is asked for.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// Bytes of sled's page cache.
const CACHE: u64 = 16 << 20;
/// Entries that are counted one by one at start; it takes a fifth of a second.
const VERIFIED_AT_ONCE: u64 = 100_000;
const VERSION_KEY: &[u8] = b"version";
const VERSION: &[u8] = b"7";
