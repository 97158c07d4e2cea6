//! Texts of a block that come more than once, as its writer knows them.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// Texts and their numbers, from 1; 0 is the empty one.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    numbers: NumberMap<u32>,
    /// All of them, one behind the other.
    whole: String,
    ends: Vec<u32>,
}

impl Dictionary {
    /// The number of a text with this hash.
    pub(crate) fn find(&self, hash: u64, text: &str) -> Option<u32> {
        self.numbers.get(&hash).copied().filter(|number| self.is(*number, text))
    }

    /// Whether a text with this hash is there.
    pub(crate) fn has(&self, hash: u64) -> bool {
        self.numbers.contains_key(&hash)
    }

    /// Adds a text that is new.
    pub(crate) fn add(&mut self, hash: u64, text: &str) -> u32 {
        self.whole.push_str(text);
        self.ends.push(self.whole.len() as u32);
        let number = self.ends.len() as u32;
        self.numbers.insert(hash, number);
        number
    }

    /// Whether a number means this text.
    pub(crate) fn is(&self, number: u32, text: &str) -> bool {
        // Comparing empty texts, whose pointers lead nowhere, takes some processors 40 ns.
        if text.is_empty() { number == 0 } else { self.get(number) == text.as_bytes() }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Octets of all.
    pub(crate) fn octets(&self) -> usize {
        self.whole.len()
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.whole.clear();
        self.ends.clear();
    }

    fn get(&self, number: u32) -> &[u8] {
        let Some(at) = number.checked_sub(1) else { return &[] };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before as usize]);
        &self.whole.as_bytes()[start as usize..self.ends[at as usize] as usize]
    }
}

/// By numbers that are hashes, or as good as random in their lower bits.
pub(crate) type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<AsItIs>>;

/// A quick hash of a text. Whoever makes two texts with one hash has both stored in full.
pub(crate) fn hash(text: &[u8]) -> u64 {
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

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(FACTOR)
    }

    fn write(&mut self, bytes: &[u8]) {
        for octet in bytes {
            self.write_u64(self.0.rotate_left(8) ^ u64::from(*octet));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number ^ number >> 32;
    }
}

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
