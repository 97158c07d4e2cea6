//! The directory, certificates, filters, and the partitions of the store.

use actix_web::{HttpResponse, web::Data};
use maud::{Markup, html};

use super::{
    layout::{Trouble, View},
    parts::{badge, count, foreign, grouped, nothing, octets, section, table, text, tile},
    visitor::Visitor,
};
use crate::{
    admin::{Console, patience::in_time},
    api::{CertificateShown, Partition, Status},
};

/// The view.
pub(super) async fn show<C: Console>(
    visitor: Visitor,
    console: Data<C>,
) -> Result<HttpResponse, Trouble> {
    let status = in_time(console.status()).await?;
    let certificates = console.certificates()?;
    let body = html! {
        div data-live="directory" {
            (section("directory", "Directory", &directory(&status)))
            (section("certificates", "Certificates", &shown(&certificates)))
            @if !status.milters.is_empty() { (section("filters", "Filters", &filters(&status))) }
            @if !status.partitions.is_empty() {
                (section("partitions", "Partitions of the store", &partitions(&status.partitions)))
            }
        }
    };
    Ok(View { title: "Directory and TLS", place: "/directory", visitor: &visitor }.answer(&body))
}

fn directory(status: &Status) -> Markup {
    let row = |(server, away): (&String, Option<&str>)| {
        html! {
            tr {
                th scope="row" { (server) }
                td { (badge(if away.is_some() { "down" } else { "up" })) }
                (text(away.unwrap_or("answers")))
            }
        }
    };
    let servers = status.directory_servers.iter().map(|its| (&its.server, its.away.as_deref()));
    let rows: Vec<_> = servers.map(row).collect();
    html! {
        @if let Some(looked_up) = &status.directory {
            dl .tiles {
                (tile("Found", &grouped(looked_up.found), "look-ups"))
                (tile("Missing", &grouped(looked_up.missing), "look-ups"))
                (tile("Failed", &grouped(looked_up.failed), "look-ups"))
                (tile("From memory", &grouped(looked_up.cache_hits), "look-ups"))
            }
        }
        @if rows.is_empty() { (nothing("No server of LDAP is asked.")) }
        @else { (table("Servers of the directory", &["Server", "State", "It says"], &rows)) }
    }
}

fn shown(certificates: &[CertificateShown]) -> Markup {
    if certificates.is_empty() {
        return nothing("There is no certificate: clients are offered no TLS.");
    }
    let heads = ["File", "Names", "Key", "Issuer", "Until", ">Days left", "Remarks"];
    let row = |its: &CertificateShown| {
        let until = its.not_after.to_string();
        html! {
            tr {
                th scope="row" { (foreign(&its.file)) }
                (text(&its.names.join(" ")))
                td { (its.key) }
                (text(&its.issuer))
                td { (until.split('T').next().unwrap_or_default()) }
                td .figure .bad[its.days_left < SOON] data-sort=(its.days_left) { (its.days_left) }
                (text(&its.remarks.join("; ")))
            }
        }
    };
    let rows: Vec<_> = certificates.iter().map(row).collect();
    table("Certificates that clients are shown", &heads, &rows)
}

fn filters(status: &Status) -> Markup {
    let rows = status.milters.iter().map(|its| {
        let asked: u64 = its.requests.iter().map(|(_, count)| count).sum();
        html! {
            tr {
                th scope="row" { (its.name) }
                td { (its.socket) }
                td { (badge(if its.away.is_some() { "away" } else { "up" })) }
                (count(asked))
                (text(its.away.as_deref().unwrap_or("answers")))
            }
        }
    });
    let rows: Vec<_> = rows.collect();
    table("Filters", &["Filter", "Socket", "State", ">Judged", "It says"], &rows)
}

fn partitions(partitions: &[Partition]) -> Markup {
    let row = |its: &Partition| {
        let state = match (its.away, its.stressed) {
            (true, _) => "away",
            (_, true) => "stressed",
            _ => "good",
        };
        html! {
            tr {
                th scope="row" { @if its.name.is_empty() { "the first" } @else { (its.name) } }
                (text(&its.path))
                td { (badge(state)) }
                (octets(its.free))
            }
        }
    };
    let rows: Vec<_> = partitions.iter().map(row).collect();
    table("Partitions of the store", &["Partition", "Path", "State", ">Free"], &rows)
}

/// Days before the end of a certificate from which on it is told in red.
const SOON: i64 = 14;
