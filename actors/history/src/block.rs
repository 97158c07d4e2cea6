//! A block: some thousand notes, each part of them in a column of its own, so that like stands beside
//! like and little is left of it when it is compressed.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::{
    codec::{Octets, put, put_signed},
    error::DamagedBlock,
    keys::{Key, LOST_KEY, key_of, key_of_id},
    note::{LOST, MAX_RECIPIENTS, Named, Note, SHARED},
    text_of,
};

/// Notes that are on their way into a block.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    columns: [Vec<u8>; COLUMNS],
    /// Texts that notes share, by their hashes.
    texts: HashMap<u64, Text, BuildHasherDefault<AsItIs>>,
    /// Texts in the block.
    placed: u32,
    /// The last texts of each column of references, the very last first.
    recent: [[Text; RECENT]; COLUMNS],
    /// Queue ids, and how many were there before them.
    ids: HashMap<u64, u32, BuildHasherDefault<AsItIs>>,
    /// By which its notes are found; each once.
    pub(crate) keys: Vec<Key>,
    pub(crate) notes: u32,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The time of the note before.
    at: u64,
}

/// A text that notes share.
#[derive(Clone, Copy, Debug, Default)]
struct Text {
    start: u32,
    length: u32,
    number: u32,
    is_key: bool,
}

impl BlockBuilder {
    /// Adds a note.
    pub(crate) fn add<'r>(&mut self, note: &Note<'_>, recipients: impl Iterator<Item = Named<'r>>) {
        let mut recipients = recipients.take(MAX_RECIPIENTS).peekable();
        if self.notes == 0 {
            (self.first, self.last, self.at) = (note.at, note.at, 0);
        }
        self.notes += 1;
        (self.first, self.last) = (self.first.min(note.at), self.last.max(note.at));
        self.columns[ACTION].push(note.action);
        put_signed(&mut self.columns[TIME], note.at.wrapping_sub(self.at).cast_signed());
        self.at = note.at;
        self.add_id(note);
        put(&mut self.columns[SIZE], note.size);
        put(&mut self.columns[TOOK], note.took);
        put(&mut self.columns[ATTEMPTS], u64::from(note.attempts));
        let bare = note.bare(recipients.peek().copied().unwrap_or_default());
        let reply = bare.as_deref().unwrap_or(note.reply);
        for (i, text) in (Note { reply, ..*note }).texts().into_iter().enumerate() {
            // The sender comes first.
            self.refer(REFERENCES + i, text, i == 0);
        }
        self.add_rare(PEER_IDS, note.peer_id);
        self.add_rare(MESSAGE_IDS, note.message_id);
        let mut count = 0;
        for Named { original, routed } in recipients {
            self.refer(RECIPIENTS, original, true);
            self.refer(ROUTED, routed, true);
            count += 1;
        }
        put(&mut self.columns[COUNTS], count);
        if note.action == LOST {
            self.keys.push(key_of(LOST_KEY));
        }
    }

    /// Octets of it, before they are compressed.
    pub(crate) fn octets(&self) -> usize {
        self.columns.iter().map(Vec::len).sum()
    }

    /// The block as it would be read.
    pub(crate) fn columns(&self) -> Columns {
        Columns(self.columns.clone())
    }

    /// Appends the compressed columns.
    pub(crate) fn compress(
        &self,
        compressor: &mut zstd::bulk::Compressor<'_>,
        out: &mut Vec<u8>,
    ) -> std::io::Result<()> {
        for column in &self.columns {
            put(out, column.len() as u64);
            if column.is_empty() {
                continue;
            }
            // One octet again and again is what most columns of a quiet block are.
            let compressed = compressor.compress(column)?;
            put(out, compressed.len() as u64);
            out.extend_from_slice(&compressed);
        }
        Ok(())
    }

    /// Forgets everything, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.texts.clear();
        self.ids.clear();
        self.keys.clear();
        self.recent = Default::default();
        (self.notes, self.placed) = (0, 0);
    }

    fn add_id(&mut self, note: &Note<'_>) {
        let (known, column) = (self.ids.len() as u32, &mut self.columns[ID]);
        if note.id == 0 {
            return put(column, 0);
        }
        if let Some(number) = self.ids.get(&note.id) {
            return put(column, u64::from(known - number) << 1);
        }
        put(column, 1);
        put_signed(column, note.at.wrapping_sub(note.id >> ID_BITS).cast_signed());
        put(column, note.id & ((1 << ID_BITS) - 1));
        self.ids.insert(note.id, known);
        self.keys.push(key_of_id(note.id));
    }

    /// Adds a text that no other note is likely to have.
    fn add_rare(&mut self, column: usize, text: &str) {
        put(&mut self.columns[column + 1], text.len() as u64);
        self.columns[column].extend_from_slice(text.as_bytes());
        if !text.is_empty() {
            self.keys.push(key_of(text));
        }
    }

    /// Refers to a text: 0 is an empty one, 1 the next new one, then come the last ones of this column;
    /// others by their number, or, where those that come again come soon, by how far back they stand.
    fn refer(&mut self, column: usize, text: &str, is_key: bool) {
        if text.is_empty() {
            return self.columns[column].push(0);
        }
        let recent = &self.recent[column];
        if let Some(at) = recent.iter().position(|its| self.is(its, text)) {
            self.columns[column].push(FIRST_RECENT as u8 + at as u8);
            return self.note_recent(column, at, recent[at]);
        }
        let hash = hash(text.as_bytes());
        let known = self.texts.get(&hash).copied().filter(|its| self.is(its, text));
        if let Some(mut known) = known {
            let back = if comes_soon(column) { self.placed - known.number } else { known.number };
            put(&mut self.columns[column], u64::from(back) + FIRST_OTHER);
            if is_key && !known.is_key {
                known.is_key = true;
                self.keys.push(key_of(text));
                self.texts.insert(hash, known);
            }
            return self.note_recent(column, RECENT - 1, known);
        }
        self.columns[column].push(1);
        let start = self.columns[TEXTS].len() as u32;
        let (length, number) = (text.len() as u32, self.placed);
        self.placed += 1;
        self.columns[TEXTS].extend_from_slice(text.as_bytes());
        put(&mut self.columns[LENGTHS], text.len() as u64);
        if is_key {
            self.keys.push(key_of(text));
        }
        let placed = Text { start, length, number, is_key };
        self.texts.insert(hash, placed);
        self.note_recent(column, RECENT - 1, placed);
    }

    /// Puts a text, until now at this place or none, before the others.
    fn note_recent(&mut self, column: usize, at: usize, text: Text) {
        let recent = &mut self.recent[column];
        recent.copy_within(..at, 1);
        recent[0] = text;
    }

    fn is(&self, known: &Text, text: &str) -> bool {
        let at = known.start as usize;
        self.columns[TEXTS].get(at..at + known.length as usize) == Some(text.as_bytes())
    }
}

/// A block that was read.
#[derive(Debug)]
pub(crate) struct Columns([Vec<u8>; COLUMNS]);

impl Columns {
    /// Reads what [`BlockBuilder::compress`] wrote.
    pub(crate) fn decompress(octets: &[u8]) -> Result<Self, DamagedBlock> {
        let mut octets = Octets(octets);
        let mut columns: [Vec<u8>; COLUMNS] = Default::default();
        let mut room = MAX_RAW;
        let mut decompressor = zstd::bulk::Decompressor::new().map_err(|_| DamagedBlock)?;
        for column in &mut columns {
            let length = octets.number().ok_or(DamagedBlock)?;
            if length == 0 {
                continue;
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= room);
            let length = length.ok_or(DamagedBlock)?;
            room -= length;
            let compressed = octets.number().and_then(|its| octets.take(its));
            let compressed = compressed.ok_or(DamagedBlock)?;
            *column = decompressor.decompress(compressed, length).map_err(|_| DamagedBlock)?;
            if column.len() != length {
                return Err(DamagedBlock);
            }
        }
        Ok(Self(columns))
    }

    /// Hands over each note with its recipients, in the order in which they came; `each` ends it by
    /// `false`.
    pub(crate) fn each<'a>(
        &'a self,
        mut each: impl FnMut(&Note<'a>, &[Named<'a>]) -> bool,
    ) -> Result<(), DamagedBlock> {
        let mut reading = Reading::of(&self.0);
        let mut recipients = Vec::new();
        for action in &self.0[ACTION] {
            let note = reading.next(*action, &mut recipients).ok_or(DamagedBlock)?;
            if !each(&note, &recipients) {
                break;
            }
        }
        Ok(())
    }

    /// The texts that it holds, one after the other.
    pub(crate) fn all_text(&self) -> [&[u8]; 3] {
        [TEXTS, PEER_IDS, MESSAGE_IDS].map(|column| &*self.0[column])
    }
}

/// The columns, and how far each has been read.
struct Reading<'a> {
    columns: [Octets<'a>; COLUMNS],
    texts: Vec<&'a str>,
    recent: [[&'a str; RECENT]; COLUMNS],
    ids: Vec<u64>,
    at: u64,
}

impl<'a> Reading<'a> {
    fn of(columns: &'a [Vec<u8>; COLUMNS]) -> Self {
        let columns = columns.each_ref().map(|column| Octets(column));
        Self { columns, texts: Vec::new(), recent: Default::default(), ids: Vec::new(), at: 0 }
    }

    fn next(&mut self, action: u8, recipients: &mut Vec<Named<'a>>) -> Option<Note<'a>> {
        let step = self.columns[TIME].signed()?;
        self.at = self.at.wrapping_add_signed(step);
        let at = self.at;
        let id = self.id(at)?;
        let (size, took) = (self.columns[SIZE].number()?, self.columns[TOOK].number()?);
        let attempts = u32::try_from(self.columns[ATTEMPTS].number()?).ok()?;
        let mut texts = [""; SHARED];
        for (i, text) in texts.iter_mut().enumerate() {
            *text = self.text(REFERENCES + i)?;
        }
        let (peer_id, message_id) = (self.rare(PEER_IDS)?, self.rare(MESSAGE_IDS)?);
        recipients.clear();
        let count = self.columns[COUNTS].number()?;
        for _ in 0..count.min(MAX_RECIPIENTS as u64) {
            recipients.push(Named { original: self.text(RECIPIENTS)?, routed: self.text(ROUTED)? });
        }
        let note =
            Note { action, at, id, size, took, attempts, peer_id, message_id, ..Note::default() };
        Some(note.with_texts(texts))
    }

    fn id(&mut self, at: u64) -> Option<u64> {
        match self.columns[ID].number()? {
            0 => Some(0),
            1 => {
                let ms = at.wrapping_sub(self.columns[ID].signed()?.cast_unsigned());
                let id = ms << ID_BITS | self.columns[ID].number()?;
                self.ids.push(id);
                Some(id)
            }
            back => {
                let back = usize::try_from(back >> 1).ok()?;
                self.ids.len().checked_sub(back).and_then(|at| self.ids.get(at)).copied()
            }
        }
    }

    fn rare(&mut self, column: usize) -> Option<&'a str> {
        let length = self.columns[column + 1].number()?;
        text_of(self.columns[column].take(length)?)
    }

    fn text(&mut self, column: usize) -> Option<&'a str> {
        let (text, at) = match self.columns[column].number()? {
            0 => return Some(""),
            1 => {
                let length = self.columns[LENGTHS].number()?;
                let text = text_of(self.columns[TEXTS].take(length)?)?;
                self.texts.push(text);
                (text, RECENT - 1)
            }
            recent @ FIRST_RECENT..FIRST_OTHER => {
                let at = (recent - FIRST_RECENT) as usize;
                (self.recent[column][at], at)
            }
            other => {
                let other = usize::try_from(other - FIRST_OTHER).ok()?;
                let known = self.texts.len();
                let number = if comes_soon(column) { known.checked_sub(other)? } else { other };
                (*self.texts.get(number)?, RECENT - 1)
            }
        };
        let recent = &mut self.recent[column];
        recent.copy_within(..at, 1);
        recent[0] = text;
        Some(text)
    }
}

/// Whether texts of this column that come again come soon: addresses.
fn comes_soon(column: usize) -> bool {
    matches!(column, RECIPIENTS | ROUTED | REFERENCES)
}

/// A quick hash of a text. Whoever makes two texts with one hash has both stored in full.
fn hash(text: &[u8]) -> u64 {
    let mut words = text.chunks_exact(8);
    let step = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    let mut sum = words.by_ref().fold(text.len() as u64, |sum, word| {
        step(sum, u64::from_le_bytes(word.try_into().unwrap_or_default()))
    });
    let mut last = [0; 8];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    sum = step(sum, u64::from_le_bytes(last));
    sum ^ sum >> 32
}

/// A hasher of numbers that are hashes, or are as good as random in their lower bits.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(FACTOR)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number ^ number >> 32;
    }
}

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
const ACTION: usize = 0;
const TIME: usize = 1;
const ID: usize = 2;
const SIZE: usize = 3;
const TOOK: usize = 4;
const ATTEMPTS: usize = 5;
/// Texts that notes share, one behind the other, and their lengths.
const TEXTS: usize = 6;
const LENGTHS: usize = 7;
/// Texts that they do not share; their lengths in the column behind.
const PEER_IDS: usize = 8;
const MESSAGE_IDS: usize = 10;
/// How many recipients each note has; and they, as they were written and as they were routed.
const COUNTS: usize = 12;
const RECIPIENTS: usize = 13;
const ROUTED: usize = 14;
/// Columns of references, for each of [`Note::texts`].
const REFERENCES: usize = 15;
const COLUMNS: usize = REFERENCES + SHARED;
/// The last texts of a column that are remembered.
const RECENT: usize = 6;
/// References to these, and to all others.
const FIRST_RECENT: u64 = 2;
const FIRST_OTHER: u64 = FIRST_RECENT + RECENT as u64;
/// Bits of a queue id below the milliseconds.
const ID_BITS: u32 = 20;
/// Octets of a block that is read, at most.
pub(crate) const MAX_RAW: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Told = (Note<'static>, Vec<Named<'static>>);

    fn through(told: &[Told]) -> Vec<Told> {
        let mut builder = BlockBuilder::default();
        for (note, recipients) in told {
            builder.add(note, recipients.iter().copied());
        }
        let mut out = Vec::new();
        let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
        builder.compress(&mut compressor, &mut out).unwrap();
        let columns: &'static Columns = Box::leak(Box::new(Columns::decompress(&out).unwrap()));
        let mut back = Vec::new();
        let each = |note: &Note<'static>, recipients: &[Named<'static>]| {
            back.push((*note, recipients.to_vec()));
            true
        };
        columns.each(each).unwrap();
        back
    }

    #[test]
    fn notes_come_back_as_they_were() {
        let named = |original, routed| Named { original, routed };
        let note = Note {
            action: b'E',
            at: 1_700_000_000_123,
            id: 1_700_000_000_100 << 20 | 7,
            size: 4096,
            from: "ann@example.org",
            channel: "tcp_local",
            reply: "250 ok",
            message_id: "<1@x>",
            ..Note::default()
        };
        let again = Note { action: b'Q', at: note.at - 5, attempts: 2, message_id: "", ..note };
        let other = Note { id: 3, peer_id: "4XYZ", reply: "", from: "bob@x", ..again };
        let refused = Note { id: 0, action: b'J', ..note };
        let told = [
            (note, vec![named("bob@x", ""), named("eve@x", "eve+a@x")]),
            (again, vec![named("eve@x", "eve+a@x")]),
            (other, vec![]),
            (refused, vec![named("ann@example.org", "")]),
        ];
        assert_eq!(through(&told), told);
    }

    #[test]
    fn keys_stand_once() {
        let mut builder = BlockBuilder::default();
        let note = Note { id: 9, client: "a@b", reply: "r", ..Note::default() };
        let one = || [Named { original: "a@b", routed: "" }].into_iter();
        builder.add(&note, one());
        builder.add(&note, one());
        assert_eq!(builder.keys, [key_of_id(9), key_of("a@b")]);
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_panics(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(columns) = Columns::decompress(&octets) {
                let _ = columns.each(|_, _| true);
            }
        }

        #[test]
        fn columns_of_anything_are_damaged_at_worst(
            columns in proptest::collection::vec(
                proptest::collection::vec(0_u8..4, 0..20), COLUMNS..=COLUMNS,
            )
        ) {
            let columns = Columns(columns.try_into().unwrap());
            let _ = columns.each(|_, _| true);
        }
    }
}
