//! The handle to a spool: everything that others may ask of it. Each call is encoded or checked in
//! the task of its caller, and left in the inbox of the thread that carries it out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use bytes::Bytes;
use relais_channels::mail::{Content, Entry, Envelope, Fragments, MessageId};
use tokio::sync::oneshot;

use crate::{
    compact::{Compactor, Rest},
    environment::{Environment, blocking},
    error::SpoolError,
    format::change::Change,
    format::message::{Encoded, Stored},
    format::record::Place,
    format::state::Class,
    index::entry::{Cursor, ScannedEntry},
    index::sums::Sums,
    index::{IndexQueue, Question},
    ledger::feed::Feed,
    ledger::{Counts, Ledger},
    read::continued::{Continued, Gone, MoreNumbers, Reserved},
    read::find,
    read::pages::PageReader,
    read::reader::{LastReplies, Reader},
    write::blob::{Draft, NewContent},
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

/// The content of a message that goes on.
#[derive(Debug)]
pub enum MoreContent<'a> {
    /// As it was read.
    Same(&'a Content),
    /// Another form of it. It is in a file of its own if that which was read is, and only then: the
    /// files of a message go when the last of its entries is done.
    New(NewContent),
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

impl Spool {
    /// A handle to a spool whose threads are running.
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        let stop = Arc::new(StopOnDrop(Arc::clone(&shared)));
        Self { shared, _stop: stop }
    }

    /// Stores a message. `Ok` means that it is safe; an error, that it was not acknowledged. The
    /// `size` of the envelope is filled in here.
    pub async fn append(
        &self,
        envelope: &mut Arc<Envelope>,
        content: NewContent,
    ) -> Result<Stored, SpoolError> {
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

    /// The same with several messages, each under an id of its own: all of them are stored, or none,
    /// also when the engine or the power ends meanwhile. Those in memory are 64 MiB at most, with their
    /// envelopes.
    pub async fn append_all(
        &self,
        messages: Vec<(Arc<Envelope>, NewContent)>,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, SpoolError> {
        self.check_backlog()?;
        let mut kept = Vec::new();
        let stored = self.store_all(messages, &mut kept).await;
        if stored.is_err() {
            self.remove_files(kept).await;
        }
        stored
    }

    async fn store_all(
        &self,
        messages: Vec<(Arc<Envelope>, NewContent)>,
        kept: &mut Vec<(MessageId, u8)>,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, SpoolError> {
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
    ) -> Result<Encoded, SpoolError> {
        match content {
            NewContent::Whole(bytes) => Ok(Encoded::new(envelope, bytes, None)?),
            NewContent::Blob(draft) => {
                let record = Encoded::new(envelope, Bytes::new(), Some(draft.size()))?;
                kept.push((envelope.id, form));
                draft.keep(envelope.id, form).await?;
                Ok(record)
            }
        }
    }

    /// Lets a message that is in the spool go on to more entries, under its id: those of
    /// `envelope`, which was read with its content. They get numbers of their own. `known` is how
    /// many entries it had when it was read.
    pub async fn append_more(
        &self,
        mut envelope: Envelope,
        known: usize,
        content: MoreContent<'_>,
    ) -> Result<(Arc<Envelope>, Stored), SpoolError> {
        let (bytes, blob) = match content {
            MoreContent::Same(Content::Whole(bytes)) => (bytes.clone(), None),
            // The file is there, and goes when the last entry of the message is done.
            MoreContent::Same(Content::File { size, .. }) => (Bytes::new(), Some(*size)),
            MoreContent::New(content) => {
                let stored = self.append_forms(vec![(envelope, content)], known).await?;
                return stored.into_iter().next().ok_or(SpoolError::Closed);
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

    /// The same in one form or several, each with entries and a content of its own: all of them are
    /// stored, or none, also when the engine or the power ends meanwhile. They are of one message.
    pub async fn append_forms(
        &self,
        forms: Vec<(Envelope, NewContent)>,
        known: usize,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, SpoolError> {
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

    async fn reserve(&self, wanted: MoreNumbers) -> Result<Reserved, SpoolError> {
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
    ) -> Result<Vec<(Arc<Envelope>, Encoded)>, SpoolError> {
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
            Ok::<(), SpoolError>(())
        };
        let _ = blocking(remove).await;
    }

    /// The recipients of an entry that have gone on to others, a bit each; also when the engine
    /// ended before the entry was told so.
    pub async fn gone_on(&self, id: MessageId, entry: u16) -> Result<Gone, SpoolError> {
        let shared = Arc::clone(&self.shared);
        let gone = move || shared.continued.gone(&shared.reader, &shared.feed, (id, entry));
        blocking(gone).await
    }

    /// A file for the content of a large message.
    pub fn draft(&self) -> Draft {
        Draft::new(Arc::clone(&self.shared.environment))
    }

    /// Whether mail is taken now: an error is what [`Spool::append`] would give. Never waits; the
    /// disk is asked for its free space at most every 100 ms.
    pub fn room(&self) -> Result<(), SpoolError> {
        self.check_backlog()?;
        let checked = self.shared.environment.check_space();
        if checked.is_err() {
            // It may have the room that is missing, and nobody else comes to it now.
            self.shared.commits.poke();
        }
        checked
    }

    /// Why no mail can be stored now: there is no room, or the disk does not take what is written.
    pub fn refuses(&self) -> Option<String> {
        self.room()
            .err()
            .map(|error| error.to_string())
            .or_else(|| self.shared.environment.broken())
    }

    /// Bytes free on the disk, and how many of them are to stay free.
    pub fn free_room(&self) -> (Option<u64>, u64) {
        let environment = &self.shared.environment;
        (environment.disk.free_space(environment.layout.root()).ok(), environment.settings.min_free)
    }

    /// Records a change of an entry's state. Never waits; see [`Spool::state_backlog`].
    pub fn amend(&self, change: Change) {
        self.shared.journal.push(change);
    }

    /// Waits until every change so far is on the disk.
    pub async fn flush(&self) -> Result<(), SpoolError> {
        self.shared.journal.flush().await.unwrap_or(Err(SpoolError::Closed))
    }

    /// Bytes of state changes that the disk has not taken yet. More than a few megabytes mean that
    /// it is full or failing: deliveries should stop then, for nobody could record them.
    pub fn state_backlog(&self) -> usize {
        self.shared.journal.backlog()
    }

    /// Reads a message.
    pub async fn read(&self, place: Place) -> Result<(Arc<Envelope>, Content), SpoolError> {
        self.shared.reader.read(place).await
    }

    /// Reads the envelope of a message, whatever the size of its content.
    pub async fn envelope(&self, place: Place) -> Result<Envelope, SpoolError> {
        self.shared.reader.envelope(place).await
    }

    /// Everything that happened to a message, oldest first.
    pub async fn history(&self, id: MessageId, place: Place) -> Result<Vec<Change>, SpoolError> {
        let reader = Arc::clone(&self.shared.reader);
        blocking(move || reader.history(id, place)).await
    }

    /// The entries of these messages of which somebody has said why they are as they are, from one pass over
    /// the states of the segment they are in.
    pub async fn explained(
        &self,
        segment: u32,
        ids: HashSet<MessageId>,
    ) -> Result<HashSet<(MessageId, u16)>, SpoolError> {
        let reader = Arc::clone(&self.shared.reader);
        blocking(move || reader.explained(segment, &ids)).await
    }

    /// The newest outcome of each recipient of these messages, as far as it was tried, from one
    /// pass over the states of the segment they are in.
    pub async fn last_replies(
        &self,
        segment: u32,
        ids: &HashSet<MessageId>,
    ) -> Result<LastReplies, SpoolError> {
        let (reader, ids) = (Arc::clone(&self.shared.reader), ids.clone());
        blocking(move || reader.last_replies(segment, &ids)).await
    }

    /// A reader of the envelopes and last replies of a listing, page by page.
    pub fn page_reader(&self) -> PageReader {
        PageReader::new(Arc::clone(&self.shared.reader))
    }

    /// Waiting or held entries of a channel in the order of the index, behind `after`, at most
    /// `limit`. Sees everything that was stored and amended before the call.
    pub async fn scan(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<ScannedEntry>, SpoolError> {
        let (answer, answered) = oneshot::channel();
        let channel = channel.into();
        self.ask(Question::Scan { channel, class, after, limit, answer }, answered).await
    }

    /// The sums of up to `limit` waiting or held entries of a channel, behind `after`; and where to
    /// go on, when there are more. Costs a fraction of a [`Spool::scan`]. Sees everything that was
    /// stored and amended before the call.
    pub async fn sum(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Sums, Option<Cursor>), SpoolError> {
        let (answer, answered) = oneshot::channel();
        let channel = channel.into();
        self.ask(Question::Sum { channel, class, after, limit, answer }, answered).await
    }

    /// The largest id that was ever stored, as far as the spool knows.
    pub fn last_id(&self) -> MessageId {
        MessageId(self.shared.feed.live(|ledger| ledger.last_id))
    }

    /// Every entry of a message that is not done. Looks through a segment or two.
    pub async fn find(&self, id: MessageId) -> Result<Vec<ScannedEntry>, SpoolError> {
        self.find_all(HashSet::from([id])).await
    }

    /// The records of a message, the oldest first, as far as they are there: the first may be done
    /// and gone.
    pub async fn places(&self, id: MessageId) -> Result<Vec<Place>, SpoolError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || find::places(&shared.reader, &shared.feed, id)).await
    }

    /// Every entry of these messages that is not done.
    pub async fn find_all(&self, ids: HashSet<MessageId>) -> Result<Vec<ScannedEntry>, SpoolError> {
        // Changes are found where they were written.
        self.flush().await?;
        let shared = Arc::clone(&self.shared);
        let found = blocking(move || find::find(&shared.reader, &shared.feed, &ids)).await;
        self.shared.feed.all_told();
        found
    }

    /// Entries that are not done, by channel, as of now.
    pub fn counts(&self) -> BTreeMap<String, Counts> {
        self.shared.feed.live(Ledger::by_channel)
    }

    /// Entries of one channel that are not done, as of now.
    pub fn counts_of(&self, channel: &str) -> Counts {
        self.shared.feed.live(|ledger| ledger.of_channel(channel))
    }

    /// Entries that are not done, as of now.
    pub fn stored(&self) -> u64 {
        self.shared.feed.live(Ledger::stored)
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.shared.feed.live(Ledger::bytes)
    }

    /// Commits what waits, syncs every change, brings the index up to date, and stops.
    pub async fn close(&self) -> Result<(), SpoolError> {
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

    fn check_backlog(&self) -> Result<(), SpoolError> {
        let environment = &self.shared.environment;
        if self.shared.journal.backlog() > MAX_STATE_BACKLOG {
            let free = environment.disk.free_space(environment.layout.root()).unwrap_or(0);
            return Err(SpoolError::DiskFull { free, needed: environment.settings.min_free });
        }
        Ok(())
    }

    async fn commit(&self, encoded: Encoded) -> Result<Stored, SpoolError> {
        self.shared.commits.push(encoded)?.await.unwrap_or(Err(SpoolError::Closed))
    }

    async fn commit_group(&self, records: Vec<Encoded>) -> Result<Vec<Stored>, SpoolError> {
        let mut stored = Vec::new();
        for answered in self.shared.commits.push_group(records)? {
            stored.push(answered.await.unwrap_or(Err(SpoolError::Closed))?);
        }
        Ok(stored)
    }

    pub(crate) async fn ask<T>(
        &self,
        question: Question,
        answered: oneshot::Receiver<T>,
    ) -> Result<T, SpoolError> {
        // The index is told only what is durable: so make everything so.
        self.flush().await?;
        self.shared.index.ask(question);
        self.shared.feed.poke();
        let answer = answered.await;
        self.shared.feed.all_told();
        answer.map_err(|_| SpoolError::Index("ask again in a moment".to_owned()))
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
