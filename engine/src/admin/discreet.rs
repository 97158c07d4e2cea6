//! Answers to readers by TCP, who may look at the engine and not at its operators: without their names, their
//! reasons, and the addresses that their orders are about.

use relais_actors::standing::{OrderCriteria, StandingOrder};

use crate::api::{
    HistoryLine, HostSuspended, HostTrouble, LimitKind, OrderShown, OrdersListed, Overview,
    RouteExplained, Status, Why,
};

/// An answer that may tell of operators.
pub(super) trait Discreet: Sized {
    /// Takes them out.
    fn hide(&mut self);

    /// The answer as one who is an operator, or is none, gets it.
    fn for_reader(mut self, is_operator: bool) -> Self {
        if !is_operator {
            self.hide();
        }
        self
    }
}

impl<T: Discreet> Discreet for Vec<T> {
    fn hide(&mut self) {
        self.iter_mut().for_each(T::hide);
    }
}

impl<T: Discreet> Discreet for Option<T> {
    fn hide(&mut self) {
        self.iter_mut().for_each(T::hide);
    }
}

impl Discreet for OrderShown {
    fn hide(&mut self) {
        // A new field is not shown before somebody has thought of it here.
        let StandingOrder { id, kind, rate, release, since, until, removed, .. } = self.order;
        let (criteria, target) = (OrderCriteria::default(), None);
        let (reason, by) = (String::new(), String::new());
        self.order = StandingOrder {
            id,
            kind,
            criteria,
            target,
            rate,
            release,
            since,
            until,
            removed,
            reason,
            by,
        };
    }
}

impl Discreet for HostSuspended {
    fn hide(&mut self) {
        if self.by != "reply" {
            self.reason.clear();
        }
    }
}

impl Discreet for OrdersListed {
    fn hide(&mut self) {
        self.orders.hide();
        self.hosts.hide();
    }
}

impl Discreet for Status {
    fn hide(&mut self) {
        self.orders.hide();
        self.suspended.hide();
        // The words of somebody's server are for operators.
        let troubles = self.webhooks.iter_mut().filter_map(|its| its.trouble.as_mut());
        troubles.for_each(|why| "it does not take events".clone_into(why));
        if let Some(file) = &mut self.event_file {
            "the file of events".clone_into(&mut file.path);
            "it cannot be".clone_into(&mut file.why);
        }
    }
}

impl Discreet for HostTrouble {
    fn hide(&mut self) {
        self.suspended.hide();
    }
}

impl Discreet for Overview {
    fn hide(&mut self) {
        self.hosts.hide();
        let limits = self.limiting.iter_mut();
        for limit in limits.filter(|limit| limit.what == LimitKind::Suspended) {
            "an operator has suspended the host".clone_into(&mut limit.words);
        }
    }
}

impl Discreet for Why {
    fn hide(&mut self) {
        self.text.hide();
    }
}

impl Discreet for HistoryLine {
    fn hide(&mut self) {
        if let Some(reason) = &mut self.reason {
            reason.hide();
        }
    }
}

impl Discreet for RouteExplained {
    fn hide(&mut self) {
        for order in self.results.iter_mut().filter_map(|way| way.order.as_mut()) {
            let kind = order.split_once(": ").map_or("", |(kind, _)| kind);
            *order = format!("{kind}: an order of an operator");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn readers_are_not_told_of_operators_and_their_reasons() {
        let order = json!({
            "id": 7, "kind": "hold", "from": "ann@a.test", "since": "2026-01-01T00:00:00.000Z",
            "reason": "she writes too much", "by": "alice", "messages": 3, "recipients": 4, "ending": false,
        });
        let host = json!({
            "host": "a.test", "by": "operator", "until": "2026-01-01T00:00:00.000Z",
            "reason": "alice: they asked",
        });
        let orders: OrdersListed =
            serde_json::from_value(json!({ "orders": [order], "hosts": [host] })).unwrap();
        assert_eq!(orders.clone().for_reader(true), orders);
        let text = serde_json::to_string(&orders.for_reader(false)).unwrap();
        for secret in ["alice", "ann@", "too much", "they asked"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("\"id\":7") && text.contains("\"messages\":3"), "{text}");
    }
}
