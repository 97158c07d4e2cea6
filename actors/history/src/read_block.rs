//! A block that is read: the same guesses as its writer's, and its notes made of them.

use crate::{
    error::DamagedBlock,
    keys::ID_BITS,
    note::{CHANNEL, FROM, HOST, MAILBOX, MAX_RECIPIENTS, Named, Note, PEER, REPLY, SHARED},
    shape::{
        Guesses, HAS_ATTEMPTS, HAS_MESSAGE_ID, HAS_PEER_ID, HAS_SIZE, HAS_TOOK, HOST_SIGN,
        KNOWN_ID, MAILBOX_SIGN, Message, NEW_ID, PEER_ID_SIGN, PEER_SIGN, RECIPIENT_SIGN,
        REPLY_SIGNS, SAME_RECIPIENTS, Shape, Slot,
    },
    streams::{
        ATTEMPTS, BACK, COUNTS, DIGITS, DOMAIN_TEXTS, DOMAINS, HEAD_TEXTS, HEADS, HOST_DOMAINS,
        ID_REST, ID_TIMES, LATER, MESSAGE_IDS, NEW_SHAPES, PEER_IDS, RECIPIENTS, RIGHTS, ROUTED,
        SENDERS, SHAPES, SIZES, SLOTS, StreamReader, Streams, TIMES, TOOK, references,
    },
};

/// The notes of a block.
#[derive(Debug, Default)]
pub(crate) struct Block {
    notes: Vec<Stored>,
    /// The recipients of all of them.
    recipients: Vec<(Span, Span)>,
    /// All texts.
    texts: String,
    /// The rest of it makes no sense.
    is_damaged: bool,
}

/// Where a text is.
type Span = (u32, u32);

/// A note with its texts elsewhere.
#[derive(Clone, Copy, Debug, Default)]
struct Stored {
    action: u8,
    at: u64,
    id: u64,
    size: u64,
    took: u64,
    attempts: u32,
    shared: [Span; SHARED],
    peer_id: Span,
    message_id: Span,
    /// The first of its recipients, and how many there are.
    recipients: (u32, u32),
}

impl Block {
    /// Reads what [`Streams::compress`] wrote.
    pub(crate) fn decompress(octets: &[u8]) -> Result<Self, DamagedBlock> {
        Ok(Self::of(&Streams::decompress(octets)?))
    }

    /// The notes in these streams, as far as they make sense.
    pub(crate) fn of(streams: &Streams) -> Self {
        let streams = streams.read();
        // A note has one octet at least of these.
        let notes = streams.octets(SHAPES).min(MAX_NOTES);
        let block = Self {
            notes: Vec::with_capacity(notes),
            texts: String::with_capacity(notes * USUAL_TEXTS),
            ..Self::default()
        };
        let mut reading = Reading {
            streams,
            block,
            domains: Known::default(),
            heads: Known::default(),
            addresses: Known::default(),
            domain_of: Vec::new(),
            texts: Default::default(),
            shapes: Vec::new(),
            messages: Vec::new(),
            slots: Vec::new(),
            named: Vec::new(),
            guesses: Guesses::default(),
            at: 0,
            domain: 0,
        };
        while reading.streams.octets(SHAPES) > 0 {
            let Some(note) = reading.note().filter(|_| reading.has_room()) else {
                reading.block.is_damaged = true;
                break;
            };
            reading.block.notes.push(note);
        }
        reading.block
    }

    /// Hands over each note with its recipients, in the order in which they came; `each` ends it by
    /// `false`.
    pub(crate) fn each<'a>(
        &'a self,
        mut each: impl FnMut(&Note<'a>, &[Named<'a>]) -> bool,
    ) -> Result<(), DamagedBlock> {
        let mut recipients = Vec::new();
        let text = |span: Span| self.texts.get(span.0 as usize..span.1 as usize).unwrap_or("");
        for stored in &self.notes {
            let Stored {
                action, at, id, size, took, attempts, shared, peer_id, message_id, ..
            } = *stored;
            let (peer_id, message_id) = (text(peer_id), text(message_id));
            let note = Note {
                action,
                at,
                id,
                size,
                took,
                attempts,
                peer_id,
                message_id,
                ..Note::default()
            };
            let (start, count) = stored.recipients;
            let all = self.recipients.iter().skip(start as usize).take(count as usize);
            recipients.clear();
            recipients.extend(all.map(|its| Named { original: text(its.0), routed: text(its.1) }));
            if !each(&note.with_texts(shared.map(text)), &recipients) {
                return Ok(());
            }
        }
        if self.is_damaged { Err(DamagedBlock) } else { Ok(()) }
    }
}

/// Texts by their numbers, from 1; 0 is the empty one.
#[derive(Debug, Default)]
struct Known(Vec<Span>);

impl Known {
    fn get(&self, number: u64) -> Option<Span> {
        let Some(at) = number.checked_sub(1) else { return Some((0, 0)) };
        self.0.get(usize::try_from(at).ok()?).copied()
    }

    fn add(&mut self, span: Span) -> u32 {
        self.0.push(span);
        self.0.len() as u32
    }
}

/// A block as far as it has been read. The names are those of the writer, [`crate::block`].
struct Reading<'a> {
    streams: StreamReader<'a>,
    block: Block,
    domains: Known,
    heads: Known,
    addresses: Known,
    domain_of: Vec<u32>,
    texts: [Known; SHARED],
    shapes: Vec<Shape>,
    messages: Vec<Message>,
    slots: Vec<Slot>,
    /// The numbers of all recipients of [`Block`].
    named: Vec<u32>,
    guesses: Guesses,
    at: u64,
    domain: u32,
}

impl Reading<'_> {
    fn has_room(&self) -> bool {
        self.block.texts.len() <= MAX_TEXTS && self.block.notes.len() < MAX_NOTES
    }

    fn note(&mut self) -> Option<Stored> {
        let shape = self.shape()?;
        let mut note = Stored { action: shape.action(), ..Stored::default() };
        let message = self.message(shape, &mut note)?.checked_sub(1);
        let slot = self.recipients(message, shape)?;
        note.recipients = (self.slots[slot].start, self.slots[slot].count);
        self.numbers(shape, message, slot, &mut note)?;
        let numbers = self.shared(shape, message, slot, &mut note)?;
        self.rare(shape, message, &mut note)?;
        self.put_words(shape, &mut note);
        let its_slot = &mut self.slots[slot];
        (its_slot.channel, its_slot.host) = (numbers[CHANNEL], numbers[HOST]);
        its_slot.attempts = note.attempts;
        Some(note)
    }

    fn shape(&mut self) -> Option<Shape> {
        match self.streams.number(SHAPES)? {
            0 => {
                let shape = Shape(u32::try_from(self.streams.number(NEW_SHAPES)?).ok()?);
                self.shapes.push(shape);
                Some(shape)
            }
            number => self.shapes.get(usize::try_from(number).ok()? - 1).copied(),
        }
    }

    /// The number of its message, from 1; 0: it is of none.
    fn message(&mut self, shape: Shape, note: &mut Stored) -> Option<usize> {
        if shape.has(KNOWN_ID) {
            let back = usize::try_from(self.streams.wide(BACK)?).ok()?;
            let number = self.messages.len().checked_sub(back)?.checked_sub(1)?;
            let message = self.messages[number];
            note.id = message.id;
            note.at = message.at.wrapping_add_signed(self.streams.signed(LATER)?);
            return Some(number + 1);
        }
        note.at = self.at.wrapping_add_signed(self.streams.signed(TIMES)?);
        self.at = note.at;
        if !shape.has(NEW_ID) {
            return Some(0);
        }
        let time = note.at.wrapping_sub(self.streams.signed(ID_TIMES)?.cast_unsigned());
        note.id = time << ID_BITS | self.streams.wide(ID_REST)?;
        let (id, action, at) = (note.id, note.action, note.at);
        self.messages.push(Message { id, action, at, ..Message::default() });
        Some(self.messages.len())
    }

    fn recipients(&mut self, message: Option<usize>, shape: Shape) -> Option<usize> {
        let latest = message.map_or(0, |message| self.messages[message].slot);
        if shape.has(SAME_RECIPIENTS) {
            let back = self.streams.number(SLOTS)?;
            let mut number = latest;
            for _ in 0..back {
                number = self.slots.get(number.checked_sub(1)? as usize)?.before;
            }
            return Some(number.checked_sub(1)? as usize);
        }
        let count = self.streams.number(COUNTS)?;
        let count = u32::try_from(count).ok().filter(|count| *count <= MAX_RECIPIENTS as u32)?;
        let start = self.named.len() as u32;
        for _ in 0..count {
            let (original, routed) = (self.address(RECIPIENTS)?, self.address(ROUTED)?);
            self.named.push(original);
            let spans = (self.addresses.get(original.into())?, self.addresses.get(routed.into())?);
            self.block.recipients.push(spans);
        }
        let before = latest.checked_sub(1).map(|at| self.slots[at as usize]).unwrap_or_default();
        self.slots.push(Slot { before: latest, start, count, ..before });
        if let Some(message) = message {
            self.messages[message].slot = self.slots.len() as u32;
        }
        Some(self.slots.len() - 1)
    }

    fn numbers(
        &mut self,
        shape: Shape,
        message: Option<usize>,
        slot: usize,
        note: &mut Stored,
    ) -> Option<()> {
        if let Some(first) = message.filter(|_| shape.has(KNOWN_ID)) {
            let first = self.messages[first];
            if first.action == note.action {
                note.size = first.size;
            } else {
                note.attempts = self.slots[slot].attempts.wrapping_add(1);
            }
        }
        if shape.has(HAS_SIZE) {
            note.size = self.streams.wide(SIZES)?;
        }
        if shape.has(HAS_TOOK) {
            note.took = self.streams.wide(TOOK)?;
        }
        if shape.has(HAS_ATTEMPTS) {
            note.attempts = u32::try_from(self.streams.number(ATTEMPTS)?).ok()?;
        }
        if let Some(message) = message.filter(|_| shape.has(NEW_ID)) {
            self.messages[message].size = note.size;
        }
        Some(())
    }

    fn shared(
        &mut self,
        shape: Shape,
        message: Option<usize>,
        slot: usize,
        note: &mut Stored,
    ) -> Option<[u32; SHARED]> {
        let its_slot = self.slots[slot];
        let first = self.named.get(its_slot.start as usize).filter(|_| its_slot.count > 0);
        let domain = self.domain_of_address(first.copied().unwrap_or_default());
        let mut guess = self.guesses.of(note.action, domain, &its_slot);
        let mut numbers = [0; SHARED];
        numbers[FROM] = self.sender(shape, message, note)?;
        note.shared[FROM] = self.addresses.get(numbers[FROM].into())?;
        for column in 1..SHARED {
            numbers[column] = guess[column];
            if shape.has(Shape::text(column)) {
                numbers[column] = self.refer(column)?;
            }
            note.shared[column] = self.texts[column].get(numbers[column].into())?;
            if column == HOST {
                self.guesses.of_host(note.action, numbers[HOST], &mut guess);
            }
        }
        self.guesses.learn(note.action, domain, (&guess, &numbers));
        Some(numbers)
    }

    fn sender(&mut self, shape: Shape, message: Option<usize>, note: &Stored) -> Option<u32> {
        let first = message.map(|message| self.messages[message]).unwrap_or_default();
        if !shape.has(Shape::text(FROM)) {
            return Some(if first.action == note.action { first.from } else { 0 });
        }
        let number = self.address(SENDERS)?;
        if let Some(message) = message.filter(|_| shape.has(NEW_ID)) {
            self.messages[message].from = number;
        }
        Some(number)
    }

    fn refer(&mut self, column: usize) -> Option<u32> {
        let (stream, literal) = references(column);
        match self.streams.wide(stream)? {
            0 => Some(0),
            1 => {
                let domain = if column == HOST { self.streams.wide(HOST_DOMAINS)? } else { 0 };
                let domain = self.domains.get(domain)?;
                let text = self.streams.text(literal)?;
                let start = self.block.texts.len() as u32;
                self.block.texts.push_str(text);
                self.again(domain);
                let span = (start, self.block.texts.len() as u32);
                Some(self.texts[column].add(span))
            }
            number => u32::try_from(number - 1).ok(),
        }
    }

    fn address(&mut self, stream: usize) -> Option<u32> {
        match self.streams.wide(stream)? {
            0 => return Some(0),
            1 => {}
            back => {
                let back = usize::try_from(back - 2).ok()?;
                return Some(self.addresses.0.len().checked_sub(back)? as u32)
                    .filter(|its| *its > 0);
            }
        }
        let head = match self.streams.wide(HEADS)? {
            0 => (0, 0),
            1 => {
                let head = self.streams.text(HEAD_TEXTS)?;
                let span = self.literal(head);
                self.heads.add(span);
                span
            }
            number => self.heads.get(number - 1)?,
        };
        let digits = self.streams.text(DIGITS)?;
        self.domain = self.domain(DOMAINS, self.domain)?;
        let domain = self.domains.get(self.domain.into())?;
        let start = self.block.texts.len() as u32;
        self.again(head);
        self.block.texts.push_str(digits);
        if self.domain > 0 {
            self.block.texts.push('@');
            self.again(domain);
        }
        self.domain_of.push(self.domain);
        Some(self.addresses.add((start, self.block.texts.len() as u32)))
    }

    fn domain(&mut self, stream: usize, guess: u32) -> Option<u32> {
        match self.streams.wide(stream)? {
            0 => Some(0),
            1 => Some(guess),
            2 => {
                let text = self.streams.text(DOMAIN_TEXTS)?;
                let span = self.literal(text);
                Some(self.domains.add(span))
            }
            number => u32::try_from(number - 2).ok(),
        }
    }

    fn domain_of_address(&self, number: u32) -> u32 {
        let at = number.checked_sub(1);
        at.and_then(|at| self.domain_of.get(at as usize)).copied().unwrap_or_default()
    }

    fn rare(&mut self, shape: Shape, message: Option<usize>, note: &mut Stored) -> Option<()> {
        if shape.has(HAS_PEER_ID) {
            let text = self.streams.rare(PEER_IDS)?;
            note.peer_id = self.literal(text);
        }
        let first = message.map(|message| self.messages[message]).unwrap_or_default();
        if !shape.has(HAS_MESSAGE_ID) {
            if shape.has(KNOWN_ID) && first.action == note.action {
                note.message_id = first.header_id;
            }
            return Some(());
        }
        let right = self.domain(RIGHTS, self.domain_of_address(first.from))?;
        let domain = self.domains.get(right.into())?;
        let left = self.streams.rare(MESSAGE_IDS)?;
        let start = self.block.texts.len() as u32;
        if right == 0 {
            self.block.texts.push_str(left);
        } else {
            self.block.texts.push('<');
            self.block.texts.push_str(left);
            self.block.texts.push('@');
            self.again(domain);
            self.block.texts.push('>');
        }
        note.message_id = (start, self.block.texts.len() as u32);
        if let Some(message) = message.filter(|_| shape.has(NEW_ID)) {
            self.messages[message].header_id = note.message_id;
        }
        Some(())
    }

    /// Puts words of the note in place of their signs.
    fn put_words(&mut self, shape: Shape, note: &mut Stored) {
        let first = self.block.recipients.get(note.recipients.0 as usize);
        let first = first.filter(|_| note.recipients.1 > 0).map_or((0, 0), |its| its.0);
        for (bit, column) in [(REPLY_SIGNS, REPLY), (MAILBOX_SIGN, MAILBOX), (PEER_SIGN, PEER)] {
            if !shape.has(bit) {
                continue;
            }
            let texts = &self.block.texts;
            let get = |span: Span| texts.get(span.0 as usize..span.1 as usize).unwrap_or("");
            let first = get(first);
            let local = first.rsplit_once('@').map_or(first, |its| its.0);
            let first = if column == MAILBOX { local } else { first };
            let (peer_id, host) = (get(note.peer_id), get(note.shared[HOST]));
            let mut whole = String::new();
            for piece in
                get(note.shared[column]).split_inclusive([PEER_ID_SIGN, RECIPIENT_SIGN, HOST_SIGN])
            {
                let end = piece.chars().next_back();
                let words = [(PEER_ID_SIGN, peer_id), (RECIPIENT_SIGN, first), (HOST_SIGN, host)];
                match words.into_iter().find(|(sign, _)| end == Some(*sign)) {
                    Some((_, word)) => {
                        whole.push_str(&piece[..piece.len() - 1]);
                        whole.push_str(word);
                    }
                    None => whole.push_str(piece),
                }
            }
            note.shared[column] = self.literal(&whole);
        }
    }

    fn literal(&mut self, text: &str) -> Span {
        let start = self.block.texts.len() as u32;
        self.block.texts.push_str(text);
        (start, self.block.texts.len() as u32)
    }

    /// Appends a text that is there already.
    fn again(&mut self, (start, end): Span) {
        if self.block.texts.len() <= MAX_TEXTS {
            self.block.texts.extend_from_within(start as usize..end as usize);
        }
    }
}

/// Octets of all texts of a block: some times as many as a writer puts into one.
const MAX_TEXTS: usize = 16 << 20;
/// Octets that a note usually adds to them.
const USUAL_TEXTS: usize = 128;
/// Notes of a block that is read.
const MAX_NOTES: usize = 1 << 17;
