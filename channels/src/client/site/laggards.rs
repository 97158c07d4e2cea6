//! Addresses that did not answer lately.
//!
//! They are asked last for a while, so that a dead server of two costs no more than a look now and
//! then. The while doubles with each time in vain; when it is over, one connection goes and looks,
//! and the others of that moment do not wait with it.

use std::{
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quick_cache::unsync::Cache;
use tokio::time::Instant;

use super::Server;

/// The memory of one channel.
#[derive(Debug)]
pub(in crate::client) struct Laggards(Mutex<Cache<SocketAddr, Cooldown>>);

#[derive(Clone, Copy, Debug)]
struct Cooldown {
    until: Instant,
    in_vain: u32,
}

impl Default for Laggards {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(MOST)))
    }
}

impl Laggards {
    /// Nothing came of it there.
    pub(in crate::client) fn note(&self, address: SocketAddr) {
        self.note_at(address, Instant::now());
    }

    /// It answers.
    pub(in crate::client) fn forget(&self, address: SocketAddr) {
        self.lock().remove(&address);
    }

    /// Servers in their order, those that lag behind the others.
    pub(in crate::client) fn last(&self, servers: Vec<Server>) -> Vec<Server> {
        self.last_at(servers, Instant::now())
    }

    fn note_at(&self, address: SocketAddr, now: Instant) {
        let mut all = self.lock();
        let (until, in_vain) = all.get(&address).map_or((now, 0), |its| (its.until, its.in_vain));
        // Connections that began before the first of them failed count once.
        if in_vain == 0 || until <= now + LOOK {
            let while_ = FIRST.saturating_mul(1 << in_vain.min(10)).min(LONGEST);
            all.insert(address, Cooldown { until: now + while_, in_vain: in_vain + 1 });
        }
    }

    fn last_at(&self, mut servers: Vec<Server>, now: Instant) -> Vec<Server> {
        let mut all = self.lock();
        if all.is_empty() || servers.len() < 2 {
            return servers;
        }
        let mut lags = |server: &Server| match all.get_mut(&server.address) {
            Some(its) if its.until > now => true,
            Some(mut its) => {
                its.until = now + LOOK;
                false
            }
            None => false,
        };
        // The order of the others stays.
        servers.sort_by_cached_key(&mut lags);
        servers
    }

    fn lock(&self) -> MutexGuard<'_, Cache<SocketAddr, Cooldown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const FIRST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// One connection looks whether the server answers again; it knows by then.
const LOOK: Duration = Duration::from_secs(10);
/// Addresses that are remembered; of more those are forgotten that nobody asked for.
const MOST: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn server(n: u8) -> Server {
        let address = SocketAddr::from(([10, 0, 0, n], 25));
        Server { host: "h".into(), preference: 0, address, secure: false, canonical: None }
    }

    fn order(laggards: &Laggards, now: Instant) -> Vec<u8> {
        let servers = (1..=3).map(server).collect();
        let last = |its: &Server| match its.address {
            SocketAddr::V4(its) => its.ip().octets()[3],
            SocketAddr::V6(_) => 0,
        };
        laggards.last_at(servers, now).iter().map(last).collect()
    }

    #[test]
    fn who_does_not_answer_is_asked_last_for_a_while_that_doubles() {
        let (laggards, start) = (Laggards::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(order(&laggards, at(0)), [1, 2, 3]);
        for _ in 0..20 {
            // All connections of one moment come back at once.
            laggards.note_at(server(1).address, at(0));
        }
        assert_eq!(order(&laggards, at(29)), [2, 3, 1]);
        // One looks, and only one.
        assert_eq!(order(&laggards, at(30)), [1, 2, 3]);
        assert_eq!(order(&laggards, at(31)), [2, 3, 1]);
        laggards.note_at(server(1).address, at(33));
        assert_eq!(order(&laggards, at(33 + 59)), [2, 3, 1]);
        assert_eq!(order(&laggards, at(33 + 60)), [1, 2, 3]);
        laggards.note_at(server(2).address, at(94));
        assert_eq!(order(&laggards, at(95)), [3, 1, 2], "both lag, in their order");
        laggards.forget(server(1).address);
        assert_eq!(order(&laggards, at(96)), [1, 3, 2]);
    }

    #[test]
    fn the_while_ends_and_the_memory_has_an_end() {
        let (laggards, start) = (Laggards::default(), Instant::now());
        let mut now = start;
        for _ in 0..12 {
            laggards.note_at(server(1).address, now);
            now += LONGEST;
        }
        assert_eq!(order(&laggards, now - Duration::from_secs(1)), [2, 3, 1]);
        assert_eq!(order(&laggards, now), [1, 2, 3]);
        let many = |n: u32| SocketAddr::from((std::net::Ipv4Addr::from_bits(n), 25));
        for n in 0..MOST as u32 + 100 {
            laggards.note_at(many(n), now);
        }
        assert!(laggards.lock().len() <= MOST);
        laggards.note_at(server(2).address, now);
        assert_eq!(order(&laggards, now).last(), Some(&2), "the newest is known");
    }
}
