//! The contract: everything that the queue asks of its storage.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Deref,
    sync::Arc,
};

use async_trait::async_trait;
use relais_channels::mail::{Content, Envelope, MessageId};

use crate::{
    change::Change,
    content::{Draft, MoreContent, NewContent},
    counts::Counts,
    error::StorageError,
    gone::Gone,
    pages::{LastReplies, PageReader},
    place::Place,
    scanned::{Cursor, ScannedEntry},
    state::Class,
    stored::Stored,
    sums::Sums,
};

/// Where the messages of a queue are safe while they wait. Whoever implements it passes the tests of the
/// feature `suite`.
#[async_trait]
pub trait QueueStorage: Send + Sync + 'static {
    /// Stores a message. `Ok` means that it is safe; an error, that it was not acknowledged. The
    /// `size` of the envelope is filled in here.
    async fn append(
        &self,
        envelope: &mut Arc<Envelope>,
        content: NewContent,
    ) -> Result<Stored, StorageError>;

    /// The same with several messages, each under an id of its own: all of them are stored, or none,
    /// also when the engine or the power ends meanwhile. Those in memory are 64 MiB at most, with their
    /// envelopes.
    async fn append_all(
        &self,
        messages: Vec<(Arc<Envelope>, NewContent)>,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, StorageError>;

    /// Lets a message that is stored go on to more entries, under its id: those of
    /// `envelope`, which was read with its content. They get numbers of their own. `known` is how
    /// many entries it had when it was read.
    async fn append_more(
        &self,
        envelope: Envelope,
        known: usize,
        content: MoreContent<'_>,
    ) -> Result<(Arc<Envelope>, Stored), StorageError>;

    /// The same in one form or several, each with entries and a content of its own: all of them are
    /// stored, or none, also when the engine or the power ends meanwhile. They are of one message.
    async fn append_forms(
        &self,
        forms: Vec<(Envelope, NewContent)>,
        known: usize,
    ) -> Result<Vec<(Arc<Envelope>, Stored)>, StorageError>;

    /// The recipients of an entry that have gone on to others, a bit each; also when the engine
    /// ended before the entry was told so.
    async fn gone_on(&self, id: MessageId, entry: u16) -> Result<Gone, StorageError>;

    /// A file for the content of a large message.
    fn draft(&self) -> Draft;

    /// Whether mail is taken now: an error is what [`QueueStorage::append`] would give. Never waits.
    fn room(&self) -> Result<(), StorageError>;

    /// Why no mail can be stored now: there is no room, or what is written is not taken.
    fn refuses(&self) -> Option<String>;

    /// Bytes that are free, where that is known, and how many of them are to stay so.
    fn free_room(&self) -> (Option<u64>, u64);

    /// Records a change of an entry's state. Never waits; see [`QueueStorage::state_backlog`].
    fn amend(&self, change: Change);

    /// Waits until every change so far is safe.
    async fn flush(&self) -> Result<(), StorageError>;

    /// Bytes of state changes that are not safe yet. More than a few megabytes mean that storage is full
    /// or failing: deliveries should stop then, for nobody could record them.
    fn state_backlog(&self) -> usize;

    /// Reads a message.
    async fn read(&self, place: Place) -> Result<(Arc<Envelope>, Content), StorageError>;

    /// Reads the envelope of a message, whatever the size of its content.
    async fn envelope(&self, place: Place) -> Result<Envelope, StorageError>;

    /// Everything that happened to a message, oldest first.
    async fn history(&self, id: MessageId, place: Place) -> Result<Vec<Change>, StorageError>;

    /// The entries of these messages of which somebody has said why they are as they are, from one pass over
    /// the states of the segment they are in.
    async fn explained(
        &self,
        segment: u32,
        ids: HashSet<MessageId>,
    ) -> Result<HashSet<(MessageId, u16)>, StorageError>;

    /// The newest outcome of each recipient of these messages, as far as it was tried, from one
    /// pass over the states of the segment they are in.
    async fn last_replies(
        &self,
        segment: u32,
        ids: &HashSet<MessageId>,
    ) -> Result<LastReplies, StorageError>;

    /// A reader of the envelopes and last replies of a listing, page by page.
    fn page_reader(&self) -> PageReader;

    /// Waiting or held entries of a channel in the order of due times, then of ids, behind `after`, at most
    /// `limit`. Sees everything that was stored and amended before the call.
    async fn scan(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<ScannedEntry>, StorageError>;

    /// The sums of up to `limit` waiting or held entries of a channel, behind `after`; and where to
    /// go on, when there are more. Costs a fraction of a [`QueueStorage::scan`]. Sees everything that was
    /// stored and amended before the call.
    async fn sum(
        &self,
        channel: &str,
        class: Class,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Sums, Option<Cursor>), StorageError>;

    /// The largest id that was ever stored, as far as storage knows.
    fn last_id(&self) -> MessageId;

    /// The records of a message, the oldest first, as far as they are there: the first may be done
    /// and gone.
    async fn places(&self, id: MessageId) -> Result<Vec<Place>, StorageError>;

    /// Every entry of a message that is not done.
    async fn find(&self, id: MessageId) -> Result<Vec<ScannedEntry>, StorageError> {
        self.find_all(HashSet::from([id])).await
    }

    /// Every entry of these messages that is not done.
    async fn find_all(&self, ids: HashSet<MessageId>) -> Result<Vec<ScannedEntry>, StorageError>;

    /// Entries that are not done, by channel, as of now.
    fn counts(&self) -> BTreeMap<String, Counts>;

    /// Entries of one channel that are not done, as of now.
    fn counts_of(&self, channel: &str) -> Counts;

    /// Entries that are not done, as of now.
    fn stored(&self) -> u64;

    /// Bytes that all of it takes.
    fn bytes(&self) -> u64;

    /// Makes everything safe that was promised, and stops.
    async fn close(&self) -> Result<(), StorageError>;
}

/// A handle to storage; clones are the same storage.
#[derive(Clone)]
pub struct Storage(Arc<dyn QueueStorage>);

impl Storage {
    /// A handle to this.
    pub fn new(storage: impl QueueStorage) -> Self {
        Self(Arc::new(storage))
    }
}

impl Deref for Storage {
    type Target = dyn QueueStorage;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}
