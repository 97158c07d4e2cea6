//! The committer: makes messages durable, as many at once as are waiting.
//!
//! [`Committer::commit`] writes a batch with one call, syncs it with one call, and only then is
//! anybody answered. Nothing of a batch that failed stays behind: it is cut off, and if even that
//! fails or a sync has failed (the kernel does not report such an error twice), the segment is
//! closed for good and the next batch begins another one. It is also closed when there is no room
//! and most of its mail has left: what is still appended to cannot be deleted.

use std::{
    io::{self, IoSlice},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use tokio::sync::oneshot;

use relais_channels::disk::{DiskFile, is_full};
use relais_storage::{StorageError, Stored};

use crate::{
    alarm::Alarm,
    compact::choose::is_worth_it,
    environment::Environment,
    format::message::Encoded,
    format::record::{HEADER, Header, Salt},
    format::segment::{HEAD, Numbers, Part, SegmentHead, create_states},
    inbox::{Inbox, Work},
    ledger::feed::Feed,
    ledger::{Event, SegmentLife},
    read::fresh::Fresh,
    write::company::Company,
};

/// Messages on their way to the committer's thread.
#[derive(Default)]
pub(crate) struct CommitQueue(Inbox<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: Vec<(Encoded, Answer)>,
    bytes: usize,
    /// Mail is refused elsewhere: there may be a segment to close.
    poked: bool,
}

type Answer = oneshot::Sender<Result<Stored, StorageError>>;
/// Comes when the batch is safe, or has failed.
type Answered = oneshot::Receiver<Result<Stored, StorageError>>;

/// Writes batches; one per spool.
pub(crate) struct Committer {
    environment: Arc<Environment>,
    feed: Arc<Feed>,
    numbers: Arc<Numbers>,
    fresh: Arc<Fresh>,
    active: Option<Active>,
    /// Nothing can be stored for a while.
    refusing: Alarm,
}

/// The segment that is appended to.
struct Active {
    head: SegmentHead,
    salt: Salt,
    file: Arc<dyn DiskFile>,
    /// Bytes that are durable; the next batch begins here.
    durable: u32,
    /// The length of the file; zeros lie between here and there.
    prepared: u32,
    /// Its head has not been written, its name not been synced.
    fresh: bool,
}

impl CommitQueue {
    /// Lets a message wait for the next batch.
    pub(crate) fn push(&self, message: Encoded) -> Result<Answered, StorageError> {
        let (answer, answered) = oneshot::channel();
        self.push_all(message.length() as usize, std::iter::once((message, answer)))?;
        Ok(answered)
    }

    /// Lets the records of a group wait for the same batch.
    pub(crate) fn push_group(&self, records: Vec<Encoded>) -> Result<Vec<Answered>, StorageError> {
        let bytes = records.iter().map(|record| record.length() as usize).sum();
        let (answers, answered): (Vec<_>, Vec<_>) =
            records.iter().map(|_| oneshot::channel()).unzip();
        self.push_all(bytes, records.into_iter().zip(answers))?;
        Ok(answered)
    }

    fn push_all(
        &self,
        bytes: usize,
        messages: impl Iterator<Item = (Encoded, Answer)>,
    ) -> Result<(), StorageError> {
        let left = self.0.leave_if_open(|waiting| {
            // One that fills the room alone must not wait for ever.
            let has_room = waiting.messages.is_empty() || waiting.bytes + bytes <= MAX_BYTES;
            if waiting.messages.len() >= MAX_WAITING || !has_room {
                return Err(StorageError::Busy { waiting: waiting.messages.len() });
            }
            waiting.bytes += bytes;
            waiting.messages.extend(messages);
            Ok(())
        });
        left.unwrap_or(Err(StorageError::Closed))
    }

    /// Lets the committer make room if it can.
    pub(crate) fn poke(&self) {
        self.0.leave(|waiting| waiting.poked = true);
    }

    /// Nothing is taken any more; every message that waits is still committed.
    pub(crate) fn close(&self) {
        self.0.close();
    }

    /// All messages that wait, none when poked or closed; and whether it is closed.
    fn take(&self, company: &Company) -> (Vec<(Encoded, Answer)>, bool) {
        let (waiting, closed) = self.0.take_with_company(|there| company.gather(there));
        (waiting.messages, closed)
    }
}

impl Work for Waiting {
    fn amount(&self) -> usize {
        self.messages.len() + usize::from(self.poked)
    }
}

impl Committer {
    /// Appends to segments of its own, none of which is there yet.
    pub(crate) fn new(
        environment: Arc<Environment>,
        feed: Arc<Feed>,
        numbers: Arc<Numbers>,
        fresh: Arc<Fresh>,
    ) -> Self {
        Self { environment, feed, numbers, fresh, active: None, refusing: Alarm::default() }
    }

    /// The thread: commits what waits until the queue is closed.
    pub(crate) fn run(mut self, queue: &CommitQueue, mut committed: impl FnMut(Vec<Stored>)) {
        let mut company = Company::default();
        loop {
            let (waiting, closed) = queue.take(&company);
            let (mut batch, answers): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
            if batch.is_empty() {
                if closed || self.is_spent() {
                    self.close();
                }
                if closed {
                    return;
                }
                continue;
            }
            company.came(batch.len());
            match self.commit(&mut batch, &mut committed) {
                Ok(stored) => {
                    if let Some(after) = self.refusing.clear() {
                        self.environment.works();
                        tracing::info!(seconds = after.as_secs_f64(), "messages are stored again");
                    }
                    for (answer, stored) in answers.into_iter().zip(stored) {
                        // A client that does not wait any longer need not be told.
                        let _ = answer.send(Ok(stored));
                    }
                }
                Err(error) => {
                    self.refuse(&error);
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Makes a batch durable, all of it or nothing, and tells `committed` of it.
    pub(crate) fn commit(
        &mut self,
        batch: &mut [Encoded],
        committed: &mut dyn FnMut(Vec<Stored>),
    ) -> Result<Vec<Stored>, StorageError> {
        let started = Instant::now();
        let bytes = batch.iter().map(|message| u64::from(message.length())).sum();
        let spare = self.environment.take_space(bytes)?;
        self.roll();
        let mut active = match self.active.take() {
            Some(active) => active,
            None => self.begin()?,
        };
        let durable = active.durable;
        match self.write(&mut active, batch, spare) {
            Ok(stored) => {
                let bytes = u64::from(active.durable - durable);
                // Before anybody can ask for them.
                self.fresh.keep(batch.iter().zip(&stored).filter_map(|(encoded, stored)| {
                    Some((stored.place, encoded.message()?, stored.own_entries().count()))
                }));
                let event = Event::Stored {
                    segment: active.head.number,
                    data_len: u64::from(active.durable),
                    messages: stored.clone(),
                };
                self.feed.push_and_tell(event, || {
                    // The mail is safe whatever the callback makes of it.
                    if catch_unwind(AssertUnwindSafe(|| committed(stored.clone()))).is_err() {
                        tracing::error!("the listener to commits panicked");
                    }
                });
                self.active = Some(active);
                self.environment.events.committed(stored.len(), bytes, started.elapsed());
                Ok(stored)
            }
            Err(error) => Err(self.fail(active, error)),
        }
    }

    /// Seals the active segment.
    pub(crate) fn close(&mut self) {
        if let Some(active) = self.active.take().filter(|active| !active.fresh) {
            let sealed = active.seal();
            let path = self.environment.layout.messages(active.head.number);
            let data_len = sealed.unwrap_or_else(|error| {
                // Harmless: recovery reads the segment without its seal.
                self.environment
                    .report(&StorageError::at(&path)(error), "a segment was not sealed");
                u64::from(active.durable)
            });
            self.feed.push(Event::Closed {
                segment: active.head.number,
                data_len,
                states_len: HEAD as u64,
            });
        }
    }

    /// Tells of a failure, but not of each of the many that may follow.
    fn refuse(&mut self, error: &StorageError) {
        self.environment.breaks(error);
        if !self.refusing.raise(&*self.environment.events, error, "messages were not stored") {
            // Each of them was refused to somebody.
            self.environment.events.failed(error);
        }
        if matches!(error, StorageError::DiskFull { .. } | StorageError::NoInodes)
            && self.is_spent()
        {
            self.close();
        }
    }

    /// The active segment would free room if it could be deleted or compacted.
    fn is_spent(&self) -> bool {
        let size = self.environment.settings.segment_size;
        let spent = |life: &SegmentLife| {
            life.live == 0 || is_worth_it(&SegmentLife { closed: true, ..*life }, size)
        };
        self.active.as_ref().is_some_and(|Active { head, .. }| {
            self.feed.live(|ledger| ledger.segments.get(&head.number).is_some_and(spent))
        })
    }

    /// Closes the active segment when it is long enough.
    fn roll(&mut self) {
        let size = self.environment.settings.segment_size.min(MAX_SEGMENT);
        if self.active.as_ref().is_some_and(|active| u64::from(active.durable) >= size) {
            self.close();
        }
    }

    fn begin(&mut self) -> Result<Active, StorageError> {
        // Used up even if this fails: what is left of it is in nobody's way then.
        let head = SegmentHead::new(self.numbers.take(), 0);
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let path = layout.messages(head.number);
        let created = disk.create(&path).and_then(|file| {
            create_states(disk, layout, head)?;
            Ok(file)
        });
        let file = created.map_err(|error| {
            let _ = disk.remove(&path);
            let _ = disk.remove(&layout.states(head.number));
            self.environment.failure(&path, error)
        })?;
        Ok(Active {
            head,
            salt: head.salt(Part::Messages),
            file,
            durable: 0,
            prepared: 0,
            fresh: true,
        })
    }

    fn write(
        &self,
        active: &mut Active,
        batch: &mut [Encoded],
        spare: u64,
    ) -> io::Result<Vec<Stored>> {
        let head = active.head.to_bytes();
        let mut end = if active.fresh { HEAD as u32 } else { active.durable };
        let place = (active.salt, active.head.number);
        let stored = Encoded::place_all(batch, place, &mut end, active.durable);
        let mut parts = Vec::with_capacity(1 + 2 * batch.len());
        if active.fresh {
            parts.push(IoSlice::new(&head));
        }
        parts.extend(batch.iter().flat_map(Encoded::parts).map(IoSlice::new));
        if end > active.prepared {
            let ahead = self.ahead(end, spare);
            parts.push(IoSlice::new(&ZEROS[..ahead]));
            active.prepared = end + ahead as u32;
        }
        active.file.write_at(&mut parts, u64::from(active.durable))?;
        active.file.sync_data()?;
        if active.fresh {
            self.environment.disk.sync_dir(self.environment.layout.root())?;
            active.fresh = false;
        }
        active.durable = end;
        Ok(stored)
    }

    /// How far to write zeros behind a batch. A sync costs half as much when the next batches find
    /// their blocks allocated and the length of the file as it will be. Not more than there is to
    /// `spare`.
    fn ahead(&self, end: u32, spare: u64) -> usize {
        let size = self.environment.settings.segment_size.min(MAX_SEGMENT);
        let left = size.saturating_sub(end.into()).min(spare);
        (size / 64).min(left).min(ZEROS.len() as u64) as usize
    }

    /// After a failed batch: removes its traces, and says what to tell those who waited.
    fn fail(&mut self, mut active: Active, error: io::Error) -> StorageError {
        active.prepared = active.durable;
        let cut = active.file.truncate(u64::from(active.durable));
        let path = self.environment.layout.messages(active.head.number);
        if is_full(&error) && cut.is_ok() && !active.fresh {
            self.active = Some(active);
        } else if active.fresh {
            let _ = self.environment.disk.remove(&path);
            let _ =
                self.environment.disk.remove(&self.environment.layout.states(active.head.number));
        } else {
            self.feed.push(Event::Closed {
                segment: active.head.number,
                data_len: u64::from(active.durable),
                states_len: HEAD as u64,
            });
        }
        self.environment.failure(&path, error)
    }
}

impl Active {
    /// Marks the end; says how long the file is now.
    fn seal(&self) -> io::Result<u64> {
        let mut bytes = [0; HEADER];
        Header::seal(self.durable).write(self.salt, u64::from(self.durable), &mut bytes);
        let end = u64::from(self.durable) + HEADER as u64;
        self.file.truncate(end)?;
        self.file.write_at(&mut [IoSlice::new(&bytes)], u64::from(self.durable))?;
        self.file.sync_data()?;
        Ok(end)
    }
}

/// Waiting messages at most.
const MAX_WAITING: usize = 16_384;
/// Bytes of waiting messages at most.
const MAX_BYTES: usize = 64 << 20;
/// Offsets are 32 bits wide, and a batch may go beyond the configured size.
const MAX_SEGMENT: u64 = 1 << 30;
/// A file is prepared with these.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
