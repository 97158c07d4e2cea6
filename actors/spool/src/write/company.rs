//! How long a batch waits for company, judged by the batches before it.
//!
//! Clients that wait for an answer cannot send: were all of them in one batch, the processors would idle
//! during its sync, and the disk while they come back. Those whom the last batch has let go and those who
//! wait already are all there are for now, so a batch begins when half of them are there: one half is made
//! durable while the other half speaks.

use std::time::Duration;

use crate::inbox::Gather;

/// The callers that may come with the next batch.
#[derive(Debug, Default)]
pub(super) struct Company {
    last: usize,
}

impl Company {
    /// A batch of so many messages was taken.
    pub(super) fn came(&mut self, messages: usize) {
        self.last = messages;
    }

    /// How to wait for the next batch once it has a first message, when so many are `there` at the end of
    /// the last; not at all where one came alone.
    pub(super) fn gather(&self, there: usize) -> Option<Gather> {
        let enough = (self.last + there).div_ceil(2).max(FEW);
        (self.last > 1).then_some(Gather { longest: LONGEST, enough })
    }
}

/// A sync costs some 100 us of CPU whatever it syncs, and a client waits for it a millisecond or more; a
/// lone client never waits for this.
const LONGEST: Duration = Duration::from_micros(500);
/// With less than this many a sync is not cheap for each.
const FEW: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_who_may_come_are_waited_for() {
        let enough = |last, there| Company { last }.gather(there).map(|gather| gather.enough);
        let rows = [
            ((0, 0), None),
            ((1, 0), None),
            ((1, 30), None),
            ((2, 0), Some(FEW)),
            ((4, 4), Some(FEW)),
            ((20, 0), Some(10)),
            ((10, 10), Some(10)),
            ((2, 19), Some(11)),
            ((200, 100), Some(150)),
        ];
        for ((last, there), expected) in rows {
            assert_eq!(enough(last, there), expected, "{last}, {there}");
        }
    }

    /// Clients that send again at once, whatever their number, come in two halves.
    #[test]
    fn clients_that_were_in_one_batch_are_in_two_at_once() {
        for clients in [16, 20, 101, 1_000] {
            let mut company = Company::default();
            company.came(clients);
            // All of them speak, and none is there at the end of the sync.
            let first = company.gather(0).expect("company").enough;
            company.came(first);
            let second = clients - first;
            assert_eq!(company.gather(second).expect("company").enough, first);
            assert!(second + 1 >= first, "the second half does not wait for the first");
        }
    }
}
