//! One route for people: each step, then the ways with their limits.

use std::time::Duration;

use relais_actors::{events::Printable, timestamp::Timestamp};

use super::{Colour, Look, Quota, Relative, Size, Span, Table, sieve};
use crate::api::{RouteExplained, RouteLimits, RouteRedirect, RouteResult, RouteSite};

/// `relais route`.
pub fn route(route: &RouteExplained, look: Look) -> String {
    let mut page = String::new();
    for step in &route.steps {
        page += &painted(look, colour_of(&step.step), &Printable(&step.detail).to_string());
    }
    if !route.steps.is_empty() {
        page.push('\n');
    }
    let (verdict, colour) =
        if route.accepted { ("accepted", Colour::Green) } else { ("refused", Colour::Red) };
    let (input, reply) = (Printable(&route.input), Printable(&route.reply));
    page += &painted(look, Some(colour), &format!("<{input}> {verdict}: {reply}"));
    // Only addresses of headers have this step, and no header is refused for one.
    if !route.accepted && route.steps.iter().any(|step| step.step == "headers") {
        page += &look.fit("no header is refused for such an address\n");
    }
    if let Some(by) = &route.refused_by {
        page += &look.fit(&format!("by {}\n", Printable(by)));
    }
    if !route.if_permitted.is_empty() {
        page += &look.fit("\nmail of one who may send there would go this way:\n");
    }
    let ways = route.ways();
    page += &table_of(ways, look);
    page.extend(ways.iter().map(|result| own_limits(result, look)));
    let mut told: Vec<(&str, &str)> = Vec::new();
    for result in ways {
        let way = (result.channel.as_str(), result.host.as_str());
        if let Some(tls) = result.tls.as_ref().filter(|_| !told.contains(&way)) {
            told.push(way);
            let text = format!("TLS with {}: {}\n", Printable(&result.host), Printable(tls));
            page += &look.fit(&text);
        }
    }
    page += &decisions(ways, look);
    page.extend(route.redirects.iter().map(|its| redirect(its, look)));
    let mut asked: Vec<&[RouteSite]> = Vec::new();
    for result in ways.iter().filter(|result| !result.dns.is_empty()) {
        if !asked.contains(&&*result.dns) {
            asked.push(&result.dns);
            page.extend(result.dns.iter().map(|site| site_of(site, look)));
        }
    }
    let mut shown: Vec<(&str, &str)> = Vec::new();
    for result in ways {
        let way = (result.channel.as_str(), result.host.as_str());
        if let Some(limits) = result.limits.as_ref().filter(|_| !shown.contains(&way)) {
            shown.push(way);
            page += &limits_of(result, limits, look);
        }
    }
    if !route.asked.is_empty() {
        page += &look.fit(&format!("asked: {}\n", Printable(&route.asked)));
    }
    page
}

/// Ways, a row each.
fn table_of(ways: &[RouteResult], look: Look) -> String {
    let mut table = Table::new(&["=ADDRESS", "CHANNEL", "1TAG", "=NEXT HOP"]);
    for result in ways {
        table.row([&result.address, &result.channel, &result.tag, &result.next_hop]);
    }
    if table.is_empty() {
        String::new()
    } else if table.is_narrow(look) {
        table.fit(look)
    } else {
        table.records(look)
    }
}

/// Decisions of scripts about a message that goes these ways.
fn decisions(ways: &[RouteResult], look: Look) -> String {
    let tested = ways.iter().filter_map(|result| result.sieve.as_ref());
    tested.fold(String::new(), |page, tested| page + "\n" + &sieve(tested, look))
}

/// A copy that scripts redirect: its ways, and what scripts decide there.
fn redirect(redirect: &RouteRedirect, look: Look) -> String {
    let RouteRedirect { by, to, stays, results } = redirect;
    let stays = stays.as_ref().map_or(String::new(), |why| format!(": {}", Printable(why)));
    let head = format!("\nredirected by <{}> to <{}>{stays}\n", Printable(by), Printable(to));
    look.fit(&head) + &table_of(results, look) + &decisions(results, look)
}

/// A step that decides is seen at a glance.
fn colour_of(step: &str) -> Option<Colour> {
    match step {
        "rewriting" => Some(Colour::Bold),
        "applied" | "routed" => Some(Colour::Green),
        "failed" | "ignored" | "no_rule" => Some(Colour::Yellow),
        "refused" => Some(Colour::Red),
        _ => None,
    }
}

/// A line in this colour, folded between words.
fn painted(look: Look, colour: Option<Colour>, line: &str) -> String {
    let mut page = String::new();
    for line in look.fit(&format!("{line}\n")).lines() {
        look.paint(&mut page, colour, line);
        page.push('\n');
    }
    page
}

/// Answers of name servers about a next hop.
fn site_of(site: &RouteSite, look: Look) -> String {
    let name = Printable(&site.name);
    let by = if site.mx { "MX records" } else { "address records" };
    if let Some(reply) = &site.reply {
        let text = format!("{name} has no server: {}", Printable(reply));
        return "\n".to_owned() + &painted(look, Some(Colour::Red), &text);
    }
    let mut page = look.fit(&format!("\n{name} by {by}, in the order of attempts\n"));
    for server in &site.servers {
        let preference = server.preference.map_or(String::new(), |number| number.to_string());
        let text = format!("{} [{}]", Printable(&server.host), Printable(&server.address));
        page += &beside(look, &preference, &text, None);
        if let Some(tls) = &server.tls {
            page += &beside(look, "", &Printable(tls).to_string(), None);
        }
    }
    for left in &site.left_out {
        let text = format!("{}: {}", Printable(&left.who), Printable(&left.why));
        page += &beside(look, "left out", &text, Some(Colour::Yellow));
    }
    page
}

/// The limits of a mailbox.
fn own_limits(result: &RouteResult, look: Look) -> String {
    let address = Printable(&result.address);
    let size = result.size_limit.map(|octets| {
        format!("{address}: a message may have {} ({octets} octets)\n", Size(octets))
    });
    let quota = result.quota.map(|quota| {
        format!("{address}: quota {}, which the store is told ({quota})\n", Quota(quota))
    });
    [size, quota].iter().flatten().map(|line| look.fit(line)).collect()
}

/// The limits of a channel and a host, a line each.
fn limits_of(result: &RouteResult, limits: &RouteLimits, look: Look) -> String {
    let (channel, host) = (Printable(&result.channel), Printable(&result.host));
    let mut page = look.fit(&format!("\n{channel} to {host}\n"));
    let now = |count: Option<usize>| count.map_or(String::new(), |count| format!("{count} of "));
    let host_limit = limits.host_limit.map(|most| format!(", this host at most {most}"));
    let open = limits.connections.map(|open| format!("{open} now, "));
    let backoff: Vec<_> =
        limits.backoff.iter().map(|s| Span(Duration::from_secs(*s)).to_string()).collect();
    let lines = [
        (
            "jobs",
            format!(
                "{}maxjobs {}; pool {}: {}job_limit {}",
                now(limits.jobs),
                limits.maxjobs,
                Printable(&limits.pool),
                now(limits.pool_jobs),
                limits.job_limit
            ),
        ),
        (
            "connections",
            format!(
                "{}one more for each {} that wait (threaddepth), {} a job{}",
                open.unwrap_or_default(),
                limits.threaddepth,
                limits.max_client_threads,
                host_limit.unwrap_or_default()
            ),
        ),
        ("backoff", format!("{}, and so on", backoff.join(", "))),
    ];
    if let Some(order) = &result.order {
        page += &beside(look, "order", &Printable(order).to_string(), Some(Colour::Yellow));
    }
    if let Some((text, colour)) = standing(limits) {
        page += &beside(look, "now", &text, Some(colour));
    }
    for (name, text) in lines {
        page += &beside(look, name, &text, None);
    }
    page
}

/// Whether mail would go there now; nothing where no engine was asked.
fn standing(limits: &RouteLimits) -> Option<(String, Colour)> {
    let stopped = limits.stopped?;
    let waiting = limits.waiting.filter(|waiting| *waiting > 0);
    let waiting = waiting.map_or(String::new(), |waiting| format!("; {waiting} waiting"));
    Some(match limits.suspended_until {
        _ if stopped => (format!("stopped by an operator{waiting}"), Colour::Red),
        Some(until) => {
            let next = Relative { time: Some(until), now: Timestamp::now() }.next();
            let reply = limits.last_reply.as_deref().unwrap_or_default();
            let text = format!("left alone, probed {next}: {}{waiting}", Printable(reply));
            (text, Colour::Yellow)
        }
        None => (format!("mail goes there{waiting}"), Colour::Green),
    })
}

fn beside(look: Look, name: &str, text: &str, colour: Option<Colour>) -> String {
    let mut page = String::new();
    for line in look.fit_beside(&format!("  {name:11}  "), text).lines() {
        look.paint(&mut page, colour, line);
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::RouteStep;

    #[test]
    fn a_route_fits_the_screen_and_has_colours_where_they_are_wanted() {
        let step = |step: &str, detail: &str| RouteStep {
            step: step.to_owned(),
            detail: detail.to_owned(),
            ..RouteStep::default()
        };
        let limits = RouteLimits {
            pool: "SMTP_POOL".to_owned(),
            job_limit: 10,
            maxjobs: 7,
            jobs: Some(1),
            threaddepth: 10,
            max_client_threads: 10,
            stopped: Some(false),
            suspended_until: Some(Timestamp::now()),
            last_reply: Some("451 4.4.1 connection refused by store1.example".to_owned()),
            backoff: vec![3_600, 7_200],
            ..RouteLimits::default()
        };
        let result = RouteResult {
            address: "alice".to_owned(),
            channel: "tcp_lmtpcs".to_owned(),
            next_hop: "store1.example:225".to_owned(),
            size_limit: Some(3_072),
            tls: Some("TLS or no mail, certificate by name (policy for bank.example)".to_owned()),
            limits: Some(limits),
            ..RouteResult::default()
        };
        let told = RouteExplained {
            input: "alice@relais.example".to_owned(),
            accepted: true,
            results: vec![result],
            steps: vec![
                step("rewriting", "rewrite alice@relais.example (envelope)"),
                step("applied", &format!("  rule $* {}: x", "$U%$H@tag ".repeat(12))),
            ],
            ..RouteExplained::default()
        };
        let narrow = route(&told, Look { width: Some(40), colour: false });
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(!narrow.contains('\x1b'), "{narrow}");
        for words in [
            "1 of maxjobs 7",
            "no mail, certificate by name",
            "1h, 2h",
            "451 4.4.1",
            "3.0 KiB",
            "left alone",
        ] {
            let flat: Vec<_> = narrow.split_whitespace().collect();
            assert!(flat.join(" ").contains(words), "{words}: {narrow}");
        }
        let colourful = route(&told, Look { width: Some(80), colour: true });
        assert!(colourful.contains("\x1b[32m  rule $*"), "{colourful}");
        assert!(colourful.contains("\x1b[1mrewrite alice"), "{colourful}");
    }
}
