//! `relais status`: all there is, or as much as a screen holds. What is wrong comes first, then who
//! takes mail in and what waits, and at the end what is well.

use std::time::Duration;

use relais_actors::{
    events::Printable,
    front::control::ServiceState,
    metrics::{MilterStatus, WorkerState},
    timestamp::Timestamp,
};
use relais_events::{FileTrouble, WebhookStatus};

use super::{Colour, Look, Relative, Size, Span, Table, orders::order_table};
use crate::api::{
    ChannelStatus, HostSuspended, OrdersListed, Partition, Phase, PoolStatus, ServiceStatus, Status,
};

/// `relais status`. On a screen of so many lines each section has so few rows that all of them fit:
/// those that tell of something, and one that adds up the rest.
pub fn status(status: &Status, look: Look, height: Option<usize>) -> String {
    let page = |most| look.fit(&page(status, look, most));
    let mut shown = page(None);
    let Some(room) = height.map(|height| height.saturating_sub(OWN_LINES)) else { return shown };
    let mut fewer = FEWER.into_iter();
    while shown.lines().count() > room
        && let Some(most) = fewer.next()
    {
        shown = page(Some(most));
    }
    shown
}

/// The page with so many rows in a section at most.
fn page(status: &Status, look: Look, most: Option<usize>) -> String {
    let mut page = head(status);
    let news = news(status);
    let (news, rest) = picked(&news, most, |_| true);
    page.extend(news.into_iter().map(String::as_str));
    if !rest.is_empty() {
        page += &more(rest.len());
        page += ": ";
        page += ALL;
        page.push('\n');
    }
    let tables = [
        services(&status.services, most),
        channels(&status.channels, most),
        troubles(status, most),
        standing(status, most),
        suspended(status, most),
        limited(status, most),
    ];
    for table in tables.iter().filter(|table| !table.is_empty()) {
        page.push('\n');
        page += &table.fit(look);
    }
    page + "\n" + &well(status, most).concat()
}

/// The engine and its queue.
fn head(status: &Status) -> String {
    let Status { version, host, pid, data, phase, queue, .. } = status;
    let uptime = Span(Duration::from_secs(status.uptime_seconds));
    let phase = match phase {
        Phase::Running => "running for",
        Phase::Starting => "starting, up for",
        Phase::Draining => "draining, up for",
    };
    format!(
        "relais {version} on {host}: {phase} {uptime}, process {pid}, data in {data}\n\
         queue: {} stored, {} of at most {} in memory, spool {}\n",
        queue.stored,
        queue.tracked,
        queue.max_messages,
        Size(queue.spool_bytes)
    )
}

/// A line for each thing that keeps mail from being taken or from leaving.
fn news(status: &Status) -> Vec<String> {
    let queue = &status.queue;
    let mut lines = Vec::new();
    // Want of room is told in words of its own below.
    let refused = |why: &&String| queue.refusing.as_ref().is_some_and(|it| why.ends_with(it));
    for why in status.not_ready.iter().filter(|why| !refused(why)) {
        lines.push(format!("not ready: {}\n", Printable(why)));
    }
    if let Some(refusing) = &queue.refusing {
        lines.push(format!("new mail is refused now: {}\n", Printable(refusing)));
    }
    if let Some(paused) = queue.paused {
        lines.push(format!("no message is handed to a job now: {}\n", paused.words()));
    }
    if status.job_controller == ServiceState::Stopped {
        let how = "`relais start job_controller`";
        lines.push(format!("nothing leaves now: the job controller is stopped; {how}\n"));
    }
    for its in &status.directory_servers {
        if let Some(why) = &its.away {
            lines.push(format!("directory server {} away: {}\n", its.server, Printable(why)));
        }
    }
    lines.extend(status.milters.iter().filter(|its| its.away.is_some()).map(filter));
    lines.extend(status.event_file.iter().map(event_file));
    lines.extend(status.webhooks.iter().filter(|its| its.trouble.is_some()).map(webhook));
    for store in &status.stressed {
        let (host, channel) = (Printable(&store.host), &store.channel);
        let (most, until) = (store.connections, store.until);
        lines.push(format!(
            "store {host} ({channel}) is under stress: at most {most} of its connections until {until}\n"
        ));
    }
    lines.extend(status.partitions.iter().filter(|its| !is_well(its)).map(partition));
    lines.extend(status.history.iter().map(|its| format!("{}\n", Printable(its))));
    if status.log_lines_lost > 0 {
        lines.push(format!("log: {} lines lost\n", status.log_lines_lost));
    }
    lines
}

/// A line for each thing that is as it should be.
fn well(status: &Status, most: Option<usize>) -> Vec<String> {
    let mut lines = vec![pools(&status.pools, most)];
    if let Some(directory) = &status.directory {
        lines.push(format!(
            "directory: {} found, {} missing, {} failed, {} from memory\n",
            directory.found, directory.missing, directory.failed, directory.cache_hits
        ));
    }
    let is_few = |count: usize| most.is_none_or(|most| count <= most);
    let servers: Vec<_> =
        status.directory_servers.iter().filter(|its| its.away.is_none()).collect();
    if is_few(servers.len()) {
        lines.extend(servers.iter().map(|its| format!("  {} answers\n", its.server)));
    } else {
        lines.push(format!("  {} servers answer\n", servers.len()));
    }
    let filters: Vec<_> = status.milters.iter().filter(|its| its.away.is_none()).collect();
    if is_few(filters.len()) {
        lines.extend(filters.into_iter().map(filter));
    } else {
        lines.push(format!("{} filters answer\n", filters.len()));
    }
    let webhooks: Vec<_> = status.webhooks.iter().filter(|its| its.trouble.is_none()).collect();
    if is_few(webhooks.len()) {
        lines.extend(webhooks.into_iter().map(webhook));
    } else if let Some(before) = lines.pop() {
        let count = webhooks.len();
        lines.push(format!("{}, {count} webhooks take events\n", before.trim_end()));
    }
    // One that is well and alone is no news.
    let partitions = if status.partitions.len() == 1 { &[][..] } else { &status.partitions };
    let partitions: Vec<_> = partitions.iter().filter(|its| is_well(its)).collect();
    if is_few(partitions.len()) {
        lines.extend(partitions.into_iter().map(partition));
    } else {
        let least = partitions.iter().map(|its| its.free).min().unwrap_or(0);
        let count = partitions.len();
        lines.push(format!("{count} partitions of the store: {} free at least\n", Size(least)));
    }
    lines.push(format!("admin: {}\n", status.admin.join(", ")));
    lines
}

/// A filter, and what it has said so far.
fn filter(MilterStatus { name, socket, away, requests }: &MilterStatus) -> String {
    let standing =
        away.as_deref().map_or("answers".to_owned(), |why| format!("away: {}", Printable(why)));
    let counts = requests.iter().filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts.map(|(result, count)| format!(", {count} {result}")).collect();
    let counts = counts.concat();
    format!("filter {name} ({socket}) {standing}{counts}\n")
}

/// The file of events, which is not written.
fn event_file(FileTrouble { path, why, lost }: &FileTrouble) -> String {
    let (path, why) = (Printable(path), Printable(why));
    format!("events: {path} is not written: {why}; {lost} lost\n")
}

/// A webhook, how far it is behind, and what it said last.
fn webhook(webhook: &WebhookStatus) -> String {
    let WebhookStatus { name, waiting, behind_seconds, lost, trouble, next_seconds, .. } = webhook;
    let lost = if *lost > 0 { format!(", {lost} lost") } else { String::new() };
    let Some(why) = trouble else {
        return format!("webhook {name} takes events: {waiting} wait{lost}\n");
    };
    let span = |seconds: u64| Span(Duration::from_secs(seconds));
    let (behind, why) = (span(*behind_seconds), Printable(why));
    let next = next_seconds.map_or(String::new(), |next| format!(", next in {}", span(next)));
    format!("webhook {name}: {waiting} events wait, {behind} behind{lost}{next}: {why}\n")
}

fn is_well(partition: &Partition) -> bool {
    !partition.away && !partition.stressed
}

fn partition(its: &Partition) -> String {
    let stress = if its.stressed { ", under stress: its commits are slow" } else { "" };
    let room = if its.away { "away".to_owned() } else { format!("{} free", Size(its.free)) };
    format!("store {}: {room}{stress}\n", Printable(&its.path))
}

/// Pools with their jobs; a full one is among those that are named.
fn pools(pools: &[PoolStatus], most: Option<usize>) -> String {
    let (shown, rest) = picked(pools, most, |pool| pool.running >= pool.job_limit);
    let named = shown.into_iter().map(|pool| {
        let full = if pool.running >= pool.job_limit { " (full)" } else { "" };
        format!("{} {} of {} jobs{full}", pool.name, pool.running, pool.job_limit)
    });
    let sum = |count: fn(&PoolStatus) -> usize| rest.iter().copied().map(count).sum::<usize>();
    let (running, limit) = (sum(|pool| pool.running), sum(|pool| pool.job_limit));
    let rest = (!rest.is_empty()).then(|| format!("{} more {running} of {limit} jobs", rest.len()));
    format!("pools: {}\n", named.chain(rest).collect::<Vec<_>>().join(", "))
}

fn services(services: &[ServiceStatus], most: Option<usize>) -> Table {
    let mut table = Table::new(&[
        "SERVICE",
        "2=CHANNEL",
        "~LISTENS ON",
        ">SESSIONS",
        "1>WORKERS",
        ">TAKEN",
        ">REFUSED",
    ]);
    let (shown, rest) =
        picked(services, most, |its| its.state == ServiceState::Stopped || its.connections > 0);
    for service in shown {
        let (active, draining) = workers(service);
        let workers = match draining {
            0 => active.to_string(),
            draining => format!("{active}+{draining} ending"),
        };
        table.row([
            &service.name,
            &service.channel,
            &listens(service),
            &service.connections,
            &workers,
            &service.accepted,
            &service.refused,
        ]);
        if service.state == ServiceState::Stopped {
            table.mark(2, Colour::Red);
        }
    }
    if !rest.is_empty() {
        let sum = |count: fn(&ServiceStatus) -> u64| rest.iter().copied().map(count).sum::<u64>();
        table.row([
            &more(rest.len()),
            &"",
            &"",
            &sum(|its| its.connections),
            &rest.iter().map(|its| workers(its).0).sum::<usize>(),
            &sum(|its| its.accepted),
            &sum(|its| its.refused),
        ]);
    }
    table
}

/// Workers that take sessions or could, and those that end.
fn workers(service: &ServiceStatus) -> (usize, usize) {
    let in_state = |state| service.workers.iter().filter(|worker| worker.state == state).count();
    let draining = in_state(WorkerState::Draining);
    (service.workers.len() - draining - in_state(WorkerState::Exited), draining)
}

fn listens(service: &ServiceStatus) -> String {
    match service.state {
        ServiceState::Running => service.listen.join(", "),
        ServiceState::Stopped => "stopped".to_owned(),
        ServiceState::Off => "off (enable: false)".to_owned(),
    }
}

/// `relais channel list`.
pub fn channel_list(status: &Status, look: Look) -> String {
    channels(&status.channels, None).fit(look)
}

/// Channels and what waits in them.
fn channels(channels: &[ChannelStatus], most: Option<usize>) -> Table {
    let titles = [
        "CHANNEL",
        "2PROGRAM",
        "1=POOL",
        ">JOBS",
        "3>THREADS",
        ">READY",
        "4>ACTIVE",
        ">DELAYED",
        ">HELD",
        "5OLDEST",
    ];
    let mut table = Table::new(&titles);
    let is_news = |its: &ChannelStatus| {
        its.unserved || its.stopped || its.jobs as u64 + waiting(its) + its.held > 0
    };
    let (shown, rest) = picked(channels, most, is_news);
    for channel in shown {
        let jobs = if channel.unserved {
            "nobody".to_owned()
        } else if channel.stopped {
            "stopped".to_owned()
        } else {
            format!("{}/{}", channel.jobs, channel.maxjobs)
        };
        channel_row(&mut table, channel, &jobs);
        if channel.stopped {
            table.mark(3, Colour::Red);
        }
        if channel.held > 0 {
            table.mark(8, Colour::Yellow);
        }
    }
    if !rest.is_empty() {
        let mut sum = ChannelStatus { name: more(rest.len()), ..ChannelStatus::default() };
        for its in rest {
            sum.jobs += its.jobs;
            sum.threads += its.threads;
            sum.ready += its.ready;
            sum.active += its.active;
            sum.delayed += its.delayed;
            sum.held += its.held;
            sum.oldest = [sum.oldest, its.oldest].into_iter().flatten().min();
        }
        let jobs = sum.jobs.to_string();
        channel_row(&mut table, &sum, &jobs);
    }
    table
}

fn waiting(channel: &ChannelStatus) -> u64 {
    channel.ready + channel.active + channel.delayed
}

fn channel_row(table: &mut Table, channel: &ChannelStatus, jobs: &str) {
    table.row([
        &channel.name,
        &channel.program,
        &channel.pool,
        &jobs,
        &channel.threads,
        &channel.ready,
        &channel.active,
        &channel.delayed,
        &channel.held,
        &Relative { time: channel.oldest, now: Timestamp::now() }.past(),
    ]);
}

fn troubles(status: &Status, most: Option<usize>) -> Table {
    let now = Timestamp::now();
    let last = if most.is_some() { "~LAST REPLY" } else { "&LAST REPLY" };
    let mut table = Table::new(&["=IN TROUBLE", "1=CHANNEL", "TRIED AGAIN", last]);
    let (shown, rest) = picked(&status.troubles, most, |_| true);
    for trouble in shown {
        let until = Relative { time: Some(trouble.until), now };
        table.row([&trouble.host, &trouble.channel, &until.next(), &trouble.reply]);
        table.mark(0, Colour::Red);
    }
    if !rest.is_empty() {
        table.row([&more(rest.len()), &"", &"", &ALL]);
    }
    table
}

fn suspended(status: &Status, most: Option<usize>) -> Table {
    let (shown, rest) = picked(&status.suspended, most, |_| true);
    let mut table = hosts_rows(shown, most.is_some());
    if !rest.is_empty() {
        table.row([&more(rest.len()), &"", &"", &"", &"", &ALL]);
    }
    table
}

/// Orders that stand.
fn standing(status: &Status, most: Option<usize>) -> Table {
    let (shown, rest) = picked(&status.orders, most, |_| true);
    let orders = shown.into_iter().cloned().collect();
    let mut table = order_table(&OrdersListed { orders, hosts: Vec::new() });
    if !rest.is_empty() {
        table.row([&more(rest.len()), &"", &"", &"", &"", &"", &ALL]);
    }
    table
}

/// `relais host list`.
pub fn hosts(hosts: &[HostSuspended], look: Look) -> String {
    if hosts.is_empty() {
        let none = "no host is suspended by an operator or a reply; `relais status` shows those that \
                    cannot be talked to\n";
        return none.to_owned();
    }
    hosts_rows(hosts, false).fit(look)
}

/// A row for each; with `cut` of a line at most.
fn hosts_rows<'a>(hosts: impl IntoIterator<Item = &'a HostSuspended>, cut: bool) -> Table {
    let now = Timestamp::now();
    let last = if cut { "~REASON" } else { "&REASON" };
    let mut table = Table::new(&["=SUSPENDED", "1=CHANNEL", "GETS", "ENDS", "BY", last]);
    for host in hosts {
        let until = Relative { time: Some(host.until), now };
        let channel = host.channel.as_deref().unwrap_or("all");
        let gets = host.rate.as_deref().unwrap_or("nothing");
        table.row([&host.host, &channel, &gets, &until.next(), &host.by, &host.reason]);
        table.mark(0, Colour::Yellow);
    }
    table
}

fn limited(status: &Status, most: Option<usize>) -> Table {
    let now = Timestamp::now();
    let last = if most.is_some() { "~CHANGE" } else { "&CHANGE" };
    let mut table = Table::new(&["=AT ITS LIMIT", "1=CHANNEL", "LIMIT", "GOES ON", last]);
    let (shown, rest) = picked(&status.limited, most, |_| true);
    for host in shown {
        let until = Relative { time: Some(host.until), now };
        let limit = format!("{} {}", host.limit, host.value);
        table.row([&host.host, &host.channel, &limit, &until.next(), &host.change]);
    }
    if !rest.is_empty() {
        table.row([&more(rest.len()), &"", &"", &"", &ALL]);
    }
    table
}

/// As many rows as may be shown, in their order: those that tell of something before others. The rest
/// has a row, too, which is one of them.
fn picked<T>(all: &[T], most: Option<usize>, is_news: impl Fn(&T) -> bool) -> (Vec<&T>, Vec<&T>) {
    let Some(most) = most.filter(|most| all.len() > *most) else {
        return (all.iter().collect(), Vec::new());
    };
    let room = most.saturating_sub(1);
    let mut news = all.iter().filter(|its| is_news(its)).count().min(room);
    let mut others = room - news;
    all.iter().partition(|its| {
        let left = if is_news(its) { &mut news } else { &mut others };
        let is_shown = *left > 0;
        *left = left.saturating_sub(1);
        is_shown
    })
}

fn more(count: usize) -> String {
    format!("{count} more")
}

/// The command that shows the rows that are left out.
const ALL: &str = "`relais status --all`";
/// The command line itself, and the one that the shell waits at.
const OWN_LINES: usize = 2;
/// Rows of a section, as many as fit.
const FEWER: [usize; 6] = [12, 8, 5, 4, 3, 2];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DestinationTrouble;

    fn service(name: &str, state: ServiceState, accepted: u64) -> ServiceStatus {
        ServiceStatus {
            name: name.to_owned(),
            program: "smtp".to_owned(),
            channel: "tcp_local".to_owned(),
            state,
            listen: vec!["[::]:25".to_owned()],
            connections: 0,
            accepted,
            refused: 0,
            workers: Vec::new(),
        }
    }

    fn nothing() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            host: "mx1.example.org".to_owned(),
            pid: 7,
            data: "/var/lib/relais".to_owned(),
            phase: Phase::Running,
            started: Timestamp::now(),
            uptime_seconds: 60,
            not_ready: Vec::new(),
            admin: vec!["unix:/var/lib/relais/admin.sock".to_owned()],
            services: Vec::new(),
            job_controller: ServiceState::Running,
            pools: Vec::new(),
            channels: Vec::new(),
            queue: crate::api::QueueStatus::default(),
            troubles: Vec::new(),
            orders: vec![],
            suspended: Vec::new(),
            limited: Vec::new(),
            stressed: Vec::new(),
            partitions: Vec::new(),
            directory: None,
            directory_servers: Vec::new(),
            milters: Vec::new(),
            history: None,
            event_file: None,
            webhooks: Vec::new(),
            log_lines_lost: 0,
        }
    }

    /// Much of everything, most of it well: so many of each kind.
    fn much(count: usize) -> Status {
        let name = |kind: &str, n: usize| format!("{kind}{n}");
        let state = |n| if n == 7 { ServiceState::Stopped } else { ServiceState::Running };
        let milter = |n: usize| MilterStatus {
            name: name("m", n),
            socket: name("unix:/run/m", n),
            away: (n == 9).then(|| "connection refused".to_owned()),
            requests: vec![("accept".to_owned(), 3)],
        };
        let webhook = |n: usize| WebhookStatus {
            name: name("hook", n),
            url: "https://hooks.example".to_owned(),
            waiting: 7,
            behind_seconds: 90,
            lost: u64::from(n == 5),
            trouble: None,
            next_seconds: None,
        };
        let channel = |n: usize| ChannelStatus {
            name: name("tcp_out", n),
            program: "smtp".to_owned(),
            pool: "SMTP_POOL".to_owned(),
            maxjobs: 10,
            held: u64::from(n == 11),
            ..ChannelStatus::default()
        };
        let pool =
            |n: usize| PoolStatus { name: name("POOL", n), job_limit: 10, running: n.min(10) };
        let trouble = |n: usize| DestinationTrouble {
            channel: "tcp_out1".to_owned(),
            host: name("mx", n) + ".far.example",
            until: Timestamp::now(),
            reply: "451 4.4.1 connect to it: connection refused, which is a long story".to_owned(),
        };
        let server = |n| relais_actors::metrics::ServerStatus {
            server: name("ldap://ldap", n),
            away: (n == 2).then(|| "time-out".to_owned()),
            answer_microseconds: None,
        };
        // Backwards, to be put in order.
        let all = || (1..=count).rev();
        let mut status = Status {
            services: all().map(|n| service(&name("SMTP", n), state(n), 5)).collect(),
            pools: all().map(pool).collect(),
            channels: (1..=count).map(channel).collect(),
            troubles: all().map(trouble).collect(),
            milters: all().map(milter).collect(),
            webhooks: all().map(webhook).collect(),
            directory_servers: (1..=count).map(server).collect(),
            ..nothing()
        };
        status.sort();
        status
    }

    #[test]
    fn much_of_everything_fits_a_screen_and_what_is_wrong_is_on_it() {
        let (status, look) = (much(40), Look { width: Some(80), colour: false });
        let page = super::status(&status, look, Some(24));
        assert!(page.lines().count() <= 22, "{page}");
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        let rows = [
            "directory server ldap://ldap2 away: time-out",
            "filter m9 (unix:/run/m9) away: connection refused",
            "39 filters answer, 40 webhooks take events",
            "SMTP7    tcp_local  stopped",
            "39 more",
            "tcp_out11",
            "IN TROUBLE",
            "mx1.far.example",
            "`relais status --all`",
            "39 filters answer",
            "39 servers answer",
        ];
        for row in rows {
            assert!(page.contains(row), "{row}: {page}");
        }
        let whole = super::status(&status, look, None);
        let at = |text: &str| whole.find(text).unwrap_or_else(|| panic!("{text}: {whole}"));
        let order = [
            "away: conn",
            "SERVICE",
            "SMTP2 ",
            "SMTP10 ",
            "\nCHANNEL",
            "tcp_out2",
            "mx2.",
            "mx10.",
        ];
        let places: Vec<_> = order.iter().map(|text| at(text)).collect();
        assert!(places.is_sorted(), "{places:?}: {whole}");
        assert!(at("filter m2 ") < at("filter m10 "), "{whole}");
        assert!(!whole.contains(" more"), "{whole}");
    }

    #[test]
    fn little_is_shown_as_it_is() {
        let (status, look) = (much(1), Look { width: Some(80), colour: false });
        let whole = super::status(&status, look, None);
        assert_eq!(super::status(&status, look, Some(40)), whole);
        assert!(
            whole.contains("SMTP1 ") && whole.contains("pools: POOL1 1 of 10 jobs\n"),
            "{whole}"
        );
    }

    #[test]
    fn rows_that_tell_of_something_are_picked_before_others_and_keep_their_order() {
        type Row<'a> = (&'a [u32], Option<usize>, &'a [u32], &'a [u32]);
        let rows: [Row<'_>; 6] = [
            (&[1, 2, 3], None, &[1, 2, 3], &[]),
            (&[1, 2, 3], Some(3), &[1, 2, 3], &[]),
            (&[1, 2, 30, 40], Some(3), &[30, 40], &[1, 2]),
            (&[1, 20, 3, 4], Some(3), &[1, 20], &[3, 4]),
            (&[10, 20, 30, 4], Some(2), &[10], &[20, 30, 4]),
            (&[1, 2], Some(0), &[], &[1, 2]),
        ];
        for (all, most, shown, rest) in rows {
            let got = picked(all, most, |n| *n >= 10);
            assert_eq!(got, (shown.iter().collect(), rest.iter().collect()), "{all:?} {most:?}");
        }
    }
}
