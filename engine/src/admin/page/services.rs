//! Services and their workers.

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, html};
use relais_actors::{front::control::ServiceState, timestamp::Timestamp};

use super::{
    layout::{Trouble, View},
    parts::{age, badge, count, section, table},
    visitor::{Pass, Visitor},
};
use crate::{
    admin::{Console, patience::in_time},
    api::{JOB_CONTROLLER, ServiceStatus},
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let status = in_time(console.status()).await?;
    let operator = visitor.operator();
    let body = html! {
        div data-live="services" {
            (section("services", "Services", &services(&status.services, operator)))
            (section("jobs", "Job controller", &html! {
                p .inline {
                    (badge(status.job_controller.name()))
                    @if let Some(operator) = operator {
                        (switch(JOB_CONTROLLER, status.job_controller, operator))
                    }
                }
            }))
            (section("workers", "Workers", &workers(&status.services)))
        }
    };
    Ok(View { title: "Services", place: "/services", visitor: &visitor }.answer(&body))
}

fn services(services: &[ServiceStatus], operator: Option<&Pass>) -> Markup {
    let heads = [
        "Service",
        "Program",
        "Channel",
        "State",
        "Listens",
        ">Sessions",
        ">Accepted",
        ">Refused",
        ">Workers",
        "Order",
    ];
    let heads = if operator.is_some() { &heads[..] } else { &heads[..heads.len() - 1] };
    let row = |its: &ServiceStatus| {
        html! {
            tr {
                th scope="row" { (its.name) }
                td { (its.program) }
                td { (its.channel) }
                td { (badge(its.state.name())) }
                td { (its.listen.join(", ")) }
                (count(its.connections)) (count(its.accepted)) (count(its.refused))
                (count(its.workers.len() as u64))
                @if let Some(operator) = operator {
                    td { (switch(&its.name, its.state, operator)) }
                }
            }
        }
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    table("Services", heads, &rows)
}

fn switch(part: &str, state: ServiceState, operator: &Pass) -> Markup {
    let orders: &[(&str, &str)] = match state {
        ServiceState::Stopped => &[("start", "Start")],
        _ => &[("stop", "Stop"), ("restart", "Restart")],
    };
    html! {
        div .inline {
            @for (order, word) in orders {
                form method="post" action="/order" {
                    (operator.field())
                    input type="hidden" name="order" value={ "part_" (order) };
                    input type="hidden" name="part" value=(part);
                    button aria-label={ (word) " " (part) } { (word) }
                }
            }
        }
    }
}

fn workers(services: &[ServiceStatus]) -> Markup {
    let now = Timestamp::now();
    let heads = ["Worker", "State", ">Thread", ">Sessions", ">Peak", ">Served", ">Since"];
    let all =
        services.iter().flat_map(|service| service.workers.iter().map(move |it| (service, it)));
    let rows: Vec<_> = all
        .take(MOST)
        .map(|(service, its)| {
            html! {
                tr {
                    th scope="row" { (service.name) "/" (its.id) }
                    td { (badge(its.state.name())) }
                    (count(its.arbiter as u64)) (count(its.connections as u64))
                    (count(its.peak as u64)) (count(its.served)) (age(Some(its.started), now))
                }
            }
        })
        .collect();
    table("Workers", &heads, &rows)
}

/// Rows of a table.
const MOST: usize = 200;
