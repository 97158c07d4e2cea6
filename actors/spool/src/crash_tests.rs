//! The world stops at every single write.
//!
//! A seeded run of appends, state changes, syncs, compactions and deletions is repeated on a disk
//! in memory, and stopped at its first operation that changes anything, at its second, and so on.
//! Each time the disk is looked at as a crash may have left it: with everything that was not synced
//! kept, dropped, or torn in several ways; writes in part and in any order, names of files made,
//! renamed and removed each of them or not, and independently of what is in the files. The spool
//! must recover from each of these, and then:
//!
//! - every message that was acknowledged is there, byte for byte, unless all its entries are done;
//! - no message is there twice, however often it moved from segment to segment;
//! - no entry is in a state older than its last synced one (promise 2), and after the death of the
//!   process alone not even older than its last written one; its history leads there step by step;
//! - nothing is there that nobody stored: no record is seen in part;
//! - an index that followed up to some moment before the crash comes to the same, or finds out that
//!   it cannot, and is rebuilt;
//! - recovering once more finds the same, and the spool works on.
//!
//! While it runs, everybody uses the places that messages were first stored at: none of them knows
//! that there is such a thing as a compaction.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use relais_channels::{
    crash_points::{Run, stop_again_at_every_start, stop_at_every_write},
    disk::Disk,
    mail::{Content, Entry, Envelope, MessageId, Priority, Recipient, Rerouted},
    memory_disk::{Dice, Fate, MemoryDisk},
};
use relais_storage::{Change, Draft, EntryState, Place, RecipientReplies, StorageError, Stored};
use tokio::sync::oneshot;

use crate::{
    compact::Compactor,
    compact::copy::Copied,
    compact::forwarding::Forwarding,
    environment::Environment,
    format::message::Encoded,
    format::segment::Numbers,
    ledger::feed::Feed,
    ledger::{Event, Ledger, SegmentLife},
    read::reader::Reader,
    recovery::error::RecoverError,
    recovery::{Findings, recover},
    write::committer::Committer,
    write::journal::Journal,
};

mod forms;

#[test]
fn the_world_may_stop_at_every_write() {
    let runs = stop_at_every_write::<Promised>(SEEDS);
    let crashes: u64 = runs.iter().map(|whole| whole.crashes).sum();
    let moves: u32 = runs.iter().map(|whole| whole.run.moves).sum();
    let first = Path::new("/spool/00000001.msg");
    let ended = runs.iter().any(|whole| whole.disk.contents(first).is_none());
    assert!(ended, "no segment came to its end: the test has lost its teeth");
    assert!(moves > 10, "only {moves} compactions: the test has lost its teeth");
    assert!(crashes > 5000, "only {crashes} crashes: the test has lost its teeth");
}

#[test]
fn the_world_may_stop_again_while_it_recovers() {
    stop_again_at_every_start::<Promised>(SEEDS, 31);
}

#[test]
fn a_sync_that_fails_is_never_taken_for_one_that_did_not() {
    for seed in 0..SEEDS {
        for operation in 0..40 {
            let disk = MemoryDisk::new();
            let promised = run_with(&disk, seed, |step| {
                if step == operation {
                    disk.fail_syncs(1);
                }
            });
            let scene = format!("seed {seed}, failing sync at step {operation}");
            promised.check(&disk.after_crash(Fate::Dropped), Fate::Dropped, &scene);
        }
    }
}

#[test]
fn what_cannot_be_deleted_does_not_come_back_to_life() {
    for (failing, compacted) in [(1, false), (1, true), (2, true)] {
        let (disk, mut promised) = (MemoryDisk::new(), Promised::default());
        let (mut engine, mut dice) = (Engine::start(&disk).unwrap(), Dice(failing));
        let mut last_id = 0;
        while engine.feed.live(|ledger| ledger.segments.len()) < 3 {
            engine.append(&mut promised, &mut dice, &mut last_id);
        }
        engine.finish(|id| id != MessageId(1));
        if compacted {
            engine.copied = engine.compactor.copy(1, &mut || true).unwrap();
            engine.compact(&mut promised, &mut dice);
            assert!(engine.journal.is_replacing());
        }
        engine.finish(|_| true);
        disk.fail_removals(failing as u32);
        engine.delete_what_is_done(&mut promised);
        for fate in [Fate::Kept, Fate::Dropped] {
            let risen = Engine::start(&disk.after_crash(fate)).unwrap().live;
            assert!(risen.is_empty(), "{failing}, {compacted}, {fate:?}: {risen:?}");
        }
    }
}

/// The parts of the spool without their threads, so that a run is the same each time.
struct Engine {
    environment: Arc<Environment>,
    feed: Arc<Feed>,
    reader: Arc<Reader>,
    committer: Committer,
    journal: Journal,
    compactor: Compactor,
    /// A copy that does not count yet.
    copied: Option<Copied>,
    /// Segments of which only the states were found.
    lost: Vec<u32>,
    /// Entries as the queue would know them.
    live: Live,
}

/// Stands in for the index: what was alive when it last followed.
#[derive(Clone, Default)]
struct Followed {
    ledger: Ledger,
    live: Live,
}

/// Everything that the users of the spool may rely on.
#[derive(Default)]
struct Promised {
    messages: HashMap<MessageId, Message>,
    index: Followed,
    moves: u32,
}

struct Message {
    content: Vec<u8>,
    acknowledged: bool,
    entries: Vec<History>,
}

/// The states an entry was put in, one after the other.
struct History {
    states: Vec<EntryState>,
    /// The newest one that the operating system was given.
    written: usize,
    /// The newest one that was synced.
    synced: usize,
}

impl Run for Promised {
    fn on(disk: &MemoryDisk, seed: u64) -> Self {
        run_with(disk, seed, |_| ())
    }

    fn starts(disk: &MemoryDisk) -> bool {
        Engine::start(disk).is_ok()
    }

    /// Starts the spool on what a crash has left and looks whether every promise was kept.
    fn check(&self, disk: &MemoryDisk, fate: Fate, scene: &str) {
        let copy = disk.after_crash(Fate::Kept);
        let mut engine = Engine::start(disk).unwrap_or_else(|error| panic!("{scene}: {error}"));
        // Of a segment that was never synced, a torn disk may have any of the names.
        let torn = matches!(fate, Fate::Torn(_));
        assert!(torn || engine.lost.is_empty(), "{scene}: a false alarm: {:?}", engine.lost);
        match Engine::start_with(&copy, self.index.clone()) {
            Ok(followed) => {
                assert!(followed.live == engine.live, "{scene}: the index comes to something else");
            }
            Err(RecoverError::Index(_)) => {}
            Err(error) => panic!("{scene}: {error}"),
        }
        for (&(id, entry), &(place, state)) in &engine.live {
            let message = self.messages.get(&id).unwrap_or_else(|| panic!("{scene}: who is {id}?"));
            assert!(
                engine.content(place, scene) == message.content,
                "{scene}: the content of {id}"
            );
            let possible = message.entries[usize::from(entry)].possible(fate);
            assert!(possible.contains(&state), "{scene}: {id}.{entry} {state:?} not {possible:?}");
            let history = engine.reader.history(id, place).unwrap();
            let taken = history.iter().filter(|change| change.entry == entry);
            let taken: Vec<EntryState> = taken.map(|change| change.now).collect();
            let synced = &message.entries[usize::from(entry)];
            let synced = &synced.states[1..=synced.synced];
            assert!(taken.starts_with(synced), "{scene}: {id}.{entry} {taken:?} not {synced:?}");
        }
        for (id, message) in self.messages.iter().filter(|(_, message)| message.acknowledged) {
            for (entry, history) in message.entries.iter().enumerate() {
                let there = engine.live.contains_key(&(*id, entry as u16));
                let done = history.possible(fate).contains(&EntryState::Done);
                assert!(there || done, "{scene}: {id}.{entry} was acknowledged and is lost");
            }
        }
        engine.works(scene);
        let again = Engine::start(disk).unwrap_or_else(|error| panic!("{scene}, again: {error}"));
        assert!(again.live == engine.live, "{scene}: a second recovery finds something else");
    }
}

/// Lives through a history of some 60 steps, or as many as the disk allows.
fn run_with(disk: &MemoryDisk, seed: u64, before_step: impl Fn(u64)) -> Promised {
    let mut promised = Promised::default();
    let Ok(mut engine) = Engine::start(disk) else { return promised };
    let mut dice = Dice(seed);
    let mut last_id = 0;
    for step in 0..STEPS {
        before_step(step);
        match dice.below(16) {
            0..=3 => engine.append(&mut promised, &mut dice, &mut last_id),
            4..=8 => engine.amend(&mut promised, &mut dice),
            9 | 10 => {
                engine.sync(&mut promised);
                engine.delete_what_is_done(&mut promised);
            }
            11 => engine.delete_what_is_done(&mut promised),
            _ => engine.compact(&mut promised, &mut dice),
        }
        if disk.has_stopped() {
            break;
        }
    }
    promised
}

impl Engine {
    fn start(disk: &MemoryDisk) -> Result<Self, RecoverError> {
        Self::start_with(disk, Followed::default())
    }

    fn start_with(disk: &MemoryDisk, index: Followed) -> Result<Self, RecoverError> {
        let settings = relais_config::Spool { segment_size: 1500, large_message: 400, min_free: 0 };
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let environment = Arc::new(Environment::new(Path::new("/spool"), &settings, disk));
        let Followed { ledger, mut live } = index;
        let mut each = |event: Event| follow(&mut live, &event);
        let Findings { ledger, next, quarantined, missing, lost, .. } =
            recover(&environment, ledger, &mut |_, _| (), &mut each)?;
        assert_eq!(
            ledger.segments.values().map(|life| life.live as usize).sum::<usize>(),
            live.len(),
            "the ledger and the events agree"
        );
        let alarming = quarantined.iter().find(|found| found.acknowledged);
        assert!(alarming.is_none() && missing.is_empty(), "a false alarm: {alarming:?}");
        let lost = lost.into_iter().collect();
        let feed = Arc::new(Feed::new(ledger));
        let numbers = Arc::new(Numbers::from(next));
        let forwarding = Arc::<Forwarding>::default();
        let reader = Arc::new(Reader::new(Arc::clone(&environment), Arc::clone(&forwarding)));
        let [one, two, three] = [(); 3].map(|()| (Arc::clone(&environment), Arc::clone(&feed)));
        Ok(Self {
            committer: Committer::new(
                one.0,
                one.1,
                Arc::clone(&numbers),
                Arc::clone(&reader.fresh),
            ),
            journal: Journal::new(two.0, two.1, Arc::clone(&reader), Arc::clone(&forwarding)),
            compactor: Compactor::new(three.0, three.1, forwarding, numbers),
            environment,
            feed,
            reader,
            copied: None,
            live,
            lost,
        })
    }

    fn append(&mut self, promised: &mut Promised, dice: &mut Dice, last_id: &mut u64) {
        let mut batch = Vec::new();
        for _ in 0..=dice.below(3) {
            *last_id += 1;
            let id = MessageId(*last_id);
            let content = text(dice);
            let entries = 1 + dice.below(3) as u16;
            let history = |_| History { states: vec![begun(id)], written: 0, synced: 0 };
            let histories = (0..entries).map(history).collect();
            let message =
                Message { content: content.clone(), acknowledged: false, entries: histories };
            promised.messages.insert(id, message);
            if let Ok(encoded) = self.encode(id, entries, content) {
                batch.push(encoded);
            }
        }
        for stored in self.committer.commit(&mut batch, &mut |_| ()).unwrap_or_default() {
            promised.messages.get_mut(&stored.id).unwrap().acknowledged = true;
            add(&mut self.live, &stored);
        }
    }

    fn encode(
        &self,
        id: MessageId,
        entries: u16,
        content: Vec<u8>,
    ) -> Result<Encoded, StorageError> {
        let mut envelope = Arc::new(envelope(id, entries));
        if content.len() as u64 <= self.environment.settings.large_message {
            return Ok(Encoded::new(&mut envelope, content.into(), None)?);
        }
        let size = content.len() as u64;
        waiting(async {
            let layout = &self.environment.layout;
            let environment = Arc::clone(&self.environment);
            let mut draft = Draft::new(environment, layout.blob_dir().join("draft-1"));
            draft.write(&content).await?;
            draft.keep(layout.blob(id, 0), layout.blob_dir()).await
        })?;
        Ok(Encoded::new(&mut envelope, Bytes::new(), Some(size))?)
    }

    fn amend(&mut self, promised: &mut Promised, dice: &mut Dice) {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..=dice.below(8) {
            // The oldest, so that whole segments come to their end.
            let nth = dice.below((self.live.len() as u64).min(10)) as usize;
            let Some((&(id, entry), &(place, was))) = self.live.iter().nth(nth) else { break };
            if changes.iter().any(|change| (change.id, change.entry) == (id, entry)) {
                continue;
            }
            let attempts = was.attempts() + 1;
            let now = match dice.below(8) {
                0 => EntryState::Waiting { open: 1, attempts, due: u64::from(attempts) * 1000 },
                1 => EntryState::Held { open: 1, attempts },
                2 => EntryState::Owing { open: 0, attempts, due: 0, reached: 1 },
                3 => EntryState::Owing { open: 1, attempts, due: 5, reached: 2 },
                _ => EntryState::Done,
            };
            promised.history(id, entry).states.push(now);
            changes.push(change(id, place, entry, was, now));
        }
        for change in &changes {
            alter(&mut self.live, change);
        }
        let names: Vec<_> = changes.iter().map(|change| (change.id, change.entry)).collect();
        self.journal.write(changes);
        if self.journal.is_written() {
            for (id, entry) in names {
                let history = promised.history(id, entry);
                history.written = history.states.len() - 1;
            }
        }
    }

    fn sync(&mut self, promised: &mut Promised) {
        if self.journal.sync().is_ok() {
            for history in promised.messages.values_mut().flat_map(|message| &mut message.entries) {
                history.written = history.states.len() - 1;
                history.synced = history.written;
            }
        }
    }

    /// Finishes messages for good.
    fn finish(&mut self, which: impl Fn(MessageId) -> bool) {
        let finished = |((id, entry), (place, was)): (&(MessageId, u16), &(Place, EntryState))| {
            which(*id).then(|| change(*id, *place, *entry, *was, EntryState::Done))
        };
        let changes: Vec<Change> = self.live.iter().filter_map(finished).collect();
        for change in &changes {
            alter(&mut self.live, change);
        }
        self.journal.write(changes);
        self.journal.sync().unwrap();
    }

    fn delete_what_is_done(&mut self, promised: &mut Promised) {
        self.journal.sweep();
        let mut emptied = Vec::new();
        for event in self.feed.take() {
            promised.index.ledger.apply(&event);
            follow(&mut promised.index.live, &event);
            if let Event::Emptied { segment: gone } | Event::Moved { from: gone, .. } = event {
                emptied.push(gone);
            }
        }
        self.journal.delete(&emptied);
    }

    /// The next step of a compaction: copies what is alive in some closed segment, however much
    /// that is; lets the copy count; lets the index follow, and what was copied go.
    fn compact(&mut self, promised: &mut Promised, dice: &mut Dice) {
        if self.journal.is_replacing() {
            return self.delete_what_is_done(promised);
        }
        if let Some(copied) = self.copied.take() {
            self.journal.switch(copied, oneshot::channel().0);
            promised.moves += u32::from(self.journal.is_replacing());
            return;
        }
        let closed = |(number, life): (&u32, &SegmentLife)| life.closed.then_some(*number);
        let closed: Vec<u32> =
            self.feed.live(|ledger| ledger.segments.iter().filter_map(closed).collect());
        if let Some(segment) = closed.get(dice.below(closed.len() as u64) as usize) {
            self.copied = self.compactor.copy(*segment, &mut || true).unwrap_or_default();
        }
    }

    fn content(&self, place: Place, scene: &str) -> Vec<u8> {
        let (_, content) =
            self.reader.read_waiting(place).unwrap_or_else(|e| panic!("{scene}: {e}"));
        match content {
            Content::Whole(bytes) => bytes.to_vec(),
            Content::File { path, size } => {
                let mut bytes = vec![0; size as usize];
                let file = self.environment.disk.open(&path);
                let file = file.unwrap_or_else(|error| panic!("{scene}: {path:?}: {error}"));
                assert_eq!(file.read_at(&mut bytes, 0).unwrap() as u64, size);
                assert_eq!(file.size().unwrap(), size);
                bytes
            }
        }
    }
}

impl Promised {
    fn history(&mut self, id: MessageId, entry: u16) -> &mut History {
        &mut self.messages.get_mut(&id).unwrap().entries[usize::from(entry)]
    }
}

impl Engine {
    /// Stores a message and finishes it.
    fn works(&mut self, scene: &str) {
        let mut batch = [self.encode(MessageId(u64::MAX), 1, b"hello".to_vec()).unwrap()];
        let stored = self.committer.commit(&mut batch, &mut |_| ());
        let Stored { id, place, .. } = stored.unwrap_or_else(|e| panic!("{scene}: {e}"))[0].clone();
        assert_eq!(self.content(place, scene), b"hello", "{scene}");
        self.journal.write(vec![change(id, place, 0, begun(id), EntryState::Done)]);
        self.journal.sync().unwrap_or_else(|error| panic!("{scene}: {error}"));
        self.committer.close();
    }
}

impl History {
    /// The states in which a crash may leave the entry.
    fn possible(&self, fate: Fate) -> &[EntryState] {
        &self.states[if fate == Fate::Kept { self.written } else { self.synced }..]
    }
}

type Live = BTreeMap<(MessageId, u16), (Place, EntryState)>;

fn follow(live: &mut Live, event: &Event) {
    match event {
        Event::Stored { messages, .. } => messages.iter().for_each(|stored| add(live, stored)),
        Event::Changed { changes, .. } | Event::Moved { entries: changes, .. } => {
            for change in changes {
                alter(live, change);
            }
        }
        _ => {}
    }
}

fn add(live: &mut Live, stored: &Stored) {
    for (entry, _) in stored.own_entries() {
        live.insert((stored.id, entry), (stored.place, begun(stored.id)));
    }
}

fn alter(live: &mut Live, change: &Change) {
    let name = (change.id, change.entry);
    match change.now {
        EntryState::Done => drop(live.remove(&name)),
        now => drop(live.insert(name, (change.place, now))),
    }
}

fn change(id: MessageId, place: Place, entry: u16, was: EntryState, now: EntryState) -> Change {
    let (channel, host) = ("tcp_local".into(), "example.org".into());
    let (priority, size) = (Priority::Normal, 0);
    let (at, replies, reason) = (1, RecipientReplies::new(), None);
    Change {
        id,
        place,
        entry,
        channel,
        host,
        priority,
        size,
        at,
        was,
        now,
        replies,
        reason,
        trip: None,
    }
}

fn envelope(id: MessageId, entries: u16) -> Envelope {
    let address = |n: u16| Recipient::new(format!("r{n}@example.org"), "r");
    let entry = |n: u16| Entry {
        channel: "tcp_local".into(),
        host: "example.org".into(),
        recipients: vec![address(n)],
    };
    Envelope {
        sender: "s@example.net".into(),
        source_channel: "tcp_local".into(),
        client: "client [192.0.2.1]".into(),
        held: is_held(id).then(|| "from the beginning".into()),
        ..Envelope::plain(id, id.0, (0..entries).map(entry).collect())
    }
}

fn text(dice: &mut Dice) -> Vec<u8> {
    (0..dice.below(600)).map(|_| dice.below(256) as u8).collect()
}

fn waiting<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// The state in which an entry of this message begins.
fn begun(id: MessageId) -> EntryState {
    if is_held(id) {
        EntryState::Held { open: 1, attempts: 0 }
    } else {
        EntryState::Waiting { open: 1, attempts: 0, due: 0 }
    }
}

/// Some are held from the beginning.
fn is_held(id: MessageId) -> bool {
    id.0.is_multiple_of(5)
}
const SEEDS: u64 = 5;
const STEPS: u64 = 60;
