//! The destinations that are limited, and how each stands: open connections, the time of the next
//! message, what replies have led to. Pure.

use std::{collections::HashMap, sync::Arc, time::Duration};

use relais_config::rate::Rate;
use tokio::{sync::Notify, time::Instant};

use super::in_line::InLine;
use crate::{
    ids::Destination,
    queue::{Denial, LimitReached, SlowedDown, StoppedByReply},
};

/// The destinations that are limited, each by a channel and a name: of a host, a server, or a site.
#[derive(Debug, Default)]
pub(super) struct Table(HashMap<Destination, Throttle>);

/// The state of one of them.
#[derive(Debug, Default)]
struct Throttle {
    connections: usize,
    /// The time of the next message.
    next: Option<Instant>,
    slowed: Option<SlowedDown>,
    stopped: Option<StoppedByReply>,
    /// Hosts whose couriers found no place: the first is told when there is one.
    waiting: InLine,
    /// Tells who holds a place that somebody wants it.
    wanted: Arc<Notify>,
}

/// When a message may go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::delivery) enum Turn {
    /// After this time, which it has been given.
    After(Duration),
    /// Not now.
    Denied(LimitReached),
}

impl Throttle {
    fn is_idle(&self, now: Instant) -> bool {
        let Self { connections, next, slowed, stopped, waiting, .. } = self;
        *connections == 0
            && next.is_none_or(|next| next <= now)
            && slowed.as_ref().is_none_or(|its| its.until <= now)
            && stopped.as_ref().is_none_or(|its| its.until <= now)
            && waiting.is_empty()
    }

    fn stopped(&self, now: Instant) -> Option<&StoppedByReply> {
        self.stopped.as_ref().filter(|its| its.until > now)
    }

    fn slowed(&self, now: Instant) -> Option<&SlowedDown> {
        self.slowed.as_ref().filter(|its| its.until > now)
    }

    /// The rate in force: the slower of both.
    fn rate(&self, configured: Option<Rate>, now: Instant) -> Option<(Rate, Denial)> {
        let slowed = self.slowed(now).map(|its| (its.rate, Denial::SlowedDown(its.clone())));
        let configured = configured.map(|rate| (rate, Denial::Rate(rate)));
        let both = [slowed, configured].into_iter().flatten();
        both.max_by_key(|(rate, _)| rate.interval())
    }
}

impl Table {
    fn entry(&mut self, counted: &Destination, now: Instant) -> &mut Throttle {
        if self.0.len() >= MOST && !self.0.contains_key(counted) {
            self.make_room(now);
        }
        self.0.entry(counted.clone()).or_default()
    }

    /// Forgets those that are at rest; and where all are busy, who has no connection and loses the
    /// least: the rest of a time between two messages. Room for many, so that it is not made for each.
    fn make_room(&mut self, now: Instant) {
        let is_full = |table: &Self| table.0.len() > MOST / 8 * 7;
        self.0.retain(|_, throttle| !throttle.is_idle(now));
        if is_full(self) {
            self.0.retain(|_, its| its.connections > 0 || its.slowed(now).is_some());
        }
        if is_full(self) {
            self.0.retain(|_, its| its.connections > 0);
        }
    }

    /// Asks for the turn of one message, to come within `patience`.
    pub(super) fn take_turn(
        &mut self,
        counted: &Destination,
        configured: Option<Rate>,
        patience: Duration,
        now: Instant,
    ) -> Turn {
        if configured.is_none() && !self.0.contains_key(counted) {
            return Turn::After(Duration::ZERO);
        }
        let throttle = self.entry(counted, now);
        let denied = |limit: Denial, until: Instant| {
            Turn::Denied(LimitReached { counted: Arc::clone(&counted.host), limit, until })
        };
        if let Some(stopped) = throttle.stopped(now) {
            return denied(Denial::Stopped(stopped.clone()), stopped.until);
        }
        let Some((rate, limit)) = throttle.rate(configured, now) else {
            return Turn::After(Duration::ZERO);
        };
        // A courier that comes a little late makes up for it; one that was idle does not.
        let is_late = |next: &Instant| *next + LATE > now;
        let turn = throttle.next.filter(is_late).unwrap_or(now);
        let wait = turn.saturating_duration_since(now);
        if wait > patience {
            return denied(limit, turn - patience / 2);
        }
        throttle.next = Some(turn + rate.interval());
        Turn::After(wait)
    }

    /// Another message has gone than those that asked.
    pub(super) fn charge(&mut self, counted: &Destination, configured: Option<Rate>, now: Instant) {
        let Some(throttle) = self.0.get_mut(counted) else { return };
        if let Some((rate, _)) = throttle.rate(configured, now) {
            throttle.next = Some(throttle.next.map_or(now, |next| next.max(now)) + rate.interval());
        }
    }

    /// A turn was not used.
    pub(super) fn give_back_turn(
        &mut self,
        counted: &Destination,
        configured: Option<Rate>,
        now: Instant,
    ) {
        let Some(throttle) = self.0.get_mut(counted) else { return };
        let Some((rate, _)) = throttle.rate(configured, now) else { return };
        throttle.next = throttle.next.and_then(|next| next.checked_sub(rate.interval()));
    }

    /// The next message may go at once, whatever went before.
    pub(super) fn forget_turns(&mut self, counted: &Destination) {
        if let Some(throttle) = self.0.get_mut(counted) {
            throttle.next = None;
        }
    }

    /// Asks for a place for a connection; `who` is told when there is one.
    pub(super) fn take_place(
        &mut self,
        counted: &Destination,
        most: Option<usize>,
        who: &Destination,
        now: Instant,
    ) -> Result<Arc<Notify>, LimitReached> {
        let throttle = self.entry(counted, now);
        if let Some(most) = most.filter(|most| throttle.connections >= *most) {
            throttle.waiting.join(who);
            throttle.wanted.notify_waiters();
            let (counted, limit) = (Arc::clone(&counted.host), Denial::Connections(most));
            return Err(LimitReached { counted, limit, until: now + NO_PLACE });
        }
        throttle.connections += 1;
        throttle.waiting.leave(who);
        Ok(Arc::clone(&throttle.wanted))
    }

    /// A connection has ended. Returns who waits for its place.
    pub(super) fn give_back_place(
        &mut self,
        counted: &Destination,
        now: Instant,
    ) -> Option<Destination> {
        let throttle = self.0.get_mut(counted)?;
        debug_assert!(throttle.connections > 0, "it was counted when it began");
        throttle.connections = throttle.connections.saturating_sub(1);
        let next = throttle.waiting.first(1).next();
        if throttle.is_idle(now) {
            self.0.remove(counted);
        }
        next
    }

    /// Whether other hosts than this one wait for a place.
    pub(super) fn is_wanted_beside(&self, counted: &Destination, own: &Destination) -> bool {
        let others = |throttle: &Throttle| throttle.waiting.has_beside(own);
        self.0.get(counted).is_some_and(others)
    }

    /// A reply slows the destination down. Returns whether it was not slowed down before.
    pub(super) fn slow_down(
        &mut self,
        counted: &Destination,
        slowed: SlowedDown,
        now: Instant,
    ) -> bool {
        let throttle = self.entry(counted, now);
        let is_new = throttle.slowed(now).is_none_or(|its| its.rate != slowed.rate);
        if is_new {
            // The message that was refused is the first one of the new rate.
            let next = now + slowed.rate.interval();
            throttle.next = Some(throttle.next.map_or(next, |its| its.max(next)));
        }
        throttle.slowed = Some(slowed);
        is_new
    }

    /// A reply stops the destination. Returns whether it was not stopped before.
    pub(super) fn stop(
        &mut self,
        counted: &Destination,
        stopped: StoppedByReply,
        now: Instant,
    ) -> bool {
        let throttle = self.entry(counted, now);
        let is_new = throttle.stopped(now).is_none();
        throttle.stopped = Some(stopped);
        is_new
    }

    /// Forgets the limits to which replies have led. Returns whether there were any.
    pub(super) fn lift(&mut self, counted: &Destination, now: Instant) -> bool {
        let Some(throttle) = self.0.get_mut(counted) else { return false };
        let was = throttle.slowed(now).is_some() || throttle.stopped(now).is_some();
        (throttle.slowed, throttle.stopped) = (None, None);
        // It was given by the slower rate.
        throttle.next = None;
        was
    }

    /// The limits to which replies have led, of all.
    pub(super) fn by_replies(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (&Destination, Option<&SlowedDown>, Option<&StoppedByReply>)> {
        let those =
            self.0.iter().map(move |(counted, its)| (counted, its.slowed(now), its.stopped(now)));
        those.filter(|(_, slowed, stopped)| slowed.is_some() || stopped.is_some())
    }
}

/// A courier that comes so much later than its turn is not put off for it.
const LATE: Duration = Duration::from_millis(100);
/// Where nobody tells that there is a place, it is asked for again after this time.
const NO_PLACE: Duration = Duration::from_secs(10);
/// Destinations that are counted.
const MOST: usize = 100_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use relais_channels::mail::Reply;

    use super::*;
    use crate::ids::ChannelId;

    fn to(host: &str) -> Destination {
        Destination { channel: ChannelId(0), host: host.into() }
    }

    fn rate(text: &str) -> Option<Rate> {
        text.parse().ok()
    }

    fn reply() -> Arc<Reply> {
        Arc::new(Reply::plain(421, "slower"))
    }

    const SECOND: Duration = Duration::from_secs(1);

    /// The moments, in milliseconds, at which a courier that always has mail may send.
    fn moments(text: &str, patience: Duration, until: Duration) -> Vec<u128> {
        let (mut table, began) = (Table::default(), Instant::now());
        let (mut now, mut moments) = (began, Vec::new());
        while now < began + until {
            match table.take_turn(&to("a"), rate(text), patience, now) {
                Turn::After(wait) => {
                    now += wait;
                    moments.push((now - began).as_millis());
                }
                Turn::Denied(denied) => {
                    assert!(denied.until > now, "it would spin");
                    now = denied.until;
                }
            }
        }
        moments
    }

    #[test]
    fn messages_are_spread_over_the_time() {
        assert_eq!(moments("10/1m", 2 * SECOND, 18 * SECOND), [0, 6_000, 12_000, 18_000]);
        assert_eq!(moments("60/1m", Duration::ZERO, 3 * SECOND), [0, 1_000, 2_000]);
        let many = moments("1000/1s", SECOND, 10 * SECOND);
        assert!((9_990..=10_010).contains(&many.len()), "{}", many.len());
    }

    #[test]
    fn an_idle_time_is_not_made_up_for_and_a_little_lateness_is() {
        let (mut table, mut now) = (Table::default(), Instant::now());
        let mut after = |wait: u64| {
            now += Duration::from_millis(wait);
            match table.take_turn(&to("a"), rate("2/1s"), SECOND, now) {
                Turn::After(wait) => wait.as_millis(),
                Turn::Denied(denied) => panic!("{denied:?}"),
            }
        };
        // milliseconds that pass, then the wait for the turn
        let rows = [(0, 0), (0, 500), (550, 450), (550, 400), (60_000, 0), (0, 500), (590, 410)];
        for (n, (passed, want)) in rows.into_iter().enumerate() {
            assert_eq!(after(passed), want, "row {n}");
        }
    }

    #[test]
    fn the_slower_rate_holds_and_ends_by_itself() {
        let (mut table, mut now) = (Table::default(), Instant::now());
        let a = to("a");
        let slowed =
            |text: &str, until| SlowedDown { rate: rate(text).unwrap(), until, reply: reply() };
        assert!(table.slow_down(&a, slowed("1/10s", now + 60 * SECOND), now));
        assert!(!table.slow_down(&a, slowed("1/10s", now + 61 * SECOND), now), "no news");
        let Turn::Denied(denied) = table.take_turn(&a, rate("10/1s"), SECOND, now) else {
            panic!("ten seconds are too long")
        };
        assert!(matches!(denied.limit, Denial::SlowedDown(_)) && *denied.counted == *"a");
        assert_eq!(denied.until, now + 10 * SECOND - SECOND / 2);
        assert_eq!(table.by_replies(now).count(), 1);
        let later = table.take_turn(&a, rate("10/1s"), SECOND, now + 10 * SECOND);
        assert_eq!(later, Turn::After(Duration::ZERO));
        now += 62 * SECOND;
        assert_eq!(table.by_replies(now).count(), 0);
        assert_eq!(table.take_turn(&a, None, SECOND, now), Turn::After(Duration::ZERO));
        // One that is faster than what is configured changes nothing.
        table.slow_down(&a, slowed("10/1s", now + 60 * SECOND), now);
        table.take_turn(&a, rate("1/1m"), SECOND, now);
        let denied = table.take_turn(&a, rate("1/1m"), SECOND, now);
        assert!(matches!(denied, Turn::Denied(LimitReached { limit: Denial::Rate(_), .. })));
        assert!(table.lift(&a, now) && !table.lift(&a, now));
    }

    #[test]
    fn a_stopped_destination_gets_nothing_until_then() {
        let (mut table, now) = (Table::default(), Instant::now());
        let a = to("a");
        let stopped = StoppedByReply { until: now + SECOND, reply: reply() };
        assert!(table.stop(&a, stopped.clone(), now) && !table.stop(&a, stopped.clone(), now));
        let Turn::Denied(denied) = table.take_turn(&a, None, SECOND, now) else {
            panic!("stopped")
        };
        assert_eq!((denied.until, denied.limit), (now + SECOND, Denial::Stopped(stopped)));
        assert_eq!(table.take_turn(&a, None, SECOND, now + SECOND), Turn::After(Duration::ZERO));
        assert_eq!(table.take_turn(&to("b"), None, SECOND, now), Turn::After(Duration::ZERO));
    }

    #[test]
    fn places_are_given_to_those_who_wait_in_turn() {
        let (mut table, now) = (Table::default(), Instant::now());
        let server = to("mx");
        let take = |table: &mut Table, who: &str| {
            table.take_place(&server, Some(2), &to(who), now).map(|_| ()).map_err(|it| it.limit)
        };
        assert_eq!((take(&mut table, "a"), take(&mut table, "b")), (Ok(()), Ok(())));
        for who in ["c", "c", "d"] {
            assert_eq!(take(&mut table, who), Err(Denial::Connections(2)), "{who}");
        }
        assert!(table.is_wanted_beside(&server, &to("c")));
        assert!(!table.is_wanted_beside(&to("c"), &server));
        assert_eq!(table.give_back_place(&server, now), Some(to("c")));
        assert_eq!(take(&mut table, "c"), Ok(()));
        assert_eq!(table.give_back_place(&server, now), Some(to("d")));
        assert_eq!(take(&mut table, "e"), Ok(()), "whoever comes first");
        assert_eq!(take(&mut table, "d"), Err(Denial::Connections(2)));
        assert_eq!(table.give_back_place(&server, now), Some(to("d")));
        assert_eq!(table.give_back_place(&server, now), None);
        assert!(table.0.is_empty(), "at rest it is forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let (mut table, now) = (Table::default(), Instant::now());
        let held = to("held");
        assert!(table.take_place(&held, None, &held, now).is_ok());
        for n in 0..2 * MOST {
            table.take_turn(&to(&n.to_string()), rate("1/1d"), SECOND, now);
        }
        assert!(table.0.len() <= MOST && table.0.contains_key(&held));
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_allows(
            (messages, secs) in (1u32..50, 1u64..20),
            steps in prop::collection::vec((0u64..3_000, any::<bool>()), 1..200),
        ) {
            let rate = Rate::new(messages, Duration::from_secs(secs)).unwrap();
            let (mut table, mut now) = (Table::default(), Instant::now());
            let mut sent: Vec<Instant> = Vec::new();
            for (passed, gives_back) in steps {
                now += Duration::from_millis(passed);
                let Turn::After(wait) = table.take_turn(&to("a"), Some(rate), SECOND, now) else {
                    continue;
                };
                if gives_back {
                    table.give_back_turn(&to("a"), Some(rate), now);
                } else {
                    sent.push(now + wait);
                }
            }
            sent.sort();
            // One at each end, and what made up for lateness.
            let late = LATE.as_secs_f64() / rate.interval().as_secs_f64();
            let most = f64::from(messages) + 1.0 + late.ceil();
            for (n, first) in sent.iter().enumerate() {
                let end = *first + Duration::from_secs(secs);
                let within = sent[n..].iter().take_while(|at| **at < end).count();
                prop_assert!(within as f64 <= most, "{within} of {most}");
            }
        }
    }
}
