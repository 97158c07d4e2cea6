//! Entries of one message for one destination that leave in one transaction. An entry has at most 64
//! recipients; what has more is several of them, side by side in the line.

use super::{
    super::entry::Tracked,
    Tracker,
    slot::{LineId, Mark, Slot, State, is_stranded, is_valid},
};
use crate::ids::Destination;

impl Tracker {
    /// The first ready entry of `destination`, now in the hands of a job, and the others of its message
    /// that could be taken now, as long as they all have at most `most` recipients together.
    pub fn take_together(
        &mut self,
        destination: &Destination,
        most: usize,
    ) -> Option<(Tracked, Vec<Tracked>)> {
        let line = *self.line_of.get(destination)?;
        let first = self.take_first(line)?;
        Some((first, self.take_with_it(line, &first, most)))
    }

    fn take_with_it(&mut self, line: LineId, first: &Tracked, most: usize) -> Vec<Tracked> {
        let mut joined = Vec::new();
        let mut recipients = recipients_of(first);
        while recipients < most && joined.len() < MOST_JOINED {
            let slots = &self.slots;
            let wanted = |slot: &Slot| {
                let entry = &slot.entry;
                // One that was routed again goes on by a record of its own.
                (entry.id, entry.place) == (first.id, first.place)
                    && recipients + recipients_of(entry) <= most
            };
            let wanted = |(_, slot): Mark| wanted(&slots[slot as usize]);
            let it = &mut self.lines[line as usize];
            let ready =
                it.next_if(first.priority as usize, |mark| is_valid(slots, line, mark), wanted);
            let next = match ready {
                None if it.troubled => {
                    it.next_stranded_if(|mark| is_stranded(slots, line, mark), wanted)
                }
                ready => ready,
            };
            let Some(slot) = next else { break };
            self.enter(slot, State::Active);
            let entry = self.slot(slot).entry;
            recipients += recipients_of(&entry);
            joined.push(entry);
        }
        joined.sort_by_key(|entry| entry.entry);
        joined
    }
}

fn recipients_of(entry: &Tracked) -> usize {
    entry.open.count_ones() as usize
}

/// Entries that join another one.
const MOST_JOINED: usize = 15;

#[cfg(test)]
mod tests {
    use relais_channels::mail::{MessageId, Priority};
    use relais_storage::Place;

    use super::*;
    use crate::ids::ChannelId;

    fn of(message: u64, entry: u16, recipients: u32) -> Tracked {
        Tracked {
            id: MessageId(message),
            entry,
            place: Place { segment: 1, offset: message as u32, length: 10 },
            open: u64::MAX >> (64 - recipients),
            attempts: 0,
            due: 0,
            priority: Priority::Normal,
            size: 1,
        }
    }

    fn numbers(entries: &[Tracked]) -> Vec<u16> {
        entries.iter().map(|entry| entry.entry).collect()
    }

    #[test]
    fn entries_of_one_message_are_taken_together() {
        let host = Destination { channel: ChannelId(0), host: "a".into() };
        // name, recipients at most, what joins the first entry
        let rows = [
            ("all", 1_000, vec![2, 5]),
            ("as many as there is room for", 150, vec![2]),
            ("no more than that", 149, vec![2]),
            ("one that fills it", 128, vec![2]),
            ("none", 64, vec![]),
            ("nothing is joined", 0, vec![]),
        ];
        for (name, most, want) in rows {
            let mut tracker = Tracker::new(1_000);
            for entry in [of(7, 0, 64), of(7, 2, 64), of(7, 5, 23), of(8, 0, 1), of(8, 1, 1)] {
                tracker.offer(&host, entry);
            }
            let (first, joined) = tracker.take_together(&host, most).expect("the first");
            assert_eq!(first, of(7, 0, 64), "{name}");
            assert_eq!(numbers(&joined), want, "{name}");
            assert_eq!(tracker.active(), 1 + want.len(), "{name}");
            for entry in &joined {
                assert_eq!(tracker.finish(entry.id, entry.entry), Some(*entry), "{name}");
            }
        }
    }

    #[test]
    fn entries_that_wait_join_neither_others_nor_those_of_another_record() {
        let host = Destination { channel: ChannelId(0), host: "a".into() };
        let mut tracker = Tracker::new(1_000);
        let elsewhere = Place { segment: 9, offset: 7, length: 10 };
        for entry in [
            of(7, 0, 1),
            Tracked { due: 100, ..of(7, 1, 1) },
            Tracked { place: elsewhere, ..of(7, 2, 1) },
            of(7, 3, 1),
        ] {
            tracker.offer(&host, entry);
        }
        let (first, joined) = tracker.take_together(&host, 1_000).expect("the first");
        assert_eq!((first.entry, numbers(&joined)), (0, vec![]), "2 is between");
        let (other, joined) = tracker.take_together(&host, 1_000).expect("the other record");
        assert_eq!((other.entry, joined), (2, vec![]));
    }

    #[test]
    fn what_is_deferred_together_is_taken_together_again_and_so_is_a_probe() {
        let host = Destination { channel: ChannelId(0), host: "a".into() };
        for troubled in [false, true] {
            let mut tracker = Tracker::new(1_000);
            for entry in 0..3 {
                tracker.offer(&host, of(7, entry, 2));
            }
            let (first, joined) = tracker.take_together(&host, 1_000).expect("the first");
            if troubled {
                tracker.trouble(&host);
            }
            for entry in std::iter::once(first).chain(joined) {
                let left = Tracked { open: 0b10, attempts: 1, due: 5_000, ..entry };
                tracker.defer(left, troubled);
            }
            if !troubled {
                assert_eq!(tracker.take(&host), None);
                assert_eq!(tracker.wake(5_000), std::slice::from_ref(&host));
            }
            let (first, joined) = tracker.take_together(&host, 1_000).expect("due, or a probe");
            assert_eq!((first.entry, numbers(&joined)), (0, vec![1, 2]), "{troubled}");
            assert_eq!(tracker.ready(&host), 0);
        }
    }
}
