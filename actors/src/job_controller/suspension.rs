//! Destinations that could not be talked to: left alone, longer each time, and then probed. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use relais_channels::{backoff::Backoff, mail::Reply};
use tokio::time::Instant;

use crate::ids::Destination;

/// Every destination in trouble. Looking for those whose time has come costs nothing for the
/// others.
#[derive(Debug, Default)]
pub struct Suspensions {
    of: HashMap<Destination, Suspension>,
    /// When to look at which; one mark for each.
    marks: BTreeMap<(Instant, u64), Destination>,
    next_mark: u64,
}

/// One destination in trouble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Suspension {
    /// When it is probed.
    pub until: Instant,
    /// The last reply of the host, or ours in its place.
    pub reply: Reply,
    /// Times in a row that it could not be talked to.
    pub failures: u32,
    /// How long it is suspended the next time.
    pub backoff: Backoff,
    /// It kept its last connection waiting for long.
    pub slow: bool,
    /// Its turn has come: the next connection sees whether it is back.
    pub to_be_probed: bool,
    mark: (Instant, u64),
}

impl Suspension {
    /// A host that nobody writes to any more is not in trouble, it is gone.
    pub fn is_long_over(&self, now: Instant) -> bool {
        self.until + LONGEST <= now
    }
}

impl Suspensions {
    /// The trouble of `destination`, if it is in any.
    pub fn get(&self, destination: &Destination) -> Option<&Suspension> {
        self.of.get(destination)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Destination, &Suspension)> {
        self.of.iter()
    }

    /// It could not be talked to. Returns how long it is suspended, unless it is already.
    pub fn troubled(
        &mut self,
        destination: &Destination,
        (reply, slow): (Reply, bool),
        now: Instant,
    ) -> Option<Duration> {
        let before = self.of.get(destination);
        if before.is_some_and(|suspension| suspension.until > now) {
            return None;
        }
        let mut backoff = before.map_or(BACKOFF, |suspension| suspension.backoff);
        let failures = before.map_or(0, |suspension| suspension.failures).saturating_add(1);
        let wait = backoff.fail();
        if let Some(before) = self.of.remove(destination) {
            self.marks.remove(&before.mark);
        }
        let until = now + wait;
        let mark = self.mark(until, destination);
        let to_be_probed = false;
        let suspension = Suspension { until, reply, failures, backoff, slow, to_be_probed, mark };
        self.of.insert(destination.clone(), suspension);
        Some(wait)
    }

    /// It is to be probed without waiting any longer. What it did so far still counts.
    pub fn cut_short(&mut self, destination: &Destination, now: Instant) {
        let Some(suspension) = self.of.get_mut(destination) else { return };
        suspension.to_be_probed = true;
        if suspension.until <= now {
            return;
        }
        self.marks.remove(&suspension.mark);
        let mark = self.mark(now, destination);
        if let Some(suspension) = self.of.get_mut(destination) {
            (suspension.until, suspension.mark) = (now, mark);
        }
    }

    /// It answered, or is forgotten. Returns whether it had been in trouble.
    pub fn lift(&mut self, destination: &Destination) -> bool {
        let Some(suspension) = self.of.remove(destination) else { return false };
        self.marks.remove(&suspension.mark);
        true
    }

    /// Destinations whose turn to be probed has come, the first ones first; each is named again after
    /// the longest suspension. Of very many the others come with the next calls: probes of the dead must
    /// not take the time of the living. Called four times a second, it names each within the longest
    /// suspension.
    pub fn wake(&mut self, now: Instant) -> Vec<Destination> {
        self.wake_some(now, PROBES_AT_ONCE.max(self.of.len() / CALLS))
    }

    /// One of them is back: where many went away together, because the way to them was broken, they come
    /// back together, and each brings others.
    pub fn wake_more(&mut self, now: Instant) -> Vec<Destination> {
        self.wake_some(now, PROBES_FOR_ONE_BACK)
    }

    fn wake_some(&mut self, now: Instant, most: usize) -> Vec<Destination> {
        let mut woken = Vec::new();
        while woken.len() < most
            && let Some(first) = self.marks.first_entry()
            && first.key().0 <= now
        {
            woken.push(first.remove());
        }
        for destination in &woken {
            let mark = self.mark(now + LONGEST, destination);
            if let Some(suspension) = self.of.get_mut(destination) {
                (suspension.mark, suspension.to_be_probed) = (mark, true);
            }
        }
        woken
    }

    fn mark(&mut self, at: Instant, destination: &Destination) -> (Instant, u64) {
        let mark = (at, self.next_mark);
        self.next_mark += 1;
        self.marks.insert(mark, destination.clone());
        mark
    }
}

/// The first failure may be a restart: look again soon.
pub const FIRST: Duration = Duration::from_secs(1);
/// However long a host is dead, it is probed this often.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Destinations that are probed at a time, where there are not very many.
const PROBES_AT_ONCE: usize = 50;
/// Destinations that are probed because another one is back.
const PROBES_FOR_ONE_BACK: usize = 2;
/// How often one asks for them within the longest suspension.
const CALLS: usize = 4 * LONGEST.as_secs() as usize;
const BACKOFF: Backoff = Backoff::new(FIRST, LONGEST);

#[cfg(test)]
mod tests {
    use relais_channels::mail::Enhanced;

    use super::*;
    use crate::ids::ChannelId;

    #[tokio::test]
    async fn of_very_many_some_are_probed_at_a_time_and_all_within_the_longest_suspension() {
        for (count, at_once) in [(40, 40), (60, 50), (24_000, 100)] {
            let mut suspensions = Suspensions::default();
            let mut now = Instant::now();
            for n in 0..count {
                let dead = Destination { channel: ChannelId(0), host: format!("dead-{n}").into() };
                let down = Reply::new(451, Enhanced(4, 4, 1), "connection refused");
                suspensions.troubled(&dead, (down, false), now);
            }
            now += FIRST;
            assert_eq!(suspensions.wake(now).len(), at_once, "{count}");
            let mut woken = at_once;
            for _ in 1..CALLS {
                now += Duration::from_millis(250);
                woken += suspensions.wake(now).len();
            }
            assert_eq!(woken, count);
        }
    }

    #[tokio::test]
    async fn each_suspension_in_a_row_is_longer_up_to_a_limit() {
        let dead = Destination { channel: ChannelId(0), host: "dead".into() };
        let down = || Reply::new(451, Enhanced(4, 4, 1), "connection refused");
        let mut suspensions = Suspensions::default();
        let mut now = Instant::now();
        for secs in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = Duration::from_secs(secs);
            assert_eq!(suspensions.troubled(&dead, (down(), false), now), Some(wait));
            assert_eq!(suspensions.troubled(&dead, (down(), false), now), None, "one at a time");
            assert!(suspensions.wake(now).is_empty());
            now += wait;
            assert_eq!(suspensions.wake(now), std::slice::from_ref(&dead));
            assert!(suspensions.wake(now).is_empty(), "named once");
        }
        suspensions.cut_short(&dead, now);
        assert_eq!(suspensions.troubled(&dead, (down(), false), now), Some(LONGEST), "it was over");
        suspensions.cut_short(&dead, now);
        assert_eq!(suspensions.wake(now), std::slice::from_ref(&dead), "no need to wait");
        assert_eq!(
            suspensions.troubled(&dead, (down(), false), now),
            Some(LONGEST),
            "the row goes on"
        );
        assert!(suspensions.lift(&dead));
        assert!(!suspensions.lift(&dead));
        assert!(suspensions.marks.is_empty());
        assert_eq!(suspensions.troubled(&dead, (down(), false), now), Some(FIRST), "a new row");
    }
}
