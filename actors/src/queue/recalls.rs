//! Connections that destinations are to give back, because others have fewer. Pure.

use std::collections::{HashMap, HashSet};

use crate::ids::{ConnectionId, Destination};

/// Connections that were asked back and have not ended. Any end of a connection counts, whatever
/// the reason: the job controller counts the same way.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    of: HashMap<Destination, Owed>,
}

#[derive(Debug, Default)]
struct Owed {
    connections: usize,
    /// The connections that were told.
    leaving: HashSet<ConnectionId>,
}

impl Recalls {
    /// `destination` is to give back one.
    pub(super) fn add(&mut self, destination: Destination) {
        self.of.entry(destination).or_default().connections += 1;
    }

    /// Lets `connection`, which has nothing in hand, end if it is to; whether it is.
    pub(super) fn dismiss(&mut self, connection: ConnectionId, destination: &Destination) -> bool {
        let Some(owed) = self.of.get_mut(destination) else { return false };
        if owed.leaving.len() < owed.connections {
            owed.leaving.insert(connection);
        }
        owed.leaving.contains(&connection)
    }

    /// `connection` is gone.
    pub(super) fn ended(&mut self, connection: ConnectionId, destination: &Destination) {
        let Some(owed) = self.of.get_mut(destination) else { return };
        owed.leaving.remove(&connection);
        debug_assert!(owed.connections > 0, "more connections ended than were asked back");
        owed.connections -= 1;
        if owed.connections == 0 {
            self.of.remove(destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[test]
    fn as_many_connections_end_as_were_asked_back() {
        let to = |host: &str| Destination { channel: ChannelId(0), host: host.into() };
        let (a, b) = (to("a"), to("b"));
        let mut recalls = Recalls::default();
        assert!(!recalls.dismiss(ConnectionId(1), &a), "nothing was asked back");
        recalls.add(a.clone());
        recalls.add(a.clone());
        assert!(!recalls.dismiss(ConnectionId(9), &b), "of another");
        assert!(recalls.dismiss(ConnectionId(1), &a));
        assert!(recalls.dismiss(ConnectionId(1), &a), "it asks again on its way out");
        recalls.ended(ConnectionId(2), &a);
        assert!(!recalls.dismiss(ConnectionId(3), &a), "one ended by itself: that will do");
        recalls.ended(ConnectionId(1), &a);
        assert!(!recalls.dismiss(ConnectionId(3), &a) && recalls.of.is_empty());
    }
}
