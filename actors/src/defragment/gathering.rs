//! Which pieces of which messages have come, and when they are put together or pass on as they are. Knows
//! no actor and no disk: what it forgets is found on the disk again.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use relais_channels::mail::{Fragment, MessageId};

/// An entry of the queue.
pub type EntryKey = (MessageId, u16);

/// The pieces of one message share all of it. Recipients are part of it, so that nobody gets more of a
/// message than its sender had for him.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct PartialKey {
    /// The parameter `id`.
    pub id: String,
    /// The sender without angle brackets.
    pub sender: String,
    /// The channel that they leave by.
    pub channel: Arc<str>,
    /// The destination.
    pub host: Arc<str>,
    /// The addresses of the entry, in order.
    pub recipients: Vec<Arc<str>>,
}

/// A piece that has come.
#[derive(Clone, Debug)]
pub struct NewPiece {
    /// The entry that waits.
    pub entry: EntryKey,
    /// Which it is.
    pub piece: Fragment,
    /// Octets of its content.
    pub size: u64,
    /// When it came, in milliseconds since 1970.
    pub received: u64,
    /// How long it waits for others, in milliseconds.
    pub patience: u64,
    /// Octets of the whole message at most.
    pub limit: u64,
}

/// Why pieces pass on as they are; the label `reason`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PassedOn {
    /// Others did not come in time.
    Late,
    /// The message is put together already, or has passed on.
    Settled,
    /// Pieces of it contradict each other: another total, a number beyond it, two of one number.
    Contradiction,
    /// It has too many pieces.
    ManyPieces,
    /// It would be too large.
    TooLarge,
    /// Its sender has too much under way, or all senders together.
    ManyMessages,
    /// Its pieces are encoded, or their headers are too large.
    Unassemblable,
    /// The channel gathers no pieces any more.
    NotGathered,
}

/// The decision about a piece that has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// It waits for others.
    Wait,
    /// It is known already.
    Known,
    /// Entries pass on as they are, for this reason.
    PassOn(Vec<EntryKey>, PassedOn),
    /// There is one of its number: it goes when it is the same, and passes on when it is not.
    Compare {
        /// The one that stays.
        known: EntryKey,
    },
    /// All are there.
    PutTogether(Arc<PartialKey>),
}

/// The message that a piece waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Waits {
    /// Its number.
    pub number: u32,
    /// The pieces that have come.
    pub come: usize,
    /// How many there are, as far as one has said so.
    pub total: Option<u32>,
    /// The first numbers that are missing, up to [`MOST_NAMED`]; where the total is not known those before
    /// the largest that has come.
    pub missing: Vec<u32>,
    /// Until when it waits, in milliseconds since 1970.
    pub until: u64,
}

/// All messages of which pieces wait.
#[derive(Debug, Default)]
pub struct Gathering {
    messages: HashMap<Arc<PartialKey>, Partial>,
    /// Where pieces that wait belong.
    pieces: HashMap<EntryKey, (Arc<PartialKey>, u32)>,
    senders: HashMap<String, Load>,
    waiting: usize,
}

/// Messages and pieces of a sender that wait, and the octets of these.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Load {
    messages: usize,
    pieces: usize,
    octets: u64,
}

#[derive(Debug)]
struct Partial {
    state: PartialState,
    total: Option<u32>,
    pieces: BTreeMap<u32, (EntryKey, u64)>,
    size: u64,
    limit: u64,
    until: u64,
    patience: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PartialState {
    Waiting,
    /// Pieces that still come pass on.
    Over,
}

impl PassedOn {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Late,
        Self::Settled,
        Self::Contradiction,
        Self::ManyPieces,
        Self::TooLarge,
        Self::ManyMessages,
        Self::Unassemblable,
        Self::NotGathered,
    ];

    /// In lower case; the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Settled => "settled",
            Self::Contradiction => "contradiction",
            Self::ManyPieces => "many_pieces",
            Self::TooLarge => "too_large",
            Self::ManyMessages => "many_messages",
            Self::Unassemblable => "unassemblable",
            Self::NotGathered => "not_gathered",
        }
    }
}

/// In words, for the log and the history of a message.
impl fmt::Display for PassedOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Late => "the other pieces did not come in time",
            Self::Settled => "the message has been put together, or has passed on",
            Self::Contradiction => "the pieces contradict each other",
            Self::ManyPieces => "the message has too many pieces",
            Self::TooLarge => "the message would be too large",
            Self::ManyMessages => "too many pieces of its sender wait, or of all senders",
            Self::Unassemblable => "the pieces are encoded, or a header is too large",
            Self::NotGathered => "the channel gathers no pieces any more",
        })
    }
}

impl Gathering {
    /// Takes in a piece. `now`: milliseconds since 1970.
    pub fn add(&mut self, key: PartialKey, new: &NewPiece, now: u64) -> Decision {
        if self.pieces.contains_key(&new.entry) {
            return Decision::Known;
        }
        let until = new.received.saturating_add(new.patience);
        let alone = |why| Decision::PassOn(vec![new.entry], why);
        let key = match self.messages.get_key_value(&key) {
            Some((_, known)) if known.state == PartialState::Over => {
                return alone(PassedOn::Settled);
            }
            Some((known, _)) => Arc::clone(known),
            None if until <= now => return alone(PassedOn::Late),
            None => match self.begin(key, new, until) {
                Some(key) => key,
                None => return alone(PassedOn::ManyMessages),
            },
        };
        let Some(message) = self.messages.get_mut(&key) else { return Decision::Known };
        message.until = message.until.min(until);
        let Fragment { number, total, .. } = new.piece;
        if let Some((known, _)) = message.pieces.get(&number) {
            return Decision::Compare { known: *known };
        }
        message.pieces.insert(number, (new.entry, new.size));
        message.size = message.size.saturating_add(new.size);
        message.limit = message.limit.min(new.limit);
        let contradicts = message.total.is_some_and(|its| total.is_some_and(|total| total != its));
        message.total = message.total.or(total);
        let last = message.pieces.last_key_value().map_or(0, |(last, _)| *last);
        let is_beyond = message.total.is_some_and(|total| last > total);
        let over = [
            (contradicts || is_beyond, PassedOn::Contradiction),
            (last.max(message.total.unwrap_or(0)) > MAX_PIECES, PassedOn::ManyPieces),
            (message.size > message.limit, PassedOn::TooLarge),
        ];
        let is_complete = message.is_complete();
        self.pieces.insert(new.entry, (Arc::clone(&key), number));
        self.waiting += 1;
        let load = self.senders.entry(key.sender.clone()).or_default();
        load.pieces += 1;
        load.octets = load.octets.saturating_add(new.size);
        let is_crowded = load.pieces > MAX_PIECES_OF_SENDER
            || load.octets > MAX_OCTETS_OF_SENDER
            || self.waiting > MAX_WAITING;
        let over = over.into_iter().chain([(is_crowded, PassedOn::ManyMessages)]);
        match over.into_iter().find(|(holds, _)| *holds) {
            Some((_, why)) => Decision::PassOn(self.end(&key, now), why),
            None if is_complete => Decision::PutTogether(key),
            None => Decision::Wait,
        }
    }

    /// A message of which nothing has come before; `None`: there are too many.
    fn begin(&mut self, key: PartialKey, new: &NewPiece, until: u64) -> Option<Arc<PartialKey>> {
        if self.messages.len() >= MAX_MESSAGES {
            self.messages.retain(|_, message| message.state == PartialState::Waiting);
        }
        let of_sender = self.senders.get(&key.sender).map_or(0, |load| load.messages);
        if self.messages.len() >= MAX_MESSAGES || of_sender >= MAX_MESSAGES_OF_SENDER {
            return None;
        }
        self.senders.entry(key.sender.clone()).or_default().messages += 1;
        let key = Arc::new(key);
        let message = Partial {
            state: PartialState::Waiting,
            total: None,
            pieces: BTreeMap::new(),
            size: 0,
            limit: new.limit,
            until,
            patience: new.patience,
        };
        self.messages.insert(Arc::clone(&key), message);
        Some(key)
    }

    /// The entries of a message that is complete, in the order of its pieces.
    pub fn entries(&self, key: &PartialKey) -> Vec<EntryKey> {
        let message = self.messages.get(key).filter(|message| message.is_complete());
        message.map_or_else(Vec::new, |message| {
            message.pieces.values().map(|(entry, _)| *entry).collect()
        })
    }

    /// Octets of a message at most.
    pub fn limit(&self, key: &PartialKey) -> u64 {
        self.messages.get(key).map_or(0, |message| message.limit)
    }

    /// Nothing waits of a message any more, and what still comes of it passes on, for as long as it would
    /// have waited. Returns the entries that waited.
    pub fn end(&mut self, key: &PartialKey, now: u64) -> Vec<EntryKey> {
        let Some(message) =
            self.messages.get_mut(key).filter(|its| its.state == PartialState::Waiting)
        else {
            return Vec::new();
        };
        message.state = PartialState::Over;
        message.until = now.saturating_add(message.patience);
        let pieces = std::mem::take(&mut message.pieces);
        let octets = pieces.values().map(|(_, size)| *size).sum();
        let entries: Vec<_> = pieces.into_values().map(|(entry, _)| entry).collect();
        for entry in &entries {
            self.pieces.remove(entry);
        }
        self.lighten(&key.sender, Load { messages: 1, pieces: entries.len(), octets });
        entries
    }

    /// A piece does not wait any more: somebody has sent it on, or removed it.
    pub fn forget(&mut self, entry: EntryKey) {
        let Some((key, number)) = self.pieces.remove(&entry) else { return };
        let Some(message) = self.messages.get_mut(&key) else { return };
        let octets = message.pieces.remove(&number).map_or(0, |(_, size)| size);
        message.size -= octets;
        let is_empty = message.pieces.is_empty();
        if is_empty {
            self.messages.remove(&key);
        }
        self.lighten(&key.sender, Load { messages: usize::from(is_empty), pieces: 1, octets });
    }

    /// The messages whose time is over, and their entries; they are over by this.
    pub fn expire(&mut self, now: u64) -> Vec<EntryKey> {
        self.messages.retain(|_, its| its.state == PartialState::Waiting || its.until > now);
        let late = self.messages.iter().filter(|(_, its)| its.until <= now);
        let late: Vec<_> = late.map(|(key, _)| Arc::clone(key)).collect();
        late.iter().flat_map(|key| self.end(key, now)).collect()
    }

    /// The message that a piece waits for; `None`: it does not wait here.
    pub fn waits(&self, entry: EntryKey) -> Option<Waits> {
        let (key, number) = self.pieces.get(&entry)?;
        let message = self.messages.get(key)?;
        let last = message.total.or(message.pieces.last_key_value().map(|(last, _)| *last));
        let missing = (1..=last.unwrap_or(0)).filter(|number| !message.pieces.contains_key(number));
        Some(Waits {
            number: *number,
            come: message.pieces.len(),
            total: message.total,
            missing: missing.take(MOST_NAMED).collect(),
            until: message.until,
        })
    }

    /// Messages and pieces that wait.
    pub fn waiting(&self) -> (usize, usize) {
        (self.senders.values().map(|load| load.messages).sum(), self.waiting)
    }

    fn lighten(&mut self, sender: &str, by: Load) {
        self.waiting -= by.pieces;
        let Some(load) = self.senders.get_mut(sender) else { return };
        load.messages -= by.messages;
        load.pieces -= by.pieces;
        load.octets = load.octets.saturating_sub(by.octets);
        if *load == Load::default() {
            self.senders.remove(sender);
        }
    }
}

impl Partial {
    fn is_complete(&self) -> bool {
        // No number is beyond the total.
        self.total.is_some_and(|total| self.pieces.len() == total as usize)
    }
}

/// Numbers of missing pieces that are named.
pub const MOST_NAMED: usize = 20;
/// Pieces of one message.
pub const MAX_PIECES: u32 = 1_000;
/// Messages of one sender that wait.
pub const MAX_MESSAGES_OF_SENDER: usize = 100;
/// Pieces of one sender that wait.
pub const MAX_PIECES_OF_SENDER: usize = 4_000;
/// Octets of pieces of one sender that wait.
pub const MAX_OCTETS_OF_SENDER: u64 = 1 << 30;
/// Messages that wait, or have been over for less time than their pieces would have waited.
const MAX_MESSAGES: usize = 10_000;
/// Pieces that wait.
const MAX_WAITING: usize = 100_000;

#[cfg(test)]
mod tests;
