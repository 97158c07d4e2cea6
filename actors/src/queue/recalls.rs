//! Threads that destinations are to give back, because others have fewer.

use std::collections::{HashMap, HashSet};

use super::{Queue, requests::Recall};
use crate::{
    actor::{Ctx, Handle},
    ids::{ConnectionId, Destination},
};

/// What was asked back and has not ended. Any end of a thread counts, whatever the reason: the
/// job controller counts the same way.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    of: HashMap<Destination, Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    threads: usize,
    /// Those that were told.
    leaving: HashSet<ConnectionId>,
}

impl Recalls {
    fn add(&mut self, destination: Destination) {
        self.of.entry(destination).or_default().threads += 1;
    }

    /// Whether `thread`, which has nothing in hand, is to end.
    pub(super) fn takes(&mut self, thread: ConnectionId, destination: &Destination) -> bool {
        let Some(owed) = self.of.get_mut(destination) else { return false };
        if owed.leaving.len() < owed.threads {
            owed.leaving.insert(thread);
        }
        owed.leaving.contains(&thread)
    }

    /// `thread` is gone.
    pub(super) fn ended(&mut self, thread: ConnectionId, destination: &Destination) {
        let Some(owed) = self.of.get_mut(destination) else { return };
        owed.leaving.remove(&thread);
        owed.threads -= 1;
        if owed.threads == 0 {
            self.of.remove(destination);
        }
    }
}

impl Handle<Recall> for Queue {
    fn handle(&mut self, Recall(destinations): Recall, _: &mut Ctx<Self>) {
        for destination in destinations {
            self.recalls.add(destination.clone());
            let Some(idle) = self.idle.get_mut(&destination) else { continue };
            // Without a reply they end.
            let recalls = &mut self.recalls;
            idle.retain(|(thread, _)| !recalls.takes(*thread, &destination));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[test]
    fn as_many_threads_end_as_were_asked_back() {
        let to = |host: &str| Destination { channel: ChannelId(0), host: host.into() };
        let (a, b) = (to("a"), to("b"));
        let mut recalls = Recalls::default();
        assert!(!recalls.takes(ConnectionId(1), &a), "nothing was asked back");
        recalls.add(a.clone());
        recalls.add(a.clone());
        assert!(!recalls.takes(ConnectionId(9), &b), "of another");
        assert!(recalls.takes(ConnectionId(1), &a));
        assert!(recalls.takes(ConnectionId(1), &a), "it asks again on its way out");
        recalls.ended(ConnectionId(2), &a);
        assert!(!recalls.takes(ConnectionId(3), &a), "one ended by itself: that will do");
        recalls.ended(ConnectionId(1), &a);
        assert!(!recalls.takes(ConnectionId(3), &a) && recalls.of.is_empty());
    }
}
