//! Standing orders for people.

use std::fmt::Write;

use relais_actors::{events::Printable, standing::StandingKind, timestamp::Timestamp};

use super::{Colour, Listing, Look, Relative, Table, queue::rerouted};
use crate::api::{NewOrder, OrderProgress, OrderShown, OrdersListed};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `relais order list`, and the part of `relais status` that is about orders.
pub fn orders(listed: &OrdersListed, look: Look) -> String {
    let table = order_table(listed);
    if table.is_empty() { "no order stands\n".to_owned() } else { table.fit(look) }
}

/// A row for each order.
pub(super) fn order_table(listed: &OrdersListed) -> Table {
    let now = Timestamp::now();
    let titles = ["ORDER", "KIND", "~MAIL", "END", "1>MESSAGES", "2BY", "&REASON"];
    let mut table = Table::new(&titles);
    for shown in &listed.orders {
        let OrderShown { order, messages, ending, .. } = shown;
        let end = order
            .until
            .map_or_else(|| "none".to_owned(), |until| Relative { time: Some(until), now }.next());
        let end = if *ending { "ending".to_owned() } else { end };
        let mail = order.criteria.to_string();
        let kind = order.kind.name();
        table.row([&order.id, &kind, &mail, &end, messages, &order.by, &how(shown)]);
        if *ending {
            table.mark(3, Colour::Yellow);
        }
    }
    for host in &listed.hosts {
        let of = host.channel.as_ref().map(|name| format!(", channel {name}")).unwrap_or_default();
        let mail = format!("host {}{of}", host.host);
        let end = Relative { time: Some(host.until), now };
        table.row([&"host", &"suspend", &mail, &end.next(), &"-", &"", &host.reason]);
    }
    table
}

/// The reason, and whatever else the kind has.
fn how(shown: &OrderShown) -> String {
    let order = &shown.order;
    let mut text = String::new();
    if let Some(target) = &order.target {
        let _ = write!(text, "to {target}: ");
    }
    if let Some(rate) = &order.rate {
        let _ = write!(text, "{}: ", rate.0);
    }
    text + &order.reason
}

/// `relais order show`.
pub fn standing_order(shown: &OrderShown) -> String {
    let OrderShown { order, messages, recipients, ending } = shown;
    let mut text = format!("order {}: {}\n", order.id, order.kind.name());
    let mut line = |name: &str, value: &dyn std::fmt::Display| {
        let _ = writeln!(text, "  {name:<9} {}", Printable(value));
    };
    line("mail", &order.criteria);
    if let Some(target) = &order.target {
        line("to", target);
    }
    if let Some(rate) = &order.rate {
        line("rate", &rate.0);
    }
    line("since", &order.since);
    match order.until {
        Some(until) => line("until", &until),
        None => line("until", &"it is removed"),
    }
    if order.release {
        line("then", &"what it has held is released");
    }
    line("by", &order.by);
    line("reason", &order.reason);
    line("touched", &format!("{messages} messages, {recipients} recipients"));
    if *ending {
        line("state", &"it has ended, and its mail is being let go");
    }
    text
}

/// An order that was added.
pub fn added(shown: &OrderShown) -> String {
    let order = &shown.order;
    let until =
        order.until.map_or_else(|| "until it is removed".to_owned(), |at| format!("until {at}"));
    format!("order {} stands {until}: {} of mail {}", order.id, order.kind.name(), order.criteria)
}

/// The fate of the mail of an order that is removed.
pub fn after_removal(kind: StandingKind, release: bool) -> &'static str {
    match kind {
        StandingKind::Hold if release => "what it has held is released",
        StandingKind::Hold => "what it has held stays held",
        _ => "what it has put off goes on",
    }
}

/// The mail that an order would touch now.
pub fn would_touch(new: &NewOrder, progress: &OrderProgress, look: Look) -> String {
    let mut text = String::new();
    if new.target.is_some() {
        text += &rerouted(&progress.rerouted, look);
    } else if !progress.first.is_empty() {
        text += Listing::new(look).page(&progress.first);
    }
    let OrderProgress { recipients, .. } = progress;
    let entries = progress.reached();
    let _ = writeln!(
        text,
        "now it would touch {entries} entries, {recipients} recipients; what comes is not counted"
    );
    text
}
