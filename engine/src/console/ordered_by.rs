//! Which standing order keeps an entry, and the words for that.

use std::sync::Arc;

use relais_actors::standing::{OrderInForce, StandingKind, StandingOrder, StandingOrders};
use relais_channels::mail::Recipient;
use relais_spool::ScannedEntry;

use super::parts::Parts;
use crate::{admin::RouteQuestion, api::RouteResult};

/// The order that keeps an entry.
pub(super) async fn of_entry(parts: &Parts, scanned: &ScannedEntry) -> Option<Arc<OrderInForce>> {
    if parts.standing.is_empty() {
        return None;
    }
    let envelope = parts.spool.envelope(scanned.place).await.ok()?;
    let entry = envelope.entries.get(usize::from(scanned.entry))?;
    parts.standing.find(&envelope, entry, scanned.state.open())
}

/// Why an entry waits that an order keeps.
pub(super) fn why(order: &StandingOrder) -> String {
    let until = order
        .until
        .map_or_else(|| "until it is removed".to_owned(), |until| format!("until {until}"));
    let what = match order.kind {
        StandingKind::Hold => "is to be held".to_owned(),
        StandingKind::Suspend => "waits".to_owned(),
        StandingKind::Return => "is to be returned".to_owned(),
        StandingKind::Reroute => {
            let to = order.target.as_ref().map(ToString::to_string).unwrap_or_default();
            format!("is to go to {to}")
        }
        StandingKind::Slow => {
            let rate = order.rate.map(|rate| rate.0.to_string()).unwrap_or_default();
            format!("waits for its turn at {rate}")
        }
    };
    format!(
        "It {what} by {} ({}, since {} {until}): {}. `relais order remove {}` ends that.",
        order.name(),
        order.criteria,
        order.since,
        order.reason,
        order.id
    )
}

/// Names the order that each way of a route meets.
pub(super) fn foresee(
    standing: &StandingOrders,
    question: &RouteQuestion,
    ways: &mut [RouteResult],
) {
    if standing.is_empty() || question.header {
        return;
    }
    let sender = question.from.as_deref().unwrap_or_default();
    for way in ways {
        let recipient = Recipient::new(&*way.address, &*question.address);
        let found = standing.foresee(sender, &recipient, (&way.channel, &way.host));
        way.order = found.map(|its| format!("{}: {}", its.order.kind.name(), its.order.words()));
    }
}

/// Whether the reason of a change is this order's.
pub(super) fn is_reason_of(id: u64, reason: &str) -> bool {
    order_of(reason) == Some(id)
}

/// The order whose reason a change has, if it stands.
pub(super) fn named_in(standing: &StandingOrders, reason: &str) -> Option<u64> {
    let id = order_of(reason)?;
    standing.index().get(id).map(|its| its.order.id)
}

/// The number of the order whose reason a change has.
fn order_of(reason: &str) -> Option<u64> {
    let own = reason.strip_prefix("held by ").unwrap_or(reason);
    let rest = own.strip_prefix("order ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_tells_its_order() {
        let rows = [
            ("held by order 7 of root: x", true),
            ("order 7 of root until 2026-01-01T00:00:00.000Z: x", true),
            ("order 7: x", true),
            ("held by order 70 of root: x", false),
            ("held by root: order 7", false),
            ("order", false),
            ("held by order x", false),
        ];
        for (reason, want) in rows {
            assert_eq!(is_reason_of(7, reason), want, "{reason}");
        }
    }
}
