//! The index: queue entries in the order in which jobs want them.
//!
//! It follows the spool and never leads: it is told only what is durable there, and everything in
//! it can be made again from there. It is lazy: what is stored and done within a second or so never
//! reaches it. With each batch goes a checkpoint that says how far it has followed; a crash takes
//! at most its newest writes, checkpoint included, and they are made up for at start. When sled
//! fails while the engine runs, the index is rebuilt.

pub(crate) mod block;
pub(crate) mod broken;
pub(crate) mod rebuild;
pub(crate) mod tables;

#[cfg(test)]
mod tables_tests;

use std::{
    collections::HashMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use relais_channels::mail::{MessageId, Priority};
use relais_storage::{
    Change, Class, Counts, Cursor, EntryState, Place, ScannedEntry, StorageError, Stored, Sums,
};
use tokio::sync::oneshot;

use crate::{
    environment::Environment,
    inbox::{Inbox, Work},
    index::block::{Key, Value, key},
    index::broken::{Broken, guarded},
    index::rebuild::Retry,
    index::tables::Tables,
    ledger::feed::Feed,
    ledger::{Event, Ledger},
    recovery::replay::replay,
};

/// Questions to the index's thread, which the feed wakes.
#[derive(Default)]
pub(crate) struct IndexQueue(Inbox<Vec<Question>>);

/// A question to the index. None is answered while the index is out of order.
pub(crate) enum Question {
    /// Entries of a channel and class behind a cursor.
    Scan {
        channel: Arc<str>,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
        answer: oneshot::Sender<Vec<ScannedEntry>>,
    },
    /// The sums of up to so many entries of a channel and class behind a cursor; and the last of
    /// these, when there are more.
    Sum {
        channel: Arc<str>,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
        answer: oneshot::Sender<(Sums, Option<Cursor>)>,
    },
    /// Takes the first entry of a channel out, and says whether there was one.
    #[cfg(test)]
    LoseFirst(Arc<str>, oneshot::Sender<bool>),
}

/// The index; on a thread of its own once it is up to date.
pub(crate) struct Index {
    environment: Arc<Environment>,
    /// Nothing while it is out of order.
    tables: Option<Tables>,
    /// It is out of order, and nothing is left of it that could refer to a segment.
    removed: bool,
    /// Set when a rebuild has failed.
    retry: Option<Retry>,
    /// Everything that it has been told.
    ledger: Ledger,
    /// Everything that it has been told as of the checkpoint.
    saved: Ledger,
    /// Entries that have changed since the tables were written to.
    young: HashMap<(MessageId, u16), Young>,
    /// The tables may already have some of what recovery tells: keys to remove first.
    replaying: bool,
    stale: Vec<(Arc<str>, Key)>,
    emptied: Vec<u32>,
    flushed: Instant,
}

/// An entry that the tables are about to learn of.
struct Young {
    /// Its key in the tables so far.
    was: Option<Key>,
    now: EntryState,
    channel: Arc<str>,
    host: Arc<str>,
    place: Place,
    priority: Priority,
    size: u64,
}

impl Work for Vec<Question> {
    fn amount(&self) -> usize {
        self.len()
    }
}

impl IndexQueue {
    pub(crate) fn ask(&self, question: Question) {
        // After the end nobody answers: the dropped sender says so to the caller.
        self.0.leave_if_open(|questions| questions.push(question));
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }

    fn take(&self) -> (Vec<Question>, bool) {
        self.0.take_now()
    }
}

impl Index {
    /// Opens what is there.
    pub(crate) fn open(environment: Arc<Environment>) -> Result<Self, Broken> {
        let path = environment.layout.index();
        if !path.exists() {
            return Self::create(environment);
        }
        let (tables, ledger) = guarded(|| {
            let tables = Tables::open(&path)?;
            let ledger = tables.ledger()?;
            tables.verify(&ledger)?;
            Ok((tables, ledger))
        })?;
        let replaying = true;
        Ok(Self { saved: ledger.clone(), ledger, replaying, ..Self::with(environment, tables) })
    }

    /// An empty one in place of whatever is there.
    pub(crate) fn create(environment: Arc<Environment>) -> Result<Self, Broken> {
        let tables = guarded(|| Tables::create(&environment.layout.index()))?;
        Ok(Self::with(environment, tables))
    }

    fn with(environment: Arc<Environment>, tables: Tables) -> Self {
        Self {
            environment,
            tables: Some(tables),
            removed: false,
            retry: None,
            ledger: Ledger::default(),
            saved: Ledger::default(),
            young: HashMap::new(),
            replaying: false,
            stale: Vec::new(),
            emptied: Vec::new(),
            flushed: Instant::now(),
        }
    }

    /// The ledger as far as the index has followed.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Takes in what recovery finds.
    pub(crate) fn catch_up(&mut self, event: Event) -> Result<(), Broken> {
        self.learn(event);
        if self.young.len() + self.stale.len() < CATCH_UP {
            return Ok(());
        }
        guarded(|| self.write())
    }

    /// Recovery is over.
    pub(crate) fn caught_up(&mut self) -> Result<(), Broken> {
        self.replaying = false;
        self.emptied.clear();
        guarded(|| {
            self.write()?;
            self.checkpoint()?;
            self.flush()
        })
    }

    /// The thread. `retire` is told which segments nothing refers to any more.
    pub(crate) fn run(mut self, feed: &Feed, queue: &IndexQueue, retire: impl Fn(Vec<u32>)) {
        loop {
            feed.wait(EVERY);
            let (questions, closed) = queue.take();
            let events = feed.take();
            if let Err(broken) = guarded(|| self.follow(events, closed)) {
                self.repair(feed, &broken);
            }
            // On a full disk there is no room for another one before something is deleted.
            let knows_none = self.tables.is_some() || self.removed;
            if knows_none && !self.emptied.is_empty() {
                retire(mem::take(&mut self.emptied));
                self.retry.iter_mut().for_each(|retry| retry.soon(Instant::now()));
            }
            for question in questions {
                if let Err(broken) = guarded(|| self.answer(question)) {
                    self.repair(feed, &broken);
                }
            }
            if closed {
                return;
            }
        }
    }

    fn follow(&mut self, events: Vec<Event>, closed: bool) -> Result<(), Broken> {
        if self.tables.is_none() {
            self.emptied.extend(events.iter().filter_map(Event::leaves));
            return Err(Broken("it could not be repaired so far".to_owned()));
        }
        if !events.is_empty() {
            for event in events {
                self.learn(event);
            }
            self.write()?;
            self.checkpoint()?;
        }
        // Nothing is deleted before the operating system knows that the index has let go of it.
        if closed || !self.emptied.is_empty() || self.flushed.elapsed() > FLUSH_EVERY {
            self.flush()?;
        }
        Ok(())
    }

    fn learn(&mut self, event: Event) {
        self.ledger.apply(&event);
        self.emptied.extend(event.leaves());
        match event {
            Event::Stored { messages, .. } => {
                for stored in &messages {
                    self.learn_message(stored);
                }
            }
            Event::Changed { changes, .. } => {
                for change in changes {
                    self.learn_change(change);
                }
            }
            Event::Moved { entries, .. } => {
                for entry in entries {
                    self.learn_change(entry);
                }
            }
            Event::Closed { .. } | Event::Emptied { .. } | Event::BlobGone { .. } => {}
        }
    }

    fn learn_message(&mut self, stored: &Stored) {
        for (number, entry) in stored.own_entries() {
            let channel = Arc::clone(&entry.channel);
            let now = stored.initial(entry);
            if self.replaying {
                let fresh = key(now, stored.id, number);
                self.stale.extend(fresh.map(|key| (Arc::clone(&channel), key)));
            }
            let host = Arc::clone(&entry.host);
            let (place, priority, size) = (stored.place, stored.priority, stored.size);
            let young = Young { was: None, now, channel, host, place, priority, size };
            self.young.insert((stored.id, number), young);
        }
    }

    fn learn_change(&mut self, change: Change) {
        let was = key(change.was, change.id, change.entry);
        if self.replaying {
            self.stale.extend(was.map(|key| (Arc::clone(&change.channel), key)));
        }
        let name = (change.id, change.entry);
        if let Some(young) = self.young.get_mut(&name) {
            young.now = change.now;
            young.place = change.place;
            if young.was.is_none() && young.now == EntryState::Done {
                self.young.remove(&name);
            }
            return;
        }
        let Change { now, channel, host, place, priority, size, .. } = change;
        self.young.insert(name, Young { was, now, channel, host, place, priority, size });
    }

    /// Brings the trees of channels up to date.
    fn write(&mut self) -> Result<(), Broken> {
        let Some(tables) = &mut self.tables else { return Ok(()) };
        let mut writes: Vec<(Arc<str>, Key, Option<Value>)> = Vec::new();
        for ((id, entry), young) in self.young.drain() {
            let Young { was, now: state, channel, host, place, priority, size } = young;
            let now = key(state, id, entry);
            writes.extend(now.map(|now| {
                let (open, attempts, reached) = (state.open(), state.attempts(), state.reached());
                let value = Value { place, host, open, attempts, size, priority, reached };
                (Arc::clone(&channel), now, Some(value))
            }));
            let was = was.filter(|was| Some(*was) != now);
            writes.extend(was.map(|was| (channel, was, None)));
        }
        writes.extend(self.stale.drain(..).map(|(channel, key)| (channel, key, None)));
        // Of an insertion and the removal of the same, stale, key only the first counts.
        writes.sort_unstable_by(|(a, ka, va), (b, kb, vb)| {
            (a, ka, va.is_none()).cmp(&(b, kb, vb.is_none()))
        });
        writes.dedup_by(|(a, ka, _), (b, kb, _)| (a, ka) == (b, kb));
        let mut writes = writes.into_iter().peekable();
        while let Some((channel, ..)) = writes.peek() {
            let channel = Arc::clone(channel);
            let its = std::iter::from_fn(|| writes.next_if(|(other, ..)| *other == channel));
            let its = its.map(|(_, key, value)| (key, value)).collect();
            tables.update(&channel, its)?;
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Broken> {
        if let Some(tables) = self.tables.as_ref().filter(|_| self.ledger != self.saved) {
            tables.save(&self.ledger, &self.saved)?;
            self.saved = self.ledger.clone();
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Broken> {
        self.flushed = Instant::now();
        self.tables.as_ref().map_or(Ok(()), Tables::flush)
    }

    fn answer(&mut self, question: Question) -> Result<(), Broken> {
        let Some(tables) = &mut self.tables else { return Ok(()) };
        match question {
            Question::Scan { channel, class, after, limit, answer } => {
                let (entries, ended) = tables.scan(&channel, class, after, limit)?;
                let counts = self.ledger.counts.get(&channel).copied().unwrap_or_default();
                if ended && after.is_none() && entries.len() as u64 != counts.of_class(class) {
                    let found = entries.len();
                    return Err(Broken(format!("{channel}, {class:?}: {found}, not {counts:?}")));
                }
                let _ = answer.send(entries);
            }
            Question::Sum { channel, class, after, limit, answer } => {
                let _ = answer.send(tables.sum(&channel, class, after, limit)?);
            }
            #[cfg(test)]
            Question::LoseFirst(channel, answer) => {
                let (first, _) = tables.scan(&channel, Class::Untried, None, 1)?;
                let lost = first.iter().map(|entry| (entry.cursor.0, None)).collect();
                tables.update(&channel, lost)?;
                let _ = answer.send(!first.is_empty());
            }
        }
        Ok(())
    }

    /// Starts over from the spool.
    fn repair(&mut self, feed: &Feed, broken: &Broken) {
        // Its destructor would wait for what is broken.
        if let Some(tables) = self.tables.take() {
            self.environment
                .report(&StorageError::Index(broken.to_string()), "the index is made anew");
            mem::forget(tables);
        }
        let free = self.environment.disk.free_space(self.environment.layout.root()).unwrap_or(0);
        if self.retry.as_mut().is_some_and(|retry| !retry.admit(Instant::now(), free)) {
            return;
        }
        let (until, emptied) = feed.start_over();
        self.emptied.extend(emptied);
        let needed = until.counts.values().map(Counts::total).sum::<u64>() * BYTES_OF_ENTRY;
        let begun = if free < needed {
            Err(Broken(format!("{free} octets are free, and it needs some {needed}")))
        } else {
            Self::create(Arc::clone(&self.environment))
        };
        let made = begun.and_then(|mut index| {
            let mut failed = Ok(());
            let mut each = |event| {
                if failed.is_ok() {
                    failed = index.catch_up(event);
                }
            };
            replay(&self.environment, &until, &mut each).map_err(Broken::because)?;
            failed?;
            index.caught_up()?;
            Ok(index)
        });
        match made {
            Ok(index) => {
                tracing::info!("the index is in order again");
                *self = Self { emptied: mem::take(&mut self.emptied), ..index };
            }
            Err(broken) => {
                // A disk that cannot be written fails each attempt, and the first says all.
                let first = self.retry.is_none();
                let retry = Retry::after(self.retry.take(), Instant::now(), free);
                let pause = retry.at.saturating_duration_since(Instant::now());
                if first {
                    tracing::error!(
                        %broken, ?pause,
                        "the index could not be made anew; it is tried again until that works"
                    );
                } else {
                    tracing::debug!(%broken, ?pause, "the index could not be made anew again");
                }
                self.retry = Some(retry);
                self.removed = Tables::remove(&self.environment.layout.index()).is_ok();
                self.environment.release_reserve_if_full("the index is made");
            }
        }
    }
}

/// How long an entry has time to be done before the tables hear of it.
const EVERY: Duration = Duration::from_secs(1);
/// How much of the index's own work a crash of the process may cost.
const FLUSH_EVERY: Duration = Duration::from_secs(5);
/// Entries written at once while catching up.
const CATCH_UP: usize = 20_000;
/// Bytes of an entry in the index, at least.
const BYTES_OF_ENTRY: u64 = 50;
