//! Operators' orders that were answered and are not carried out yet, on the disk: what is to happen
//! to an entry as soon as its job gives it back, and what is returned while its sender is being
//! told. A crash in between must not deliver what was to be deleted, held or returned.
//!
//! `DATA/orders` is a line of JSON for each such entry, the last of an entry counts. The next start
//! carries them out on the disk before anything is delivered; what was to be returned is held until
//! the queue runs, and then returned. The lines of what is done by now do no harm: such an entry is
//! gone, or is as its line says, or a newer order has a line of its own.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use relais_actors::{
    actor::Mailbox,
    events::{EntryDeleted, HoldChanged},
    metrics::Metrics,
    queue::{self, Order, PlaceOrder, Queue, Reading, Reason},
    timestamp::now_ms,
};
use relais_channels::mail::MessageId;
use relais_storage::{Change, EntryState, ScannedEntry, Storage, StorageError};
use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use super::{
    durable,
    rerouting::{ReroutedEntries, left_of},
};
use crate::api::OrderKind;

/// The orders of one engine, and the entries that it is about to route again.
#[derive(Debug)]
pub struct OrderBook {
    /// Entries that are about to be routed again: an order that is carried out in two steps.
    pub rerouting: ReroutedEntries,
    path: PathBuf,
    open: Mutex<Open>,
}

/// An entry of a message.
type Key = (MessageId, u16);

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    /// The entries that have lines.
    noted: HashSet<Key>,
    /// Orders being carried out.
    under_way: usize,
}

/// An order is being carried out; until this is dropped no line is forgotten.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a OrderBook);

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line {
    id: String,
    entry: u16,
    #[serde(rename = "action")]
    kind: OrderKind,
    words: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Orders that are left to be carried out when the queue runs.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Vec<(Key, Reason)>);

impl Line {
    /// The line for this entry.
    pub fn new((id, entry): Key, kind: OrderKind, reason: &Reason) -> Self {
        let (words, text) = (reason.words.to_string(), reason.text.as_deref().map(str::to_owned));
        Self { id: id.to_string(), entry, kind, words, text }
    }

    fn reason(&self) -> Reason {
        Reason { words: self.words.as_str().into(), text: self.text.as_deref().map(Arc::from) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut open = self.0.lock();
        debug_assert!(open.under_way > 0, "each order that begins is counted");
        open.under_way -= 1;
    }
}

impl OrderBook {
    /// The one of the engine on `data`.
    pub fn new(data: &Path) -> Self {
        Self {
            rerouting: ReroutedEntries::new(data),
            path: data.join("orders"),
            open: Mutex::default(),
        }
    }

    /// An order begins; what `pending` orders of before are not done decides whether their lines
    /// are forgotten.
    pub fn begin(&self, pending: usize) -> UnderWay<'_> {
        let mut open = self.lock();
        if pending == 0 && open.under_way == 0 && !open.noted.is_empty() {
            *open = Open::default();
            self.forget();
        }
        open.under_way += 1;
        UnderWay(self)
    }

    /// Whether this entry has a line: then a newer order needs one, too.
    pub fn has(&self, id: MessageId, entry: u16) -> bool {
        self.lock().noted.contains(&(id, entry))
    }

    /// Writes these lines. Durable when this returns.
    pub fn note(&self, lines: &[Line]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let mut open = self.lock();
        if open.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            let folder = self.path.parent().unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            open.file = Some(file);
        }
        if let Some(file) = &mut open.file {
            file.write_all(&text)?;
            file.sync_data()?;
        }
        open.noted
            .extend(lines.iter().filter_map(|line| Some((line.id.parse().ok()?, line.entry))));
        Ok(())
    }

    /// After a crash: carries out what was ordered. Nothing may be delivered before.
    pub async fn conclude(
        &self,
        storage: &Storage,
        metrics: &Metrics,
    ) -> Result<Unfinished, StorageError> {
        let lines = self.load();
        if lines.is_empty() {
            return Ok(Unfinished::default());
        }
        let ids = lines.keys().map(|(id, _)| *id).collect();
        let mut unfinished = Vec::new();
        let mut carried_out = 0;
        for found in storage.find_all(ids).await? {
            let key = (found.id, found.entry);
            let Some(line) = lines.get(&key) else { continue };
            let held =
                EntryState::Held { open: found.state.open(), attempts: found.state.attempts() };
            let now = match (line.kind, found.state) {
                (OrderKind::Delete, state) => left_of(state, u64::MAX),
                (OrderKind::Hold | OrderKind::Return, EntryState::Waiting { .. }) => held,
                (OrderKind::Return, state @ EntryState::Held { .. }) => state,
                _ => continue,
            };
            let reason = format!("{}, as the engine started", line.words);
            if line.kind == OrderKind::Delete {
                log(storage, metrics, &found, (now, &line.words)).await;
            } else if now != found.state {
                log(storage, metrics, &found, (now, &reason)).await;
            }
            if now != found.state {
                storage.amend(Change::of(&found, now, now_ms(), Some(reason.into())));
            }
            if line.kind == OrderKind::Return {
                unfinished.push((key, line.reason()));
            }
            carried_out += 1;
        }
        storage.flush().await?;
        info!(orders = lines.len(), carried_out, "what was ordered before the last end is done");
        if unfinished.is_empty() {
            self.forget();
        } else {
            self.lock().noted.extend(lines.keys());
        }
        Ok(Unfinished(unfinished))
    }

    /// The last line of each entry. What was not written to its end was not answered.
    fn load(&self) -> HashMap<Key, Line> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return HashMap::new(),
            Err(error) => {
                let path = self.path.display();
                error!(%path, %error, "orders that were not carried out cannot be read");
                return HashMap::new();
            }
        };
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        lines.filter_map(|line| Some(((line.id.parse().ok()?, line.entry), line))).collect()
    }

    fn forget(&self) {
        if let Err(error) = durable::remove(&self.path) {
            warn!(path = %self.path.display(), %error, "not removed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unfinished {
    /// Has returned what was to be, now that somebody can be told.
    pub async fn go_on(self, queue: Mailbox<Queue>, storage: Storage) {
        for lines in self.0.chunks(PAGE) {
            if let Err(error) = go_on(lines, &queue, &storage).await {
                error!(%error, "what was to be returned is held: return it once more");
            }
        }
    }
}

async fn go_on(
    lines: &[(Key, Reason)],
    queue: &Mailbox<Queue>,
    storage: &Storage,
) -> Result<(), StorageError> {
    let reading = Reading::begin(queue).await.map_err(|_| StorageError::Closed)?;
    let found = storage.find_all(lines.iter().map(|((id, _), _)| *id).collect()).await?;
    let mut found: HashMap<Key, ScannedEntry> =
        found.into_iter().map(|found| ((found.id, found.entry), found)).collect();
    for (key, reason) in lines {
        let entries = found.remove(key).into_iter().collect();
        let order = Order { kind: queue::OrderKind::Return, reason: reason.clone() };
        let place = PlaceOrder { reading: reading.ticket(), order, entries };
        queue.ask(place).await.map_err(|_| StorageError::Closed)?;
    }
    Ok(())
}

/// Tells that an entry is deleted, or held.
async fn log(
    storage: &Storage,
    metrics: &Metrics,
    found: &ScannedEntry,
    (now, reason): (EntryState, &str),
) {
    let (entry, recipients, attempts) = (found.entry, found.state.open(), found.state.attempts());
    match storage.envelope(found.place).await {
        Ok(envelope) if matches!(now, EntryState::Held { .. }) => {
            let envelope = &envelope;
            let is_held = true;
            HoldChanged { is_held, envelope, entry, recipients, attempts, reason }.emit(metrics);
        }
        Ok(envelope) => {
            let envelope = &envelope;
            EntryDeleted { envelope, entry, recipients, attempts, reason }.emit(metrics);
        }
        Err(error) => warn!(id = %found.id, %error, %reason, "not readable any more"),
    }
}

/// Entries looked for at once.
const PAGE: usize = 1_024;
