//! Answers to readers by TCP, who may look at the engine and not at its operators: without their names, their
//! reasons, and the addresses that their orders are about.

use relais_actors::standing::OrderCriteria;

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
        let order = &mut self.order;
        order.criteria = OrderCriteria::default();
        order.target = None;
        order.reason.clear();
        order.by.clear();
    }
}

impl Discreet for HostSuspended {
    fn hide(&mut self) {
        if self.by == "operator" {
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
        let words = match self.waits_for.as_str() {
            "ordered" => "An order of an operator keeps it.",
            "host_suspended" => "An operator has suspended its host.",
            "held" if self.text.starts_with(HELD_BY) => "It is held.",
            _ => return,
        };
        words.clone_into(&mut self.text);
    }
}

impl Discreet for HistoryLine {
    fn hide(&mut self) {
        if let Some(reason) = &mut self.reason
            && let Some(words) = impersonal(reason)
        {
            *reason = words;
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

/// The reason of a change without its operator: `held by ann: TEXT`, `order 7 of ann: TEXT`.
fn impersonal(reason: &str) -> Option<String> {
    let own = reason.strip_prefix(ACCEPTED).unwrap_or(reason);
    let before = &reason[..reason.len() - own.len()];
    let is_order = |text: &str| {
        let number = text.strip_prefix("order ");
        number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
    };
    if is_order(own) {
        return Some(format!("{before}an order of an operator"));
    }
    let (done, by) = own.split_once(" by ")?;
    // A message that is held from the beginning may be so by a filter.
    let is_operators = !done.contains(' ') && (before.is_empty() || is_order(by));
    is_operators.then(|| format!("{before}{done} by an operator"))
}

const ACCEPTED: &str = "accepted, and held: ";
const HELD_BY: &str = "It is not delivered: held by ";

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

    #[test]
    fn reasons_of_operators_are_told_from_those_of_the_engine() {
        let rows = [
            ("held by bob: look at it", Some("held by an operator")),
            ("released by bob", Some("released by an operator")),
            ("held by order 7 of bob: x", Some("held by an operator")),
            ("order 7 of bob until 2026-01-01T00:00:00.000Z: x", Some("an order of an operator")),
            (
                "accepted, and held: held by order 7 of bob: x",
                Some("accepted, and held: held by an operator"),
            ),
            ("accepted, and held: held by the filter", None),
            ("accepted", None),
            ("the sender has yet to be told who has it", None),
            ("order of things", None),
        ];
        for (reason, want) in rows {
            assert_eq!(impersonal(reason).as_deref(), want, "{reason}");
        }
        let why = |waits_for: &str, text: &str| {
            let mut why = Why {
                order: None,
                channel: "a".to_owned(),
                host: "b".to_owned(),
                waits_for: waits_for.to_owned(),
                limit: None,
                since: None,
                text: text.to_owned(),
            };
            why.hide();
            why.text
        };
        assert_eq!(why("held", "It is not delivered: held by bob: x. Nobody"), "It is held.");
        assert_eq!(why("held", "It is not delivered: a rule."), "It is not delivered: a rule.");
        assert!(!why("ordered", "It waits by order 7 of bob").contains("bob"));
        assert!(!why("host_suspended", "bob: x").contains("bob"));
        assert_eq!(why("due", "It is tried by and by."), "It is tried by and by.");
    }
}
