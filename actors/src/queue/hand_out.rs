//! Handing entries to threads of jobs, which pull: one message says how the last one ended and asks
//! for the next. A thread that has to wait leaves its address here.

use std::collections::HashMap;

use relais_channels::mail::MessageId;
use tokio::sync::oneshot;

use super::{
    Queue,
    facts::DestinationEvent,
    requests::{Contend, Pull, ThreadEnded, Work},
};
use crate::{
    actor::{Ctx, Handle},
    ids::{ConnectionId, Destination},
};

/// What a thread has, and how much it has done.
#[derive(Debug, Default)]
pub(super) struct InHand {
    /// The one it delivers and the one it asked for ahead.
    pub(super) entries: Vec<(MessageId, u16)>,
    pub(super) done: u32,
}

impl Queue {
    /// Gives ready entries to idle threads, and tells the controller what is left.
    pub(super) fn feed(&mut self, touched: impl IntoIterator<Item = Destination>) {
        let mut waiting: HashMap<Destination, usize> = HashMap::new();
        for destination in touched {
            while self.tracker.ready(&destination) > 0 && self.hands_out() {
                let Some((thread, reply)) = self.idle_thread(&destination) else { break };
                let Some(entry) = self.tracker.take(&destination) else { break };
                // A thread that just gave up waiting leaves its entry to the next one.
                let more = self.tracker.ready(&destination) > 0;
                if reply.send(Work { entry, more }).is_err() {
                    self.return_to_line(&destination, entry.id, entry.entry);
                } else {
                    self.threads.entry(thread).or_default().entries.push((entry.id, entry.entry));
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
        !self.drained
            && self.with_notary < MAX_WITH_NOTARY
            && self.spool.state_backlog() <= MAX_UNWRITTEN
    }

    /// An entry that was handed out and not tried waits again, in its old place.
    pub(super) fn return_to_line(&mut self, destination: &Destination, id: MessageId, entry: u16) {
        self.tracker.give_back(id, entry);
        if let Some((_, tracked)) = self.tracker.state_of(id, entry) {
            self.grant_wish(destination, tracked);
        }
    }

    /// The one that has been idle for the shortest time: what is not needed times out.
    fn idle_thread(
        &mut self,
        destination: &Destination,
    ) -> Option<(ConnectionId, oneshot::Sender<Work>)> {
        let idle = self.idle.get_mut(destination)?;
        let reply = loop {
            match idle.pop_back() {
                Some((_, reply)) if reply.is_closed() => {}
                other => break other,
            }
        };
        if idle.is_empty() {
            self.idle.remove(destination);
        }
        reply
    }
}

impl Handle<Pull> for Queue {
    fn handle(&mut self, pull: Pull, _: &mut Ctx<Self>) {
        if let Some(settled) = pull.settled {
            self.settle(pull.thread, &pull.destination, settled);
        }
        if self.drained || self.recalls.takes(pull.thread, &pull.destination) {
            return; // the reply is dropped; the thread ends when it has nothing in hand
        }
        let hands_out = self.hands_out();
        let work = if hands_out { self.tracker.take(&pull.destination) } else { None };
        match work {
            // A thread that is gone is reported as ended, and its entry given back then.
            Some(entry) => {
                let hand = self.threads.entry(pull.thread).or_default();
                hand.entries.push((entry.id, entry.entry));
                let more = self.tracker.ready(&pull.destination) > 0;
                let _ = pull.reply.send(Work { entry, more });
            }
            None if pull.ahead => {}
            // While nothing is handed out, a thread in its place would fare no better.
            None if hands_out && self.contended.contains(&pull.destination.channel) => {}
            None => {
                let ready = self.tracker.ready(&pull.destination);
                self.announce(DestinationEvent::Waiting(vec![(pull.destination.clone(), ready)]));
                let idle = self.idle.entry(pull.destination).or_default();
                idle.push_back((pull.thread, pull.reply));
            }
        }
    }
}

impl Handle<ThreadEnded> for Queue {
    fn handle(&mut self, ended: ThreadEnded, _: &mut Ctx<Self>) {
        let ThreadEnded { thread, destination, panicked } = ended;
        let mut hand = self.threads.remove(&thread).unwrap_or_default().entries;
        if panicked && !hand.is_empty() {
            // Whatever is wrong with it, it must not stand in front of the others for ever.
            let (id, entry) = hand.remove(0);
            self.defer_after_panic(&destination, id, entry);
        }
        for (id, entry) in hand {
            self.return_to_line(&destination, id, entry);
        }
        if let Some(idle) = self.idle.get_mut(&destination) {
            idle.retain(|(other, _)| *other != thread);
            if idle.is_empty() {
                self.idle.remove(&destination);
            }
        }
        self.recalls.ended(thread, &destination);
        let ready = self.tracker.ready(&destination);
        self.announce(DestinationEvent::ConnectionSettled { connection: thread, ready });
        self.finish_drain();
    }
}

impl Handle<Contend> for Queue {
    fn handle(&mut self, Contend(channels): Contend, _: &mut Ctx<Self>) {
        // Idle threads hold what others wait for: their replies are dropped, and they end.
        self.idle.retain(|destination, _| !channels.contains(&destination.channel));
        self.contended = channels;
    }
}

/// Octets of state changes that may be unwritten while deliveries go on.
pub(super) const MAX_UNWRITTEN: usize = 4 << 20;

/// Entries whose senders are being told, while more are handed out.
const MAX_WITH_NOTARY: usize = 10_000;
