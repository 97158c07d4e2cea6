//! The overview: what flows, what waits and for whom, what holds it back.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::HttpResponse;
use maud::{Markup, display, html};

use super::{
    hosts,
    layout::{Trouble, View},
    parts::{
        badge, count, foreign, grouped, moment, nothing, queue_link, seconds, section, table, tile,
    },
    plot::{Curve, Plot, figure},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, discreet::Discreet, patience::in_time},
    api::{
        ChannelFlow, ChannelOverview, ChannelSeries, LimitValue, Limiting, Overview, Series,
        SeriesAsked, SeriesSpan, ServiceOverview,
    },
    show::Span,
};

/// The view.
pub(in crate::admin) async fn overview<C: Console>(
    console: &C,
    visitor: &Visitor,
    asked: SeriesAsked,
) -> Result<HttpResponse, Trouble> {
    let seen = Arc::unwrap_or_clone(in_time(console.overview()).await?);
    let seen = seen.for_reader(visitor.is_operator());
    let series = console.series(asked)?;
    let body = html! {
        div data-live="overview" {
            (head(&seen))
            (tiles(&seen))
            (section("limits", "What limits now", &limiting(&seen, visitor.operator())))
            (section("plots", "Traffic", &plots(&series)))
            (section("channels", "Channels", &channels(&seen)))
            (section("trouble", "Hosts in trouble", &hosts::in_trouble(&seen)))
            (section("services", "Services", &services(&seen.services)))
            (section("others", "Directory, TLS, orders", &others(&seen)))
        }
    };
    Ok(View { title: "Overview", place: "/", visitor }.answer(&body))
}

fn head(seen: &Overview) -> Markup {
    let uptime = Span(Duration::from_secs(seen.uptime_seconds));
    let (used, cores) = (figure(seen.cpu.used), seen.cpu.cores);
    html! {
        p .state {
            (badge(seen.phase.name())) " " (foreign(&seen.host)) ", relais " (seen.version)
            ", up for " (display(uptime)) ", CPU " (used) " of " (cores) " cores"
        }
        div .news aria-live="polite" {
            @for why in &seen.ready.why { p .bad { "Not ready: " (foreign(why)) } }
            @if let Some(its) = &seen.history { p .fair { (foreign(&its.to_string())) } }
        }
    }
}

fn limiting(seen: &Overview, operator: Option<&Pass>) -> Markup {
    let value = |value: Option<&LimitValue>| value.map_or("–".to_owned(), ToString::to_string);
    let row = |its: &Limiting| {
        let shown = match &its.value {
            Some(limit) => format!("{} of {limit}", value(its.used.as_ref())),
            None => "–".to_owned(),
        };
        html! {
            tr {
                th scope="row" .text { (foreign(&its.words)) }
                (count(its.messages))
                td .figure { (its.rate.map_or("–".to_owned(), figure)) }
                td .figure { (foreign(&shown)) }
                (moment(Some(its.since), seen.at))
                (moment(its.until, seen.at))
                td .text { @match its.would_help.strip_prefix("none: ") {
                    Some(why) => (foreign(why)),
                    None => {
                        code { (foreign(&its.would_help)) }
                        @if let Some(operator) = operator { (set(&its.would_help, operator)) }
                    },
                } }
            }
        }
    };
    let rows: Vec<_> = seen.limiting.iter().take(LIMITS).map(row).collect();
    let more = seen.limiting.len() - rows.len();
    let heads =
        ["Limit", ">Wait for it", ">Leave /s", ">Used", ">Since", ">Until", "What would help"];
    html! {
        p { (foreign(&seen.waits)) }
        @if !rows.is_empty() { (table("What limits now", &heads, &rows)) }
        @if more > 0 { p { (more) " more: " code { "relais why" } } }
    }
}

/// A button that does as a command says, where that is `relais set KEY VALUE`.
fn set(command: &str, operator: &Pass) -> Markup {
    let words = command.strip_prefix("relais set ").and_then(|words| words.split_once(' '));
    html! {
        @if let Some((key, value)) = words.filter(|(_, value)| !value.contains(' ')) {
            form method="post" action="/order" {
                (operator.field())
                input type="hidden" name="order" value="set";
                input type="hidden" name="key" value=(key);
                input type="hidden" name="value" value=(value);
                button aria-label={ "Set " (foreign(key)) " to " (foreign(value)) } { "Set" }
            }
        }
    }
}

fn tiles(seen: &Overview) -> Markup {
    let queue = &seen.queue;
    let oldest = queue.oldest_seconds.map(|age| Span(Duration::from_secs(age)).to_string());
    let flow = |of: fn(&ChannelFlow) -> f64| figure(seen.flow.iter().map(of).sum());
    html! {
        dl .tiles {
            (tile("In", &flow(|its| its.submitted), "/s"))
            (tile("Out", &flow(|its| its.delivered), "/s"))
            (tile("Deferred", &flow(|its| its.deferred), "/s"))
            (tile("Failed", &flow(|its| its.failed), "/s"))
            (tile("In the queue", &grouped(queue.stored), ""))
            (tile("Ready", &grouped(queue.ready), ""))
            (tile("Active", &grouped(queue.active), ""))
            (tile("Delayed", &grouped(queue.delayed), ""))
            (tile("Held", &grouped(queue.held), ""))
            (tile("Oldest", &oldest.as_deref().unwrap_or("–"), ""))
            (tile("In memory", &grouped(queue.tracked), &format!("of {}", grouped(queue.max_messages))))
        }
        @if queue.stored > 0 && !queue.ages.is_empty() {
            h3 { "By age" }
            dl .tiles {
                @for age in &queue.ages {
                    @let name = if age.below == "older" { "older".to_owned() } else { format!("below {}", age.below) };
                    (tile(&name, &grouped(age.messages), ""))
                }
            }
        }
    }
}

fn plots(series: &Series) -> Markup {
    let step = series.step_seconds.max(1) as f64;
    let steps = series.queue.len();
    let sum = |of: fn(&ChannelSeries) -> &Vec<u32>| {
        let mut all = vec![0.0; steps];
        for values in series.channels.iter().map(of) {
            all.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value) / step);
        }
        all
    };
    let lines = [
        Curve { class: "lost", name: "failed", values: sum(|its| &its.failed) },
        Curve { class: "late", name: "deferred", values: sum(|its| &its.deferred) },
        Curve { class: "out", name: "out", values: sum(|its| &its.delivered) },
        Curve { class: "in", name: "in", values: sum(|its| &its.submitted) },
    ];
    let counts = |all: &[u32]| all.iter().copied().map(f64::from).collect();
    let waiting = [
        Curve { class: "late", name: "held", values: counts(&series.held) },
        Curve { class: "in", name: "stored", values: counts(&series.queue) },
    ];
    let is_day = series.span == SeriesSpan::Day;
    let last = if is_day { "last day" } else { "last hour" };
    html! {
        p .inline {
            a .button href="/" aria-current=[(!is_day).then_some("true")] { "Last hour" }
            a .button href="/?span=day" aria-current=[is_day.then_some("true")] { "Last day" }
        }
        div .plots {
            (Plot { title: &format!("Messages in the {last}"), unit: "/s", lines: &lines }.figure())
            (Plot { title: &format!("Queue in the {last}"), unit: "", lines: &waiting }.figure())
        }
        (sums(series, last))
    }
}

/// The same in figures.
fn sums(series: &Series, last: &str) -> Markup {
    let total = |values: &[u32]| count(values.iter().copied().map(u64::from).sum());
    let row = |its: &ChannelSeries| {
        html! {
            tr {
                th scope="row" { (its.name) }
                (total(&its.submitted)) (total(&its.received)) (total(&its.delivered))
                (total(&its.deferred)) (total(&its.failed))
            }
        }
    };
    let rows: Vec<_> = series.channels.iter().map(row).collect();
    let heads = ["Channel", ">Brought in", ">Queued", ">Delivered", ">Deferred", ">Failed"];
    html! {
        @if !rows.is_empty() {
            details id="sums" {
                summary { "Messages of the " (last) " by channel" }
                (table(&format!("Messages of the {last}"), &heads, &rows))
            }
        }
    }
}

fn channels(seen: &Overview) -> Markup {
    let heads = [
        "Channel",
        ">In /s",
        ">Queued /s",
        ">Out /s",
        ">Deferred /s",
        ">Failed /s",
        ">Ready",
        ">Active",
        ">Delayed",
        ">Held",
        ">Oldest",
        ">Jobs",
        ">Connections",
        "Pool",
        "State",
    ];
    let flows: HashMap<&str, &ChannelFlow> =
        seen.flow.iter().map(|flow| (flow.channel.as_str(), flow)).collect();
    let none = (ChannelFlow::default(), ChannelOverview::default());
    let known = |name: &str| seen.channels.iter().any(|its| its.name == name);
    let only_in = seen.flow.iter().filter(|flow| !known(&flow.channel));
    let only_in = only_in.map(|flow| (flow.channel.as_str(), flow, None));
    let all = seen.channels.iter().map(|its| {
        (its.name.as_str(), flows.get(its.name.as_str()).copied().unwrap_or(&none.0), Some(its))
    });
    let row = |(name, flow, its): (&str, &ChannelFlow, Option<&ChannelOverview>)| {
        let rate = |value: f64| html! { td .figure .none[value < 0.005] data-sort=(value) { (figure(value)) } };
        let state = its.map_or("takes in", |its| if its.stopped { "stopped" } else { "running" });
        let its = its.unwrap_or(&none.1);
        let state = if its.program == "lost" { "lost" } else { state };
        html! {
            tr {
                th scope="row" { a href=(queue_link(&[("channel", name)])) { (name) } }
                (rate(flow.submitted)) (rate(flow.received)) (rate(flow.delivered))
                (rate(flow.deferred)) (rate(flow.failed))
                (count(its.ready)) (count(its.active)) (count(its.delayed)) (count(its.held))
                (seconds(its.oldest_seconds))
                (share(its.jobs, its.maxjobs)) (share(its.connections, its.max_connections))
                td { (its.pool) }
                td { (badge(state)) }
            }
        }
    };
    let rows: Vec<_> = all.chain(only_in).map(row).collect();
    table("Channels", &heads, &rows)
}

/// A cell of what is used of a limit.
fn share(used: usize, most: usize) -> Markup {
    html! { td .figure .none[used == 0] data-sort=(used) { (used) @if most > 0 { " / " (most) } } }
}

fn services(services: &[ServiceOverview]) -> Markup {
    let row = |its: &ServiceOverview| {
        html! {
            tr {
                th scope="row" { (its.name) }
                td { (badge(its.state.name())) }
                (share(its.workers, its.max_workers)) (share(its.connections, its.max_connections))
                (count(its.accepted)) (count(its.refused))
            }
        }
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    table(
        "Services",
        &["Service", "State", ">Workers", ">Sessions", ">Accepted", ">Refused"],
        &rows,
    )
}

fn others(seen: &Overview) -> Markup {
    let servers = seen.directory.iter().flat_map(|directory| &directory.servers);
    html! {
        @for its in servers {
            p { "Directory " (foreign(&its.server)) " " (badge(if its.away.is_some() { "down" } else { "up" }))
                @if let Some(why) = &its.away { " " (foreign(why)) } }
        }
        @match seen.certificates.first() {
            Some(first) => p { a href="/directory" { "Certificates" } ": the first ends in "
                (first.days_left) " days, " (foreign(&first.names.join(" "))) },
            None => (nothing("There is no certificate: clients are offered no TLS.")),
        }
        @if seen.orders.values().any(|count| *count > 0) {
            p { a href="/orders" { "Orders in force" } ": "
                @for (place, (kind, count)) in seen.orders.iter().enumerate() {
                    @if place > 0 { ", " } (count) " " (kind)
                } }
        }
    }
}

/// Limits that are shown, the worst ones.
const LIMITS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{fake_overview, guard::Giver};

    #[test]
    fn an_operator_has_a_button_for_a_limit_that_is_set() {
        let pass = Pass {
            giver: Giver::Token(None),
            who: "token".to_owned(),
            form_token: "secret".to_owned(),
            has_session: true,
        };
        let mut seen = fake_overview::overview();
        let fields = "<input type=\"hidden\" name=\"key\" value=\"tcp_local@&lt;b&gt;.rate\">\
            <input type=\"hidden\" name=\"value\" value=\"20/1m\">";
        // the command, whether there is a button
        for (command, is_set) in [
            ("relais set tcp_local@<b>.rate 20/1m", true),
            ("relais host resume b.test", false),
            ("relais set a b c", false),
            ("none: the destination is dead", false),
        ] {
            command.clone_into(&mut seen.limiting[0].would_help);
            let page = limiting(&seen, Some(&pass)).into_string();
            assert_eq!(page.contains(fields), is_set, "{page}");
            assert_eq!(page.contains("<button"), is_set, "{page}");
            assert!(!limiting(&seen, None).into_string().contains("<form"), "{command}");
        }
    }
}
