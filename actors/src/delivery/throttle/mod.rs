//! Limits of destinations that couriers ask about as they go: messages in a time, and where several
//! hosts are counted together, connections. Shared by all couriers and the job controller.
//!
//! Channels that limit nothing cost a look at one number.

mod calls;
mod in_line;
mod table;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::Message;
use relais_channels::mail::Reply;
use relais_config::{Destinations, destinations::DestinationLimits, rate::Rate};
use tokio::{sync::Notify, time::Instant};

pub(super) use self::table::Turn;
use self::{
    calls::{CalledAddress, Calls},
    table::Table,
};
use crate::{
    actor::Outlet,
    ids::Destination,
    queue::{Denial, LimitReached, SlowedDown, StoppedByReply},
};

/// The limits of destinations, and how each stands.
#[derive(Debug, Default)]
pub struct Throttles {
    state: Mutex<ThrottleState>,
    /// Limits that operators have set, and replies have led to, ever.
    orders: AtomicUsize,
}

#[derive(Debug, Default)]
struct ThrottleState {
    table: Table,
    calls: Calls,
    /// By operators, in place of what is configured.
    set: HashMap<Destination, SetLimits>,
    freed: Option<Outlet<PlaceFreed>>,
}

/// Limits that an operator has set for one destination.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SetLimits {
    /// Connections; of destinations that several hosts share.
    pub connections: Option<usize>,
    /// Messages in a time.
    pub rate: Option<Rate>,
}

/// A host that found no place at its server may find one now.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct PlaceFreed(pub Destination);

/// As many destinations have a limit of their own as may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TooManyLimits;

/// The place of a connection. It is free when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    throttles: Arc<Throttles>,
    pub(super) counted: Destination,
    pub(super) since: Instant,
    pub(super) wanted: Arc<Notify>,
}

/// A call of a server that has not greeted yet. It is over when this is dropped.
#[derive(Debug)]
pub(super) struct Call {
    throttles: Arc<Throttles>,
    called: CalledAddress,
    number: u64,
    greeted: bool,
}

impl Throttles {
    /// From now on whoever waited for a place is named to this outlet.
    pub fn subscribe(&self, freed: Outlet<PlaceFreed>) {
        self.lock().freed = Some(freed);
    }

    /// Whether couriers of a channel with these settings have anything to ask.
    pub(super) fn concern(&self, channel: &Destinations) -> bool {
        self.orders.load(Relaxed) > 0 || !channel.says_nothing()
    }

    /// The limits in force for what is counted by this name: those of the channel, and in their place
    /// what an operator has set.
    pub(super) fn in_force(
        &self,
        counted: &Destination,
        configured: DestinationLimits,
    ) -> DestinationLimits {
        if self.orders.load(Relaxed) == 0 {
            return configured;
        }
        let set = self.lock().set.get(counted).copied().unwrap_or_default();
        DestinationLimits {
            connections: set.connections.or(configured.connections),
            rate: set.rate.or(configured.rate),
            ..configured
        }
    }

    pub(super) fn take_turn(
        &self,
        counted: &Destination,
        rate: Option<Rate>,
        patience: Duration,
    ) -> Turn {
        self.lock().table.take_turn(counted, rate, patience, Instant::now())
    }

    pub(super) fn charge(&self, counted: &Destination, rate: Option<Rate>) {
        self.lock().table.charge(counted, rate, Instant::now());
    }

    pub(super) fn give_back_turn(&self, counted: &Destination, rate: Option<Rate>) {
        self.lock().table.give_back_turn(counted, rate, Instant::now());
    }

    pub(super) fn take_place(
        self: &Arc<Self>,
        counted: &Destination,
        most: Option<usize>,
        who: &Destination,
    ) -> Result<ConnectionPlace, LimitReached> {
        let since = Instant::now();
        let wanted = self.lock().table.take_place(counted, most, who, since)?;
        Ok(ConnectionPlace { throttles: Arc::clone(self), counted: counted.clone(), since, wanted })
    }

    /// A courier is about to call a server at this address; `most` may call it while it is slow.
    pub(super) fn call(
        self: &Arc<Self>,
        address: IpAddr,
        most: usize,
        who: &Destination,
    ) -> Option<Call> {
        let called = (who.channel, address);
        let number = self.lock().calls.begin(called, most, who, Instant::now())?;
        Some(Call { throttles: Arc::clone(self), called, number, greeted: false })
    }

    /// A reply slows a destination down. Returns whether that is news.
    pub(super) fn slow_down(
        &self,
        counted: &Destination,
        (rate, lasts): (Rate, Duration),
        reply: &Reply,
    ) -> bool {
        self.orders.fetch_add(1, Relaxed);
        let now = Instant::now();
        let slowed = SlowedDown { rate, until: now + lasts, reply: Arc::new(reply.clone()) };
        self.lock().table.slow_down(counted, slowed, now)
    }

    /// A reply stops a destination. Returns whether that is news.
    pub(super) fn stop(&self, counted: &Destination, lasts: Duration, reply: &Reply) -> bool {
        self.orders.fetch_add(1, Relaxed);
        let now = Instant::now();
        let stopped = StoppedByReply { until: now + lasts, reply: Arc::new(reply.clone()) };
        self.lock().table.stop(counted, stopped, now)
    }

    /// Forgets what replies have led to. Returns whether there was anything.
    pub fn lift(&self, counted: &Destination) -> bool {
        self.lock().table.lift(counted, Instant::now())
    }

    /// Limits to which replies have led: the destination, and the limit.
    pub fn by_replies(&self) -> Vec<(Destination, Denial)> {
        let state = self.lock();
        let of = state.table.by_replies(Instant::now());
        let both = of.flat_map(|(counted, slowed, stopped)| {
            let slowed = slowed.cloned().map(Denial::SlowedDown);
            let stopped = stopped.cloned().map(Denial::Stopped);
            slowed.into_iter().chain(stopped).map(|limit| (counted.clone(), limit))
        });
        both.collect()
    }

    /// The limits that operators have set.
    pub fn set_limits(&self) -> Vec<(Destination, SetLimits)> {
        self.lock().set.iter().map(|(counted, set)| (counted.clone(), *set)).collect()
    }

    /// Changes what an operator has set for a destination; returns what was set before.
    pub fn set(
        &self,
        counted: &Destination,
        change: impl FnOnce(&mut SetLimits),
    ) -> Result<SetLimits, TooManyLimits> {
        let mut state = self.lock();
        let was = state.set.get(counted).copied().unwrap_or_default();
        let mut now = was;
        change(&mut now);
        if now == SetLimits::default() {
            state.set.remove(counted);
        } else if state.set.len() >= MOST_SET && !state.set.contains_key(counted) {
            return Err(TooManyLimits);
        } else {
            state.set.insert(counted.clone(), now);
        }
        // Turns that were given by the limit before count no more.
        state.table.forget_turns(counted);
        self.orders.fetch_add(1, Relaxed);
        Ok(was)
    }

    fn lock(&self) -> MutexGuard<'_, ThrottleState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Whether other hosts than this one wait for it.
    pub(super) fn is_wanted_beside(&self, own: &Destination) -> bool {
        self.throttles.lock().table.is_wanted_beside(&self.counted, own)
    }
}

impl Call {
    /// The address that is called.
    pub(super) fn address(&self) -> IpAddr {
        self.called.1
    }

    /// The server takes messages.
    pub(super) fn greeted(mut self) {
        self.greeted = true;
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut state = self.throttles.lock();
        let next = state.calls.end(self.called, self.number, self.greeted, Instant::now());
        if let Some(freed) = &state.freed {
            for next in next {
                freed.tell(PlaceFreed(next));
            }
        }
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut state = self.throttles.lock();
        if let Some(next) = state.table.give_back_place(&self.counted, Instant::now())
            && let Some(freed) = &state.freed
        {
            freed.tell(PlaceFreed(next));
        }
    }
}

/// Destinations that operators give limits of their own.
const MOST_SET: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ChannelId;

    #[test]
    fn what_operators_set_stands_above_what_is_configured() {
        let throttles = Throttles::default();
        let to = |host: &str| Destination { channel: ChannelId(0), host: host.into() };
        let rate = |text: &str| text.parse().ok();
        let configured = DestinationLimits {
            connections: Some(9),
            rate: rate("9/1m"),
            ..DestinationLimits::none()
        };
        let now = || throttles.in_force(&to("a"), configured.clone());
        assert!(!throttles.concern(&Destinations::default()));
        assert_eq!(now(), configured);
        let was = throttles.set(&to("a"), |set| set.rate = rate("1/1m"));
        assert_eq!(was, Ok(SetLimits::default()));
        assert_eq!((now().connections, now().rate), (Some(9), rate("1/1m")));
        assert!(throttles.concern(&Destinations::default()));
        assert_eq!(throttles.in_force(&to("b"), configured.clone()), configured);
        throttles.set(&to("a"), |set| set.connections = Some(1)).unwrap();
        assert_eq!(now().connections, Some(1));
        throttles.set(&to("a"), |set| *set = SetLimits::default()).unwrap();
        assert_eq!(now(), configured);
        for n in 0..MOST_SET {
            throttles.set(&to(&n.to_string()), |set| set.connections = Some(1)).unwrap();
        }
        assert_eq!(throttles.set(&to("x"), |set| set.connections = Some(1)), Err(TooManyLimits));
        throttles.set(&to("7"), |set| set.connections = Some(2)).unwrap();
    }
}
