//! One message: its recipients, why it waits, the way it would go now, and what happened to it.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::StatusCode,
    web::{Data, Path},
};
use maud::{Markup, display, html};
use relais_actors::{metrics::QueueState, timestamp::Timestamp};
use relais_channels::mail::MessageId;

use super::{
    layout::{Trouble, View},
    orders::order_link,
    parts::{badge, count, foreign, moment, nothing, section, table, text},
    queue,
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{
        Console, RouteQuestion,
        discreet::Discreet,
        patience::{in_time, within},
    },
    api::{HistoryLine, QueuedEntry, QueuedMessage, QueuedRecipient, RouteResult, Why},
};

/// The way of a recipient as it would be now, or why it is not known.
type RecipientWay = (String, Result<Vec<RouteResult>, String>);

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
    id: Path<String>,
) -> Result<HttpResponse, Trouble> {
    let id: MessageId =
        id.parse().map_err(|error| Trouble::new(StatusCode::BAD_REQUEST, format!("{error}")))?;
    let gone = || {
        Trouble::new(
            StatusCode::NOT_FOUND,
            format!(
                "There is no message {id} in the queue: it has been delivered, returned or deleted."
            ),
        )
    };
    let message = in_time(console.queue_show(id)).await?.ok_or_else(gone)?;
    let is_operator = visitor.is_operator();
    let why = in_time(console.queue_why(id)).await?.for_reader(is_operator);
    let history = in_time(console.queue_history(id)).await?.unwrap_or_default();
    let history = history.for_reader(is_operator);
    let ways = ways(&**console, &message).await;
    let body = html! {
        (head(&message))
        @if let Some(operator) = visitor.operator() { (orders(&message, operator)) }
        (section("why", "Why it waits", &reasons(&why)))
        (section("recipients", "Recipients", &recipients(&message.entries)))
        (section("route", "Route as of now", &routes(&ways)))
        (section("history", "History", &happened(&history)))
        (section("header", "Header", &html! {
            pre { @for line in &message.header { (foreign(&line.replace('\t', " "))) "\n" } }
        }))
    };
    let title = format!("Message {}", message.id);
    Ok(View { title: &title, place: "/queue", visitor: &visitor }.answer(&body))
}

fn head(message: &QueuedMessage) -> Markup {
    let Some(entry) = message.entries.first() else { return html! {} };
    html! {
        dl .facts {
            div { dt { "From" } dd { @if entry.sender.is_empty() { "<>" } @else { (foreign(&entry.sender)) } } }
            div { dt { "Size" } dd { (display(crate::show::Size(entry.size))) } }
            div { dt { "Accepted" } dd { time { (display(entry.received)) } } }
            div { dt { "Came by" } dd { (message.source_channel) " from " (foreign(&message.client)) } }
            div { dt { "Priority" } dd { (entry.priority) } }
        }
    }
}

fn orders(message: &QueuedMessage, operator: &Pass) -> Markup {
    html! {
        form method="post" action="/order" {
            (operator.field())
            input type="hidden" name="scope" value="chosen";
            input type="hidden" name="id" value=(message.id);
            fieldset .orders {
                legend { "Order" }
                label .grow { "Reason " input name="reason" maxlength="500"; }
                (queue::buttons())
            }
        }
    }
}

fn reasons(why: &[Why]) -> Markup {
    html! {
        @if why.is_empty() { (nothing("It does not wait.")) }
        @for its in why {
            p {
                (badge(&its.waits_for)) " "
                @if why.len() > 1 { "By " (its.channel) " to " (foreign(&its.host)) ": " }
                (foreign(&its.text))
                @if let Some(order) = its.order {
                    " " a href=(order_link(order)) { "Order " (order) }
                }
            }
        }
    }
}

fn recipients(entries: &[QueuedEntry]) -> Markup {
    let now = Timestamp::now();
    let heads = ["Recipient", "State", "Channel", "Host", ">Tries", ">Next", "Last reply"];
    let row = |(entry, its): (&QueuedEntry, &QueuedRecipient)| {
        html! {
            tr {
                th scope="row" .address {
                    (foreign(&its.address))
                    @if let Some(member) = &its.member { " → " (foreign(member)) }
                }
                td { (badge(its.state.name())) }
                td { (entry.channel) }
                td .address { (foreign(&entry.host)) }
                (count(entry.attempts.into()))
                (moment(entry.due, now))
                (text(its.last_reply.as_deref().unwrap_or_default()))
            }
        }
    };
    let all = entries.iter().flat_map(|entry| entry.recipients.iter().map(move |its| (entry, its)));
    let rows: Vec<_> = all.clone().take(MOST).map(row).collect();
    let more = all.count().saturating_sub(MOST);
    html! {
        (table("Recipients", &heads, &rows))
        @if more > 0 { p { (more) " more: " code { "relais queue show" } } }
    }
}

/// The ways of the first recipients that are open. Whoever would have to wait for a directory waits for a
/// moment only.
async fn ways<C: Console>(console: &C, message: &QueuedMessage) -> Vec<RecipientWay> {
    let open = message.entries.iter().flat_map(|entry| entry.open().map(move |its| (entry, its)));
    let mut ways: Vec<RecipientWay> = Vec::new();
    for (entry, its) in open.take(ROUTED) {
        let question = RouteQuestion {
            address: its.address.clone(),
            from: Some(entry.sender.clone()),
            channel: Some(message.source_channel.clone()),
            vouched: true,
            ..RouteQuestion::default()
        };
        let way = match within(LOOKED_UP, console.explain_route(question)).await {
            Ok(Ok(explained)) if explained.accepted => Ok(explained.results),
            Ok(Ok(explained)) => Err(explained.reply),
            Ok(Err(nonsense)) => Err(nonsense.to_string()),
            Err(unavailable) => Err(unavailable.to_string()),
        };
        ways.push((its.address.clone(), way));
    }
    ways
}

fn routes(ways: &[RecipientWay]) -> Markup {
    let row = |(recipient, way): &RecipientWay| {
        html! {
            @match way {
                Err(why) => tr { th scope="row" .address { (foreign(recipient)) }
                    td colspan="4" .text { (foreign(why)) } },
                Ok(results) => @for its in results {
                    tr {
                        th scope="row" .address { (foreign(recipient)) }
                        td .address { (foreign(&its.address)) }
                        td { (its.channel) }
                        td .address { (foreign(&its.next_hop)) }
                        (text(its.tls.as_deref().unwrap_or_default()))
                    }
                },
            }
        }
    };
    let rows: Vec<_> = ways.iter().map(row).collect();
    let heads = ["Recipient", "Presented as", "Channel", "Next hop", "TLS"];
    html! {
        @if rows.is_empty() { (nothing("No recipient is open.")) }
        @else { (table("Routes", &heads, &rows)) }
    }
}

fn happened(lines: &[HistoryLine]) -> Markup {
    let row = |its: &HistoryLine| {
        let now = its.at;
        let mut what: Vec<String> = its.reason.iter().map(ToString::to_string).collect();
        what.extend(its.replies.iter().map(|said| format!("<{}> {}", said.address, said.reply)));
        what.extend(its.peer.as_ref().map(|peer| format!("at {peer}")));
        what.extend(its.protection.as_ref().map(|protection| format!("by {protection}")));
        what.extend(its.timings.map(|timings| format!("in {timings}")));
        html! {
            tr {
                th scope="row" { time .id { (display(its.at)) } }
                td { (badge(its.state.map_or("done", QueueState::name))) }
                td { (its.channel) }
                td .address { (foreign(&its.host)) }
                (count(its.attempts.into()))
                (moment(its.due, now))
                td .text { @for line in &what { div { (foreign(line)) } } }
            }
        }
    };
    let rows: Vec<_> = lines.iter().rev().take(MOST).map(row).collect();
    let heads = ["Time", "State", "Channel", "Host", ">Tries", ">Next", "What"];
    html! {
        @if rows.is_empty() { (nothing("Nothing has happened to it yet.")) }
        @else { (table("History, the latest first", &heads, &rows)) }
    }
}

/// Rows of a table.
const MOST: usize = 100;
/// Recipients whose way is looked up.
const ROUTED: usize = 3;
const LOOKED_UP: Duration = Duration::from_millis(150);
