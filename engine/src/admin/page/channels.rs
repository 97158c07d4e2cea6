//! Channels and pools, and their limits.

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, html};
use relais_actors::timestamp::Timestamp;

use super::{
    layout::{Trouble, View},
    parts::{age, badge, count, queue_link, section, text},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, patience::in_time},
    api::{ChannelStatus, LimitShown, LimitValue, PoolStatus},
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let status = in_time(console.status()).await?;
    let limits = in_time(console.show_limits(None)).await??;
    let operator = visitor.operator();
    let body = html! {
        div data-live="channels" {
            (section("channels", "Channels", &table(&status.channels, operator)))
            (section("pools", "Pools", &pools(&status.pools)))
        }
        (section("limits", "Limits", &limits_table(&limits, operator)))
    };
    Ok(View { title: "Channels", place: "/channels", visitor: &visitor }.answer(&body))
}

/// Each channel, and its part of the queue.
fn table(channels: &[ChannelStatus], operator: Option<&Pass>) -> Markup {
    let now = Timestamp::now();
    let heads = [
        "Channel", ">Ready", ">Active", ">Delayed", ">Held", ">Oldest", ">Jobs", ">Most", "Pool",
        "State", "Order",
    ];
    let heads = if operator.is_some() { &heads[..] } else { &heads[..heads.len() - 1] };
    let row = |its: &ChannelStatus| {
        let state = match (its.stopped, its.unserved) {
            (true, _) => "stopped",
            (_, true) => "lost",
            _ => "running",
        };
        html! {
            tr {
                th scope="row" { a href=(queue_link(&[("channel", &its.name)])) { (its.name) } }
                (count(its.ready)) (count(its.active)) (count(its.delayed)) (count(its.held))
                (age(its.oldest, now))
                (count(its.jobs as u64)) (count(its.maxjobs as u64))
                td { (its.pool) }
                td { (badge(state)) }
                @if let Some(operator) = operator { td { (switch(its, operator)) } }
            }
        }
    };
    let rows: Vec<_> = channels.iter().map(row).collect();
    super::parts::table("Channels", heads, &rows)
}

fn switch(channel: &ChannelStatus, operator: &Pass) -> Markup {
    let (order, word) = if channel.stopped { ("start", "Start") } else { ("stop", "Stop") };
    html! {
        form method="post" action="/order" {
            (operator.field())
            input type="hidden" name="order" value={ "channel_" (order) };
            input type="hidden" name="channel" value=(channel.name);
            button aria-label={ (word) " channel " (channel.name) } { (word) }
        }
    }
}

fn pools(pools: &[PoolStatus]) -> Markup {
    let row = |its: &PoolStatus| {
        html! {
            tr {
                th scope="row" { (its.name) }
                (count(its.running as u64)) (count(its.job_limit as u64))
                td { meter min="0" max=(its.job_limit) value=(its.running) {
                    (its.running) " of " (its.job_limit)
                } }
            }
        }
    };
    let rows: Vec<_> = pools.iter().map(row).collect();
    super::parts::table("Pools", &["Pool", ">Jobs", ">Most", "Use"], &rows)
}

fn limits_table(limits: &[LimitShown], operator: Option<&Pass>) -> Markup {
    let heads = ["Limit", ">Now", ">Configured", ">Saved", "New value"];
    let heads = if operator.is_some() { &heads[..] } else { &heads[..4] };
    let row = |its: &LimitShown| {
        html! {
            tr {
                th scope="row" { code { (its.key) } }
                (value(its.value.as_ref())) (value(its.configured.as_ref()))
                (value(its.saved.as_ref()))
                @if let Some(operator) = operator { td { (set(its, operator)) } }
            }
        }
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    super::parts::table("Limits", heads, &rows)
}

fn value(value: Option<&LimitValue>) -> Markup {
    match value {
        Some(LimitValue::Number(number)) => count(*number),
        Some(LimitValue::Text(words)) => text(words),
        None => html! { td .figure .none { "–" } },
    }
}

fn set(limit: &LimitShown, operator: &Pass) -> Markup {
    html! {
        form method="post" action="/order" .inline {
            (operator.field())
            input type="hidden" name="order" value="set";
            input type="hidden" name="key" value=(limit.key);
            input name="value" size="8" required aria-label={ "New value of " (limit.key) };
            label { input type="checkbox" name="save" value="yes"; " keep" }
            button { "Set" }
        }
    }
}
