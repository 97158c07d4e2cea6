//! Destinations whose limits allow no more for now, each until a time. Pure.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use crate::{ids::Destination, queue::LimitReached, timestamp::Timestamp};

/// All of them. Looking for those whose time has come costs nothing for the others.
#[derive(Debug, Default)]
pub(super) struct Rests {
    of: HashMap<Destination, DestinationRest>,
    /// When to look at which; one mark for each.
    marks: BTreeMap<(Instant, u64), Destination>,
    next_mark: u64,
}

/// One of them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationRest {
    /// The limit, and until when.
    pub denied: LimitReached,
    /// When that was said.
    pub since: Timestamp,
    mark: (Instant, u64),
}

impl Rests {
    /// A courier of this destination was denied more. Of two at once the last word counts.
    pub(super) fn begin(&mut self, destination: &Destination, denied: LimitReached, now: Instant) {
        let before = self.end(destination);
        let since = before.filter(|its| its.denied.until >= now).map(|its| its.since);
        let since = since.unwrap_or_else(Timestamp::now);
        let mark = (denied.until, self.next_mark);
        self.next_mark += 1;
        self.marks.insert(mark, destination.clone());
        self.of.insert(destination.clone(), DestinationRest { denied, since, mark });
    }

    /// It may be tried again.
    pub(super) fn end(&mut self, destination: &Destination) -> Option<DestinationRest> {
        let rest = self.of.remove(destination)?;
        self.marks.remove(&rest.mark);
        Some(rest)
    }

    /// Destinations whose time has come: they rest no longer.
    pub(super) fn wake(&mut self, now: Instant) -> Vec<Destination> {
        let later = self.marks.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.marks, later);
        let woken: Vec<_> = due.into_values().collect();
        for destination in &woken {
            self.of.remove(destination);
        }
        woken
    }

    /// The limit of this one, if it rests.
    pub(super) fn of(&self, destination: &Destination) -> Option<&DestinationRest> {
        if self.of.is_empty() { None } else { self.of.get(destination) }
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Destination, &DestinationRest)> {
        self.of.iter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ids::ChannelId, queue::Denial};

    #[test]
    fn each_rests_until_its_last_time_or_until_it_is_woken() {
        let to = |host: &str| Destination { channel: ChannelId(0), host: host.into() };
        let (now, mut rests) = (Instant::now(), Rests::default());
        let second = |n: u64| now + Duration::from_secs(n);
        let denied = |until: u64| LimitReached {
            counted: "mx".into(),
            limit: Denial::Connections(1),
            until: second(until),
        };
        for (host, until) in [("a", 5), ("b", 3), ("c", 3), ("a", 4)] {
            rests.begin(&to(host), denied(until), now);
        }
        assert_eq!(rests.iter().count(), 3);
        assert!(rests.wake(second(2)).is_empty());
        assert!(rests.end(&to("c")).is_some() && rests.end(&to("c")).is_none());
        assert_eq!(rests.wake(second(3)), [to("b")]);
        assert_eq!(rests.of(&to("a")).map(|rest| rest.denied.until), Some(second(4)));
        assert_eq!(rests.wake(second(9)), [to("a")], "once");
        assert!(rests.of(&to("a")).is_none() && rests.marks.is_empty());
    }
}
