//! Destinations of a channel in the order of how many connections they have. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::ids::Destination;

/// Destinations by their connections: fewest first, and among equals the one that came first. Every
/// step costs the logarithm of how many there are.
#[derive(Debug, Default)]
pub(super) struct Ranks {
    order: BTreeMap<Rank, Destination>,
    of: HashMap<Destination, Rank>,
    next: u64,
}

/// Connections, and the turn.
type Rank = (usize, u64);

impl Ranks {
    /// It has this many connections now. It keeps its turn unless their number changed.
    pub(super) fn set(&mut self, destination: &Destination, connections: usize) {
        match self.of.get(destination) {
            Some((before, _)) if *before == connections => return,
            Some(rank) => drop(self.order.remove(rank)),
            None => {}
        }
        let rank = (connections, self.next);
        self.next += 1;
        self.order.insert(rank, destination.clone());
        self.of.insert(destination.clone(), rank);
    }

    /// Takes it out.
    pub(super) fn remove(&mut self, destination: &Destination) {
        if let Some(rank) = self.of.remove(destination) {
            self.order.remove(&rank);
        }
    }

    /// Whether it is in here.
    pub(super) fn contains(&self, destination: &Destination) -> bool {
        self.of.contains_key(destination)
    }

    /// Whether nobody is.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The first of those with fewest connections, and how many it has.
    pub(super) fn poorest(&self) -> Option<(&Destination, usize)> {
        self.order
            .first_key_value()
            .map(|((connections, _), destination)| (destination, *connections))
    }

    /// The last of those with most connections, and how many it has.
    pub(super) fn richest(&self) -> Option<(&Destination, usize)> {
        self.order
            .last_key_value()
            .map(|((connections, _), destination)| (destination, *connections))
    }

    /// Destinations without any connection.
    pub(super) fn newcomers(&self) -> impl Iterator<Item = &Destination> {
        self.order.range(..(1, 0)).map(|(_, destination)| destination)
    }

    /// The first of those with fewest connections of those that have some, and how many it has.
    pub(super) fn poorest_served(&self) -> Option<(&Destination, usize)> {
        let first = self.order.range((1, 0)..).next();
        first.map(|((connections, _), destination)| (destination, *connections))
    }

    /// How many come before it. For a question now and then: it counts.
    pub(super) fn before(&self, destination: &Destination) -> Option<usize> {
        Some(self.order.range(..self.of.get(destination)?).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[test]
    fn fewest_first_and_equals_in_turn() {
        let to = |host: &str| Destination { channel: ChannelId(0), host: host.into() };
        let mut ranks = Ranks::default();
        for (host, connections) in [("x", 3), ("a", 0), ("y", 1), ("b", 0), ("z", 3)] {
            ranks.set(&to(host), connections);
        }
        ranks.set(&to("a"), 0);
        assert_eq!(ranks.poorest(), Some((&to("a"), 0)), "saying it again costs no turn");
        assert_eq!(ranks.richest(), Some((&to("z"), 3)));
        assert_eq!(ranks.newcomers().count(), 2);
        assert_eq!(ranks.before(&to("y")), Some(2));
        ranks.set(&to("a"), 1);
        assert_eq!(ranks.poorest(), Some((&to("b"), 0)));
        ranks.remove(&to("b"));
        assert_eq!(ranks.poorest(), Some((&to("y"), 1)), "it had one before a");
        assert!(!ranks.contains(&to("b")) && ranks.before(&to("b")).is_none());
        for host in ["a", "x", "y", "z"] {
            ranks.remove(&to(host));
        }
        assert!(ranks.is_empty() && ranks.of.is_empty());
    }
}
