//! How many attempts have failed lately, and who is let in all the same: decided here, carried out
//! by the authenticator.
//!
//! What is remembered is bounded: of more clients or users than that, some begin anew.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use quick_cache::unsync::Cache;
use relais_config::{Authentication, grammar::Network};

use crate::front::seats::host;

/// Failures by client and by user.
pub(super) struct Failures {
    clients: Cache<Network, Count>,
    users: Cache<String, Count>,
    /// Users, and where they were let in from.
    known: Cache<(String, Network), ()>,
}

/// How many are too many.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    client: usize,
    user: usize,
    window: Duration,
}

#[derive(Clone, Copy)]
struct Count {
    failures: usize,
    since: Instant,
}

impl Limits {
    pub(super) fn of(settings: &Authentication) -> Self {
        Self {
            client: settings.max_failures,
            user: settings.max_user_failures,
            window: settings.failure_window,
        }
    }
}

impl Default for Failures {
    fn default() -> Self {
        Self {
            clients: Cache::new(REMEMBERED),
            users: Cache::new(REMEMBERED),
            known: Cache::new(REMEMBERED),
        }
    }
}

impl Failures {
    /// Whether this client may try to be this user at all.
    pub(super) fn admit(
        &self,
        client: Option<IpAddr>,
        user: &str,
        limits: &Limits,
        now: Instant,
    ) -> bool {
        let recent = |count: Option<&Count>| count.map_or(0, |count| count.at(now, limits));
        let client = client.map(host);
        if client.is_some_and(|client| recent(self.clients.get(&client)) >= limits.client) {
            return false;
        }
        let user = user.to_ascii_lowercase();
        let is_known = |client| self.known.peek(&(user.clone(), client)).is_some();
        recent(self.users.get(&user)) < limits.user || client.is_none_or(is_known)
    }

    /// An attempt failed, of a user if it came to naming one; how many failures of the client that makes.
    pub(super) fn note(
        &mut self,
        client: Option<IpAddr>,
        user: &str,
        limits: &Limits,
        now: Instant,
    ) -> usize {
        let one_more = |count: Option<&Count>| {
            let recent = count.filter(|count| count.at(now, limits) > 0);
            let since = recent.map_or(now, |count| count.since);
            Count { failures: recent.map_or(0, |count| count.failures) + 1, since }
        };
        if !user.is_empty() {
            let user = user.to_ascii_lowercase();
            let count = one_more(self.users.get(&user));
            self.users.insert(user, count);
        }
        let Some(client) = client.map(host) else { return 1 };
        let count = one_more(self.clients.get(&client));
        self.clients.insert(client, count);
        count.failures
    }

    /// The user was let in from there.
    pub(super) fn forgive(&mut self, client: Option<IpAddr>, user: &str) {
        if let Some(client) = client.map(host) {
            self.known.insert((user.to_ascii_lowercase(), client), ());
        }
    }
}

impl Count {
    fn at(&self, now: Instant, limits: &Limits) -> usize {
        if now.duration_since(self.since) < limits.window { self.failures } else { 0 }
    }
}

/// Clients, users, and pairs of them.
const REMEMBERED: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// With the limits of a client and of a user.
    struct Tried(Failures, Limits);

    fn failures(client: usize, user: usize) -> Tried {
        let window = Duration::from_secs(600);
        Tried(Failures::default(), Limits { client, user, window })
    }

    impl Tried {
        fn admit(&self, client: Option<IpAddr>, user: &str, now: Instant) -> bool {
            self.0.admit(client, user, &self.1, now)
        }

        fn note(&mut self, client: Option<IpAddr>, user: &str, now: Instant) -> usize {
            self.0.note(client, user, &self.1, now)
        }
    }

    fn ip(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    #[test]
    fn a_client_with_too_many_failures_waits_for_the_end_of_the_window() {
        let (mut failures, now) = (failures(3, 100), Instant::now());
        for n in 1..=3 {
            assert!(failures.admit(ip("192.0.2.1"), "alice", now), "{n}");
            assert_eq!(failures.note(ip("192.0.2.1"), &format!("user{n}"), now), n);
        }
        assert!(!failures.admit(ip("192.0.2.1"), "alice", now));
        assert!(!failures.admit(ip("::ffff:192.0.2.1"), "alice", now));
        assert!(failures.admit(ip("192.0.2.2"), "alice", now));
        assert!(failures.admit(None, "alice", now), "a socket of this machine");
        let later = now + Duration::from_secs(600);
        assert!(failures.admit(ip("192.0.2.1"), "alice", later));
        assert_eq!(failures.note(ip("192.0.2.1"), "alice", later), 1, "a new window");
    }

    #[test]
    fn a_client_is_all_of_its_ipv6_network() {
        let (mut failures, now) = (failures(2, 100), Instant::now());
        failures.note(ip("2001:db8:1:2::1"), "alice", now);
        failures.note(ip("2001:db8:1:2:ffff::"), "alice", now);
        assert!(!failures.admit(ip("2001:db8:1:2::77"), "bob", now));
        assert!(failures.admit(ip("2001:db8:1:3::1"), "bob", now));
    }

    #[test]
    fn a_user_under_attack_is_let_in_from_where_it_was_before() {
        let (mut failures, now) = (failures(100, 2), Instant::now());
        failures.0.forgive(ip("192.0.2.1"), "Alice");
        for n in 1..=2 {
            failures.note(ip(&format!("198.51.100.{n}")), "alice", now);
        }
        assert!(failures.admit(ip("192.0.2.1"), "alice", now));
        assert!(!failures.admit(ip("192.0.2.2"), "ALICE", now));
        assert!(failures.admit(ip("192.0.2.2"), "bob", now));
        for n in 1..=3 {
            failures.note(ip(&format!("198.51.100.{n}")), "", now);
        }
        assert!(failures.admit(ip("192.0.2.2"), "", now), "nobody was named");
    }
}
