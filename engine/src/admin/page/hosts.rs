//! Hosts that get nothing, or less, for now: in trouble, suspended, at a limit.

use std::sync::Arc;

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, display, html};
use relais_actors::timestamp::Timestamp;

use super::{
    layout::{Trouble, View},
    parts::{badge, count, foreign, moment, nothing, queue_link, seconds, section, table, text},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, discreet::Discreet, patience::in_time},
    api::{HostSuspended, HostTrouble, Overview},
    show::Relative,
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let operator = visitor.operator();
    let seen = Arc::unwrap_or_clone(in_time(console.overview()).await?);
    let seen = seen.for_reader(operator.is_some());
    let suspended = in_time(console.suspended_hosts()).await?.for_reader(operator.is_some());
    let body = html! {
        div data-live="hosts" {
            (section("trouble", "In trouble", &in_trouble(&seen)))
            (section("suspended", "Suspended", &suspensions(&suspended, operator)))
        }
        @if let Some(operator) = operator { (section("suspend", "Suspend a host", &suspend(operator))) }
    };
    Ok(View { title: "Hosts", place: "/hosts", visitor: &visitor }.answer(&body))
}

/// Hosts that get nothing, or less, for now: most messages first.
pub(super) fn in_trouble(seen: &Overview) -> Markup {
    let heads = ["Host", "Channel", ">Messages", ">Oldest", ">Failures", ">Next try", "Why"];
    let row = |its: &HostTrouble| {
        html! {
            tr {
                th scope="row" { (host_link(Some(&its.channel), &its.host)) }
                td { (its.channel) }
                @match its.messages {
                    Some(messages) => (count(messages)),
                    None => td .figure .none data-sort="-1" { "–" },
                }
                (seconds(its.oldest_seconds))
                (count(its.failures.into()))
                (moment(its.next_try, seen.at))
                td .text { (why(its, seen.at)) }
            }
        }
    };
    let rows: Vec<_> = seen.hosts.iter().map(row).collect();
    let more = seen.hosts_in_trouble.saturating_sub(rows.len() as u64);
    html! {
        @if rows.is_empty() { (nothing("No host is in trouble.")) }
        @else { (table("Hosts in trouble", &heads, &rows)) }
        @if more > 0 { p { (more) " more: " code { "relais status --all" } } }
    }
}

fn why(host: &HostTrouble, now: Timestamp) -> Markup {
    html! {
        @if let Some(its) = &host.suspended {
            div {
                (badge("suspended")) " "
                // Readers do not see it.
                @if !its.reason.is_empty() { (foreign(&its.reason)) ", " }
                (display(Relative { time: Some(its.until), now }))
            }
        }
        @if let Some(its) = &host.limited {
            div { (badge("limited")) " " (its.limit) " " (foreign(&its.value)) ": " code { (foreign(&its.change)) } }
        }
        @if let Some(reply) = &host.last_reply { div { (foreign(reply)) } }
    }
}

fn host_link(channel: Option<&str>, host: &str) -> Markup {
    let filters: Vec<_> =
        channel.map(|channel| ("channel", channel)).into_iter().chain([("host", host)]).collect();
    html! { a href=(queue_link(&filters)) { (foreign(host)) } }
}

/// Hosts that get nothing, or less, by an order or a reply.
pub(super) fn suspensions(all: &[HostSuspended], operator: Option<&Pass>) -> Markup {
    let now = Timestamp::now();
    let heads = ["Host", "Channel", "By", "Rate", ">Until", "Reason", "Order"];
    let heads = if operator.is_some() { &heads[..] } else { &heads[..5] };
    let row = |its: &HostSuspended| {
        html! {
            tr {
                th scope="row" { (host_link(its.channel.as_deref(), &its.host)) }
                td { (its.channel.as_deref().unwrap_or("all")) }
                td { (its.by) }
                td { (its.rate.as_deref().unwrap_or("nothing")) }
                (moment(Some(its.until), now))
                @if let Some(operator) = operator {
                    (text(&its.reason))
                    td { (resume(its, operator)) }
                }
            }
        }
    };
    let rows: Vec<_> = all.iter().take(MOST).map(row).collect();
    html! {
        @if rows.is_empty() { (nothing("No host is suspended.")) }
        @else { (table("Hosts that are suspended", heads, &rows)) }
        (more(all.len()))
        @if operator.is_none() && !rows.is_empty() { (nothing(HIDDEN)) }
    }
}

fn resume(host: &HostSuspended, operator: &Pass) -> Markup {
    html! {
        form method="post" action="/order" {
            (operator.field())
            input type="hidden" name="order" value="resume";
            input type="hidden" name="host" value=(host.host);
            @if let Some(channel) = &host.channel {
                input type="hidden" name="channel" value=(channel);
            }
            button aria-label={ "Resume " (host.host) } { "Resume" }
        }
    }
}

fn more(all: usize) -> Markup {
    html! {
        @if all > MOST { p { (all - MOST) " more: " code { "relais status --all" } } }
    }
}

fn suspend(operator: &Pass) -> Markup {
    html! {
        form method="post" action="/order" .fields {
            (operator.field())
            input type="hidden" name="order" value="suspend";
            label { "Host" input name="host" required placeholder="example.com"; }
            label { "Channel" input name="channel" placeholder="all"; }
            label { "For" input name="time" required value="1h" placeholder="1m to 30d"; }
            label { "Reason" input name="reason" required maxlength="500"; }
            button { "Suspend …" }
        }
    }
}

/// Said to readers below what they see of orders.
pub(super) const HIDDEN: &str =
    "Whom orders are about, who gave them and why is shown by the socket, or to who has logged in.";
/// Rows of a table.
const MOST: usize = 100;
