//! Where messages went when their segment was compacted.
//!
//! A [`Place`] may be used after its message has moved: the reader and the journal look here first.
//! The queue need not know that anything moved. The table lives as long as the engine: nobody holds
//! a place across a start, and the index has been told of the new ones by then.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use relais_storage::Place;

/// Old places and what became of them; 8 bytes for each message that was moved and is alive.
#[derive(Debug, Default)]
pub(crate) struct Forwarding {
    moves: RwLock<BTreeMap<u32, Move>>,
}

/// All survivors of one segment are in one other.
#[derive(Debug)]
struct Move {
    to: u32,
    /// Old offset and new one, sorted.
    offsets: Vec<(u32, u32)>,
}

impl Forwarding {
    /// Where the message at `place` is now.
    pub(crate) fn place(&self, place: Place) -> Place {
        let moves = self.moves.read().unwrap_or_else(PoisonError::into_inner);
        let now = moves.get(&place.segment).and_then(|moved| {
            let offset = moved.new_offset(place.offset)?;
            Some(Place { segment: moved.to, offset, length: place.length })
        });
        now.unwrap_or(place)
    }

    /// Where the survivors of a segment are now.
    pub(crate) fn segment(&self, segment: u32) -> u32 {
        let moves = self.moves.read().unwrap_or_else(PoisonError::into_inner);
        moves.get(&segment).map_or(segment, |moved| moved.to)
    }

    /// The messages at these offsets have moved; those that are not named are done.
    pub(crate) fn add(&self, from: u32, to: u32, offsets: Vec<(u32, u32)>) {
        let new = Move { to, offsets };
        let mut moves = self.moves.write().unwrap_or_else(PoisonError::into_inner);
        for earlier in moves.values_mut().filter(|earlier| earlier.to == from) {
            earlier.to = to;
            earlier.offsets.retain_mut(|(_, offset)| {
                let now = new.new_offset(*offset);
                now.map(|now| *offset = now).is_some()
            });
        }
        moves.insert(from, new);
    }

    /// A segment is deleted: everything in it is done, and nobody asks for it any more.
    pub(crate) fn forget(&self, to: u32) {
        let mut moves = self.moves.write().unwrap_or_else(PoisonError::into_inner);
        moves.retain(|_, moved| moved.to != to);
    }

    /// Messages that can be found by an old place.
    pub(crate) fn len(&self) -> usize {
        let moves = self.moves.read().unwrap_or_else(PoisonError::into_inner);
        moves.values().map(|moved| moved.offsets.len()).sum()
    }
}

impl Move {
    fn new_offset(&self, old: u32) -> Option<u32> {
        let at = self.offsets.binary_search_by_key(&old, |(old, _)| *old).ok()?;
        Some(self.offsets[at].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_followed_through_every_move() {
        let forwarding = Forwarding::default();
        forwarding.add(1, 5, vec![(36, 36), (900, 136), (2000, 236)]);
        assert_eq!(forwarding.place(place(1, 900)), place(5, 136));
        assert_eq!(forwarding.place(place(2, 900)), place(2, 900), "never moved");
        assert_eq!(forwarding.place(place(1, 500)), place(1, 500), "done, and not copied");

        forwarding.add(5, 9, vec![(136, 36)]);
        assert_eq!(forwarding.place(place(1, 900)), place(9, 36));
        assert_eq!(forwarding.place(place(5, 136)), place(9, 36));
        assert_eq!((forwarding.segment(1), forwarding.segment(5)), (9, 9));
        assert_eq!(forwarding.len(), 2, "what is done is forgotten");
        forwarding.forget(9);
        assert_eq!((forwarding.len(), forwarding.segment(1)), (0, 1));
    }

    fn place(segment: u32, offset: u32) -> Place {
        Place { segment, offset, length: 100 }
    }
}
