//! Hosts that operators have suspended, each with an end and a reason. Pure.

use std::{collections::HashMap, sync::Arc};

use relais_config::destinations::parents;
use tokio::time::Instant;

use crate::{
    ids::{ChannelId, Destination},
    timestamp::Timestamp,
};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct HostOrders(HashMap<HostsMeant, HostSuspension>);

/// The hosts that an order is for: of one channel or of all, one by its name, or all below a name that
/// begins with a dot.
pub(super) type HostsMeant = (Option<ChannelId>, Box<str>);

/// An operator's order that a host gets nothing for a while.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostSuspension {
    /// When it was given.
    pub since: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// The same by the clock that does not jump.
    pub ends: Instant,
    /// The operator who gave it, and why.
    pub reason: Arc<str>,
}

impl HostOrders {
    /// Puts an order in force, in place of one for the same hosts. `Err`: there are too many.
    pub(super) fn suspend(
        &mut self,
        which: HostsMeant,
        order: HostSuspension,
    ) -> Result<Option<HostSuspension>, TooManyOrders> {
        if self.0.len() >= MAX_HOST_ORDERS && !self.0.contains_key(&which) {
            return Err(TooManyOrders);
        }
        Ok(self.0.insert(which, order))
    }

    /// Ends an order.
    pub(super) fn resume(&mut self, which: &HostsMeant) -> Option<HostSuspension> {
        self.0.remove(which)
    }

    /// The order in force for a host: the narrowest.
    pub(super) fn of(&self, destination: &Destination) -> Option<(&HostsMeant, &HostSuspension)> {
        if self.0.is_empty() {
            return None;
        }
        let Destination { channel, host } = destination;
        let literal = host.parse::<std::net::IpAddr>().ok().map(|it| format!("[{it}]"));
        let own = [Some(&**host), literal.as_deref()].into_iter().flatten();
        let mut names = own.chain(parents(host));
        names.find_map(|name| {
            let channels = [Some(*channel), None];
            channels.into_iter().find_map(|channel| self.0.get_key_value(&(channel, name.into())))
        })
    }

    /// Orders whose time is over, which end by that.
    pub(super) fn end(&mut self, now: Instant) -> Vec<(HostsMeant, HostSuspension)> {
        let mut ended = Vec::new();
        self.0.retain(|which, order| {
            let goes_on = order.ends > now;
            if !goes_on {
                ended.push((which.clone(), order.clone()));
            }
            goes_on
        });
        ended
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&HostsMeant, &HostSuspension)> {
        self.0.iter()
    }
}

/// As many hosts are suspended as may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooManyOrders;

/// Each is looked up whenever a host is served.
pub const MAX_HOST_ORDERS: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn order(now: Instant, seconds: u64, reason: &str) -> HostSuspension {
        let since = Timestamp::now();
        let time = Duration::from_secs(seconds);
        HostSuspension { since, until: since.after(time), ends: now + time, reason: reason.into() }
    }

    #[test]
    fn the_narrowest_order_holds_until_its_end() {
        let (now, mut orders) = (Instant::now(), HostOrders::default());
        let one = Some(ChannelId(1));
        for (channel, name) in [
            (None, "a.test"),
            (one, "a.test"),
            (None, ".test"),
            (one, "[192.0.2.1]"),
            (None, ".b.test"),
        ] {
            let reason = format!("{channel:?} {name}");
            let its = order(now, 10, &reason);
            assert_eq!(orders.suspend((channel, name.into()), its), Ok(None));
        }
        let found = |orders: &HostOrders, channel: u16, host: &str| {
            let destination = Destination { channel: ChannelId(channel), host: host.into() };
            orders.of(&destination).map(|((_, name), order)| (name.to_string(), order.reason.len()))
        };
        let all = "None ".len();
        let own = format!("{one:?} ").len();
        for (channel, host, want) in [
            (0, "a.test", Some(("a.test", all))),
            (1, "a.test", Some(("a.test", own))),
            (0, "x.a.test", Some((".test", all))),
            (0, "x.b.test", Some((".b.test", all))),
            (0, "test", None),
            (0, "atest", None),
            (1, "192.0.2.1", Some(("[192.0.2.1]", own))),
            (1, "[192.0.2.1]", Some(("[192.0.2.1]", own))),
            (0, "[192.0.2.1]", None),
        ] {
            let want = want.map(|(name, length)| (name.to_owned(), length + name.len()));
            assert_eq!(found(&orders, channel, host), want, "{channel} {host}");
        }
        assert!(orders.resume(&(None, ".test".into())).is_some());
        assert!(orders.resume(&(one, ".test".into())).is_none());
        assert!(orders.end(now + Duration::from_secs(9)).is_empty());
        assert_eq!(orders.end(now + Duration::from_secs(10)).len(), 4);
        assert_eq!(found(&orders, 0, "a.test"), None);
    }

    #[test]
    fn there_is_an_end_of_orders() {
        let (now, mut orders) = (Instant::now(), HostOrders::default());
        let its = order(now, 1, "x");
        for n in 0..MAX_HOST_ORDERS {
            orders.suspend((None, n.to_string().into()), its.clone()).unwrap();
        }
        assert_eq!(orders.suspend((None, "x".into()), its.clone()), Err(TooManyOrders));
        assert!(orders.suspend((None, "7".into()), its).is_ok_and(|old| old.is_some()));
    }
}
