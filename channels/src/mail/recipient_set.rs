//! A set of the recipients of one transaction, by their places. Up to 64 of them take no memory of
//! their own.

use smallvec::SmallVec;

/// The places, a bit each, the first in the lowest of the first word.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RecipientSet(SmallVec<[u64; 1]>);

impl RecipientSet {
    /// Puts in one more.
    pub fn insert(&mut self, place: usize) {
        let (word, bit) = (place / BITS, place % BITS);
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << bit;
    }

    /// Whether this one is in it.
    pub fn contains(&self, place: usize) -> bool {
        self.0.get(place / BITS).is_some_and(|word| word & 1 << (place % BITS) != 0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Puts in all of another set.
    pub fn extend(&mut self, other: &Self) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// The members among `count` places from `start` on, as places of a set of their own.
    #[must_use]
    pub fn part(&self, start: usize, count: usize) -> Self {
        let mut part = Self::default();
        (0..count).filter(|place| self.contains(start + place)).for_each(|it| part.insert(it));
        part
    }
}

/// A set among the first 64.
impl From<u64> for RecipientSet {
    fn from(word: u64) -> Self {
        Self(SmallVec::from_elem(word, usize::from(word != 0)))
    }
}

const BITS: usize = u64::BITS as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_in_it_and_in_its_part() {
        let mut set = RecipientSet::default();
        assert!(set.is_empty());
        for place in [0, 63, 64, 149, 999] {
            set.insert(place);
        }
        let of = |set: &RecipientSet| (0..1_100).filter(|it| set.contains(*it)).collect::<Vec<_>>();
        assert_eq!(of(&set), [0, 63, 64, 149, 999]);
        assert_eq!(of(&set.part(63, 87)), [0, 1, 86]);
        assert_eq!(of(&set.part(1_000, 10)), [0; 0]);
        let mut both = RecipientSet::from(0b110);
        both.extend(&set);
        assert_eq!(of(&both), [0, 1, 2, 63, 64, 149, 999]);
        both.extend(&RecipientSet::default());
        assert_eq!(of(&both).len(), 7);
        assert_eq!(RecipientSet::from(0), RecipientSet::default());
        assert_eq!(of(&RecipientSet::from(0b101)), [0, 2]);
    }
}
