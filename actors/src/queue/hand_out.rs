//! Which connections of jobs have which entries, and which wait for one. Knows no actor.

use std::collections::{HashMap, HashSet, VecDeque};

use tokio::sync::oneshot;

use super::{entry::Key, recalls::Recalls, requests::Work, tracker::Tracker};
use crate::ids::{ChannelId, ConnectionId, Destination};

/// The connections.
#[derive(Debug, Default)]
pub(super) struct HandOut {
    connections: HashMap<ConnectionId, InHand>,
    idle: HashMap<Destination, VecDeque<(ConnectionId, oneshot::Sender<Work>)>>,
    /// Channels whose idle connections end, because others wait for their place.
    contended: HashSet<ChannelId>,
    /// Connections that destinations are to give back.
    recalls: Recalls,
    /// Destinations that could not be talked to and have taken nothing since.
    troubled: HashSet<Destination>,
}

/// The entries that a connection had in hand when it ended.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct LeftInHand {
    /// The entries of the message that it delivered.
    pub(super) tried: Vec<Key>,
    /// The others, which it had not come to.
    pub(super) untried: Vec<Key>,
}

/// The entries that a connection has in hand, and how much it has done.
#[derive(Debug, Default)]
struct InHand {
    /// The ones it delivers, and behind them those it asked for ahead, each with its turn.
    entries: Vec<(Key, u32)>,
    /// Of those it was given last.
    turn: u32,
    done: u32,
}

impl HandOut {
    /// `connection` has one more message, by these entries.
    pub(super) fn give(&mut self, connection: ConnectionId, entries: impl Iterator<Item = Key>) {
        let hand = self.connections.entry(connection).or_default();
        hand.turn = hand.turn.wrapping_add(1);
        hand.entries.extend(entries.map(|entry| (entry, hand.turn)));
    }

    /// `connection` is done with an entry. Returns whether that is worth telling: often at first,
    /// when the destination may have more connections by it, and seldom later.
    pub(super) fn take_back(&mut self, connection: ConnectionId, entry: Key) -> bool {
        let hand = self.connections.entry(connection).or_default();
        hand.entries.retain(|(in_hand, _)| *in_hand != entry);
        hand.done += 1;
        hand.done.is_power_of_two()
    }

    /// `connection` has nothing to do, and gets its next entry by `reply`.
    pub(super) fn wait(
        &mut self,
        connection: ConnectionId,
        destination: Destination,
        reply: oneshot::Sender<Work>,
    ) {
        self.idle.entry(destination).or_default().push_back((connection, reply));
    }

    /// The connection that has been idle for the shortest time: what is not needed times out.
    pub(super) fn take_idle(
        &mut self,
        destination: &Destination,
    ) -> Option<(ConnectionId, oneshot::Sender<Work>)> {
        let idle = self.idle.get_mut(destination)?;
        let found = loop {
            match idle.pop_back() {
                Some((_, reply)) if reply.is_closed() => {}
                other => break other,
            }
        };
        if idle.is_empty() {
            self.idle.remove(destination);
        }
        found
    }

    /// Idle connections end: without a reply they do.
    pub(super) fn dismiss_idle(&mut self) {
        self.idle.clear();
    }

    /// `connection` is gone. Returns what it had in hand.
    pub(super) fn end(
        &mut self,
        connection: ConnectionId,
        destination: &Destination,
    ) -> LeftInHand {
        if let Some(idle) = self.idle.get_mut(destination) {
            idle.retain(|(other, _)| *other != connection);
            if idle.is_empty() {
                self.idle.remove(destination);
            }
        }
        self.recalls.ended(connection, destination);
        let entries = self.connections.remove(&connection).unwrap_or_default().entries;
        let first = entries.first().map(|(_, turn)| *turn);
        let (tried, untried): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|(_, turn)| Some(*turn) == first);
        let keys = |of: Vec<(Key, u32)>| of.into_iter().map(|(entry, _)| entry).collect();
        LeftInHand { tried: keys(tried), untried: keys(untried) }
    }

    /// The connection that has this entry in hand, and whether it delivers another one first.
    pub(super) fn holder(&self, entry: Key) -> Option<(ConnectionId, bool)> {
        self.connections.iter().find_map(|(connection, hand)| {
            let turn = |in_hand: &&(Key, u32)| in_hand.0 == entry;
            let turn = hand.entries.iter().find(turn)?.1;
            let first = hand.entries.first().map(|(_, turn)| *turn);
            Some((*connection, first != Some(turn)))
        })
    }

    /// `destination` is to give back one connection: an idle one ends at once.
    pub(super) fn recall(&mut self, destination: &Destination) {
        self.recalls.add(destination.clone());
        let Some(idle) = self.idle.get_mut(destination) else { return };
        let recalls = &mut self.recalls;
        idle.retain(|(connection, _)| !recalls.dismiss(*connection, destination));
    }

    /// Whether `connection`, which has nothing in hand, is to end now.
    pub(super) fn dismiss(&mut self, connection: ConnectionId, destination: &Destination) -> bool {
        self.recalls.dismiss(connection, destination)
    }

    /// From now on the idle connections of these channels end.
    pub(super) fn contend(&mut self, channels: HashSet<ChannelId>) {
        self.idle.retain(|destination, _| !channels.contains(&destination.channel));
        self.contended = channels;
    }

    /// Whether others wait for the place of an idle connection of `channel`.
    pub(super) fn is_contended(&self, channel: ChannelId) -> bool {
        self.contended.contains(&channel)
    }

    /// `destination` could not be talked to.
    pub(super) fn trouble(&mut self, destination: &Destination) {
        self.troubled.insert(destination.clone());
    }

    /// `destination` took something. Returns whether it was in trouble before.
    pub(super) fn recover(&mut self, destination: &Destination) -> bool {
        self.troubled.remove(destination)
    }

    /// Of hosts that nothing waits for any more there is nothing to remember.
    pub(super) fn forget_gone(&mut self, tracker: &Tracker) {
        if self.troubled.len() > MANY_TROUBLED {
            self.troubled.retain(|destination| tracker.knows(destination));
        }
    }
}

/// Destinations in trouble that are not worth looking through.
const MANY_TROUBLED: usize = 10_000;

#[cfg(test)]
mod tests {
    use relais_channels::mail::MessageId;

    use super::*;

    fn to(host: &str) -> Destination {
        Destination { channel: ChannelId(0), host: host.into() }
    }

    #[test]
    fn a_connection_has_what_it_was_given_until_it_gives_it_back_or_ends() {
        let [one, two, three, four] = [1, 2, 3, 4].map(|id| (MessageId(id), 0));
        let (connection, a) = (ConnectionId(7), to("a"));
        let mut hand_out = HandOut::default();
        hand_out.give(connection, [one, two].into_iter());
        hand_out.give(connection, [three, four].into_iter());
        for (entry, ahead) in [(one, false), (two, false), (three, true), (four, true)] {
            assert_eq!(hand_out.holder(entry), Some((connection, ahead)), "{entry:?}");
        }
        let told = [one, two].map(|entry| hand_out.take_back(connection, entry));
        assert_eq!(told, [true, true], "the first and the second");
        assert!(!hand_out.take_back(connection, two), "the third is not worth telling");
        assert_eq!(hand_out.holder(one), None);
        hand_out.give(connection, [one].into_iter());
        let left = LeftInHand { tried: vec![three, four], untried: vec![one] };
        assert_eq!(hand_out.end(connection, &a), left);
        assert_eq!(hand_out.end(connection, &a), LeftInHand::default());
    }

    #[test]
    fn the_last_to_become_idle_is_the_first_to_be_fed() {
        let a = to("a");
        let mut hand_out = HandOut::default();
        let mut replies = Vec::new();
        for connection in 0..4 {
            let (reply, next) = oneshot::channel();
            hand_out.wait(ConnectionId(connection), a.clone(), reply);
            replies.push(next);
        }
        drop(replies.pop());
        let fed = hand_out.take_idle(&a).map(|(connection, _)| connection);
        assert_eq!(fed, Some(ConnectionId(2)), "the last one has given up waiting");
        hand_out.recall(&a);
        assert!(replies[0].try_recv().is_err_and(|e| e == oneshot::error::TryRecvError::Closed));
        assert!(!hand_out.dismiss(ConnectionId(1), &a), "one is enough");
        hand_out.contend([ChannelId(0)].into());
        assert!(hand_out.take_idle(&a).is_none() && hand_out.is_contended(ChannelId(0)));
    }
}
