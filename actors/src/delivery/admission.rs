//! A courier's dealings with the limits of its destination: the turn of each message, and where
//! several hosts are counted together, the place of its connection.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use relais_channels::{
    client::{Approach, Passage},
    mail::{Enhanced, Reply},
};
use relais_config::{
    Channel,
    destinations::{DestinationLimits, Scope},
    rate::Rate,
};

use tokio::time::Instant;

use super::throttle::{Call, ConnectionPlace, Throttles, Turn};
use crate::{
    channel_table::Channels,
    ids::{ChannelId, Destination},
    queue::{Denial, LimitReached},
};

/// The limits of one courier's destination.
pub(super) struct CourierLimits {
    throttles: Arc<Throttles>,
    channels: Arc<Channels>,
    destination: Destination,
    state: Mutex<CourierState>,
}

#[derive(Default)]
struct CourierState {
    /// The names that are counted. Of several hosts together they are known at the servers; while
    /// connections to some are tried, there may be several.
    entered: Vec<Entered>,
    /// Servers that are called now, and have yet to greet.
    calls: Vec<Call>,
    /// The limit that the last attempt to connect met.
    denied: Option<LimitReached>,
}

struct Entered {
    counted: Counted,
    place: Option<ConnectionPlace>,
    /// Turns that were taken and not used.
    turns: u32,
}

#[derive(Clone)]
struct Counted {
    key: Destination,
    /// As the configuration has them.
    limits: DestinationLimits,
}

/// Whether a courier may go on.
#[derive(Debug)]
pub(super) enum NextTurn {
    /// It may, after this time.
    After(Duration),
    /// Not now.
    Denied(LimitReached),
}

impl CourierLimits {
    pub(super) fn of(
        throttles: Arc<Throttles>,
        channels: Arc<Channels>,
        destination: &Destination,
    ) -> Self {
        let admission =
            Self { throttles, channels, destination: destination.clone(), state: Mutex::default() };
        if admission.scope() == Scope::Domain {
            let counted = admission.counted_by([&*destination.host]);
            admission.lock().entered.push(Entered { counted, place: None, turns: 0 });
        }
        admission
    }

    /// Asks for the turn of the next message. What is counted at servers that nobody has met yet is
    /// asked for there.
    pub(super) fn next_message(&self, patience: Duration) -> NextTurn {
        let mut state = self.lock();
        let Some(its) = self.concerning(&mut state) else {
            return NextTurn::After(Duration::ZERO);
        };
        let rate = self.rate_of(&its.counted);
        match self.throttles.take_turn(&its.counted.key, rate, patience) {
            Turn::After(wait) => {
                its.turns += 1;
                NextTurn::After(wait)
            }
            Turn::Denied(denied) => NextTurn::Denied(denied),
        }
    }

    /// A message was carried out by so many transactions, for one turn of those taken.
    pub(super) fn carried_out(&self, transactions: u32) {
        if transactions == 0 {
            return self.not_used();
        }
        let mut state = self.lock();
        let Some(its) = self.concerning(&mut state) else { return };
        let paid = its.turns.min(1);
        its.turns -= paid;
        for _ in paid..transactions {
            self.throttles.charge(&its.counted.key, self.rate_of(&its.counted));
        }
    }

    /// A turn that was taken is not used.
    pub(super) fn not_used(&self) {
        let mut state = self.lock();
        if let Some(its) = self.concerning(&mut state)
            && its.turns > 0
        {
            its.turns -= 1;
            self.throttles.give_back_turn(&its.counted.key, self.rate_of(&its.counted));
        }
    }

    /// An attempt to connect begins.
    pub(super) fn connecting(&self) {
        self.lock().denied = None;
    }

    /// A connection has come about to the server that is called so: places at others are free.
    pub(super) fn connected(&self, server: &str) {
        let mut state = self.lock();
        state.denied = None;
        state.calls.drain(..).for_each(Call::greeted);
        let is_it = |its: &Entered| *its.counted.key.host == *server;
        let last = state.entered.len().saturating_sub(1);
        let one = state.entered.iter().position(is_it).unwrap_or(last);
        if one < state.entered.len() {
            let kept = state.entered.swap_remove(one);
            self.leave(&mut state);
            state.entered.push(kept);
        }
    }

    /// No connection has come about.
    pub(super) fn not_connected(&self) {
        let mut state = self.lock();
        state.calls.clear();
        if self.scope() != Scope::Domain {
            self.leave(&mut state);
        }
    }

    /// A call of a server has come to nothing, or another one was faster.
    pub(super) fn is_over(&self, address: IpAddr) {
        self.lock().calls.retain(|call| call.address() != address);
    }

    /// Whether no two servers may be called at once: what is counted at servers counts there.
    pub(super) fn one_by_one(&self) -> bool {
        let destinations = &self.channel().destinations;
        self.scope() != Scope::Domain
            && self.throttles.concern(destinations)
            && self.lock().entered.iter().any(|its| self.most_connections(&its.counted).is_some())
    }

    fn most_connections(&self, counted: &Counted) -> Option<usize> {
        self.throttles.in_force(&counted.key, counted.limits.clone()).connections
    }

    /// Gives back all places, and the turns that are left.
    fn leave(&self, state: &mut CourierState) {
        for its in state.entered.drain(..) {
            for _ in 0..its.turns {
                self.throttles.give_back_turn(&its.counted.key, self.rate_of(&its.counted));
            }
        }
    }

    /// The last attempt to connect was given up: nobody had answered, and others waited for its place.
    pub(super) fn gave_way(&self) {
        let until = Instant::now() + GAVE_WAY;
        let (counted, limit) = (Arc::clone(&self.destination.host), Denial::GaveWay);
        self.lock().denied = Some(LimitReached { counted, limit, until });
    }

    /// The limit that kept the last attempt to connect from all servers that it could have had.
    pub(super) fn take_denied(&self) -> Option<LimitReached> {
        self.lock().denied.take()
    }

    /// Whether a limit kept the last attempt to connect from a server.
    pub(super) fn is_denied(&self) -> bool {
        self.lock().denied.is_some()
    }

    /// Whether others want the place of this connection, which has had its time.
    pub(super) fn gives_way(&self) -> bool {
        let state = self.lock();
        let had_its_time = |place: &&ConnectionPlace| place.since.elapsed() >= TURN;
        let place = state.place().filter(had_its_time);
        place.is_some_and(|its| its.is_wanted_beside(&self.destination))
    }

    /// Until others want the place of this connection, which is idle.
    pub(super) async fn is_wanted(&self) {
        let wanted = self.lock().place().map(|its| Arc::clone(&its.wanted));
        let Some(wanted) = wanted else { return std::future::pending().await };
        // From here on it hears of everybody who comes.
        let told = wanted.notified();
        let others = |its: &ConnectionPlace| its.is_wanted_beside(&self.destination);
        let is_wanted = self.lock().place().is_some_and(others);
        if !is_wanted {
            told.await;
        }
    }

    /// The name that replies of the destination count for.
    pub(super) fn counted(&self) -> Destination {
        let counted = self.lock().entered.last().map(|its| its.counted.key.clone());
        counted.unwrap_or_else(|| self.destination.clone())
    }

    /// A reply slows the destination down. Returns whether that is news.
    pub(super) fn slow_down(&self, down: (Rate, Duration), reply: &Reply) -> bool {
        self.throttles.slow_down(&self.counted(), down, reply)
    }

    /// A reply suspends the destination for so long. Returns whether that is news.
    pub(super) fn stop(&self, lasts: Duration, reply: &Reply) -> bool {
        self.throttles.stop(&self.counted(), lasts, reply)
    }

    /// The word about servers that stand in for each other.
    pub(super) fn meet(&self, servers: &mut dyn Iterator<Item = &str>) -> Passage {
        let mut names: Vec<&str> = servers.take(MOST_SERVERS).collect();
        let scope = self.scope();
        let is_one_socket = names.len() == 1 && names[0].starts_with('/');
        if scope == Scope::Site || scope == Scope::Host && is_one_socket {
            names.sort_unstable();
            names.dedup();
            return self.enter(&names, Passage::Refused);
        }
        Passage::Open
    }

    /// The word about one address of a server.
    pub(super) fn approach(&self, approach: &Approach<'_>) -> Passage {
        if self.scope() == Scope::Host {
            let literal = bracketed(approach.address);
            let name = if approach.host.is_empty() { literal.as_str() } else { approach.host };
            let entered = self.enter(&[name], Passage::Later);
            if entered != Passage::Open {
                return entered;
            }
        }
        self.call(approach.address)
    }

    /// Calls a server, unless it keeps many waiting that have called it before.
    fn call(&self, address: IpAddr) -> Passage {
        let mut state = self.lock();
        if state.calls.iter().any(|call| call.address() == address) {
            return Passage::Open;
        }
        let Channel { maxjobs, max_client_threads, .. } = self.channel();
        let most = (maxjobs.get() * max_client_threads.get()).div_ceil(SLOW_SHARE);
        if let Some(call) = self.throttles.call(address, most, &self.destination) {
            state.calls.push(call);
            return Passage::Open;
        }
        let (counted, until) = (bracketed(address).into(), Instant::now() + NOT_SOON);
        let denied = LimitReached { counted, limit: Denial::SlowAddress(most), until };
        state.denied.get_or_insert(denied);
        Passage::Later(SLOW)
    }

    /// Takes a place, and the turn of a message that has none yet, where servers of these names are
    /// counted.
    fn enter(&self, names: &[&str], denial: fn(Reply) -> Passage) -> Passage {
        if !self.throttles.concern(&self.channel().destinations) {
            return Passage::Open;
        }
        let mut state = self.lock();
        let counted = self.counted_by(names.iter().copied());
        if state.entered.iter().any(|its| its.counted.key == counted.key) {
            return Passage::Open;
        }
        let most = self.most_connections(&counted);
        let entered = self.throttles.take_place(&counted.key, most, &self.destination);
        let entered = entered.and_then(|place| {
            let patience = Duration::ZERO;
            match self.throttles.take_turn(&counted.key, self.rate_of(&counted), patience) {
                Turn::After(_) => Ok(place),
                Turn::Denied(denied) => Err(denied),
            }
        });
        match entered {
            Ok(place) => {
                state.entered.push(Entered { counted, place: Some(place), turns: 1 });
                Passage::Open
            }
            Err(denied) => {
                let sooner = |its: &LimitReached| its.until <= denied.until;
                if !state.denied.as_ref().is_some_and(sooner) {
                    state.denied = Some(denied);
                }
                denial(NOT_NOW)
            }
        }
    }

    /// The name that is counted, where anything is limited.
    fn concerning<'s>(&self, state: &'s mut CourierState) -> Option<&'s mut Entered> {
        let is_limited = self.throttles.concern(&self.channel().destinations);
        state.entered.first_mut().filter(|_| is_limited)
    }

    fn rate_of(&self, counted: &Counted) -> Option<Rate> {
        self.throttles.in_force(&counted.key, counted.limits.clone()).rate
    }

    fn counted_by<'n>(&self, names: impl IntoIterator<Item = &'n str> + Clone) -> Counted {
        let limits = self.channel().destinations.limits_of(names.clone());
        let names: Vec<&str> = names.into_iter().collect();
        let host = match names.as_slice() {
            // An address has one spelling here; a route may name it without brackets.
            [one] if one.parse::<IpAddr>().is_ok() => format!("[{one}]").into(),
            [one] if **one == *self.destination.host => Arc::clone(&self.destination.host),
            [one] => (*one).into(),
            several => several.join(",").into(),
        };
        Counted { key: Destination { channel: self.channel_id(), host }, limits }
    }

    fn scope(&self) -> Scope {
        self.channel().destinations.scope
    }

    fn channel(&self) -> &Channel {
        self.channels.channel(self.destination.channel)
    }

    fn channel_id(&self) -> ChannelId {
        self.destination.channel
    }

    fn lock(&self) -> MutexGuard<'_, CourierState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CourierState {
    fn place(&self) -> Option<&ConnectionPlace> {
        self.entered.first()?.place.as_ref()
    }
}

/// A courier that ends gives back what it has not used. Its place is free with it.
impl Drop for CourierLimits {
    fn drop(&mut self) {
        self.leave(&mut self.lock());
    }
}

fn bracketed(address: IpAddr) -> String {
    format!("[{address}]")
}

/// How long a courier may keep its place while others want it.
const TURN: Duration = Duration::from_secs(2);
/// A destination that gave way has no connection for so long.
const GAVE_WAY: Duration = Duration::from_secs(5);
/// While nobody tells that a slow server may be called, it is tried again after this time.
const NOT_SOON: Duration = Duration::from_secs(30);
/// A server that is slow to greet has one of so many connections of a channel at most, as a slow
/// destination does, until it greets.
const SLOW_SHARE: usize = 10;
/// Servers that make the name of a site.
const MOST_SERVERS: usize = 32;
const NOT_NOW: Reply =
    Reply::new(451, Enhanced(4, 4, 5), "the limits of the destination allow no more for now");
const SLOW: Reply = Reply::new(
    451,
    Enhanced(4, 4, 2),
    "the server keeps others waiting that have called it before",
);

#[cfg(test)]
mod tests {
    use relais_config::{Destinations, channel::Program};

    use super::*;

    fn admission(
        throttles: &Arc<Throttles>,
        destinations: &Destinations,
        host: &str,
    ) -> CourierLimits {
        let channel =
            Channel { destinations: destinations.clone(), ..Channel::new("c", "c", Program::Smtp) };
        let destination = Destination { channel: ChannelId(0), host: host.into() };
        CourierLimits::of(Arc::clone(throttles), Arc::new(vec![channel].into()), &destination)
    }

    fn limited(scope: Scope, connections: Option<usize>, rate: Option<&str>) -> Destinations {
        let rate = rate.map(|text| text.parse().expect("a rate"));
        Destinations { scope, connections, rate, ..Destinations::default() }
    }

    fn at(host: &str) -> Approach<'_> {
        Approach { index: 1, count: 1, address: IpAddr::from([192, 0, 2, 7]), host }
    }

    fn is_open(passage: &Passage) -> bool {
        *passage == Passage::Open
    }

    #[tokio::test(start_paused = true)]
    async fn servers_are_counted_together_whichever_hosts_they_are_for() {
        let throttles = Arc::new(Throttles::default());
        let limits = limited(Scope::Host, Some(1), None);
        let [a, b] = ["a", "b"].map(|host| admission(&throttles, &limits, host));
        assert!(is_open(&a.approach(&at("mx"))) && is_open(&a.approach(&at("mx"))), "kept");
        assert!(matches!(b.approach(&at("mx")), Passage::Later(_)));
        assert!(!a.gives_way(), "it has not had its time");
        tokio::time::advance(TURN).await;
        assert!(a.gives_way());
        a.is_wanted().await;
        let denied = b.take_denied().expect("there is no place");
        assert_eq!((&*denied.counted, denied.limit), ("mx", Denial::Connections(1)));
        assert!(is_open(&b.approach(&at("mx2"))) && is_open(&b.approach(&at(""))));
        assert_eq!(&*b.counted().host, "[192.0.2.7]");
        drop(a);
        assert!(is_open(&b.approach(&at("mx"))));
        b.connected("mx2");
        assert!(b.take_denied().is_none() && *b.counted().host == *"mx2");
        let c = admission(&throttles, &limits, "c");
        assert!(is_open(&c.approach(&at("mx"))), "given back");
        assert!(matches!(c.approach(&at("mx2")), Passage::Later(_)));
        b.not_connected();
        assert!(is_open(&c.approach(&at("mx2"))));
    }

    #[tokio::test(start_paused = true)]
    async fn hosts_of_the_same_servers_are_one_site() {
        let throttles = Arc::new(Throttles::default());
        let limits = limited(Scope::Site, Some(1), Some("1/10s"));
        let [a, b, c] = ["a", "b", "c"].map(|host| admission(&throttles, &limits, host));
        let meet = |its: &CourierLimits, servers: &[&str]| its.meet(&mut servers.iter().copied());
        assert!(is_open(&meet(&a, &["mx1", "mx2"])) && is_open(&a.approach(&at("mx1"))));
        assert!(matches!(meet(&b, &["mx2", "mx1"]), Passage::Refused(_)));
        assert_eq!(&*b.take_denied().expect("a limit").counted, "mx1,mx2");
        assert!(is_open(&meet(&c, &["mx1"])), "another site");
        // The turn of the first message came with the place.
        a.carried_out(1);
        assert!(matches!(a.next_message(Duration::ZERO), NextTurn::Denied(_)));
        drop(a);
        let refused = meet(&b, &["mx1", "mx2"]);
        assert!(matches!(refused, Passage::Refused(_)), "there is a place, and no turn");
        assert!(matches!(b.take_denied().expect("a limit").limit, Denial::Rate(_)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(is_open(&meet(&b, &["mx1", "mx2"])));
    }

    #[tokio::test(start_paused = true)]
    async fn each_transaction_costs_a_turn_and_none_costs_nothing() {
        let throttles = Arc::new(Throttles::default());
        let limits = limited(Scope::Domain, None, Some("1/10s"));
        let one = admission(&throttles, &limits, "a");
        let wait = |its: &CourierLimits| match its.next_message(Duration::from_secs(100)) {
            NextTurn::After(wait) => wait.as_secs(),
            NextTurn::Denied(denied) => panic!("{denied:?}"),
        };
        assert_eq!(wait(&one), 0);
        one.carried_out(0);
        assert_eq!(wait(&one), 0, "nothing went");
        one.carried_out(3);
        assert_eq!(wait(&one), 30);
        drop(one);
        let other = admission(&throttles, &limits, "a");
        assert_eq!(wait(&other), 30, "the turn was given back");
        assert!(is_open(&other.approach(&at("mx"))), "connections are the job controller's");
        let free = admission(&throttles, &Destinations::default(), "a");
        assert_eq!((wait(&free), wait(&free)), (0, 0));
    }
}
