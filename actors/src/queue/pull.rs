//! Connections of jobs pull: one message says how the last entry ended and asks for the next. One
//! that has to wait leaves the sender of its answer here.

use std::collections::HashMap;

use super::{
    Queue,
    entry::Key,
    facts::DestinationEvent,
    requests::{ConnectionEnded, Contend, Pull, Recall, Work},
};
use crate::{
    actor::{Ctx, Handle},
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
                let Some(entry) = self.tracker.take(&destination) else { break };
                let key = (entry.id, entry.entry);
                // A connection that just gave up waiting leaves its entry to the next one.
                let more = self.tracker.ready(&destination) > 0;
                if reply.send(Work { entry, more }).is_err() {
                    self.return_to_line(&destination, key);
                } else {
                    self.hand_out.give(connection, key);
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

    /// Deliveries that could not be written down would be repeated after a crash; and senders who
    /// cannot be told of failures fast enough must not pile up.
    pub(super) fn hands_out(&self) -> bool {
        !self.drain.has_begun()
            && self.notices.has_room_for_failures()
            && self.spool.state_backlog() <= MAX_UNWRITTEN
    }

    /// An entry that was handed out and not tried waits again, in its old place.
    fn return_to_line(&mut self, destination: &Destination, (id, entry): Key) {
        self.tracker.give_back(id, entry);
        if let Some((_, tracked)) = self.tracker.state_of(id, entry) {
            self.grant_order(destination, tracked);
        }
    }

    fn end(&mut self, connection: ConnectionId, destination: &Destination, panicked: bool) {
        let mut hand = self.hand_out.end(connection, destination);
        if panicked && !hand.is_empty() {
            // An entry with something wrong must not stand in front of the others for ever.
            self.defer_after_panic(destination, hand.remove(0));
        }
        for entry in hand {
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
        let work = if hands_out { self.tracker.take(&destination) } else { None };
        match work {
            // A connection that is gone is reported as ended, and its entry given back then.
            Some(entry) => {
                self.hand_out.give(connection, (entry.id, entry.entry));
                let more = self.tracker.ready(&destination) > 0;
                let _ = reply.send(Work { entry, more });
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
