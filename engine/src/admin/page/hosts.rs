//! Hosts in trouble, hosts that are suspended, and those whose limits allow no more for now.

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, html};
use relais_actors::timestamp::Timestamp;

use super::{
    layout::{Trouble, View},
    parts::{foreign, moment, nothing, queue_link, section, table, text},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, patience::in_time},
    api::{DestinationTrouble, HostLimited, HostSuspended, Status},
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let status = in_time(console.status()).await?;
    let operator = visitor.operator();
    let quiet =
        status.troubles.is_empty() && status.suspended.is_empty() && status.limited.is_empty();
    let body = html! {
        div data-live="hosts" {
            @if quiet { (nothing("No host is in trouble, suspended or limited.")) }
            (tables(&status, operator))
        }
        @if let Some(operator) = operator { (section("suspend", "Suspend a host", &suspend(operator))) }
    };
    Ok(View { title: "Hosts", place: "/hosts", visitor: &visitor }.answer(&body))
}

/// A table for each kind of which there is any.
pub(super) fn tables(status: &Status, operator: Option<&Pass>) -> Markup {
    html! {
        @if !status.troubles.is_empty() { (troubles(&status.troubles)) }
        @if !status.suspended.is_empty() { (suspended(&status.suspended, operator)) }
        @if !status.limited.is_empty() { (limited(&status.limited)) }
    }
}

fn host_link(channel: Option<&str>, host: &str) -> Markup {
    let filters: Vec<_> =
        channel.map(|channel| ("channel", channel)).into_iter().chain([("host", host)]).collect();
    html! { a href=(queue_link(&filters)) { (foreign(host)) } }
}

fn troubles(all: &[DestinationTrouble]) -> Markup {
    let now = Timestamp::now();
    let row = |its: &DestinationTrouble| {
        html! {
            tr {
                th scope="row" { (host_link(Some(&its.channel), &its.host)) }
                td { (its.channel) }
                (moment(Some(its.until), now))
                (text(&its.reply))
            }
        }
    };
    let rows: Vec<_> = all.iter().take(MOST).map(row).collect();
    html! {
        h3 { "Not reached" }
        (table("Hosts that were not reached", &["Host", "Channel", ">Next try", "Last reply"], &rows))
        (more(all.len()))
    }
}

fn suspended(all: &[HostSuspended], operator: Option<&Pass>) -> Markup {
    let now = Timestamp::now();
    let heads = ["Host", "Channel", "By", "Rate", ">Until", "Reason", "Order"];
    let heads = if operator.is_some() { &heads[..] } else { &heads[..6] };
    let row = |its: &HostSuspended| {
        html! {
            tr {
                th scope="row" { (host_link(its.channel.as_deref(), &its.host)) }
                td { (its.channel.as_deref().unwrap_or("all")) }
                td { (its.by) }
                td { (its.rate.as_deref().unwrap_or("nothing")) }
                (moment(Some(its.until), now))
                (text(&its.reason))
                @if let Some(operator) = operator { td { (resume(its, operator)) } }
            }
        }
    };
    let rows: Vec<_> = all.iter().take(MOST).map(row).collect();
    html! {
        h3 { "Suspended" }
        (table("Hosts that are suspended", heads, &rows))
        (more(all.len()))
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

fn limited(all: &[HostLimited]) -> Markup {
    let now = Timestamp::now();
    let row = |its: &HostLimited| {
        html! {
            tr {
                th scope="row" { (host_link(Some(&its.channel), &its.host)) }
                td { (its.channel) }
                td { (its.limit) }
                td .figure { (its.value) }
                (moment(Some(its.until), now))
                td { code { (foreign(&its.change)) } }
            }
        }
    };
    let rows: Vec<_> = all.iter().take(MOST).map(row).collect();
    let heads = ["Host", "Channel", "Limit", ">Value", ">Next", "Changed by"];
    html! {
        h3 { "At a limit" }
        (table("Hosts at a limit", &heads, &rows))
        (more(all.len()))
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

/// Rows of a table.
const MOST: usize = 100;
