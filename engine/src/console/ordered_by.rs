//! Which standing order keeps an entry, and the words for that.

use std::sync::Arc;

use relais_actors::{
    events::numbered,
    standing::{OrderInForce, StandingKind, StandingOrder, StandingOrders},
    timestamp::now_ms,
};
use relais_channels::mail::{Entry, Envelope, Recipient};
use relais_storage::{EntryState, ScannedEntry};

use super::{
    entries::Described,
    parts::Parts,
    reasons::{hold_reason, last_reason},
};
use crate::{
    admin::RouteQuestion,
    api::{RouteResult, StandingPart},
};

/// The order that keeps an entry.
pub(super) async fn of_entry(parts: &Parts, scanned: &ScannedEntry) -> Option<Arc<OrderInForce>> {
    if parts.standing.is_empty() {
        return None;
    }
    let envelope = parts.storage.envelope(scanned.place).await.ok()?;
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

/// The entries that a standing order may touch: those that of all orders it counts for; and where it ends,
/// its own.
pub(super) async fn reached(
    parts: &Parts,
    part: &StandingPart,
    mut wanted: Vec<Described>,
) -> Vec<Described> {
    if part.only_its_own {
        return own(parts, part.id, wanted).await;
    }
    wanted.retain(|described| {
        let would_be = part.would_be.as_deref();
        seen(described).is_some_and(|(envelope, entry, open)| match would_be {
            Some(order) => parts.standing.would_count(order, envelope, (entry, open)),
            None => parts
                .standing
                .find(envelope, entry, open)
                .is_some_and(|its| its.order.id == part.id),
        })
    });
    wanted
}

/// An entry as orders see it. What is held is left to whoever holds it, and of a record that cannot be read
/// nobody knows whose it is.
pub(super) fn seen(described: &Described) -> Option<(&Envelope, &Entry, u64)> {
    let Described { scanned, record, .. } = described;
    if matches!(scanned.state, EntryState::Held { .. }) {
        return None;
    }
    let envelope = &*record.as_deref()?.envelope;
    let entry = envelope.entries.get(usize::from(scanned.entry))?;
    Some((envelope, entry, scanned.state.open()))
}

/// The entries that an order has held or put off.
async fn own(parts: &Parts, id: u64, wanted: Vec<Described>) -> Vec<Described> {
    let now = now_ms();
    let mut own = Vec::new();
    for described in wanted {
        let reason = match described.scanned.state {
            EntryState::Held { .. } => Some(hold_reason(parts, &described.scanned).await),
            EntryState::Waiting { due, .. } if due > now => {
                last_reason(parts, &described.scanned).await
            }
            _ => None,
        };
        if reason.is_some_and(|reason| is_reason_of(id, &reason)) {
            own.push(described);
        }
    }
    own
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

/// The number of the order whose reason a change has: it has held an entry, or put it off.
fn order_of(reason: &str) -> Option<u64> {
    let own = reason.strip_prefix("held by ").unwrap_or(reason);
    numbered(own).map(|(number, _)| number)
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
