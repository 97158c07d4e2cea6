//! Envelopes and last replies of many entries at once, page by page, for listings.
//!
//! A page is read in the order in which its records lie on the disk. Every page of a listing in the
//! order of due times meets every segment: so a [`SegmentPages`] keeps the places of the changes of
//! each message, a [`Trail`] for a state file, and goes through a file once, not once a page.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use relais_channels::mail::MessageId;
use relais_storage::{
    Change, EncodedEnvelope, LastReplies, Place, ReadPages, RecipientReplies, ShowEnvelope,
    StorageError,
};

use crate::{
    format::record::{Found, HEADER, Header, Kind, Walker},
    format::segment::HEAD,
    read::reader::{FRONT, OpenStates, Reader, add_change, add_replies, envelope_in},
    read::window::Window,
};

/// Reads the pages of one listing.
pub(crate) struct SegmentPages {
    reader: Arc<Reader>,
    trails: Mutex<Trails>,
}

/// The trails of segments, bounded in all.
struct Trails {
    of_segments: HashMap<u32, Trail>,
    /// Changes that there is room for.
    room: usize,
    /// A trail found no room: no further segment gets one.
    is_full: bool,
}

/// Where the changes of messages stand in a state file.
#[derive(Default)]
struct Trail {
    /// A hash of the message and the place of the change, sorted.
    changes: Vec<(u32, u32)>,
    /// How far the file has been gone through.
    until: u64,
}

impl SegmentPages {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        Self { reader, trails: Mutex::new(Trails::with_room_for(MAX_CHANGES)) }
    }

    /// Shows the envelopes at places of one segment, which come in order.
    fn each_of_segment(
        &self,
        places: &[Place],
        window: &mut Window,
        mut each: impl FnMut(Result<EncodedEnvelope<'_>, StorageError>),
    ) {
        let mut shown = 0;
        // Deliveries share the table of open segments: one look is enough for all of a segment.
        if let Some(segment) = self.reader.segment_in_place(places[0]) {
            let fronts: Vec<_> = places.iter().copied().map(front_of).collect();
            // A failure here comes again below, and is told there.
            let _ = window.each(&*segment.file, &fronts, |number, bytes| {
                shown = number + 1;
                match envelope_in(bytes, places[number], segment.salt) {
                    Some(envelope) => each(Ok(envelope)),
                    None => self.follow(places[number], &mut each),
                }
            });
        }
        for place in &places[shown..] {
            self.follow(*place, &mut each);
        }
    }

    /// Shows the envelope of a record that has to be read by itself, wherever it is now.
    fn follow(
        &self,
        place: Place,
        each: &mut impl FnMut(Result<EncodedEnvelope<'_>, StorageError>),
    ) {
        match self.reader.front_waiting(place) {
            Ok(front) => each(Ok(front.encoded())),
            Err(error) => each(Err(error)),
        }
    }
}

impl ReadPages for SegmentPages {
    fn each_envelope(&self, places: &[Place], each: &mut ShowEnvelope<'_>) {
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_unstable_by_key(|number| places[*number]);
        let mut window = Window::default();
        let segment_of = |number: &usize| places[*number].segment;
        for of_segment in order.chunk_by(|one, other| segment_of(one) == segment_of(other)) {
            let same = |one: &usize, other: &usize| places[*one] == places[*other];
            let numbers: Vec<&[usize]> = of_segment.chunk_by(same).collect();
            let places: Vec<Place> = numbers.iter().map(|same| places[same[0]]).collect();
            let mut numbers = numbers.into_iter();
            self.each_of_segment(&places, &mut window, |envelope| {
                each(numbers.next().unwrap_or_default(), envelope);
            });
        }
    }

    // Of a segment that is gone nothing is told.
    fn last_replies(&self, mut messages: Vec<(u32, MessageId)>) -> LastReplies {
        messages.sort_unstable();
        messages.dedup();
        let mut trails = self.trails.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = LastReplies::new();
        for of_segment in messages.chunk_by(|(one, _), (other, _)| one == other) {
            last.extend(trails.last_replies(&self.reader, of_segment).unwrap_or_default());
        }
        last
    }
}

impl Trails {
    fn with_room_for(changes: usize) -> Self {
        Self { of_segments: HashMap::new(), room: changes, is_full: false }
    }

    fn last_replies(
        &mut self,
        reader: &Reader,
        messages: &[(u32, MessageId)],
    ) -> Result<LastReplies, StorageError> {
        let (segment, _) = messages[0];
        reader.following_segment(segment, |place| {
            let mut last = LastReplies::new();
            let Some(states) = reader.states(place)? else { return Ok(last) };
            let trail = self.of(place.segment, &states).map_err(StorageError::at(&states.path))?;
            match trail {
                Some(trail) => trail
                    .replies(&states, messages, &mut last)
                    .map_err(StorageError::at(&states.path))?,
                None => reader.changes(
                    place,
                    |id| messages.binary_search(&(segment, id)).is_ok(),
                    |change| add_change(&mut last, change),
                )?,
            }
            Ok(last)
        })
    }

    /// The trail of a state file, up to its end; `None` if there is no room for it.
    fn of(&mut self, segment: u32, states: &OpenStates) -> io::Result<Option<&Trail>> {
        let known = self.of_segments.remove(&segment);
        if known.is_none() && self.is_full {
            return Ok(None);
        }
        let mut trail = known.unwrap_or_default();
        self.room += trail.changes.len();
        if !trail.follow(states, self.room)? {
            self.is_full = true;
            return Ok(None);
        }
        self.room -= trail.changes.len();
        Ok(Some(self.of_segments.entry(segment).insert_entry(trail).into_mut()))
    }
}

impl Trail {
    /// Goes on to the end of the file; and whether all changes have room. A change that is half
    /// written at the end is met again the next time.
    fn follow(&mut self, states: &OpenStates, room: usize) -> io::Result<bool> {
        let from = self.until.max(HEAD as u64);
        let known = self.changes.len();
        let mut walker = Walker::new(&*states.file, states.salt, from, states.end);
        while let Some(found) = walker.next()? {
            let Found::Record { offset, header, .. } = found else { continue };
            self.until = offset + header.length();
            if header.kind == Kind::Change {
                if self.changes.len() == room {
                    return Ok(false);
                }
                self.changes.push((hash(header.id), offset as u32));
            }
        }
        if self.changes.len() > known {
            self.changes.sort_unstable();
        }
        Ok(true)
    }

    /// Adds the replies to these messages, the oldest first.
    fn replies(
        &self,
        states: &OpenStates,
        messages: &[(u32, MessageId)],
        last: &mut LastReplies,
    ) -> io::Result<()> {
        let mut wanted: Vec<(u32, MessageId)> = Vec::with_capacity(messages.len());
        for (_, id) in messages {
            let hash = hash(*id);
            let first = self.changes.partition_point(|(known, _)| *known < hash);
            let its = self.changes[first..].iter().take_while(|(known, _)| *known == hash);
            wanted.extend(its.map(|(_, offset)| (*offset, *id)));
        }
        wanted.sort_unstable();
        let changes: Vec<_> =
            wanted.iter().map(|(at, _)| u64::from(*at)..u64::from(*at) + CHANGE).collect();
        let mut read = Ok(());
        Window::default().each(&*states.file, &changes, |number, bytes| {
            let (offset, id) = wanted[number];
            match replies_in(states, bytes, offset, id) {
                Ok(Some((entry, replies))) => add_replies(last, (id, entry), replies),
                Ok(None) => {}
                Err(error) => read = Err(error),
            }
        })?;
        read
    }
}

/// The entry and the replies of the change that `bytes`, those at `offset`, begin with, if it is one
/// of this message.
fn replies_in(
    states: &OpenStates,
    bytes: &[u8],
    offset: u32,
    id: MessageId,
) -> io::Result<Option<(u16, (u64, RecipientReplies))>> {
    let at = u64::from(offset);
    let header = Header::read(bytes, states.salt, at).filter(|header| header.id == id);
    let Some(header) = header else { return Ok(None) };
    let length = header.length() as usize;
    let mut whole = Vec::new();
    let record = if length <= bytes.len() {
        &bytes[..length]
    } else {
        whole.resize(length, 0);
        let read = states.file.read_at(&mut whole, at)?;
        &whole[..read]
    };
    let payload = record.get(HEADER..).filter(|payload| header.matches(payload));
    let replies = payload.and_then(Change::read_replies);
    Ok(replies.map(|replies| (header.entries, replies)))
}

/// The bytes in which the envelope of a record most likely ends.
fn front_of(place: Place) -> Range<u64> {
    let start = u64::from(place.offset);
    start..start + u64::from(place.length).min(FRONT as u64)
}

/// A hash that tells most messages apart; the records of their changes tell all.
fn hash(id: MessageId) -> u32 {
    (id.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Changes whose places are kept; 8 bytes each.
const MAX_CHANGES: usize = 4 << 20;
/// Bytes in which most changes end.
const CHANGE: u64 = 512;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use relais_channels::mail::{Enhanced, Outcome, Reply};

    use relais_storage::QueueStorage;

    use super::*;
    use crate::{
        Spool,
        tests::{append, done, later, start},
    };
    use relais_storage::{PageReader, RecipientReplies, Stored};

    fn reply(text: String) -> Outcome {
        Outcome::Deferred(Reply::with_text(451, Enhanced(4, 3, 0), text))
    }

    /// Each of these messages fails once more.
    fn fail(spool: &Spool, stored: &[Stored], attempt: u16) {
        for stored in stored {
            let text = format!("{attempt} {}", "x".repeat(usize::from(attempt) * 300));
            let replies = RecipientReplies::from_iter([(0, reply(text))]);
            spool.amend(Change { replies, ..later(stored, 0, attempt, 9) });
        }
    }

    /// A reader of pages and a pass over each segment tell the same.
    async fn check(spool: &Spool, pages: &PageReader, stored: &[Stored], name: &str) {
        spool.flush().await.unwrap();
        for page in stored.chunks(stored.len().div_ceil(3)) {
            let asked = page.iter().map(|stored| (stored.place.segment, stored.id)).collect();
            let told = pages.last_replies(asked);
            let mut want = LastReplies::new();
            let segments: HashSet<u32> = page.iter().map(|stored| stored.place.segment).collect();
            for segment in segments {
                let ids = page.iter().filter(|stored| stored.place.segment == segment);
                let ids = ids.map(|stored| stored.id).collect();
                want.extend(spool.last_replies(segment, &ids).await.unwrap());
            }
            assert!(!want.is_empty(), "{name}");
            assert_eq!(told, want, "{name}");
        }
    }

    #[tokio::test]
    async fn page_after_page_tells_what_was_said_last_whatever_happens_in_between() {
        let dir = tempfile::tempdir().unwrap();
        let spool = start(dir.path()).0;
        let mut stored = Vec::new();
        for id in 1..=60 {
            stored.push(append(&spool, id, &["a"], &[b'x'; 300]).await.unwrap());
        }
        assert!(stored[59].place.segment > 2, "several segments");
        let pages = spool.page_reader();
        let full = Arc::new(SegmentPages {
            reader: Arc::clone(&spool.shared.reader),
            trails: Mutex::new(Trails::with_room_for(20)),
        });
        let all = |name: &'static str, stored: Vec<Stored>| {
            let (spool, readers) = (spool.clone(), [pages.clone(), PageReader::new(full.clone())]);
            async move {
                for reader in readers {
                    check(&spool, &reader, &stored, name).await;
                }
            }
        };
        fail(&spool, &stored, 1);
        all("the first attempt", stored.clone()).await;
        all("nothing new", stored.clone()).await;
        fail(&spool, &stored[10..50], 2);
        all("the second attempt of some", stored.clone()).await;
        assert!(full.trails.lock().unwrap().is_full);

        // The first segment is compacted.
        for stored in stored.iter().take(2) {
            spool.amend(done(stored, 0));
        }
        spool.flush().await.unwrap();
        let copied = spool.shared.compactor.copy(1, &mut || true).unwrap().expect("alive");
        spool.shared.journal.switch(copied).await.expect("the old segment goes");
        fail(&spool, &stored[5..15], 3);
        all("a copy of a segment", stored[2..].to_vec()).await;
    }

    #[tokio::test]
    async fn each_envelope_is_shown_with_the_number_of_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let spool = start(dir.path()).0;
        let mut places = Vec::new();
        for id in 1..=9 {
            places.push(append(&spool, id, &["a", "b"], b"x").await.unwrap().place);
        }
        places.swap(2, 7);
        places.push(places[4]);
        places.push(Place { segment: 99, ..places[0] });
        let mut ids = vec![0; places.len()];
        spool.page_reader().each_envelope(&places, |numbers, read| {
            assert_eq!(matches!(read, Err(StorageError::Gone { .. })), numbers == [10]);
            let id = read.map_or(99, |envelope| envelope.decode().unwrap().id.0);
            for number in numbers {
                ids[*number] = id;
            }
        });
        assert_eq!(ids, [1, 2, 8, 4, 5, 6, 7, 3, 9, 5, 99]);
    }
}
