//! The engine at a glance: rows of what flows, what waits, and what holds it back.

use std::fmt::Write;

use relais_actors::{events::Printable, timestamp::Timestamp};

use super::{Look, Relative, Span, Table};
use crate::api::{ChannelFlow, ChannelOverview, HostTrouble, Limiting, Overview, QueueOverview};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `relais why` without an id: what limits the engine, and which command helps.
pub fn limits_now(overview: &Overview, look: Look) -> String {
    let mut page = String::new();
    for limit in &overview.limiting {
        let _ = writeln!(page, "{}", Printable(&limit.words));
        let _ = writeln!(page, "  {}", told(limit, overview.at));
        let _ = writeln!(page, "  helps: {}", Printable(&limit.would_help));
    }
    let _ = writeln!(page, "{}", Printable(&overview.waits));
    look.fit(&page)
}

/// How much waits for a limit, how fast it goes in spite of it, and until when.
fn told(limit: &Limiting, now: Timestamp) -> String {
    let mut parts = Vec::new();
    match limit.messages {
        0 => {}
        1 => parts.push("1 message waits for it".to_owned()),
        many => parts.push(format!("{many} messages wait for it")),
    }
    match limit.rate {
        Some(rate) if rate > 0.0 => parts.push(format!("{} a second leave", Rate(rate))),
        Some(_) if limit.messages > 0 => parts.push("none leaves".to_owned()),
        _ => {}
    }
    let since = Relative { time: Some(limit.since), now };
    parts.push(format!("since {}", since.past()));
    parts.push(match limit.until {
        Some(until) => format!("until {}", Relative { time: Some(until), now }.next()),
        None => "no end by itself".to_owned(),
    });
    parts.join(", ")
}

/// `relais top --once`: all of it below each other.
pub fn glance(overview: &Overview, look: Look) -> String {
    let mut page = format!("{}\n{}\n", first_line(overview), queue_line(&overview.queue));
    if let Some(its) = &overview.history {
        let _ = writeln!(page, "{}", Printable(its));
    }
    if let Some(orders) = orders_line(overview) {
        let _ = writeln!(page, "{orders}");
    }
    page = look.fit(&page);
    let parts = [
        (channels_at_a_glance(overview), overview.channels.len()),
        (hosts_at_a_glance(overview, &overview.hosts), overview.hosts.len()),
        (services_at_a_glance(overview), overview.services.len()),
    ];
    for (table, rows) in parts {
        if rows > 0 {
            let _ = write!(page, "\n{}", table.fit(look));
        }
    }
    let _ = write!(page, "\n{}", limits_now(overview, look));
    page
}

/// Host, time, readiness, CPU.
pub fn first_line(overview: &Overview) -> String {
    let up = Span(std::time::Duration::from_secs(overview.uptime_seconds));
    let state = if overview.ready.ready { overview.phase.name() } else { "NOT READY" };
    let (used, cores) = (overview.cpu.used, overview.cpu.cores);
    format!("{}  {state}, up {up}  CPU {used:.1} of {cores}", Printable(&overview.host))
}

/// The queue by state.
pub fn queue_line(queue: &QueueOverview) -> String {
    let QueueOverview { stored, ready, active, delayed, held, .. } = queue;
    let oldest = match queue.oldest_seconds {
        Some(seconds) => format!("  oldest {}", Span(std::time::Duration::from_secs(seconds))),
        None => String::new(),
    };
    format!(
        "queue {stored}: {ready} ready, {active} active, {delayed} delayed, {held} held{oldest}"
    )
}

/// The queue by age.
pub fn age_line(queue: &QueueOverview) -> String {
    let age = |age: &crate::api::AgeCount| match age.below.as_str() {
        "older" => format!("older {}", age.messages),
        below => format!("<{below} {}", age.messages),
    };
    let ages: Vec<_> = queue.ages.iter().map(age).collect();
    format!("age: {}", ages.join("  "))
}

/// Orders in force; nothing when there is none.
pub fn orders_line(overview: &Overview) -> Option<String> {
    let orders: Vec<_> =
        overview.orders.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    (!orders.is_empty()).then(|| format!("orders in force: {}", orders.join(", ")))
}

/// A line for each channel.
pub fn channels_at_a_glance(overview: &Overview) -> Table {
    let mut table = Table::new(&CHANNEL_TITLES);
    for channel in &overview.channels {
        add_channel(&mut table, channel, flow_of(overview, &channel.name));
    }
    table
}

/// The flow of a channel.
pub fn flow_of<'o>(overview: &'o Overview, name: &str) -> Option<&'o ChannelFlow> {
    overview.flow.iter().find(|flow| flow.channel == name)
}

/// The line of a channel.
pub fn add_channel(table: &mut Table, channel: &ChannelOverview, flow: Option<&ChannelFlow>) {
    let rate = |of: fn(&ChannelFlow) -> f64| Rate(flow.map_or(0.0, of));
    let jobs = if channel.stopped {
        "stopped".to_owned()
    } else {
        format!("{}/{}", channel.jobs, channel.maxjobs)
    };
    table.row([
        &channel.name,
        &rate(|flow| flow.received),
        &rate(|flow| flow.delivered),
        &rate(|flow| flow.deferred + flow.failed),
        &channel.ready,
        &channel.active,
        &channel.delayed,
        &channel.held,
        &Age(channel.oldest_seconds),
        &jobs,
    ]);
}

/// A line for each of these hosts.
pub fn hosts_at_a_glance<'h>(
    overview: &Overview,
    hosts: impl IntoIterator<Item = &'h HostTrouble>,
) -> Table {
    let mut table = Table::new(&HOST_TITLES);
    for host in hosts {
        let next = Relative { time: host.next_try, now: overview.at };
        let messages = host.messages.map_or_else(|| "-".to_owned(), |count| count.to_string());
        table.row([
            &host.host,
            &host.channel,
            &messages,
            &Age(host.oldest_seconds),
            &host.failures,
            &next.next(),
            &why_of(host),
        ]);
    }
    table
}

/// Why a host gets nothing or less, in its words or ours.
fn why_of(host: &HostTrouble) -> String {
    if let Some(order) = &host.suspended {
        return format!("suspended: {}", order.reason);
    }
    if let Some(limit) = &host.limited {
        return format!("{} {}", limit.limit, limit.value);
    }
    host.last_reply.clone().unwrap_or_default()
}

/// A line for each service.
pub fn services_at_a_glance(overview: &Overview) -> Table {
    let mut table =
        Table::new(&["~SERVICE", "STATE", ">WORKERS", ">SESSIONS", ">ACCEPTED", ">REFUSED"]);
    for service in &overview.services {
        let state = format!("{:?}", service.state).to_lowercase();
        table.row([
            &service.name,
            &state,
            &format!("{}/{}", service.workers, service.max_workers),
            &format!("{}/{}", service.connections, service.max_connections),
            &service.accepted,
            &service.refused,
        ]);
    }
    table
}

/// A line for each limit.
pub fn limits_at_a_glance(overview: &Overview) -> Table {
    let mut table = Table::new(&["LIMITS NOW", "=WHERE", ">WAIT", "UNTIL", "HELPS"]);
    for limit in &overview.limiting {
        let until = Relative { time: limit.until, now: overview.at };
        let subject = limit.subject.as_deref().unwrap_or("all of it");
        let help = &limit.would_help;
        table.row([&limit.what.name(), &subject, &limit.messages, &until.next(), help]);
    }
    table
}

/// Messages a second.
struct Rate(f64);

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0.0 => f.write_str("0"),
            rate if rate < 99.5 => write!(f, "{rate:.1}"),
            rate => write!(f, "{rate:.0}"),
        }
    }
}

/// Seconds, if they are known.
struct Age(Option<u64>);

impl std::fmt::Display for Age {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(seconds) => Span(std::time::Duration::from_secs(seconds)).fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// Columns of [`channels_at_a_glance`].
pub const CHANNEL_TITLES: [&str; 10] = [
    "=CHANNEL", ">IN/s", ">OUT/s", "2>NOT/s", ">READY", ">ACTIVE", ">DELAYED", ">HELD", ">OLDEST",
    "1>JOBS",
];
/// Columns of [`hosts_at_a_glance`].
const HOST_TITLES: [&str; 7] =
    ["=HOST", "1=CHANNEL", ">MESSAGES", ">OLDEST", "2>FAILED", "NEXT TRY", "~WHY"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fake_overview::overview;

    #[test]
    fn limits_are_told_with_what_waits_and_what_helps() {
        let want = "store1.example could not be talked to: 451 4.4.1 connection refused\n  \
                    3 messages wait for it, none leaves, since 0s ago, until in 8s\n  \
                    helps: none: the destination is dead\n\
                    Nothing limits the engine. 3 messages wait: 3 wait for hosts that could not be \
                    talked to.\n";
        assert_eq!(limits_now(&overview(), Look::PLAIN), want);
    }

    #[test]
    fn a_glance_is_as_wide_as_the_screen_and_shows_nothing_as_it_came() {
        let mut overview = overview();
        overview.hosts[0].last_reply = Some(format!("451 \u{1b}[2J{}", "long ".repeat(40)));
        assert_eq!(orders_line(&overview), None);
        overview.orders = [("hold".to_owned(), 2), ("slow".to_owned(), 1)].into();
        for width in [80, 132] {
            let page = glance(&overview, Look { width: Some(width), colour: false });
            let widest = page.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{page}");
            assert!(page.contains("localhost  running, up 1m  CPU 0.2 of 2\n"), "{page}");
            assert!(page.contains("queue 3: 0 ready, 0 active, 3 delayed, 0 held  oldest 1m\n"));
            assert!(page.contains("\norders in force: 2 hold, 1 slow\n"), "{page}");
            assert!(!page.contains('\u{1b}') && page.contains("451 ?[2J"), "{page}");
        }
    }
}
