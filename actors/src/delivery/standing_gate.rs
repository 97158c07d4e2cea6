//! The last gate before a delivery: entries that an operator's standing order keeps go back to the queue
//! untried.

use relais_channels::mail::{Attempt, Envelope, Outcomes};
use smallvec::SmallVec;

use crate::{
    queue::{Settled, Tracked, Work},
    standing::{KeptByOrder, StandingOrders},
};

/// The orders, as a courier asks them.
pub(super) struct StandingGate<'a>(pub(super) &'a StandingOrders);

impl StandingGate<'_> {
    /// The entries that may be delivered, and those that are put off.
    pub(super) fn sift(
        &self,
        work: Work,
        envelope: &Envelope,
    ) -> (Option<Work>, SmallVec<[Settled; 1]>) {
        if self.0.is_empty() {
            return (Some(work), SmallVec::new());
        }
        let (mut kept, mut put_off) = (Vec::new(), SmallVec::new());
        for tracked in work.entries() {
            let entry = envelope.entries.get(usize::from(tracked.entry));
            let caught =
                entry.and_then(|entry| self.0.catch(envelope, (entry, tracked.open, tracked.due)));
            match caught {
                Some(caught) => put_off.push(untried(*tracked, caught)),
                None => kept.push(*tracked),
            }
        }
        let mut kept = kept.into_iter();
        let first = kept.next();
        (first.map(|entry| Work { entry, joined: kept.collect(), more: work.more }), put_off)
    }

    /// Whether an order is for a message that would be announced with another one.
    pub(super) fn catches(&self, work: &Work, envelope: &Envelope) -> bool {
        if self.0.is_empty() {
            return false;
        }
        work.entries().any(|tracked| {
            let entry = envelope.entries.get(usize::from(tracked.entry));
            entry.is_some_and(|entry| self.0.find(envelope, entry, tracked.open).is_some())
        })
    }
}

fn untried(entry: Tracked, put_off: KeptByOrder) -> Settled {
    Settled {
        entry,
        attempt: Attempt { outcomes: Outcomes::new(), trouble: None, peer: None },
        counts: false,
        success_notices: 0,
        trip: None,
        stressed: false,
        put_off: Some(put_off),
        joined: Vec::new(),
    }
}
