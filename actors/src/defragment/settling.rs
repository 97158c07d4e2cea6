//! Pieces on the disk: found, read, put together, removed, passed on.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use relais_channels::{
    dsn::Kind,
    mail::{Envelope, Fragments, MessageId, MessageIds},
};
use relais_storage::{Class, EntryState, Place, ScannedEntry, Storage, StorageError};
use tracing::{info, warn};

use super::{
    assembly::{Assembled, Unassembled, assemble, body_digest},
    gathering::{EntryKey, NewPiece, PartialKey, PassedOn},
};
use crate::{
    actor::{Gone, Mailbox, Outlet},
    channel_table::Channels,
    events::MessageRerouted,
    ids::Destination,
    metrics::Metrics,
    queue::{
        Case, Noticed, Order, OrderKind, PASSES_ON, PIECES_REMOVED, PUT_TOGETHER, PieceStored,
        PlaceOrder, Queue, Reading, Reason, Reserve, SAME_PIECE, SubscribeToPieces, Told, Tracked,
    },
};

/// The parts of a defragmenter. Cheap to clone.
#[derive(Clone)]
pub struct DefragmenterParts {
    /// Where pieces are.
    pub storage: Storage,
    /// The channels of the configuration.
    pub channels: Arc<Channels>,
    /// The actor that knows their states.
    pub queue: Mailbox<Queue>,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// Messages above this go to a file of their own.
    pub large_message: u64,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A piece that was read.
pub(super) struct Learned {
    pub(super) key: PartialKey,
    pub(super) piece: NewPiece,
}

/// The result of putting a message together.
pub(super) enum PutTogether {
    /// It is in the queue, and its pieces are not.
    Made,
    /// The same, but for its release: it is found on the disk.
    Unfinished,
    /// Pieces are not there any more, or not free: nothing was done.
    Gone(Vec<EntryKey>),
    /// The pieces cannot be put together.
    Never(PassedOn),
    /// Not now.
    Later,
}

/// Why something is to be tried once more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Hindered {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("the queue has ended")]
    Queue(#[from] Gone),
    #[error(transparent)]
    Unassembled(#[from] Unassembled),
}

/// Pieces that lie held on the disk, and messages that were put together and have yet to be released.
#[derive(Default)]
struct HeldOnDisk {
    pieces: Vec<Learned>,
    wholes: Vec<(ScannedEntry, Vec<EntryKey>)>,
}

impl DefragmenterParts {
    /// Finds everything that waits, and has `news` told of what comes from now on. Finishes what an
    /// engine before this one began. `None`: not now.
    pub(super) async fn look(self, news: Outlet<PieceStored>) -> Option<Vec<Learned>> {
        match self.found(news).await {
            Ok(found) => Some(found),
            Err(error) => {
                warn!(%error, "pieces of messages cannot be looked for yet");
                None
            }
        }
    }

    async fn found(&self, news: Outlet<PieceStored>) -> Result<Vec<Learned>, Hindered> {
        self.queue.ask(SubscribeToPieces(news)).await?;
        let mut found = HeldOnDisk::default();
        let counts = self.storage.counts();
        for (channel, _) in counts.iter().filter(|(_, counts)| counts.held > 0) {
            let mut after = None;
            loop {
                let page = self.storage.scan(channel, Class::Held, after, PAGE).await?;
                after = page.last().map(|entry| entry.cursor);
                self.look_through(page, &mut found).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        let mut settled = HashSet::new();
        for (whole, pieces) in found.wholes {
            settled.extend(pieces.iter().copied());
            self.finish(whole.id, &pieces).await?;
        }
        found.pieces.retain(|learned| !settled.contains(&learned.piece.entry));
        Ok(found.pieces)
    }

    /// Looks which of these wait by themselves, and not because somebody holds them.
    async fn look_through(
        &self,
        page: Vec<ScannedEntry>,
        found: &mut HeldOnDisk,
    ) -> Result<(), Hindered> {
        let mut candidates = Vec::new();
        for scanned in page {
            let envelope = match self.storage.envelope(scanned.place).await {
                Ok(envelope) => envelope,
                Err(error) => {
                    warn!(id = %scanned.id, %error, "whether it is a piece is not known");
                    continue;
                }
            };
            let is_candidate = match envelope.fragments.as_deref() {
                Some(Fragments::Whole { .. }) => envelope.held.is_some(),
                Some(fragments) => fragments.waits(scanned.entry) && envelope.held.is_none(),
                None => false,
            };
            if is_candidate {
                candidates.push((scanned, envelope));
            }
        }
        let mut segments: HashMap<u32, HashSet<_>> = HashMap::new();
        for (scanned, _) in &candidates {
            segments.entry(scanned.place.segment).or_default().insert(scanned.id);
        }
        let mut ordered = HashSet::new();
        for (segment, ids) in segments {
            ordered.extend(self.storage.explained(segment, ids).await?);
        }
        candidates.retain(|(scanned, _)| !ordered.contains(&(scanned.id, scanned.entry)));
        for (scanned, envelope) in candidates {
            match envelope.fragments.as_deref() {
                Some(Fragments::Whole { pieces }) => found.wholes.push((scanned, pieces.clone())),
                _ => found.pieces.extend(self.learned((scanned.id, scanned.entry), &envelope)),
            }
        }
        Ok(())
    }

    /// Reads pieces that were just stored. `None`: not all of them can be read.
    pub(super) async fn read(self, stored: Vec<(EntryKey, Place)>) -> Option<Vec<Learned>> {
        let mut learned = Vec::new();
        for (entry, place) in stored {
            match self.storage.envelope(place).await {
                Ok(envelope) => learned.extend(self.learned(entry, &envelope)),
                Err(error) => {
                    warn!(id = %entry.0, %error, "a piece of a message is looked for once more");
                    return None;
                }
            }
        }
        Some(learned)
    }

    fn learned(&self, entry: EntryKey, envelope: &Envelope) -> Option<Learned> {
        let piece = envelope.fragments.as_deref()?.piece()?.clone();
        let own = envelope.entries.get(usize::from(entry.1))?;
        let channel = self.channels.gathering_for(&own.channel, &own.host);
        // Pieces that came before conversions were on the way belong to those behind.
        let (out, host) = self.channels.way_out(&own.channel, &own.host);
        let source = self.channels.find(&envelope.source_channel);
        let source = source.map(|id| self.channels.channel(id));
        let mut recipients: Vec<_> = own.recipients.iter().map(|to| to.address.clone()).collect();
        recipients.sort_unstable();
        let key = PartialKey {
            id: piece.id.clone(),
            sender: envelope.sender.clone(),
            channel: out.into(),
            host: host.into(),
            recipients,
        };
        let patience = channel.map_or(0, |channel| channel.defragment_for.as_millis());
        let piece = NewPiece {
            entry,
            piece,
            size: envelope.size,
            received: envelope.received,
            patience: u64::try_from(patience).unwrap_or(u64::MAX),
            limit: source.map_or(u64::MAX, |channel| channel.sourceblocklimit),
        };
        Some(Learned { key, piece })
    }

    /// The entries that are held, and the reading since which nothing may have changed.
    async fn held(&self, entries: &[EntryKey]) -> Result<(Reading, Vec<ScannedEntry>), Hindered> {
        let reading = Reading::begin(&self.queue).await?;
        let ids = entries.iter().map(|(id, _)| *id).collect();
        let found = self.storage.find_all(ids).await?;
        let mut found: HashMap<EntryKey, ScannedEntry> =
            found.into_iter().map(|scanned| ((scanned.id, scanned.entry), scanned)).collect();
        let held = entries.iter().filter_map(|entry| found.remove(entry));
        let held = held.filter(|scanned| matches!(scanned.state, EntryState::Held { .. }));
        Ok((reading, held.collect()))
    }

    /// Takes them aside, so that no order comes in between, until [`DefragmenterParts::settle`].
    async fn reserve(&self, entries: &[EntryKey]) -> Result<Vec<ScannedEntry>, Hindered> {
        let (reading, held) = self.held(entries).await?;
        let reserve = Reserve { reading: reading.ticket(), entries: held };
        Ok(self.queue.ask(reserve).await?)
    }

    /// Gives back what was taken aside: done, for this reason, or as it was.
    fn settle(&self, reserved: Vec<ScannedEntry>, done: Option<&Reason>) {
        let case = |scanned: ScannedEntry| {
            let channel = self.channels.find(&scanned.channel)?;
            Some(Case {
                entry: Tracked::of(&scanned),
                destination: Destination { channel, host: Arc::clone(&scanned.host) },
                kind: Kind::Relayed,
                recipients: if done.is_some() { scanned.state.open() } else { 0 },
                replies: Vec::new(),
                until: None,
                was: scanned.state,
                then: Some(if done.is_some() { EntryState::Done } else { scanned.state }),
                behind: None,
                room: None,
                reading: None,
                ordered: done.cloned(),
            })
        };
        let cases = reserved.into_iter().filter_map(case).collect();
        self.queue.tell(Noticed { cases, told: Told::Settled });
    }

    /// Has these leave as they are.
    pub(super) async fn pass_on(
        &self,
        entries: &[EntryKey],
        why: PassedOn,
    ) -> Result<(), Hindered> {
        let words = format!("{PASSES_ON}: {why}");
        let passed = self.release(entries, &words).await?;
        for (id, _) in &passed {
            info!(%id, reason = %why, "a piece of a message passes on as it is");
        }
        self.metrics.defragment.passed_on(why.name(), passed.len());
        Ok(())
    }

    /// Releases those that are held, and returns them.
    async fn release(&self, entries: &[EntryKey], words: &str) -> Result<Vec<EntryKey>, Hindered> {
        let (reading, held) = self.held(entries).await?;
        let released = held.iter().map(|scanned| (scanned.id, scanned.entry)).collect();
        let order = Order { kind: OrderKind::Release, reason: words.into() };
        let place = PlaceOrder { reading: reading.ticket(), order, entries: held };
        self.queue.ask(place).await?;
        Ok(released)
    }

    /// Removes `new` when its body is that of the piece that is `known`, and has it pass on when it is
    /// not. Returns it when the other one is not there any more.
    pub(super) async fn compare(
        &self,
        known: EntryKey,
        new: EntryKey,
    ) -> Result<Option<ScannedEntry>, Hindered> {
        let (_, held) = self.held(&[known, new]).await?;
        let place = |entry: EntryKey| held.iter().find(|its| (its.id, its.entry) == entry);
        let Some(its) = place(new) else { return Ok(None) };
        let Some(other) = place(known) else { return Ok(Some(its.clone())) };
        let same = body_digest(&self.storage, its.place).await?.as_ref()
            == body_digest(&self.storage, other.place).await?.as_ref();
        if !same {
            self.pass_on(&[new], PassedOn::Contradiction).await?;
            return Ok(None);
        }
        let words = format!("{SAME_PIECE} {}", known.0);
        let reserved = self.reserve(&[new]).await?;
        if !reserved.is_empty() {
            info!(id = %new.0, known = %known.0, "a piece of a message came twice, and is removed");
            self.metrics.defragment.copies.inc();
        }
        self.settle(reserved, Some(&words.as_str().into()));
        Ok(None)
    }

    /// Puts these together, in this order, to a message of `limit` octets at most.
    pub(super) async fn put_together(
        &self,
        entries: &[EntryKey],
        limit: u64,
    ) -> Result<PutTogether, Hindered> {
        let reserved = self.reserve(entries).await?;
        if reserved.len() < entries.len() {
            let has = |entry: &EntryKey| reserved.iter().any(|its| (its.id, its.entry) == *entry);
            let gone: Vec<_> = entries.iter().filter(|entry| !has(entry)).copied().collect();
            // Nothing is given any more when the engine ends.
            let none = reserved.is_empty();
            self.settle(reserved, None);
            return Ok(if none { PutTogether::Later } else { PutTogether::Gone(gone) });
        }
        let made = match assemble(&self.storage, &reserved, (self.large_message, limit)).await {
            Ok(assembled) => self.store(assembled).await,
            Err(error) => Err(error),
        };
        let whole = match made {
            Ok(whole) => whole,
            Err(error) => {
                self.settle(reserved, None);
                return match error {
                    Unassembled::PassOn(why) => Ok(PutTogether::Never(why)),
                    error => Err(error.into()),
                };
            }
        };
        let reason = gone_into(whole.id);
        for piece in &reserved {
            info!(id = %piece.id, whole = %whole.id, "a piece of a message is put together with others");
        }
        self.settle(reserved, Some(&reason));
        let left = &*whole.entries[0].channel;
        MessageRerouted { envelope: &whole, left, by: "" }.emit(&self.metrics);
        self.metrics.defragment.put_together.inc();
        // The order of what the queue is told is that of what it writes.
        let finished = self.finish(whole.id, entries).await;
        Ok(match finished {
            Ok(()) => PutTogether::Made,
            Err(error) => {
                warn!(id = %whole.id, %error, "a message that is put together is not released yet");
                PutTogether::Unfinished
            }
        })
    }

    async fn store(&self, assembled: Assembled) -> Result<Arc<Envelope>, Unassembled> {
        let Assembled { mut envelope, content } = assembled;
        envelope.id = self.ids.next();
        // The table of conversions may have changed since the first piece came.
        for entry in &mut envelope.entries {
            let (out, host) = self.channels.way_out(&entry.channel, &entry.host);
            let (out, host) = (out.into(), host.into());
            let place = self.channels.place_for(&envelope.source_channel, &out, &host);
            (entry.channel, entry.host) = (place.channel, place.host);
        }
        let mut envelope = Arc::new(envelope);
        self.storage.append(&mut envelope, content).await?;
        Ok(envelope)
    }

    /// A message is put together: removes what is left of its pieces, and then releases it.
    async fn finish(&self, whole: MessageId, pieces: &[EntryKey]) -> Result<(), Hindered> {
        let left = self.reserve(pieces).await?;
        self.settle(left, Some(&gone_into(whole)));
        // The queue has written down all that it was told when it answers the next request.
        self.release(&[(whole, 0)], PIECES_REMOVED).await?;
        Ok(())
    }
}

fn gone_into(whole: MessageId) -> Reason {
    format!("{PUT_TOGETHER} with others in {whole}").as_str().into()
}

/// Entries that are looked through at once.
const PAGE: usize = 256;
