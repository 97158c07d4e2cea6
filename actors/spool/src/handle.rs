//! The handle to a spool: everything that others may ask of it. Each call is encoded or checked in
//! the task of its caller, and left in the inbox of the thread that carries it out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use bytes::Bytes;
use relais_channels::mail::{Content, Entry, Envelope, Fragments, MessageId};
use relais_storage::{
    Change, Class, Counts, Cursor, Draft, Gone, LastReplies, MoreContent, NewContent, PageReader,
    Place, QueueStorage, ScannedEntry, StorageError, Stored, Sums, blocking,
};
use tokio::sync::oneshot;

use async_trait::async_trait;

use crate::{
    compact::{Compactor, Rest},
    environment::Environment,
    format::layout::DRAFT,
    format::message::Encoded,
    index::{IndexQueue, Question},
    ledger::Ledger,
    ledger::feed::Feed,
    read::continued::{Continued, MoreNumbers, Reserved},
    read::find,
    read::pages::SegmentPages,
    read::reader::Reader,
    write::committer::CommitQueue,
    write::journal::JournalQueue,
};

/// A handle to the spool; clones are the same spool. It stops when the last one is dropped, in good
/// order with [`Spool::close`].
#[derive(Clone)]
pub struct Spool {
    pub(crate) shared: Arc<Shared>,
    _stop: Arc<StopOnDrop>,
}

/// The parts of a spool, and what its threads have in common.
pub(crate) struct Shared {
    pub(crate) environment: Arc<Environment>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) reader: Arc<Reader>,
    pub(crate) compactor: Compactor,
    pub(crate) commits: CommitQueue,
    pub(crate) journal: JournalQueue,
    pub(crate) rest: Rest,
    pub(crate) index: IndexQueue,
    pub(crate) continued: Continued,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

struct StopOnDrop(Arc<Shared>);

#[async_trait]
impl QueueStorage for Spool {
    async fn append(
        &self,
        envelope: &mut Arc<Envelope>,
        content: NewContent,
    ) -> Result<Stored, StorageError> {
        self.check_backlog()?;
        let mut kept = Vec::new();
        let stored = match self.encode(envelope, content, 0, &mut kept).await {
            Ok(record) => self.commit(record).await,
            Err(error) => Err(error),
        };
        if stored.is_err() {
            self.remove_files(kept).await;
        }
        stored
    }

    async fn append_all(
        &self,
        messages: Vec<(Arc<Envelope>, NewContent)>,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, StorageError> {
        self.check_backlog()?;
        let mut kept = Vec::new();
        let stored = self.store_all(messages, &mut kept).await;
        if stored.is_err() {
            self.remove_files(kept).await;
        }
        stored
    }

    async fn append_more(
        &self,
        mut envelope: Envelope,
        known: usize,
        content: MoreContent<'_>,
    ) -> Result<(Arc<Envelope>, Stored), StorageError> {
        let (bytes, blob) = match content {
            MoreContent::Same(Content::Whole(bytes)) => (bytes.clone(), None),
            // The file is there, and goes when the last entry of the message is done.
            MoreContent::Same(Content::File { size, .. }) => (Bytes::new(), Some(*size)),
            MoreContent::New(content) => {
                let stored = self.append_forms(vec![(envelope, content)], known).await?;
                return stored.into_iter().next().ok_or(StorageError::Closed);
            }
        };
        self.check_backlog()?;
        let (id, count) = (envelope.id, envelope.entries.len());
        let reserved = self.reserve(MoreNumbers { id, least: known, count, files: 0 }).await?;
        number_from(&mut envelope, reserved.first);
        let mut envelope = Arc::new(envelope);
        let stored = self.commit(Encoded::new(&mut envelope, bytes, blob)?).await?;
        if let Some(rerouted) = envelope.rerouted {
            self.shared.continued.went(id, rerouted);
        }
        Ok((envelope, stored))
    }

    async fn append_forms(
        &self,
        forms: Vec<(Envelope, NewContent)>,
        known: usize,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, StorageError> {
        let Some(id) = forms.first().map(|(envelope, _)| envelope.id) else {
            return Ok(Vec::new());
        };
        // Before numbers are given, of which there are not many.
        self.room()?;
        let count = forms.iter().map(|(envelope, _)| envelope.entries.len()).sum();
        let files = forms.iter().filter(|(_, new)| matches!(new, NewContent::Blob(_))).count();
        let reserved = self.reserve(MoreNumbers { id, least: known, count, files }).await?;
        let mut kept = Vec::new();
        let group = match self.encode_forms(forms, reserved, &mut kept).await {
            Ok(group) => group,
            Err(error) => {
                self.remove_files(kept).await;
                // Nothing was written that has any of these numbers.
                self.shared.continued.give_back(reserved);
                return Err(error);
            }
        };
        let (envelopes, records): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let stored = match self.commit_group(records).await {
            Ok(stored) => stored,
            Err(error) => {
                self.remove_files(kept).await;
                return Err(error);
            }
        };
        for rerouted in envelopes.iter().filter_map(|envelope| envelope.rerouted) {
            self.shared.continued.went(id, rerouted);
        }
        Ok(envelopes.into_iter().zip(stored).collect())
    }

    async fn gone_on(&self, id: MessageId, entry: u16) -> Result<Gone, StorageError> {
        let shared = Arc::clone(&self.shared);
        let gone = move || shared.continued.gone(&shared.reader, &shared.feed, (id, entry));
        blocking(gone).await
    }

    fn draft(&self) -> Draft {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let environment = Arc::clone(&self.shared.environment);
        let path = environment.layout.blob_dir().join(format!("{DRAFT}{count}"));
        Draft::new(environment, path)
    }

    fn room(&self) -> Result<(), StorageError> {
        self.check_backlog()?;
        let checked = self.shared.environment.check_space();
        if checked.is_err() {
            // It may have the room that is missing, and nobody else comes to it now.
            self.shared.commits.poke();
        }
        checked
    }

    fn refuses(&self) -> Option<String> {
        self.room()
            .err()
            .map(|error| error.to_string())
            .or_else(|| self.shared.environment.broken())
    }

    fn free_room(&self) -> (Option<u64>, u64) {
        let environment = &self.shared.environment;
        (environment.disk.free_space(environment.layout.root()).ok(), environment.settings.min_free)
    }

    fn amend(&self, change: Change) {
        self.shared.journal.push(change);
    }

    async fn flush(&self) -> Result<(), StorageError> {
        self.shared.journal.flush().await.unwrap_or(Err(StorageError::Closed))
    }

    fn state_backlog(&self) -> usize {
        self.shared.journal.backlog()
    }

    async fn read(&self, place: Place) -> Result<(Arc<Envelope>, Content), StorageError> {
        self.shared.reader.read(place).await
    }

    async fn envelope(&self, place: Place) -> Result<Envelope, StorageError> {
        self.shared.reader.envelope(place).await
    }

    async fn history(&self, id: MessageId, place: Place) -> Result<Vec<Change>, StorageError> {
        let reader = Arc::clone(&self.shared.reader);
        blocking(move || reader.history(id, place)).await
    }

    async fn explained(
        &self,
        segment: u32,
        ids: HashSet<MessageId>,
    ) -> Result<HashSet<(MessageId, u16)>, StorageError> {
        let reader = Arc::clone(&self.shared.reader);
        blocking(move || reader.explained(segment, &ids)).await
    }

    async fn last_replies(
        &self,
        segment: u32,
        ids: &HashSet<MessageId>,
    ) -> Result<LastReplies, StorageError> {
        let (reader, ids) = (Arc::clone(&self.shared.reader), ids.clone());
        blocking(move || reader.last_replies(segment, &ids)).await
    }

    fn page_reader(&self) -> PageReader {
        PageReader::new(Arc::new(SegmentPages::new(Arc::clone(&self.shared.reader))))
    }

    async fn scan(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<ScannedEntry>, StorageError> {
        let (answer, answered) = oneshot::channel();
        let channel = channel.into();
        self.ask(Question::Scan { channel, class, after, limit, answer }, answered).await
    }

    async fn sum(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Sums, Option<Cursor>), StorageError> {
        let (answer, answered) = oneshot::channel();
        let channel = channel.into();
        self.ask(Question::Sum { channel, class, after, limit, answer }, answered).await
    }

    fn last_id(&self) -> MessageId {
        MessageId(self.shared.feed.live(|ledger| ledger.last_id))
    }

    async fn places(&self, id: MessageId) -> Result<Vec<Place>, StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || find::places(&shared.reader, &shared.feed, id)).await
    }

    async fn find_all(&self, ids: HashSet<MessageId>) -> Result<Vec<ScannedEntry>, StorageError> {
        // Changes are found where they were written.
        self.flush().await?;
        let shared = Arc::clone(&self.shared);
        let found = blocking(move || find::find(&shared.reader, &shared.feed, &ids)).await;
        self.shared.feed.all_told();
        found
    }

    fn counts(&self) -> BTreeMap<String, Counts> {
        self.shared.feed.live(Ledger::by_channel)
    }

    fn counts_of(&self, channel: &str) -> Counts {
        self.shared.feed.live(|ledger| ledger.of_channel(channel))
    }

    fn stored(&self) -> u64 {
        self.shared.feed.live(Ledger::stored)
    }

    fn bytes(&self) -> u64 {
        self.shared.feed.live(Ledger::bytes)
    }

    async fn close(&self) -> Result<(), StorageError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let threads =
                std::mem::take(&mut *shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
            let ends = [
                Shared::close_commits,
                Shared::close_journal,
                Shared::end_compaction,
                Shared::close_index,
            ];
            for (thread, close) in threads.into_iter().zip(ends) {
                close(&shared);
                if thread.join().is_err() {
                    tracing::error!("a thread of the spool had panicked");
                }
            }
            Ok(())
        })
        .await
    }
}

impl Spool {
    /// A handle to a spool whose threads are running.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        let stop = Arc::new(StopOnDrop(Arc::clone(&shared)));
        Self { shared, _stop: stop }
    }

    async fn store_all(
        &self,
        messages: Vec<(Arc<Envelope>, NewContent)>,
        kept: &mut Vec<(MessageId, u8)>,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, StorageError> {
        let (mut envelopes, mut records) = (Vec::new(), Vec::new());
        for (mut envelope, content) in messages {
            records.push(self.encode(&mut envelope, content, 0, kept).await?);
            envelopes.push(envelope);
        }
        Encoded::group(&mut records)?;
        Ok(envelopes.into_iter().zip(self.commit_group(records).await?).collect())
    }

    /// The record of a message. A file that is made for its content is added to `kept`, and safe then.
    async fn encode(
        &self,
        envelope: &mut Arc<Envelope>,
        content: NewContent,
        form: u8,
        kept: &mut Vec<(MessageId, u8)>,
    ) -> Result<Encoded, StorageError> {
        match content {
            NewContent::Whole(bytes) => Ok(Encoded::new(envelope, bytes, None)?),
            NewContent::Blob(draft) => {
                let record = Encoded::new(envelope, Bytes::new(), Some(draft.size()))?;
                kept.push((envelope.id, form));
                let layout = &self.shared.environment.layout;
                draft.keep(layout.blob(envelope.id, form), layout.blob_dir()).await?;
                Ok(record)
            }
        }
    }

    async fn reserve(&self, wanted: MoreNumbers) -> Result<Reserved, StorageError> {
        let shared = Arc::clone(&self.shared);
        let reserve = move || {
            let Shared { reader, feed, continued, .. } = &*shared;
            continued.reserve(reader, feed, wanted)
        };
        blocking(reserve).await
    }

    /// The records of forms, as a group. Files that were made for them are added to `kept`.
    async fn encode_forms(
        &self,
        forms: Vec<(Envelope, NewContent)>,
        reserved: Reserved,
        kept: &mut Vec<(MessageId, u8)>,
    ) -> Result<Vec<(Arc<Envelope>, Encoded)>, StorageError> {
        let Reserved { mut first, mut form, .. } = reserved;
        let (mut envelopes, mut records) = (Vec::new(), Vec::new());
        for (mut envelope, content) in forms {
            let count = envelope.entries.len();
            let is_file = matches!(content, NewContent::Blob(_));
            if let Some(rerouted) = envelope.rerouted.as_mut().filter(|_| is_file) {
                rerouted.form = form;
            }
            number_from(&mut envelope, first);
            first = first.saturating_add(count as u16);
            let mut envelope = Arc::new(envelope);
            let record = self.encode(&mut envelope, content, form, kept).await?;
            form = form.saturating_add(u8::from(is_file));
            envelopes.push(envelope);
            records.push(record);
        }
        Encoded::group(&mut records)?;
        Ok(envelopes.into_iter().zip(records).collect())
    }

    /// Removes files whose records were not stored. What is left over goes at the next start at the
    /// latest.
    async fn remove_files(&self, kept: Vec<(MessageId, u8)>) {
        if kept.is_empty() {
            return;
        }
        let environment = Arc::clone(&self.shared.environment);
        let remove = move || {
            for (id, form) in kept {
                let _ = environment.disk.remove(&environment.layout.blob(id, form));
            }
            Ok::<(), StorageError>(())
        };
        let _ = blocking(remove).await;
    }

    fn check_backlog(&self) -> Result<(), StorageError> {
        let environment = &self.shared.environment;
        if self.shared.journal.backlog() > MAX_STATE_BACKLOG {
            let free = environment.disk.free_space(environment.layout.root()).unwrap_or(0);
            return Err(StorageError::DiskFull { free, needed: environment.settings.min_free });
        }
        Ok(())
    }

    async fn commit(&self, encoded: Encoded) -> Result<Stored, StorageError> {
        self.shared.commits.push(encoded)?.await.unwrap_or(Err(StorageError::Closed))
    }

    async fn commit_group(&self, records: Vec<Encoded>) -> Result<Vec<Stored>, StorageError> {
        let mut stored = Vec::new();
        for answered in self.shared.commits.push_group(records)? {
            stored.push(answered.await.unwrap_or(Err(StorageError::Closed))?);
        }
        Ok(stored)
    }

    pub(crate) async fn ask<T>(
        &self,
        question: Question,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, StorageError> {
        // The index is told only what is durable: so make everything so.
        self.flush().await?;
        self.shared.index.ask(question);
        self.shared.feed.poke();
        let answer = answered.await;
        self.shared.feed.all_told();
        answer.map_err(|_| StorageError::Index("ask again in a moment".to_owned()))
    }
}

/// Puts the entries of an envelope behind those that earlier records have.
fn number_from(envelope: &mut Envelope, first: u16) {
    let earlier = Entry { channel: "".into(), host: "".into(), recipients: Vec::new() };
    envelope.entries.splice(0..0, vec![earlier; usize::from(first)]);
    if let Some(fragments) = &mut envelope.fragments
        && let Fragments::Piece { waits, .. } = Arc::make_mut(fragments)
    {
        for entry in waits {
            *entry = entry.saturating_add(first);
        }
    }
}

impl Shared {
    fn close_commits(&self) {
        self.commits.close();
    }

    fn end_compaction(&self) {
        self.rest.end();
    }

    fn close_journal(&self) {
        self.journal.close();
    }

    fn close_index(&self) {
        self.index.close();
        self.feed.poke();
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.close_commits();
        self.0.end_compaction();
        self.0.close_journal();
        self.0.close_index();
    }
}

/// Bytes of unwritten state changes above which no mail is taken.
const MAX_STATE_BACKLOG: usize = 64 << 20;
