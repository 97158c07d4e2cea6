//! Orders that stand: which mail each is for, until when, and how much it has touched.

use std::fmt::Write;

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, html};
use relais_actors::{
    standing::{StandingKind, StandingOrder},
    timestamp::Timestamp,
};

use super::{
    hosts,
    layout::{Trouble, View},
    order_form::PageOrder,
    parts::{badge, count, foreign, moment, nothing, queue_link, section, table, text},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, discreet::Discreet, patience::in_time},
    api::{NewOrder, OrderKind, OrderProgress, OrderShown, filter_of},
    show,
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let operator = visitor.operator();
    let listed = in_time(console.standing_orders()).await?.for_reader(operator.is_some());
    let body = html! {
        div data-live="orders" {
            (section("in-force", "In force", &in_force(&listed.orders, operator)))
            (section("suspended", "Suspended hosts", &hosts::suspensions(&listed.hosts, operator)))
        }
        @if let Some(operator) = operator { (section("add", "Add an order", &add(operator))) }
    };
    Ok(View { title: "Orders", place: "/orders", visitor: &visitor }.answer(&body))
}

/// The place of an order in the view.
pub(super) fn order_link(id: u64) -> String {
    format!("/orders#order-{id}")
}

/// An order that is to stand, as a question, with the mail that it would touch now.
pub(super) fn question(asked: &PageOrder, new: &NewOrder, would: &OrderProgress) -> String {
    let (entries, recipients) = (would.reached(), would.recipients);
    let mut words = format!(
        "{asked}? Now it would touch {entries} entries, {recipients} recipients; what comes is not \
         counted."
    );
    if let Some(kind) = acts_as(new.kind) {
        // Writing to a string cannot fail.
        let _ = write!(words, " {}.", show::order(kind, true, would));
    }
    words
}

/// The kind of order by whose listing the first of its mail is shown.
pub(super) fn listed_as(kind: StandingKind) -> OrderKind {
    acts_as(kind).unwrap_or(OrderKind::Hold)
}

/// The order about entries that is carried out; the other kinds only keep mail from leaving.
fn acts_as(kind: StandingKind) -> Option<OrderKind> {
    kind.acts().then(|| OrderKind::of_standing(kind))
}

fn in_force(orders: &[OrderShown], operator: Option<&Pass>) -> Markup {
    let now = Timestamp::now();
    let heads = if operator.is_some() { &OF_OPERATORS[..] } else { &OF_READERS[..] };
    let row = |its: &OrderShown| {
        let OrderShown { order, messages, recipients, ending } = its;
        html! {
            tr id={ "order-" (order.id) } {
                th scope="row" {
                    @if operator.is_some() {
                        a href=(queue_link(&filter_of(&order.criteria))) { (order.id) }
                    } @else { (order.id) }
                }
                td { (order.kind.name()) @if *ending { " " (badge("ending")) } }
                @if operator.is_some() {
                    td .address { (foreign(&order.criteria.to_string())) }
                    td .address { (foreign(&how(order))) }
                }
                (moment(Some(order.since), now)) (moment(order.until, now))
                (count(*messages)) (count(*recipients))
                @if let Some(operator) = operator {
                    td { (foreign(&order.by)) }
                    (text(&order.reason))
                    td { @if !*ending { (remove(order, operator)) } }
                }
            }
        }
    };
    let rows: Vec<_> = orders.iter().take(MOST).map(row).collect();
    let more = orders.len() - rows.len();
    html! {
        @if rows.is_empty() { (nothing("No order stands.")) }
        @else { (table("Orders that stand", heads, &rows)) }
        @if operator.is_none() && !rows.is_empty() { (nothing(hosts::HIDDEN)) }
        @if more > 0 { p { (more) " more: " code { "relais order list" } } }
    }
}

/// The target, the rate or the end that its kind has beside the mail.
fn how(order: &StandingOrder) -> String {
    let target = order.target.as_ref().map(|target| format!("to {target}"));
    let rate = order.rate.map(|rate| rate.0.to_string());
    let release = order.release.then(|| "releases at its end".to_owned());
    target.or(rate).or(release).unwrap_or_default()
}

fn remove(order: &StandingOrder, operator: &Pass) -> Markup {
    let id = order.id;
    let asks = order.kind == StandingKind::Hold && !order.release;
    html! {
        form method="post" action="/order" .inline {
            (operator.field())
            input type="hidden" name="order" value="order_remove";
            input type="hidden" name="id" value=(id);
            button aria-label={ "Remove order " (id) } { "Remove …" }
            @if asks {
                button name="release" value="yes"
                    aria-label={ "Remove order " (id) ", and release what it has held" } {
                    "Remove, release …"
                }
            }
        }
    }
}

fn add(operator: &Pass) -> Markup {
    html! {
        form method="post" action="/order" .fields id="order-add" {
            (operator.field())
            input type="hidden" name="order" value="order_add";
            label { "Kind"
                select name="kind" {
                    @for kind in StandingKind::ALL { option value=(kind.name()) { (kind.name()) } }
                }
            }
            @for (name, title, hint) in FIELDS {
                label { (title)
                    input name=(name) placeholder=(hint)
                        autocapitalize="none" autocomplete="off" spellcheck="false"; }
            }
            label { "Hold, at its end"
                select name="release" {
                    option value="" { "mail stays held" }
                    option value="yes" { "mail is released" }
                }
            }
            label { "Reason" input name="reason" required maxlength="500"; }
            button { "Add …" }
        }
    }
}

/// Name, title and hint.
const FIELDS: [(&str, &str, &str); 9] = [
    ("from", "From", "a@example.com, @example.com, ~part, <>"),
    ("to", "To", "a@example.com, @example.com, ~part"),
    ("host", "Host", "example.com, .example.com, ~part"),
    ("channel", "Channel", "tcp_local"),
    ("time", "For", "2h; empty: until removed"),
    ("rate", "Slow, to", "10/1m"),
    ("new_address", "Reroute, to address", "b@example.com"),
    ("new_host", "Reroute, to host", "mx2.example.com"),
    ("new_channel", "Reroute, by channel", "tcp_local"),
];

/// The heads of the table for operators.
const OF_OPERATORS: [&str; 11] = [
    "Number",
    "Kind",
    "Mail",
    "How",
    ">Since",
    ">Until",
    ">Messages",
    ">Recipients",
    "By",
    "Reason",
    "Order",
];
/// The heads of the table for readers.
const OF_READERS: [&str; 6] = ["Number", "Kind", ">Since", ">Until", ">Messages", ">Recipients"];
/// Rows of the table.
const MOST: usize = 100;

#[cfg(test)]
mod tests {
    use relais_actors::standing::OrderCriteria;

    use super::*;
    use crate::admin::{guard::Giver, page::order_form::FormFields};

    fn shown(id: u64, kind: StandingKind) -> OrderShown {
        let order = StandingOrder {
            id,
            kind,
            criteria: OrderCriteria {
                from: Some("@a.test".parse().unwrap()),
                ..OrderCriteria::default()
            },
            target: None,
            rate: None,
            release: false,
            since: Timestamp(1_788_133_501_123),
            until: None,
            removed: false,
            reason: "<b>why</b>".to_owned(),
            by: "uid 0".to_owned(),
        };
        OrderShown { order, messages: 3, recipients: 4, ending: false }
    }

    #[test]
    fn orders_are_removed_by_operators_and_holds_with_or_without_a_release() {
        let pass = Pass {
            giver: Giver::Token(None),
            who: "token".to_owned(),
            form_token: "secret".to_owned(),
            has_session: true,
        };
        let (hold, slow) = (shown(7, StandingKind::Hold), shown(8, StandingKind::Slow));
        let releases = StandingOrder { release: true, ..hold.order.clone() };
        let releases = OrderShown { order: releases, ..hold.clone() };
        let ending = OrderShown { ending: true, ..hold.clone() };
        // the order, buttons of an operator
        for (its, buttons) in [(hold, 2), (slow, 1), (releases, 1), (ending, 0)] {
            let page = in_force(std::slice::from_ref(&its), Some(&pass)).into_string();
            assert_eq!(page.matches("<button").count(), buttons, "{page}");
            assert!(page.contains("href=\"/queue?from=%40a.test\""), "{page}");
            assert!(page.contains("&lt;b&gt;why"), "{page}");
            let page = in_force(&[its], None).into_string();
            assert!(!page.contains("<button") && !page.contains("secret"), "{page}");
        }
        assert_eq!(in_force(&[], None).into_string(), "<p class=\"empty\">No order stands.</p>");
    }

    #[test]
    fn a_question_says_what_would_become_of_what_waits() {
        let would = OrderProgress { done: 2, recipients: 3, idle: 1, ..OrderProgress::default() };
        let rows = [
            ("kind=suspend&host=b.test", ""),
            ("kind=return&host=b.test", " 2 entries would be returned; 1 left as they are."),
        ];
        for (form, more) in rows {
            let form = format!("order=order_add&reason=x&{form}");
            let fields = FormFields(serde_urlencoded::from_str(&form).unwrap());
            let asked = PageOrder::read(&fields, "uid 0").unwrap();
            let PageOrder::Stand(new) = &asked else { panic!("{form}") };
            let words = format!(
                "{} mail host b.test until it is removed? Now it would touch 2 entries, 3 \
                 recipients; what comes is not counted.{more}",
                new.kind.name()
            );
            assert_eq!(question(&asked, new, &would), words);
        }
    }
}
