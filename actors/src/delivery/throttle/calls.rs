//! Addresses that are slow to greet, and the connections to them that have yet to be greeted: one slow
//! server behind a hundred domains must not have all connections of a channel. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::Duration,
};

use tokio::time::Instant;

use super::in_line::InLine;
use crate::ids::{ChannelId, Destination};

/// Calls under way, by the channel and the address that is called.
#[derive(Debug, Default)]
pub(super) struct Calls {
    of: HashMap<CalledAddress, Called>,
    /// With so many the ones at rest are looked for: not with each call, where few are at rest.
    full: usize,
    next: u64,
}

/// An address, as one channel calls it.
pub(super) type CalledAddress = (ChannelId, IpAddr);

#[derive(Debug, Default)]
struct Called {
    /// When each began.
    under_way: BTreeMap<u64, Instant>,
    /// It has kept a call waiting for long, and is thought to do so until then.
    slow_until: Option<Instant>,
    /// Hosts whose couriers may not call it now.
    waiting: InLine,
}

impl Called {
    fn is_slow(&self, now: Instant) -> bool {
        let oldest = self.under_way.first_key_value();
        oldest.is_some_and(|(_, began)| *began + PATIENCE <= now)
            || self.slow_until.is_some_and(|until| until > now)
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.under_way.is_empty() && self.waiting.is_empty() && !self.is_slow(now)
    }
}

impl Calls {
    /// A call begins; `None`: the address is slow, and has `most` already. Then `who` is told when it may
    /// have another one.
    pub(super) fn begin(
        &mut self,
        address: CalledAddress,
        most: usize,
        who: &Destination,
        now: Instant,
    ) -> Option<u64> {
        if self.of.len() >= self.full.max(MOST) && !self.of.contains_key(&address) {
            self.of.retain(|_, called| !called.is_idle(now));
            self.full = 2 * self.of.len();
        }
        let called = self.of.entry(address).or_default();
        if called.under_way.len() >= most.max(1) && called.is_slow(now) {
            called.waiting.join(who);
            return None;
        }
        called.waiting.leave(who);
        let number = self.next;
        self.next += 1;
        called.under_way.insert(number, now);
        Some(number)
    }

    /// A call is over, and its server `greeted` or not. Returns who may call now.
    pub(super) fn end(
        &mut self,
        address: CalledAddress,
        number: u64,
        greeted: bool,
        now: Instant,
    ) -> Vec<Destination> {
        let Some(called) = self.of.get_mut(&address) else { return Vec::new() };
        let began = called.under_way.remove(&number);
        let took = began.map_or(Duration::ZERO, |began| now.saturating_duration_since(began));
        if took >= PATIENCE {
            called.slow_until = Some(now + REMEMBERED);
        } else if greeted {
            called.slow_until = None;
        }
        let may = if called.is_slow(now) { 1 } else { usize::MAX };
        let next = called.waiting.first(may).collect();
        if called.is_idle(now) {
            self.of.remove(&address);
        }
        next
    }
}

/// A server that does not take messages for so long after it was called is slow.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is taken for slow for so long, unless it shows that it is not.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Addresses that are looked after before those at rest are forgotten.
const MOST: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    const AT: CalledAddress = (ChannelId(0), IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

    fn host(n: u32) -> Destination {
        Destination { channel: ChannelId(0), host: format!("h{n}").into() }
    }

    #[tokio::test]
    async fn a_slow_address_has_few_calls_and_a_fast_one_as_many_as_are_made() {
        let (mut calls, mut now) = (Calls::default(), Instant::now());
        let first: Vec<_> = (0..9).map(|n| calls.begin(AT, 2, &host(n), now).unwrap()).collect();
        now += PATIENCE;
        assert_eq!(calls.begin(AT, 2, &host(10), now), None);
        assert_eq!(calls.begin(AT, 2, &host(10), now), None);
        assert_eq!(calls.begin(AT, 2, &host(11), now), None);
        let other = (ChannelId(1), AT.1);
        assert!(calls.begin(other, 2, &host(1), now).is_some(), "of another channel");
        // Each end lets one host call, and the address is slow for a while.
        assert_eq!(calls.end(AT, first[0], false, now), [host(10)]);
        assert_eq!(calls.begin(AT, 2, &host(10), now), None, "there are others yet");
        for call in &first[1..9] {
            calls.end(AT, *call, false, now);
        }
        let again = [1, 2].map(|n| calls.begin(AT, 2, &host(n), now));
        assert!(again.iter().all(Option::is_some));
        assert_eq!(calls.begin(AT, 2, &host(3), now), None);
        assert_eq!(calls.begin(AT, 2, &host(4), now), None);
        // It greets at once: it was slow.
        assert_eq!(calls.end(AT, again[0].unwrap(), true, now), [host(3), host(4)]);
        assert!((5..50).all(|n| calls.begin(AT, 2, &host(n), now).is_some()));
    }

    #[tokio::test]
    async fn a_slow_address_is_forgotten_and_memory_is_bounded() {
        let (mut calls, now) = (Calls::default(), Instant::now());
        for n in 0..MOST as u32 {
            let address = (ChannelId(0), IpAddr::from(n.to_be_bytes()));
            let call = calls.begin(address, 1, &host(n), now).unwrap();
            calls.end(address, call, false, now + PATIENCE);
        }
        assert_eq!(calls.of.len(), MOST);
        calls.begin(AT, 1, &host(0), now + PATIENCE).expect("another one");
        assert_eq!((calls.of.len(), calls.full), (MOST + 1, 2 * MOST), "none was at rest");
        let end = calls.end(AT, calls.next - 1, true, now + PATIENCE);
        assert!(end.is_empty() && calls.of.len() == MOST);
        calls.full = 0;
        let later = now + PATIENCE + REMEMBERED;
        let call = calls.begin(AT, 1, &host(0), later).unwrap();
        assert_eq!(calls.of.len(), 1);
        assert!(calls.end(AT, call, false, later).is_empty() && calls.of.is_empty());
    }
}
