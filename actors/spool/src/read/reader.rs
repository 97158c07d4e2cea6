//! Reading messages back, mostly out of the page cache and then without leaving the thread.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::{Bytes, BytesMut};
use relais_channels::{
    disk::DiskFile,
    mail::{Content, Envelope, MessageId},
};
use relais_storage::{
    Change, EncodedEnvelope, LastReplies, Place, RecipientReplies, StorageError, blocking,
    decode_envelope, form_of,
};

use crate::{
    compact::forwarding::Forwarding,
    environment::Environment,
    format::change,
    format::message::Message,
    format::record::{Found, HEADER, Header, Kind, Salt, Walker},
    format::segment::{HEAD, Part, SegmentHead},
    read::cache::Cache,
    read::fresh::Fresh,
};

/// Reads records; keeps the segments read last open.
pub(crate) struct Reader {
    pub(crate) environment: Arc<Environment>,
    /// Filled by the committer.
    pub(crate) fresh: Arc<Fresh>,
    forwarding: Arc<Forwarding>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    segments: HashMap<u32, (Segment, u64)>,
    clock: u64,
    cache: Cache,
}

#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) salt: Salt,
}

/// Header and meta part of a record.
pub(super) struct Front {
    header: Header,
    bytes: Vec<u8>,
}

impl Front {
    /// The envelope, not yet read.
    pub(super) fn encoded(&self) -> EncodedEnvelope<'_> {
        EncodedEnvelope(&self.bytes[HEADER..])
    }

    fn decode(self) -> Option<(Header, Envelope)> {
        let envelope = self.encoded().decode()?;
        Some((self.header, envelope))
    }
}

impl Segment {
    /// The front of the record at `place`, as far as it can be made out.
    fn front_at(&self, place: Place) -> io::Result<Option<Front>> {
        let read = |bytes: &mut [u8]| {
            let read = self.file.read_at(bytes, u64::from(place.offset))?;
            Ok(read == bytes.len())
        };
        front_of(place, self.salt, read)
    }
}

/// An open state file.
pub(super) struct OpenStates {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) salt: Salt,
    /// How long the file is.
    pub(super) end: u64,
    pub(super) path: PathBuf,
}

impl Reader {
    pub(crate) fn new(environment: Arc<Environment>, forwarding: Arc<Forwarding>) -> Self {
        Self { environment, fresh: Arc::default(), forwarding, open: Mutex::default() }
    }

    /// The envelope and the content at `place`.
    pub(crate) async fn read(self: &Arc<Self>, place: Place) -> Result<Message, StorageError> {
        let at = self.forwarding.place(place);
        if let Some(message) = self.fresh.take(at) {
            return Ok(message);
        }
        let cache = self.lock().cache.find(at);
        if let Some(message) = cache {
            return Ok(message);
        }
        if let Some(segment) = self.cached(at.segment) {
            let mut bytes = BytesMut::zeroed(at.length as usize);
            // A failure here comes again below, and is told there.
            if let Ok(true) = segment.file.read_cached(&mut bytes, u64::from(at.offset)) {
                return self.decode(at, segment.salt, &bytes.freeze());
            }
        }
        let reader = Arc::clone(self);
        blocking(move || reader.read_waiting(place)).await
    }

    /// The envelope at `place`. The content is neither read nor checked: it may be a thousand times
    /// as long.
    pub(crate) async fn envelope(self: &Arc<Self>, place: Place) -> Result<Envelope, StorageError> {
        let at = self.forwarding.place(place);
        if let Some(segment) = self.cached(at.segment) {
            let read = |bytes: &mut [u8]| segment.file.read_cached(bytes, u64::from(at.offset));
            // As above.
            if let Ok(Some(front)) = front_of(at, segment.salt, read)
                && let Some((_, envelope)) = front.decode()
            {
                return Ok(envelope);
            }
        }
        let reader = Arc::clone(self);
        blocking(move || reader.envelope_waiting(place)).await
    }

    /// The same as [`Reader::envelope`], waiting for the disk.
    fn envelope_waiting(&self, place: Place) -> Result<Envelope, StorageError> {
        self.following(place, |place| {
            let front = self.front_at(place)?;
            front.map(|(_, envelope)| envelope).ok_or(StorageError::Damaged { place })
        })
    }

    /// The front of the record at `place`, wherever it is now, waiting for the disk.
    pub(super) fn front_waiting(&self, place: Place) -> Result<Front, StorageError> {
        self.following(place, |place| self.front(place)?.ok_or(StorageError::Damaged { place }))
    }

    /// Header and envelope at `place`, as far as they can be made out; the content may be damaged.
    pub(crate) fn front_at(
        &self,
        place: Place,
    ) -> Result<Option<(Header, Envelope)>, StorageError> {
        Ok(self.front(place)?.and_then(Front::decode))
    }

    fn front(&self, place: Place) -> Result<Option<Front>, StorageError> {
        let front = self.segment(place)?.front_at(place);
        front.map_err(|error| {
            StorageError::at(&self.environment.layout.messages(place.segment))(error)
        })
    }

    /// The message file of a segment whose messages have not moved on.
    pub(super) fn segment_in_place(&self, place: Place) -> Option<Segment> {
        let is_here = self.forwarding.segment(place.segment) == place.segment;
        if is_here { self.segment(place).ok() } else { None }
    }

    /// The same as [`Reader::read`], waiting for the disk.
    pub(crate) fn read_waiting(&self, place: Place) -> Result<Message, StorageError> {
        self.following(place, |place| self.read_at(place))
    }

    fn read_at(&self, place: Place) -> Result<Message, StorageError> {
        let segment = self.segment(place)?;
        let path = self.environment.layout.messages(place.segment);
        let size = segment.file.size().map_err(StorageError::at(&path))?;
        if u64::from(place.offset) + u64::from(place.length) > size {
            return Err(StorageError::Damaged { place });
        }
        let mut bytes = BytesMut::zeroed(place.length as usize);
        segment
            .file
            .read_at(&mut bytes, u64::from(place.offset))
            .map_err(StorageError::at(&path))?;
        self.decode(place, segment.salt, &bytes.freeze())
    }

    /// Every change of a message, oldest first.
    pub(crate) fn history(&self, id: MessageId, place: Place) -> Result<Vec<Change>, StorageError> {
        self.following(place, |place| {
            let mut changes = Vec::new();
            self.changes(place, |of| of == id, |change| changes.push(change))?;
            Ok(changes)
        })
    }

    /// The newest outcome, and when it was, for each recipient of these messages of a segment that
    /// was ever tried.
    pub(crate) fn last_replies(
        &self,
        segment: u32,
        ids: &HashSet<MessageId>,
    ) -> Result<LastReplies, StorageError> {
        self.following_segment(segment, |place| {
            let mut last = LastReplies::new();
            let each = |change| add_change(&mut last, change);
            self.changes(place, |id| ids.contains(&id), each)?;
            Ok(last)
        })
    }

    /// The entries of these messages of a segment that a change with a reason speaks of.
    pub(crate) fn explained(
        &self,
        segment: u32,
        ids: &HashSet<MessageId>,
    ) -> Result<HashSet<(MessageId, u16)>, StorageError> {
        self.following_segment(segment, |place| {
            let mut explained = HashSet::new();
            let each = |change: Change| {
                if change.reason.is_some() {
                    explained.insert((change.id, change.entry));
                }
            };
            self.changes(place, |id| ids.contains(&id), each)?;
            Ok(explained)
        })
    }

    /// Goes through the state file of a segment, oldest first.
    pub(crate) fn changes(
        &self,
        place: Place,
        of: impl Fn(MessageId) -> bool,
        mut each: impl FnMut(Change),
    ) -> Result<(), StorageError> {
        let Some(OpenStates { file, salt, end, path }) = self.states(place)? else { return Ok(()) };
        let mut walker = Walker::new(&*file, salt, HEAD as u64, end);
        let wanted = |header: &Header| header.kind == Kind::Change && of(header.id);
        while let Some(found) = walker.next_of(wanted).map_err(StorageError::at(&path))? {
            if let Found::Record { header, payload, .. } = found
                && let Some(change) = change::decode(&header, payload, true)
            {
                each(change);
            }
        }
        Ok(())
    }

    /// The state file of a segment; `None` as long as there is nothing in it.
    pub(super) fn states(&self, place: Place) -> Result<Option<OpenStates>, StorageError> {
        let path = self.environment.layout.states(place.segment);
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let head =
            SegmentHead::load(disk, layout, place.segment).map_err(StorageError::at(&path))?;
        let salt = head.ok_or(StorageError::Gone { place })?.salt(Part::States);
        let file = match disk.open(&path) {
            Ok(file) => file,
            // A crash may take it as long as there is nothing in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::at(&path)(error)),
        };
        let end = file.size().map_err(StorageError::at(&path))?;
        Ok(Some(OpenStates { file, salt, end, path }))
    }

    /// Does something with the states of a segment where they are now; once more if they have just
    /// moved on.
    pub(super) fn following_segment<T>(
        &self,
        segment: u32,
        mut work: impl FnMut(Place) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        loop {
            let now = self.forwarding.segment(segment);
            let done = work(Place { segment: now, offset: 0, length: 0 });
            if self.forwarding.segment(segment) == now {
                return done;
            }
        }
    }

    /// Does something where the message is now; once more if it has just moved on.
    fn following<T>(
        &self,
        place: Place,
        work: impl Fn(Place) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        loop {
            let at = self.forwarding.place(place);
            let done = work(at);
            if self.forwarding.place(place) == at {
                return done;
            }
        }
    }

    /// The segment is about to be deleted.
    pub(crate) fn forget(&self, segment: u32) {
        let mut open = self.lock();
        open.segments.remove(&segment);
        open.cache.forget(segment);
    }

    /// The message file of a segment.
    pub(crate) fn segment(&self, place: Place) -> Result<Segment, StorageError> {
        self.cached(place.segment).map_or_else(|| self.open(place), Ok)
    }

    fn cached(&self, segment: u32) -> Option<Segment> {
        let mut open = self.lock();
        open.clock += 1;
        let clock = open.clock;
        let (segment, used) = open.segments.get_mut(&segment)?;
        *used = clock;
        Some(segment.clone())
    }

    fn open(&self, place: Place) -> Result<Segment, StorageError> {
        let path = self.environment.layout.messages(place.segment);
        let (disk, layout) = (&*self.environment.disk, &self.environment.layout);
        let file = disk.open(&path).map_err(|error| gone(place, &path)(error))?;
        let head =
            SegmentHead::load(disk, layout, place.segment).map_err(StorageError::at(&path))?;
        let salt = head.ok_or(StorageError::Damaged { place })?.salt(Part::Messages);
        let segment = Segment { file, salt };
        let mut open = self.lock();
        if open.segments.len() >= MAX_OPEN {
            let oldest = open.segments.iter().min_by_key(|(_, (_, used))| *used);
            let oldest = oldest.map(|(number, _)| *number);
            oldest.and_then(|number| open.segments.remove(&number));
        }
        open.clock += 1;
        let clock = open.clock;
        open.segments.insert(place.segment, (segment.clone(), clock));
        Ok(segment)
    }

    fn decode(&self, place: Place, salt: Salt, bytes: &Bytes) -> Result<Message, StorageError> {
        let damaged = || StorageError::Damaged { place };
        let header = Header::read(bytes, salt, u64::from(place.offset)).ok_or_else(damaged)?;
        if !header.matches(&bytes[HEADER..]) {
            return Err(damaged());
        }
        let content_at = HEADER + header.meta as usize;
        let envelope = decode_envelope(&bytes[HEADER..content_at]).ok_or_else(damaged)?;
        let content = match header.kind {
            Kind::Whole => Content::Whole(bytes.slice(content_at..)),
            Kind::Blob => Content::File {
                path: self.environment.layout.blob(envelope.id, form_of(&envelope)),
                size: envelope.size,
            },
            Kind::Change | Kind::Seal | Kind::Group => return Err(damaged()),
        };
        let message = (Arc::new(envelope), content);
        self.lock().cache.keep(place, &message);
        Ok(message)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The replies of a change, as [`add_replies`] has them.
pub(super) fn add_change(last: &mut LastReplies, change: Change) {
    let Change { id, entry, at, replies, .. } = change;
    add_replies(last, (id, entry), (at, replies));
}

/// Replies to recipients of an entry, and when they came. A later one takes the place of an earlier
/// one.
pub(super) fn add_replies(
    last: &mut LastReplies,
    (id, entry): (MessageId, u16),
    (at, replies): (u64, RecipientReplies),
) {
    let replies = replies.into_iter();
    last.extend(replies.map(|(to, outcome)| ((id, entry, to), (outcome, at))));
}

/// The envelope at the beginning of `bytes`, which are those at `place`; `None` when there is no such
/// record, or more of it has to be read.
pub(super) fn envelope_in(bytes: &[u8], place: Place, salt: Salt) -> Option<EncodedEnvelope<'_>> {
    let header = header_in(bytes, place, salt)?;
    bytes.get(HEADER..HEADER + header.meta as usize).map(EncodedEnvelope)
}

fn header_in(bytes: &[u8], place: Place, salt: Salt) -> Option<Header> {
    let header = Header::read(bytes, salt, u64::from(place.offset))?;
    (header.length() == u64::from(place.length)).then_some(header)
}

/// The front of the record at `place`, by as few calls of `read` as possible; it fills a slice from
/// there on, or says that it cannot. `None` also when there is no such record.
fn front_of(
    place: Place,
    salt: Salt,
    read: impl Fn(&mut [u8]) -> io::Result<bool>,
) -> io::Result<Option<Front>> {
    let mut bytes = vec![0; FRONT.min(place.length as usize)];
    if !read(&mut bytes)? {
        return Ok(None);
    }
    let Some(header) = header_in(&bytes, place, salt) else { return Ok(None) };
    let (end, has) = (HEADER + header.meta as usize, bytes.len());
    bytes.resize(end, 0);
    if end > has && !read(&mut bytes)? {
        return Ok(None);
    }
    Ok(Some(Front { header, bytes }))
}

fn gone(place: Place, path: &std::path::Path) -> impl Fn(io::Error) -> StorageError + '_ {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => StorageError::Gone { place },
        _ => StorageError::at(path)(error),
    }
}

/// Bytes in which most envelopes end.
pub(super) const FRONT: usize = 512;
/// Segments kept open.
const MAX_OPEN: usize = 64;
