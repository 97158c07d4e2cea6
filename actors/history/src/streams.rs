//! The streams of a block: like stands beside like, so that little is left of it when it is compressed.

use std::io;

use crate::{
    codec::{Octets, put},
    error::DamagedBlock,
    note::SHARED,
};

/// Streams that are written.
#[derive(Clone, Debug)]
pub(crate) struct Streams([Vec<u8>; STREAMS]);

impl Default for Streams {
    fn default() -> Self {
        Self([const { Vec::new() }; STREAMS])
    }
}

impl Streams {
    /// Appends a number.
    pub(crate) fn number(&mut self, stream: usize, number: u64) {
        put(&mut self.0[stream], number);
    }

    /// Appends a number whose last octet is as good as random, with the rest in the stream behind.
    pub(crate) fn wide(&mut self, stream: usize, number: u64) {
        self.0[stream].push(number as u8);
        put(&mut self.0[stream + 1], number >> 8);
    }

    /// The same of a number that may be below zero; those near zero are short.
    pub(crate) fn signed(&mut self, stream: usize, number: i64) {
        self.wide(stream, (number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    /// Appends a text, with its length in the stream behind.
    pub(crate) fn text(&mut self, stream: usize, text: &str) {
        self.0[stream].extend_from_slice(text.as_bytes());
        put(&mut self.0[stream + 1], text.len() as u64);
    }

    /// Appends a text that no other note is likely to have, in a stream for texts of its letters.
    pub(crate) fn rare(&mut self, stream: usize, text: &str) {
        let class = class_of(text.as_bytes());
        put(&mut self.0[stream], (text.len() * CLASSES + class) as u64);
        self.0[stream + 1 + class].extend_from_slice(text.as_bytes());
    }

    /// Octets of all.
    pub(crate) fn octets(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// Forgets everything, and keeps the room.
    pub(crate) fn clear(&mut self) {
        self.0.iter_mut().for_each(Vec::clear);
    }

    /// Appends them, compressed.
    pub(crate) fn compress(
        &self,
        compressor: &mut zstd::bulk::Compressor<'_>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        for stream in &self.0 {
            put(out, stream.len() as u64);
            if stream.is_empty() {
                continue;
            }
            let compressed = compressor.compress(stream)?;
            put(out, compressed.len() as u64);
            out.extend_from_slice(&compressed);
        }
        Ok(())
    }

    /// Reads what [`Streams::compress`] wrote.
    pub(crate) fn decompress(octets: &[u8]) -> Result<Self, DamagedBlock> {
        let mut octets = Octets(octets);
        let mut streams = Self::default();
        let mut room = MAX_RAW;
        let mut decompressor = zstd::bulk::Decompressor::new().map_err(|_| DamagedBlock)?;
        for stream in &mut streams.0 {
            let length = octets.number().ok_or(DamagedBlock)?;
            if length == 0 {
                continue;
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= room);
            let length = length.ok_or(DamagedBlock)?;
            room -= length;
            let compressed = octets.number().and_then(|its| octets.take(its));
            let compressed = compressed.ok_or(DamagedBlock)?;
            *stream = decompressor.decompress(compressed, length).map_err(|_| DamagedBlock)?;
            if stream.len() != length {
                return Err(DamagedBlock);
            }
        }
        Ok(streams)
    }

    /// Each from its front.
    pub(crate) fn read(&self) -> StreamReader<'_> {
        StreamReader(self.0.each_ref().map(|stream| Octets(stream)))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) const COUNT: usize = STREAMS;

    #[cfg(test)]
    pub(crate) fn of(streams: Vec<Vec<u8>>) -> Option<Self> {
        streams.try_into().ok().map(Self)
    }
}

/// Streams that are read; `None` where one ends too soon.
#[derive(Debug)]
pub(crate) struct StreamReader<'a>([Octets<'a>; STREAMS]);

impl<'a> StreamReader<'a> {
    /// Octets of a stream that have not been read yet.
    pub(crate) fn octets(&self, stream: usize) -> usize {
        self.0[stream].0.len()
    }

    pub(crate) fn number(&mut self, stream: usize) -> Option<u64> {
        self.0[stream].number()
    }

    pub(crate) fn wide(&mut self, stream: usize) -> Option<u64> {
        let low = *self.0[stream].take(1)?.first()?;
        Some(self.0[stream + 1].number()? << 8 | u64::from(low))
    }

    pub(crate) fn signed(&mut self, stream: usize) -> Option<i64> {
        let number = self.wide(stream)?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(crate) fn text(&mut self, stream: usize) -> Option<&'a str> {
        let length = self.0[stream + 1].number()?;
        crate::text_of(self.0[stream].take(length)?)
    }

    pub(crate) fn rare(&mut self, stream: usize) -> Option<&'a str> {
        let number = self.0[stream].number()?;
        let class = (number % CLASSES as u64) as usize;
        crate::text_of(self.0[stream + 1 + class].take(number / CLASSES as u64)?)
    }
}

/// Texts of few letters are told from others: each letter costs less there.
fn class_of(text: &[u8]) -> usize {
    // Sums of octets, so that whole words are looked at at once.
    let classes = text.iter().fold(UPPER | LOWER, |classes, octet| {
        let is = |within: bool| u8::from(within);
        let any = is(octet.is_ascii_digit()) | is(*octet == b'-') | is(*octet == b'.');
        let upper = any | is((b'A'..=b'F').contains(octet));
        let lower = any | is((b'a'..=b'f').contains(octet));
        classes & ((upper * UPPER) | (lower * LOWER))
    });
    match classes {
        0 => 2,
        LOWER => 1,
        _ => 0,
    }
}

/// The number of each note's shape, and shapes that are new.
pub(crate) const SHAPES: usize = 0;
pub(crate) const NEW_SHAPES: usize = 1;
/// Times of first notes since the one before, and of others since the first of their message.
pub(crate) const TIMES: usize = 2;
pub(crate) const LATER: usize = 4;
/// New queue ids: the time of the note since the id's, and the lower bits; known ones: how far back.
pub(crate) const ID_TIMES: usize = 6;
pub(crate) const ID_REST: usize = 8;
pub(crate) const BACK: usize = 10;
/// Which recipients of its message a note has, or how many others.
pub(crate) const SLOTS: usize = 12;
pub(crate) const COUNTS: usize = 13;
pub(crate) const SIZES: usize = 14;
pub(crate) const TOOK: usize = 16;
pub(crate) const ATTEMPTS: usize = 18;
/// Addresses: of senders, of recipients as they were written and as they were routed.
pub(crate) const SENDERS: usize = 19;
pub(crate) const RECIPIENTS: usize = 21;
pub(crate) const ROUTED: usize = 23;
/// Addresses that are new: the local part up to its final digits, these, and the domain.
pub(crate) const HEADS: usize = 25;
pub(crate) const HEAD_TEXTS: usize = 27;
pub(crate) const DIGITS: usize = 29;
pub(crate) const DOMAINS: usize = 31;
pub(crate) const DOMAIN_TEXTS: usize = 33;
/// The right parts of each `Message-ID`.
pub(crate) const RIGHTS: usize = 35;
/// Texts that no other note is likely to have: their lengths, and a stream for each class of letters.
pub(crate) const PEER_IDS: usize = 37;
pub(crate) const MESSAGE_IDS: usize = PEER_IDS + 1 + CLASSES;
const CLASSES: usize = 3;
/// The domains of destinations.
pub(crate) const HOST_DOMAINS: usize = MESSAGE_IDS + 1 + CLASSES;
/// References to texts that notes share, and these; four streams for each of [`crate::note::Note::texts`].
const REFERENCES: usize = HOST_DOMAINS + 2;
const STREAMS: usize = REFERENCES + 4 * SHARED;
/// Octets of a block that is read, at most.
const MAX_RAW: usize = 8 << 20;
/// Classes that a text may be in.
const UPPER: u8 = 1;
const LOWER: u8 = 2;
/// Of zstd.
pub(crate) const LEVEL: i32 = 1;

/// The streams of references to the texts of a column, and of these texts.
pub(crate) const fn references(column: usize) -> (usize, usize) {
    (REFERENCES + 4 * column, REFERENCES + 4 * column + 2)
}
