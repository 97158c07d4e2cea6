//! Limits of destinations in the schedule: of operators, of the configuration, and those that couriers
//! meet; and hosts that operators have suspended.

use std::net::IpAddr;

use relais_config::destinations::Scope;
use tokio::time::Instant;

use super::Schedule;
use crate::{
    ids::Destination,
    job_controller::{
        host_orders::{HostSuspension, HostsMeant, TooManyOrders},
        rests::DestinationRest,
    },
    queue::LimitReached,
};

/// As many hosts have a limit of their own as may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooMany;

/// The limit that keeps a destination from more connections when its channel has some free.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ConnectionBound {
    /// An operator, or the configuration, lets it have so many.
    Limit(usize),
    /// A store of ours under stress gets so many for now.
    Relief(usize),
    /// It answers slowly, and gets so many.
    Slow(usize),
    /// It has shown to bear so many.
    Window(usize),
    /// A connection for each `threaddepth` entries that wait.
    Depth,
}

impl Schedule {
    /// Limits that operators gave single destinations.
    pub fn host_limits(&self) -> impl Iterator<Item = (&Destination, usize)> {
        self.host_limits.iter().map(|(destination, limit)| (destination, *limit))
    }

    /// Sets how many connections a destination may have, or lets it have what it deserves again;
    /// returns what was set before. What is too much is asked back. `Err` when so many others have
    /// a limit that there is no room for one more.
    pub fn host_limit(
        &mut self,
        destination: &Destination,
        limit: Option<usize>,
        now: Instant,
    ) -> Result<Option<usize>, TooMany> {
        let Some(limit) = limit else {
            let old = self.host_limits.remove(destination);
            self.serve(destination, now);
            if let Some(bare) = without_brackets(destination) {
                self.serve(&bare, now);
            }
            return Ok(old);
        };
        if self.host_limits.len() >= MAX_HOST_LIMITS && !self.host_limits.contains_key(destination)
        {
            return Err(TooMany);
        }
        let old = self.host_limits.insert(destination.clone(), limit);
        let spellings = [Some(destination.clone()), without_brackets(destination)];
        for destination in spellings.iter().flatten() {
            let has =
                self.sites.get(destination).map_or(0, |site| site.connections - site.recalled);
            for _ in limit..has {
                self.ask_back(destination);
            }
            self.serve(destination, now);
        }
        Ok(old)
    }

    /// The limit that an operator gave this destination. An address is in brackets there; a route
    /// may name it without.
    pub fn limit_of(&self, destination: &Destination) -> Option<usize> {
        if self.host_limits.is_empty() {
            return None;
        }
        let found = self.host_limits.get(destination).copied();
        found.or_else(|| {
            destination.host.parse::<IpAddr>().ok()?;
            let host = format!("[{}]", destination.host).into();
            self.host_limits.get(&Destination { channel: destination.channel, host }).copied()
        })
    }

    /// Connections that the configuration lets this destination have. Where several hosts are counted
    /// together, couriers ask for them instead.
    pub fn configured_limit(&self, destination: &Destination) -> Option<usize> {
        let configured = self.configured.get(usize::from(destination.channel.0))?;
        let counts_here = configured.scope == Scope::Domain;
        counts_here.then(|| configured.connections_to(&destination.host))?
    }

    /// The limit that keeps a destination from more connections than it has.
    pub(in crate::job_controller) fn bound(&self, destination: &Destination) -> ConnectionBound {
        let connections = self.connections(destination);
        let reaches = |most: Option<usize>| most.filter(|most| connections >= *most);
        if let Some(most) = reaches(self.most_connections(destination)) {
            return ConnectionBound::Limit(most);
        }
        if let Some(most) = reaches(self.reliefs.of(destination).map(|its| its.limit)) {
            return ConnectionBound::Relief(most);
        }
        let site = self.sites.get(destination);
        if site.is_some_and(|site| site.slow) {
            return ConnectionBound::Slow(self.slow_share(destination.channel));
        }
        match site.map_or(0, |site| site.window.size()) {
            window if connections >= window => ConnectionBound::Window(window),
            _ => ConnectionBound::Depth,
        }
    }

    /// The bound on its connections: an operator's stands above that of the configuration.
    pub(super) fn most_connections(&self, destination: &Destination) -> Option<usize> {
        self.limit_of(destination).or_else(|| self.configured_limit(destination))
    }

    /// A courier was denied more: the destination gets no other one before that time, and one less
    /// from then on until it has shown that it has use for more.
    pub fn throttled(&mut self, destination: &Destination, denied: LimitReached, now: Instant) {
        if let Some(site) = self.sites.get_mut(destination) {
            site.window.troubled(site.connections);
        }
        self.rests.begin(destination, denied, now);
        self.leave_line(destination);
    }

    /// There may be more for a destination that rests.
    pub fn freed(&mut self, destination: &Destination, now: Instant) {
        if self.rests.end(destination).is_some() {
            self.serve(destination, now);
        }
    }

    /// The limit for which a destination rests, until its time.
    pub fn rest_of(&self, destination: &Destination) -> Option<&DestinationRest> {
        self.rests.of(destination)
    }

    /// All that rest.
    pub fn rests(&self) -> impl Iterator<Item = (&Destination, &DestinationRest)> {
        self.rests.iter()
    }

    pub(super) fn wake_rested(&mut self, now: Instant) {
        for destination in self.rests.wake(now) {
            self.serve(&destination, now);
        }
    }

    /// Whether a destination gets no connection, whatever is free.
    pub(super) fn is_kept_back(&self, destination: &Destination, now: Instant) -> bool {
        self.host_orders.of(destination).is_some()
            || self.rests.of(destination).is_some_and(|rest| rest.denied.until > now)
    }

    /// An operator suspends hosts: what they have is asked back. Returns the order in whose place this
    /// one is, and the destinations that it is about now.
    pub(in crate::job_controller) fn suspend(
        &mut self,
        which: HostsMeant,
        order: HostSuspension,
    ) -> Result<(Option<HostSuspension>, Vec<Destination>), TooManyOrders> {
        let before = self.host_orders.suspend(which, order)?;
        let suspended: Vec<Destination> =
            self.sites.keys().filter(|its| self.host_orders.of(its).is_some()).cloned().collect();
        for destination in &suspended {
            let site = &self.sites[destination];
            for _ in site.recalled..site.connections {
                self.ask_back(destination);
            }
            self.leave_line(destination);
        }
        Ok((before, suspended))
    }

    /// An operator lets hosts go on. Returns the order that is over.
    pub(in crate::job_controller) fn resume(
        &mut self,
        which: &HostsMeant,
        now: Instant,
    ) -> Option<HostSuspension> {
        let order = self.host_orders.resume(which)?;
        self.serve_all(now);
        Some(order)
    }

    /// Orders whose time is over; their hosts go on.
    pub(in crate::job_controller) fn end_orders(
        &mut self,
        now: Instant,
    ) -> Vec<(HostsMeant, HostSuspension)> {
        let ended = self.host_orders.end(now);
        if !ended.is_empty() {
            self.serve_all(now);
        }
        ended
    }

    /// The operator's order that keeps a destination back.
    pub(in crate::job_controller) fn order_of(
        &self,
        destination: &Destination,
    ) -> Option<(&HostsMeant, &HostSuspension)> {
        self.host_orders.of(destination)
    }

    /// All orders.
    pub(in crate::job_controller) fn host_orders(
        &self,
    ) -> impl Iterator<Item = (&HostsMeant, &HostSuspension)> {
        self.host_orders.iter()
    }

    /// Everybody gets what they deserve now.
    fn serve_all(&mut self, now: Instant) {
        let all: Vec<Destination> = self.sites.keys().cloned().collect();
        for destination in all {
            self.serve(&destination, now);
        }
    }
}

/// Hosts with a limit of their own: each is looked up whenever its host is served.
pub const MAX_HOST_LIMITS: usize = 1_000;

/// The same address as a route may also name it.
fn without_brackets(destination: &Destination) -> Option<Destination> {
    let bare = destination.host.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok()?;
    Some(Destination { channel: destination.channel, host: bare.into() })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use relais_config::{Channel, Destinations, channel::Program};

    use super::*;
    use crate::{
        ids::{ChannelId, ConnectionId},
        queue::Denial,
        timestamp::Timestamp,
    };

    fn to(host: &str) -> Destination {
        Destination { channel: ChannelId(0), host: host.into() }
    }

    fn schedule(destinations: Destinations) -> Schedule {
        let channel = Channel {
            threaddepth: 1.try_into().unwrap(),
            destinations,
            ..Channel::new("c", "c", Program::Smtp)
        };
        Schedule::new(&vec![channel].into(), &[("DEFAULT".to_owned(), 10)])
    }

    /// How many connections were started, and how many asked back.
    fn orders(schedule: &mut Schedule) -> (usize, usize) {
        let orders = schedule.take_orders();
        (orders.starts.len(), orders.recalled.len())
    }

    fn denied(until: Instant) -> LimitReached {
        LimitReached { counted: "a".into(), limit: Denial::Connections(1), until }
    }

    fn order(now: Instant) -> HostSuspension {
        let (since, time) = (Timestamp::now(), Duration::from_secs(60));
        HostSuspension {
            since,
            until: since.after(time),
            ends: now + time,
            reason: Arc::from("why"),
        }
    }

    #[tokio::test]
    async fn connections_are_bounded_as_configured_and_an_operator_stands_above() {
        let now = Instant::now();
        let limited =
            |scope| Destinations { scope, connections: Some(2), ..Destinations::default() };
        let mut its = schedule(limited(Scope::Domain));
        its.wanted(&to("a"), 50, now);
        assert_eq!(orders(&mut its), (2, 0));
        assert_eq!(its.configured_limit(&to("a")), Some(2));
        its.host_limit(&to("a"), Some(3), now).unwrap();
        assert_eq!(orders(&mut its), (1, 0));
        its.host_limit(&to("a"), None, now).unwrap();
        // Couriers count what several hosts share.
        let mut its = schedule(limited(Scope::Site));
        its.wanted(&to("a"), 50, now);
        assert_eq!((orders(&mut its), its.configured_limit(&to("a"))), ((5, 0), None));
    }

    #[tokio::test]
    async fn a_destination_that_was_denied_more_rests_and_then_gets_one_less() {
        let (mut now, mut its) = (Instant::now(), schedule(Destinations::default()));
        let second = Duration::from_secs(1);
        its.wanted(&to("a"), 50, now);
        assert_eq!(orders(&mut its), (5, 0));
        its.throttled(&to("a"), denied(now + second), now);
        its.ended(ConnectionId(4), 50, now);
        its.wanted(&to("a"), 60, now);
        its.probe(&to("a"), now);
        assert_eq!(orders(&mut its), (0, 0), "nobody breaks it");
        assert_eq!(its.binds(&to("a"), now), Some(crate::job_controller::Limited::KeptBack));
        its.tick(now + second);
        assert_eq!(orders(&mut its), (0, 0), "four are what it has use for");
        its.ended(ConnectionId(3), 50, now + second);
        assert_eq!(orders(&mut its), (1, 0));
        its.throttled(&to("a"), denied(now + 60 * second), now);
        for connection in [0, 1, 2, 5] {
            its.ended(ConnectionId(connection), 50, now);
        }
        assert_eq!(orders(&mut its), (0, 0));
        now += second;
        its.freed(&to("a"), now);
        assert!(orders(&mut its).0 > 0 && its.rest_of(&to("a")).is_none());
        its.freed(&to("a"), now);
        assert_eq!(orders(&mut its), (0, 0), "it does not rest");
    }

    #[tokio::test]
    async fn a_suspended_host_gives_back_what_it_has_and_gets_nothing_until_the_end() {
        let (now, mut its) = (Instant::now(), schedule(Destinations::default()));
        for host in ["a.test", "b.test"] {
            its.wanted(&to(host), 50, now);
        }
        assert_eq!(orders(&mut its), (10, 0));
        let which: HostsMeant = (None, "a.test".into());
        let (before, suspended) = its.suspend(which.clone(), order(now)).unwrap();
        assert_eq!((before, suspended), (None, vec![to("a.test")]));
        assert_eq!(orders(&mut its), (0, 5));
        for connection in 0..5 {
            its.ended(ConnectionId(connection), 50, now);
        }
        its.wanted(&to("a.test"), 99, now);
        its.probe(&to("a.test"), now);
        its.tick(now);
        assert_eq!(orders(&mut its).0, 0, "queue retry does not break it");
        assert!(its.order_of(&to("a.test")).is_some() && its.order_of(&to("b.test")).is_none());
        assert!(its.resume(&which, now).is_some() && its.resume(&which, now).is_none());
        assert_eq!(orders(&mut its).0, 5);
        its.suspend((Some(ChannelId(0)), ".test".into()), order(now)).unwrap();
        assert_eq!(orders(&mut its).1, 10);
        for connection in 5..15 {
            its.ended(ConnectionId(connection), 50, now);
        }
        assert!(its.end_orders(now + Duration::from_secs(59)).is_empty());
        assert_eq!(orders(&mut its).0, 0);
        assert_eq!(its.end_orders(now + Duration::from_secs(60)).len(), 1);
        assert_eq!(orders(&mut its).0, 10);
    }
}
