//! The overview: what is wrong, what waits, and for whom.

use actix_web::HttpResponse;
use maud::{Markup, display, html};
use relais_actors::timestamp::Timestamp;

use super::{
    channels, hosts,
    layout::{Trouble, View},
    parts::{foreign, grouped, nothing, section, tile},
    visitor::Visitor,
};
use crate::{
    admin::{Console, patience::in_time},
    api::{ChannelStatus, Phase, Status},
    show::{self, Size, Span},
};

/// The view.
pub(in crate::admin) async fn overview<C: Console>(
    console: &C,
    visitor: &Visitor,
) -> Result<HttpResponse, Trouble> {
    let status = in_time(console.status()).await?;
    let body = html! {
        div data-live="overview" {
            (head(&status))
            (section("flow", "Channels", &channels::table(&status.channels, None)))
            (section("trouble", "Hosts in trouble", &trouble(&status)))
        }
    };
    Ok(View { title: "Overview", place: "/", visitor }.answer(&body))
}

fn head(status: &Status) -> Markup {
    let news = show::news(status);
    let queue = &status.queue;
    let sum = |of: fn(&ChannelStatus) -> u64| grouped(status.channels.iter().map(of).sum());
    let oldest = status.channels.iter().filter_map(|channel| channel.oldest).min();
    let uptime = Span(std::time::Duration::from_secs(status.uptime_seconds));
    html! {
        p .state {
            (display(status.host.as_str())) ", relais " (status.version) ", "
            (status.phase.name()) " for " (display(uptime))
        }
        div .news aria-live="polite" {
            @if news.is_empty() && status.phase == Phase::Running { p .good { "Nothing is wrong." } }
            @for line in &news { p .bad { (foreign(line.trim_end())) } }
        }
        dl .tiles {
            (tile("Stored", &grouped(queue.stored), "entries"))
            (tile("Ready", &sum(|its| its.ready), ""))
            (tile("Active", &sum(|its| its.active), ""))
            (tile("Delayed", &sum(|its| its.delayed), ""))
            (tile("Held", &sum(|its| its.held), ""))
            @if let Some(oldest) = oldest {
                (tile("Oldest", &display(Span(oldest.until(Timestamp::now()))), ""))
            }
            (tile("In memory", &grouped(queue.tracked), &format!("of {}", grouped(queue.max_messages))))
            (tile("Spool", &display(Size(queue.spool_bytes)), ""))
        }
    }
}

fn trouble(status: &Status) -> Markup {
    if status.troubles.is_empty() && status.suspended.is_empty() && status.limited.is_empty() {
        return nothing("No host is in trouble.");
    }
    hosts::tables(status, None)
}
