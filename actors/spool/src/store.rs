//! Sled, and everything that knows of it: keys, values, trees, the checkpoint.
//!
//! A tree per channel; a key is class, due time, id and entry, so that a scan meets untried
//! entries first, then tried ones by due time. Sled may panic where others return errors;
//! [`guarded`] makes both the same.

use std::{
    collections::HashMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use relais_channels::mail::{MessageId, Priority};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sled::{Batch, Db, Tree};

use super::{
    Class, Counts, EntryState, Place,
    change::append_postcard,
    ledger::{Ledger, SegmentLife},
};

/// A position in a scan; scans go on behind it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor(pub(crate) Key);

/// An entry as the index has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ScannedEntry {
    /// Where a scan goes on.
    pub cursor: Cursor,
    /// The message.
    pub id: MessageId,
    /// Which of its entries.
    pub entry: u16,
    /// The channel it leaves by.
    pub channel: Arc<str>,
    /// Where the message is.
    pub place: Place,
    /// The host it goes to.
    pub host: Arc<str>,
    /// Its state; never [`EntryState::Done`].
    pub state: EntryState,
    /// Octets of content.
    pub size: u64,
    /// How urgent the message is.
    pub priority: Priority,
}

/// Class, due time, id, entry; big-endian, so that octets sort as the numbers do.
pub(crate) type Key = [u8; 19];

/// What stands behind a key.
#[derive(Deserialize, Serialize)]
pub(crate) struct Value<'a> {
    pub(crate) place: Place,
    #[serde(borrow)]
    pub(crate) host: &'a str,
    pub(crate) open: u64,
    pub(crate) attempts: u16,
    pub(crate) size: u64,
    pub(crate) priority: Priority,
    pub(crate) reached: u64,
}

/// Sled failed, by error or by panic, or holds what cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

/// An open sled database.
pub(crate) struct Store {
    db: Db,
    checkpoint: Tree,
    channels: HashMap<Arc<str>, Tree>,
}

impl Store {
    /// Opens what is there, or begins an empty one.
    pub(crate) fn open(path: &Path) -> Result<Self, Broken> {
        let config = sled::Config::new().path(path).cache_capacity(CACHE).flush_every_ms(None);
        let db = open_patiently(&config)?;
        let checkpoint = db.open_tree(b"checkpoint")?;
        let mut store = Self { db, checkpoint, channels: HashMap::new() };
        for name in store.db.tree_names() {
            if let Some(channel) = name.strip_prefix(b"q:") {
                let channel = std::str::from_utf8(channel).map_err(Broken::because)?;
                store.channel(&channel.into())?;
            }
        }
        Ok(store)
    }

    /// Begins an empty one in place of whatever is there.
    pub(crate) fn create(path: &Path) -> Result<Self, Broken> {
        Self::remove(path)?;
        let store = Self::open(path)?;
        store.checkpoint.insert(VERSION_KEY, VERSION)?;
        Ok(store)
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
                    ledger.large.insert(id, decode(&value)?);
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
        for (id, left) in &ledger.large {
            if saved.large.get(id) != Some(left) {
                batch.insert(tagged(b'l', &id.0.to_be_bytes()), encode(left));
            }
        }
        for id in saved.large.keys().filter(|id| !ledger.large.contains_key(id)) {
            batch.remove(tagged(b'l', &id.0.to_be_bytes()));
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
            for item in tree {
                let (key, value) = item?;
                let entry = scanned(channel, &key, &value, &mut None)?;
                if !ledger.segments.contains_key(&entry.place.segment) {
                    return Err(Broken(format!("{} is in no known segment", entry.id)));
                }
                counts.add(entry.state, entry.size);
            }
            let want = ledger.counts.get(channel).copied().unwrap_or_default();
            if counts != want {
                return Err(Broken(format!("channel {channel}: {counts:?}, not {want:?}")));
            }
        }
        Ok(())
    }

    /// The tree of a channel.
    pub(crate) fn channel(&mut self, channel: &Arc<str>) -> Result<&Tree, Broken> {
        if !self.channels.contains_key(channel) {
            let tree = self.db.open_tree([b"q:", channel.as_bytes()].concat())?;
            self.channels.insert(Arc::clone(channel), tree);
        }
        Ok(&self.channels[channel])
    }

    /// Writes or removes one entry. Not in batches: sled applies those in random order, and the
    /// checkpoint, written afterwards, is all that has to be atomic.
    pub(crate) fn put(
        &mut self,
        channel: &Arc<str>,
        key: Key,
        value: Option<Vec<u8>>,
    ) -> Result<(), Broken> {
        let tree = self.channel(channel)?;
        match value {
            Some(value) => tree.insert(key, value)?,
            None => tree.remove(key)?,
        };
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
        let tree = self.channel(channel)?;
        let from = after.map_or_else(|| vec![class as u8], |Cursor(key)| [&key[..], &[0]].concat());
        let mut entries = Vec::new();
        let mut host = None;
        for item in tree.range(from..vec![class as u8 + 1]) {
            if entries.len() == limit {
                return Ok((entries, false));
            }
            let (key, value) = item?;
            entries.push(scanned(channel, &key, &value, &mut host)?);
        }
        Ok((entries, true))
    }
}

impl Broken {
    pub(crate) fn because(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<sled::Error> for Broken {
    fn from(error: sled::Error) -> Self {
        Self::because(error)
    }
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

/// Makes a panic of sled an error like any other.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Broken(format!("panicked: {}", text.unwrap_or("without a word"))))
    })
}

/// Where an entry in this state is found; nowhere when it is done.
pub(crate) fn key(state: EntryState, id: MessageId, entry: u16) -> Option<Key> {
    let due = match state {
        EntryState::Waiting { due, .. } | EntryState::Owing { due, .. } => due,
        EntryState::Held { .. } | EntryState::Done => 0,
    };
    let mut key = Key::default();
    key[0] = state.class()? as u8;
    key[1..9].copy_from_slice(&due.to_be_bytes());
    key[9..17].copy_from_slice(&id.0.to_be_bytes());
    key[17..].copy_from_slice(&entry.to_be_bytes());
    Some(key)
}

/// Puts key and value together again. Entries of one host often follow each other: `last_host`
/// saves them from having a copy each.
pub(crate) fn scanned(
    channel: &Arc<str>,
    key: &[u8],
    value: &[u8],
    last_host: &mut Option<Arc<str>>,
) -> Result<ScannedEntry, Broken> {
    let key: Key = key.try_into().map_err(|_| Broken("a key of a wrong length".to_owned()))?;
    let value: Value<'_> = postcard::from_bytes(value).map_err(Broken::because)?;
    let long =
        |at: usize| key[at..at + 8].iter().fold(0, |sum, octet| sum << 8 | u64::from(*octet));
    let Value { place, open, attempts, size, priority, reached, .. } = value;
    let state = match key[0] {
        0 | 1 => EntryState::Waiting { open, attempts, due: long(1) },
        2 => EntryState::Held { open, attempts },
        3 => EntryState::Owing { open, attempts, due: long(1), reached },
        other => return Err(Broken(format!("a key of class {other}"))),
    };
    let host = match last_host.take().filter(|host| **host == *value.host) {
        Some(host) => host,
        None => value.host.into(),
    };
    *last_host = Some(Arc::clone(&host));
    Ok(ScannedEntry {
        cursor: Cursor(key),
        id: MessageId(long(9)),
        entry: u16::from_be_bytes([key[17], key[18]]),
        channel: Arc::clone(channel),
        place,
        host,
        state,
        size,
        priority,
    })
}

/// The postcard form of anything.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut octets = Vec::new();
    append_postcard(value, &mut octets);
    octets
}

fn decode<T: DeserializeOwned>(octets: &[u8]) -> Result<T, Broken> {
    postcard::from_bytes(octets).map_err(Broken::because)
}

fn tagged(kind: u8, key: &[u8]) -> Vec<u8> {
    [&[kind], key].concat()
}

/// How often, and how long in between, a lock is asked for.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// Octets of sled's page cache.
const CACHE: u64 = 16 << 20;
/// Entries that are counted one by one at start; it takes a fifth of a second.
const VERIFIED_AT_ONCE: u64 = 100_000;
const VERSION_KEY: &[u8] = b"version";
const VERSION: &[u8] = b"6";
