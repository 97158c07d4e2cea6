//! Stores of ours that say they are slow: they get half of their connections for a minute, and half of
//! those while they go on saying so; then one step after the other back. Pure.

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::ids::Destination;

/// The stores that have fewer connections than they deserve.
#[derive(Debug, Default)]
pub(super) struct Reliefs(HashMap<Destination, Relief>);

/// The bound on the connections of one store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relief {
    /// Connections at once.
    pub limit: usize,
    /// When it gets more.
    pub until: Instant,
    /// Connections that it had before all this.
    before: usize,
    /// When it was last made smaller.
    halved: Instant,
}

impl Relief {
    fn begin(connections: usize, now: Instant) -> Self {
        let limit = half(connections);
        Self { limit, until: now + REST, before: connections, halved: now }
    }

    /// It said so once more. Whether it has fewer connections from now on.
    fn stressed(&mut self, now: Instant) -> bool {
        self.until = now + REST;
        // For a while its words are about the connections that it had before.
        let counts = now.duration_since(self.halved) >= PAUSE && self.limit > 1;
        if counts {
            (self.limit, self.halved) = (half(self.limit), now);
        }
        counts
    }

    /// Whether it has what it deserves again.
    fn climb(&mut self, now: Instant) -> bool {
        (self.limit, self.until) = (self.limit * 2, now + STEP);
        self.limit >= self.before
    }
}

impl Reliefs {
    /// A store with so many connections says that it is slow. The new bound, if there is one.
    pub(super) fn stressed(
        &mut self,
        destination: &Destination,
        connections: usize,
        now: Instant,
    ) -> Option<Relief> {
        if let Some(relief) = self.0.get_mut(destination) {
            return relief.stressed(now).then_some(*relief);
        }
        if self.0.len() >= MOST {
            return None;
        }
        let relief = Relief::begin(connections, now);
        self.0.insert(destination.clone(), relief);
        Some(relief)
    }

    /// The bound on the connections of this one.
    pub(super) fn of(&self, destination: &Destination) -> Option<Relief> {
        if self.0.is_empty() { None } else { self.0.get(destination).copied() }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Destination, &Relief)> {
        self.0.iter()
    }

    /// Stores whose bound has grown, or gone, because they were quiet for long enough.
    pub(super) fn climb(&mut self, now: Instant) -> Vec<(Destination, Option<Relief>)> {
        let mut climbed = Vec::new();
        self.0.retain(|destination, relief| {
            if relief.until > now {
                return true;
            }
            let is_over = relief.climb(now);
            climbed.push((destination.clone(), (!is_over).then_some(*relief)));
            !is_over
        });
        climbed
    }
}

fn half(connections: usize) -> usize {
    (connections / 2).max(1)
}

/// A store has fewer connections for so long after it last said that it is slow.
const REST: Duration = Duration::from_secs(60);
/// Then it gets twice as many, and again after so long.
const STEP: Duration = Duration::from_secs(10);
/// It is told by the commits of so long.
const PAUSE: Duration = Duration::from_secs(10);
/// Stores that are looked after at once.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[tokio::test]
    async fn connections_are_halved_down_to_one_and_climb_back_when_it_is_quiet() {
        // Connections when it begins; seconds at which it says that it is slow; and the bound at other
        // seconds, 0 for none.
        type Row = (&'static str, usize, &'static [u64], &'static [(u64, usize)]);
        let rows: [Row; 6] = [
            ("once", 8, &[0], &[(1, 4), (59, 4), (60, 0)]),
            ("an odd number", 9, &[0], &[(1, 4), (60, 8), (69, 8), (70, 0)]),
            ("what is under way", 8, &[0, 1, 9], &[(10, 4), (68, 4), (69, 0)]),
            ("again", 8, &[0, 10], &[(9, 4), (10, 2), (69, 2), (70, 4), (80, 0)]),
            (
                "down to one",
                8,
                &[0, 10, 20, 30, 40],
                &[(20, 1), (99, 1), (100, 2), (110, 4), (120, 0)],
            ),
            ("one connection stays", 1, &[0, 10], &[(0, 1), (69, 1), (70, 0)]),
        ];
        for (name, connections, said, wanted) in rows {
            let store = Destination { channel: ChannelId(0), host: "store".into() };
            let (began, mut reliefs) = (Instant::now(), Reliefs::default());
            for second in 0..=wanted.last().map_or(0, |(second, _)| *second) {
                let now = began + Duration::from_secs(second);
                reliefs.climb(now);
                if said.contains(&second) {
                    reliefs.stressed(&store, connections, now);
                }
                let limit = reliefs.of(&store).map_or(0, |relief| relief.limit);
                if let Some((_, want)) = wanted.iter().find(|(at, _)| *at == second) {
                    assert_eq!(limit, *want, "{name}, second {second}");
                }
            }
        }
    }

    #[tokio::test]
    async fn no_more_stores_are_looked_after_than_there_is_room_for() {
        let (now, mut reliefs) = (Instant::now(), Reliefs::default());
        let store = |n: usize| Destination { channel: ChannelId(0), host: n.to_string().into() };
        let begun = (0..2 * MOST).filter(|n| reliefs.stressed(&store(*n), 4, now).is_some());
        assert_eq!(begun.count(), MOST);
        assert_eq!(reliefs.climb(now + REST).len(), MOST);
        assert_eq!(reliefs.iter().count(), 0);
    }
}
