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

/// All that became of a message: its own entry, and those that were joined to it. Entries that were put
/// off stand last: how the host does is told by the first.
pub(super) fn as_one(
    mut attempted: SmallVec<[Settled; 1]>,
    put_off: SmallVec<[Settled; 1]>,
) -> Settled {
    attempted.extend(put_off);
    let first = attempted.remove(0);
    Settled { joined: attempted.into_vec(), ..first }
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

#[cfg(test)]
mod tests {
    use relais_channels::mail::{MessageId, Outcome, Priority, Reply, SiteTrouble};
    use relais_storage::Place;
    use smallvec::smallvec;

    use super::*;

    #[test]
    fn a_host_is_told_by_what_was_attempted_and_not_by_what_was_put_off() {
        let entry = |entry| Tracked {
            id: MessageId(7),
            entry,
            place: Place { segment: 1, offset: 0, length: 10 },
            open: 1,
            attempts: 0,
            due: 0,
            priority: Priority::Normal,
            size: 1,
        };
        let kept = || KeptByOrder { until: 9, reason: "an order".into() };
        let put_off = |number| untried(entry(number), kept());
        let attempt = Attempt {
            trouble: Some(SiteTrouble::deferred(Reply::STORE_AWAY)),
            ..Attempt::all(1, &Outcome::Deferred(Reply::STORE_AWAY))
        };
        let attempted = Settled { attempt, counts: true, put_off: None, ..put_off(1) };
        let all = as_one(smallvec![attempted], smallvec![put_off(0), put_off(2)]);
        assert!(all.attempt.trouble.is_some() && all.put_off.is_none());
        let joined: Vec<_> = all.joined.iter().map(|its| its.entry.entry).collect();
        assert_eq!((all.entry.entry, joined), (1, vec![0, 2]));
        assert!(as_one(SmallVec::new(), smallvec![put_off(0)]).put_off.is_some());
    }
}
