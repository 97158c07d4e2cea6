//! Connections of jobs pull: one message says how the last entry ended and asks for the next. One
//! that has to wait leaves the sender of its answer here.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{
    Queue,
    entry::{Key, Tracked},
    facts::DestinationEvent,
    hand_out::LeftInHand,
    requests::{ConnectionEnded, Contend, Pull, Recall, Work},
};
use crate::{
    actor::{Ctx, Handle},
    channel_table::joined_recipients,
    ids::{ConnectionId, Destination},
};

impl Queue {
    /// Gives ready entries to idle connections, and announces what is left.
    pub(super) fn feed(&mut self, touched: impl IntoIterator<Item = Destination>) {
        let mut waiting: HashMap<Destination, usize> = HashMap::new();
        for destination in touched {
            while self.tracker.ready(&destination) > 0 && self.hands_out() {
                let Some((connection, reply)) = self.hand_out.take_idle(&destination) else {
                    break;
                };
                let Some(work) = self.take(&destination) else { break };
                // A connection that just gave up waiting leaves its entry to the next one.
                let keys: SmallVec<[Key; 1]> = work.entries().map(Tracked::key).collect();
                if reply.send(work).is_ok() {
                    self.hand_out.give(connection, keys.into_iter());
                } else {
                    keys.into_iter().for_each(|key| self.return_to_line(&destination, key));
                }
            }
            let ready = self.tracker.ready(&destination);
            if ready > 0 {
                waiting.insert(destination, ready);
            }
        }
        if !waiting.is_empty() {
            self.announce(DestinationEvent::Waiting(waiting.into_iter().collect()));
        }
    }

    /// The next message for `destination`: an entry, and those that leave with it.
    fn take(&mut self, destination: &Destination) -> Option<Work> {
        let most = joined_recipients(self.channels.channel(destination.channel));
        let (entry, joined) = self.tracker.take_together(destination, most)?;
        Some(Work { entry, joined, more: self.tracker.ready(destination) > 0 })
    }

    /// Deliveries that could not be written down would be repeated after a crash; and senders who
    /// cannot be told of failures fast enough must not pile up.
    pub(super) fn hands_out(&self) -> bool {
        !self.drain.has_begun()
            && self.notices.has_room_for_failures()
            && self.storage.state_backlog() <= MAX_UNWRITTEN
    }

    /// An entry that was handed out and not tried waits again, in its old place.
    fn return_to_line(&mut self, destination: &Destination, (id, entry): Key) {
        self.tracker.give_back(id, entry);
        if let Some((_, tracked)) = self.tracker.state_of(id, entry) {
            self.grant_order(destination, tracked);
        }
    }

    fn end(&mut self, connection: ConnectionId, destination: &Destination, panicked: bool) {
        let LeftInHand { tried, untried } = self.hand_out.end(connection, destination);
        for entry in tried {
            if panicked {
                // An entry with something wrong must not stand in front of the others for ever.
                self.defer_after_panic(destination, entry);
            } else {
                self.return_to_line(destination, entry);
            }
        }
        for entry in untried {
            self.return_to_line(destination, entry);
        }
        let ready = self.tracker.ready(destination);
        self.announce(DestinationEvent::ConnectionSettled { connection, ready });
        self.finish_drain();
    }
}

impl Handle<Pull> for Queue {
    fn handle(&mut self, pull: Pull, _: &mut Ctx<Self>) {
        let Pull { connection, destination, settled, ahead, reply } = pull;
        if let Some(settled) = settled {
            self.settle(connection, &destination, settled);
        }
        if self.drain.has_begun() || self.hand_out.dismiss(connection, &destination) {
            return; // the reply is dropped; the connection ends when it has nothing in hand
        }
        let hands_out = self.hands_out();
        let work = if hands_out { self.take(&destination) } else { None };
        match work {
            // A connection that is gone is reported as ended, and its entry given back then.
            Some(work) => {
                self.hand_out.give(connection, work.entries().map(Tracked::key));
                let _ = reply.send(work);
            }
            None if ahead => {}
            // While nothing is handed out, a connection in its place would fare no better.
            None if hands_out && self.hand_out.is_contended(destination.channel) => {}
            None => {
                let ready = self.tracker.ready(&destination);
                self.announce(DestinationEvent::Waiting(vec![(destination.clone(), ready)]));
                self.hand_out.wait(connection, destination, reply);
            }
        }
    }
}

impl Handle<ConnectionEnded> for Queue {
    fn handle(&mut self, ended: ConnectionEnded, _: &mut Ctx<Self>) {
        let ConnectionEnded { connection, destination, panicked } = ended;
        self.end(connection, &destination, panicked);
    }
}

impl Handle<Recall> for Queue {
    fn handle(&mut self, Recall(destinations): Recall, _: &mut Ctx<Self>) {
        for destination in destinations {
            self.hand_out.recall(&destination);
        }
    }
}

impl Handle<Contend> for Queue {
    fn handle(&mut self, Contend(channels): Contend, _: &mut Ctx<Self>) {
        self.hand_out.contend(channels);
    }
}

/// Octets of state changes that may be unwritten while deliveries go on.
pub(super) const MAX_UNWRITTEN: usize = 4 << 20;
