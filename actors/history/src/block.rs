//! A block as it is filled: some thousand notes, of each only what nobody would guess from those before,
//! each part in a stream of its own.

use crate::{
    dictionary::{Dictionary, NumberMap, hash},
    index::{BlockPlace, Wanted},
    keys::{ID_SLACK, Key, LOST_KEY, key_of, key_of_id, time_of_id},
    note::{CHANNEL, FROM, HOST, LOST, MAILBOX, Named, Note, PEER, REPLY, SHARED},
    shape::{
        Guesses, HAS_ATTEMPTS, HAS_MESSAGE_ID, HAS_PEER_ID, HAS_SIZE, HAS_TOOK, HOST_SIGN,
        KNOWN_ID, MAILBOX_SIGN, Message, NEW_ID, PEER_ID_SIGN, PEER_SIGN, RECIPIENT_SIGN,
        REPLY_SIGNS, SAME_RECIPIENTS, Shape, Slot, is_plain, sign,
    },
    streams::{
        ATTEMPTS, BACK, COUNTS, DIGITS, DOMAIN_TEXTS, DOMAINS, HEAD_TEXTS, HEADS, HOST_DOMAINS,
        ID_REST, ID_TIMES, LATER, MESSAGE_IDS, NEW_SHAPES, PEER_IDS, RECIPIENTS, RIGHTS, ROUTED,
        SENDERS, SHAPES, SIZES, SLOTS, Streams, TIMES, TOOK, references,
    },
};

/// Notes that are on their way into a block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    pub(crate) streams: Streams,
    domains: Dictionary,
    /// Local parts up to their final digits.
    heads: Dictionary,
    addresses: Dictionary,
    /// The domain of each address.
    domain_of: Vec<u32>,
    /// Texts that notes share, by their columns.
    texts: [Dictionary; SHARED],
    shapes: Vec<Shape>,
    /// The messages, by their queue ids.
    ids: NumberMap<u32>,
    messages: Vec<Message>,
    slots: Vec<Slot>,
    /// The recipients of all slots, as they were written and as they were routed.
    named: Vec<(u32, u32)>,
    guesses: Guesses,
    /// The `Message-ID` of each message, one behind the other.
    header_ids: String,
    /// A text with signs.
    signed: String,
    /// Octets that will be there again when it is read.
    expanded: usize,
    /// By which its notes are found.
    pub(crate) keys: Vec<Key>,
    pub(crate) notes: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The time of the last note that was the first of its message.
    at: u64,
    /// The domain of the last address.
    domain: u32,
}

impl BlockBuilder {
    /// Adds a note.
    pub(crate) fn add(&mut self, note: &Note<'_>, recipients: &[Named<'_>]) {
        if self.notes == 0 {
            (self.first, self.last, self.at) = (note.at, note.at, 0);
        }
        self.notes += 1;
        (self.first, self.last) = (self.first.min(note.at), self.last.max(note.at));
        let mut shape = Shape::of(note.action);
        let message = self.message(note, &mut shape);
        let slot = self.recipients(message, recipients, &mut shape);
        self.numbers(note, message, slot, &mut shape);
        self.shared(note, recipients, (message, slot), &mut shape);
        self.rare(note, message, &mut shape);
        self.shape(shape);
        if note.action == LOST {
            self.keys.push(key_of(LOST_KEY));
        }
    }

    /// Octets of it, before they are compressed, and of what is made of them when it is read.
    pub(crate) fn octets(&self) -> usize {
        self.streams.octets() + self.expanded + self.addresses.octets()
    }

    /// Whether it may hold a note that is wanted.
    pub(crate) fn may_hold(&self, wanted: &Wanted) -> bool {
        let place = BlockPlace { at: 0, first: self.first, last: self.last };
        self.notes > 0 && (wanted.is_in(&place) || wanted.has_any(&self.keys))
    }

    /// Forgets everything, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        for dictionary in [&mut self.domains, &mut self.heads, &mut self.addresses]
            .into_iter()
            .chain(&mut self.texts)
        {
            dictionary.clear();
        }
        self.domain_of.clear();
        self.shapes.clear();
        self.ids.clear();
        self.messages.clear();
        self.slots.clear();
        self.named.clear();
        self.guesses.clear();
        self.header_ids.clear();
        self.keys.clear();
        (self.notes, self.expanded, self.domain) = (0, 0, 0);
    }

    /// Which message it is of.
    fn message(&mut self, note: &Note<'_>, shape: &mut Shape) -> Option<usize> {
        if note.id != 0
            && let Some(number) = self.ids.get(&note.id)
        {
            shape.set(KNOWN_ID, true);
            let back = self.messages.len() as u32 - 1 - number;
            self.streams.wide(BACK, u64::from(back));
            let message = self.messages[*number as usize];
            self.streams.signed(LATER, note.at.wrapping_sub(message.at).cast_signed());
            return Some(*number as usize);
        }
        self.streams.signed(TIMES, note.at.wrapping_sub(self.at).cast_signed());
        self.at = note.at;
        if note.id == 0 {
            return None;
        }
        shape.set(NEW_ID, true);
        let (time, rest) = time_of_id(note.id);
        self.streams.signed(ID_TIMES, note.at.wrapping_sub(time).cast_signed());
        self.streams.wide(ID_REST, rest);
        // The time tells which blocks hold most ids.
        if !(self.first.saturating_sub(ID_SLACK)..=note.at).contains(&time) {
            self.keys.push(key_of_id(note.id));
        }
        let number = self.messages.len();
        self.ids.insert(note.id, number as u32);
        let Note { id, action, at, size, .. } = *note;
        self.messages.push(Message { id, action, at, size, ..Message::default() });
        Some(number)
    }

    /// The slot of a note, a new one where none of its message is for these recipients.
    fn recipients(
        &mut self,
        message: Option<usize>,
        recipients: &[Named<'_>],
        shape: &mut Shape,
    ) -> usize {
        let latest = message.map_or(0, |message| self.messages[message].slot);
        let mut number = latest;
        for back in 0..MAX_BACK {
            let Some(at) = number.checked_sub(1) else { break };
            let slot = &self.slots[at as usize];
            if self.is_for(slot, recipients) {
                shape.set(SAME_RECIPIENTS, true);
                self.streams.number(SLOTS, back);
                return at as usize;
            }
            number = slot.before;
        }
        self.streams.number(COUNTS, recipients.len() as u64);
        let start = self.named.len() as u32;
        for Named { original, routed } in recipients {
            let both = (self.address(RECIPIENTS, original), self.address(ROUTED, routed));
            self.named.push(both);
        }
        let before = latest.checked_sub(1).map(|at| self.slots[at as usize]).unwrap_or_default();
        let slot = Slot { before: latest, start, count: recipients.len() as u32, ..before };
        self.slots.push(slot);
        if let Some(message) = message {
            self.messages[message].slot = self.slots.len() as u32;
        }
        self.slots.len() - 1
    }

    fn is_for(&self, slot: &Slot, recipients: &[Named<'_>]) -> bool {
        slot.count as usize == recipients.len()
            && self.named[slot.start as usize..].iter().zip(recipients).all(|(its, named)| {
                self.addresses.is(its.0, named.original) && self.addresses.is(its.1, named.routed)
            })
    }

    /// The domain of the first recipient.
    fn domain_of(&self, slot: &Slot) -> u32 {
        let first = self.named[slot.start as usize..].first().filter(|_| slot.count > 0);
        let first = first.and_then(|its| its.0.checked_sub(1));
        first.map_or(0, |first| self.domain_of[first as usize])
    }

    fn numbers(&mut self, note: &Note<'_>, message: Option<usize>, slot: usize, shape: &mut Shape) {
        let first = message.map(|message| self.messages[message]);
        let is_again = shape.has(KNOWN_ID);
        let (mut size, mut attempts) = (0, 0);
        if let Some(first) = first.filter(|_| is_again) {
            if first.action == note.action {
                size = first.size;
            } else {
                attempts = self.slots[slot].attempts.wrapping_add(1);
            }
        }
        if note.size != size {
            shape.set(HAS_SIZE, true);
            self.streams.wide(SIZES, note.size);
        }
        if note.took != 0 {
            shape.set(HAS_TOOK, true);
            self.streams.wide(TOOK, note.took);
        }
        if note.attempts != attempts {
            shape.set(HAS_ATTEMPTS, true);
            self.streams.number(ATTEMPTS, u64::from(note.attempts));
        }
    }

    /// Texts that notes share.
    fn shared(
        &mut self,
        note: &Note<'_>,
        recipients: &[Named<'_>],
        (message, slot): (Option<usize>, usize),
        shape: &mut Shape,
    ) {
        let its_slot = &self.slots[slot];
        let domain = self.domain_of(its_slot);
        let mut guess = self.guesses.of(note.action, domain, its_slot);
        let mut numbers = [0; SHARED];
        numbers[FROM] = self.sender(note, message, shape);
        let mut signed = std::mem::take(&mut self.signed);
        for (column, text) in note.texts().into_iter().enumerate().skip(1) {
            let bit = put_signs(&mut signed, (column, text), note, recipients);
            shape.set(bit, true);
            self.expanded += if bit == 0 { 0 } else { text.len() };
            let text = if bit == 0 { text } else { &signed };
            let number = self.refer(column, text, guess[column]);
            shape.set(Shape::text(column), number != guess[column]);
            numbers[column] = number;
            if column == HOST {
                self.guesses.of_host(note.action, number, &mut guess);
            }
        }
        self.signed = signed;
        self.guesses.learn(note.action, domain, (&guess, &numbers));
        let its_slot = &mut self.slots[slot];
        (its_slot.channel, its_slot.host) = (numbers[CHANNEL], numbers[HOST]);
        its_slot.attempts = note.attempts;
    }

    fn sender(&mut self, note: &Note<'_>, message: Option<usize>, shape: &mut Shape) -> u32 {
        let first = message.map(|message| self.messages[message]).unwrap_or_default();
        let guess = if first.action == note.action { first.from } else { 0 };
        if self.addresses.is(guess, note.from) {
            return guess;
        }
        shape.set(Shape::text(FROM), true);
        let number = self.address(SENDERS, note.from);
        if let Some(message) = message.filter(|_| shape.has(NEW_ID)) {
            self.messages[message].from = number;
        }
        number
    }

    /// A text of a column: 0 is the empty one, 1 one that is new.
    fn refer(&mut self, column: usize, text: &str, guess: u32) -> u32 {
        let texts = &mut self.texts[column];
        if texts.is(guess, text) {
            return guess;
        }
        let (stream, literal) = references(column);
        if text.is_empty() {
            self.streams.wide(stream, 0);
            return 0;
        }
        let hash_of = hash(text.as_bytes());
        if let Some(number) = texts.find(hash_of, text) {
            self.streams.wide(stream, u64::from(number) + 1);
            return number;
        }
        self.streams.wide(stream, 1);
        let number = texts.add(hash_of, text);
        self.expanded += text.len();
        if column != HOST {
            self.streams.text(literal, text);
            return number;
        }
        let suffix = text.split_once('.').map_or("", |(_, suffix)| suffix);
        let known = [text, suffix].into_iter().find_map(|its| {
            let domain = self.domains.find(hash(its.as_bytes()), its)?;
            Some((domain, &text[..text.len() - its.len()]))
        });
        let (domain, rest) = known.unwrap_or((0, text));
        self.streams.wide(HOST_DOMAINS, u64::from(domain));
        self.streams.text(literal, rest);
        number
    }

    /// An address: 0 is the empty one, 1 a new one; others by how far back they stand.
    fn address(&mut self, stream: usize, address: &str) -> u32 {
        if address.is_empty() {
            self.streams.wide(stream, 0);
            return 0;
        }
        let key = key_of(address);
        let hash_of = u64::from(key.0);
        if let Some(number) = self.addresses.find(hash_of, address) {
            let back = self.addresses.count() - number;
            self.streams.wide(stream, u64::from(back) + 2);
            return number;
        }
        self.streams.wide(stream, 1);
        if !self.addresses.has(hash_of) {
            self.keys.push(key);
        }
        let (local, domain) =
            address.rsplit_once('@').filter(|its| !its.1.is_empty()).unwrap_or((address, ""));
        let head = local.trim_end_matches(|c: char| c.is_ascii_digit());
        let hash_of_head = hash(head.as_bytes());
        if head.is_empty() {
            self.streams.wide(HEADS, 0);
        } else if let Some(number) = self.heads.find(hash_of_head, head) {
            self.streams.wide(HEADS, u64::from(number) + 1);
        } else {
            self.streams.wide(HEADS, 1);
            self.streams.text(HEAD_TEXTS, head);
            self.heads.add(hash_of_head, head);
        }
        self.streams.text(DIGITS, &local[head.len()..]);
        self.domain = self.domain(DOMAINS, domain, self.domain);
        self.domain_of.push(self.domain);
        self.addresses.add(hash_of, address)
    }

    /// A domain: 0 is none, 1 the one that was guessed, 2 a new one.
    fn domain(&mut self, stream: usize, domain: &str, guess: u32) -> u32 {
        if domain.is_empty() {
            self.streams.wide(stream, 0);
            return 0;
        }
        if self.domains.is(guess, domain) {
            self.streams.wide(stream, 1);
            return guess;
        }
        let hash_of = hash(domain.as_bytes());
        if let Some(number) = self.domains.find(hash_of, domain) {
            self.streams.wide(stream, u64::from(number) + 2);
            return number;
        }
        self.streams.wide(stream, 2);
        self.streams.text(DOMAIN_TEXTS, domain);
        self.domains.add(hash_of, domain)
    }

    /// Texts that no other note is likely to have.
    fn rare(&mut self, note: &Note<'_>, message: Option<usize>, shape: &mut Shape) {
        self.expanded += note.peer_id.len() + note.message_id.len();
        if !note.peer_id.is_empty() {
            shape.set(HAS_PEER_ID, true);
            self.streams.rare(PEER_IDS, note.peer_id);
            self.keys.push(key_of(note.peer_id));
        }
        let first = message.map(|message| self.messages[message]).unwrap_or_default();
        let (start, end) = first.header_id;
        let is_again = shape.has(KNOWN_ID) && first.action == note.action;
        let guess = if is_again { &self.header_ids[start as usize..end as usize] } else { "" };
        let id = note.message_id;
        if id.len() == guess.len() && (id.is_empty() || id == guess) {
            return;
        }
        shape.set(HAS_MESSAGE_ID, true);
        if !id.is_empty() {
            self.keys.push(key_of(id));
        }
        let parts = id.strip_prefix('<').and_then(|its| its.strip_suffix('>'));
        let parts = parts.and_then(|its| its.rsplit_once('@')).filter(|its| !its.1.is_empty());
        let from = first.from.checked_sub(1).map_or(0, |at| self.domain_of[at as usize]);
        let (left, right) = parts.unwrap_or((id, ""));
        self.domain(RIGHTS, right, from);
        self.streams.rare(MESSAGE_IDS, left);
        if let Some(message) = message.filter(|_| shape.has(NEW_ID)) {
            let start = self.header_ids.len() as u32;
            self.header_ids.push_str(id);
            self.messages[message].header_id = (start, self.header_ids.len() as u32);
        }
    }

    /// The number of a shape; 0 is a new one.
    fn shape(&mut self, shape: Shape) {
        if let Some(at) = self.shapes.iter().position(|its| *its == shape) {
            return self.streams.number(SHAPES, at as u64 + 1);
        }
        self.streams.number(SHAPES, 0);
        self.streams.number(NEW_SHAPES, u64::from(shape.0));
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.push(shape);
        }
    }
}

/// Puts signs in place of the words that a text has in common with the rest of its note; the bit that
/// says so, 0 where there is none.
fn put_signs(
    signed: &mut String,
    (column, text): (usize, &str),
    note: &Note<'_>,
    recipients: &[Named<'_>],
) -> u32 {
    if !matches!(column, REPLY | MAILBOX | PEER) || text.is_empty() || !is_plain(text) {
        return 0;
    }
    let first = recipients.first().map_or("", |its| its.original);
    signed.clear();
    signed.push_str(text);
    let (is_signed, bit) = match column {
        REPLY => {
            let names_peer = sign(signed, note.peer_id, PEER_ID_SIGN);
            let may_name = text.contains('@') && is_plain(first);
            let names_first = may_name && sign(signed, first, RECIPIENT_SIGN);
            (names_peer || names_first, REPLY_SIGNS)
        }
        MAILBOX => {
            let local = first.rsplit_once('@').map_or(first, |its| its.0);
            (sign(signed, local, RECIPIENT_SIGN), MAILBOX_SIGN)
        }
        _ => (sign(signed, note.host, HOST_SIGN), PEER_SIGN),
    };
    if is_signed { bit } else { 0 }
}

/// Earlier recipients of a message that are compared with those of a note.
const MAX_BACK: u64 = 4;
/// Shapes that are known by numbers: of all kinds of notes there are some twenty.
const MAX_SHAPES: usize = 255;
