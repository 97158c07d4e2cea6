//! Status, queue, counters and routes as text for people; what scripts read is JSON.

mod access;
mod certificates;
mod content;
mod differences;
mod look;
mod mailboxes;
mod mapping;
mod queue;
mod route;
mod routes;
mod stage;
mod table;
mod units;

use std::fmt::Write;

use relais_actors::{
    events::Printable,
    front::control::ServiceState,
    metrics::{ChannelCounters, Event, MilterStatus, ServerStatus, WorkerState},
    timestamp::Timestamp,
};

use crate::api::{
    HostSuspended, LimitShown, LimitValue, Phase, QueueSummary, ServiceStatus, Status,
};

pub use access::access;
pub use certificates::certificates;
pub use content::ContentView;
pub use differences::Differences;
pub use look::{Colour, Look};
pub use mailboxes::mailbox;
pub use mapping::mapping;
pub use queue::{Listing, history, message, order, question, rerouted, summary, why};
pub use route::route;
pub use routes::Routes;
pub use stage::stage;
pub use table::Table;
pub use units::{Quota, Relative, Size, Span};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `GET /`. A queue that is too long to be added up for a page has no sums.
pub fn overview(status: &Status, queue: Option<&QueueSummary>, not_ready: Option<&str>) -> String {
    let mut page = self::status(status, Look::PLAIN);
    if let Some(why) = not_ready {
        let _ = writeln!(page, "\nnot ready: {}", Printable(why));
    }
    if let Some(queue) = queue.filter(|queue| !queue.channels.is_empty()) {
        let _ = write!(page, "\n{}", summary(queue, Look::PLAIN));
    }
    page + concat!(
        "\nMore: /metrics  /healthz  /readyz  /api/v1/status  /api/v1/queue  ",
        "/api/v1/queue/summary\n      /api/v1/queue/ID  /api/v1/counters  ",
        "/api/v1/route?address=ADDRESS\n",
    )
}

/// `relais status`.
pub fn status(status: &Status, look: Look) -> String {
    let mut page = String::new();
    let Status { version, host, pid, data, phase, queue, .. } = status;
    let uptime = Span(std::time::Duration::from_secs(status.uptime_seconds));
    let _ = writeln!(
        page,
        "relais {version} on {host}: {} {uptime}, process {pid}, data in {data}",
        match phase {
            Phase::Running => "running for",
            Phase::Starting => "starting, up for",
            Phase::Draining => "draining, up for",
        },
    );
    let _ = writeln!(
        page,
        "queue: {} stored, {} of at most {} in memory, spool {}",
        queue.stored,
        queue.tracked,
        queue.max_messages,
        Size(queue.spool_bytes)
    );
    // Want of room is told in words of its own below.
    let refused = |why: &&String| queue.refusing.as_ref().is_some_and(|it| why.ends_with(it));
    for why in status.not_ready.iter().filter(|why| !refused(why)) {
        let _ = writeln!(page, "not ready: {}", Printable(why));
    }
    if let Some(refusing) = &queue.refusing {
        let _ = writeln!(page, "new mail is refused now: {}", Printable(refusing));
    }
    if let Some(paused) = queue.paused {
        let _ = writeln!(page, "no message is handed to a job now: {}", paused.words());
    }
    if status.job_controller == ServiceState::Stopped {
        let _ = writeln!(
            page,
            "nothing leaves now: the job controller is stopped; `relais start job_controller`"
        );
    }
    if let Some(directory) = &status.directory {
        let _ = writeln!(
            page,
            "directory: {} found, {} missing, {} failed, {} from memory",
            directory.found, directory.missing, directory.failed, directory.cache_hits
        );
    }
    for ServerStatus { server, away } in &status.directory_servers {
        let standing = away.as_deref().map_or("answers".to_owned(), |why| format!("away: {why}"));
        let _ = writeln!(page, "  {server} {standing}");
    }
    milters(status, &mut page);
    stores(status, &mut page);
    if status.log_lines_lost > 0 {
        let _ = writeln!(page, "log: {} lines lost", status.log_lines_lost);
    }
    let _ = writeln!(page, "admin: {}", status.admin.join(", "));
    let hosts = hosts_table(&status.suspended);
    let limited = limited(status);
    let tables = [
        services(&status.services),
        pools(status),
        channels(status),
        troubles(status),
        hosts,
        limited,
    ];
    for table in tables {
        if !table.is_empty() {
            let _ = write!(page, "\n{}", table.fit(look));
        }
    }
    page
}

/// Filters, and what they have said so far.
fn milters(status: &Status, page: &mut String) {
    for MilterStatus { name, socket, away, requests } in &status.milters {
        let standing =
            away.as_deref().map_or("answers".to_owned(), |why| format!("away: {}", Printable(why)));
        let counts = requests.iter().filter(|(_, count)| *count > 0);
        let _ = write!(page, "filter {name} ({socket}) {standing}");
        for (result, count) in counts {
            let _ = write!(page, ", {count} {result}");
        }
        page.push('\n');
    }
}

/// Stores of ours that are slow, and the partitions of our own.
fn stores(status: &Status, page: &mut String) {
    for store in &status.stressed {
        let (host, channel) = (Printable(&store.host), &store.channel);
        let most = store.connections;
        let _ = writeln!(
            page,
            "store {host} ({channel}) is under stress: at most {most} of its connections until {}",
            store.until
        );
    }
    // One that is well and alone is no news.
    let is_alone = status.partitions.len() == 1;
    for its in status.partitions.iter().filter(|its| !is_alone || its.stressed || its.away) {
        let stress = if its.stressed { ", under stress: its commits are slow" } else { "" };
        let room = if its.away { "away".to_owned() } else { format!("{} free", Size(its.free)) };
        let _ = writeln!(page, "store {}: {room}{stress}", Printable(&its.path));
    }
}

fn services(services: &[ServiceStatus]) -> Table {
    let mut table = Table::new(&[
        "SERVICE",
        "2=CHANNEL",
        "~LISTENS ON",
        ">SESSIONS",
        "1>WORKERS",
        ">TAKEN",
        ">REFUSED",
    ]);
    for service in services {
        let workers = service.workers.iter();
        let in_state = |state| workers.clone().filter(|worker| worker.state == state).count();
        let draining = in_state(WorkerState::Draining);
        let active = service.workers.len() - draining - in_state(WorkerState::Exited);
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
    }
    table
}

fn listens(service: &ServiceStatus) -> String {
    match service.state {
        ServiceState::Running => service.listen.join(", "),
        ServiceState::Stopped => "stopped".to_owned(),
        ServiceState::Off => "off (enable: false)".to_owned(),
    }
}

fn pools(status: &Status) -> Table {
    let mut table = Table::new(&["POOL", ">JOBS", ">LIMIT"]);
    for pool in &status.pools {
        table.row([&pool.name, &pool.running, &pool.job_limit]);
    }
    table
}

fn channels(status: &Status) -> Table {
    let now = Timestamp::now();
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
    for channel in &status.channels {
        table.row([
            &channel.name,
            &channel.program,
            &channel.pool,
            &if channel.unserved {
                "nobody".to_owned()
            } else if channel.stopped {
                "stopped".to_owned()
            } else {
                format!("{}/{}", channel.jobs, channel.maxjobs)
            },
            &channel.threads,
            &channel.ready,
            &channel.active,
            &channel.delayed,
            &channel.held,
            &Relative { time: channel.oldest, now }.past(),
        ]);
        if channel.stopped {
            table.mark(3, Colour::Red);
        }
        if channel.held > 0 {
            table.mark(8, Colour::Yellow);
        }
    }
    table
}

fn troubles(status: &Status) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["=IN TROUBLE", "1=CHANNEL", "TRIED AGAIN", "&LAST REPLY"]);
    for trouble in &status.troubles {
        let until = Relative { time: Some(trouble.until), now };
        table.row([&trouble.host, &trouble.channel, &until.next(), &trouble.reply]);
        table.mark(0, Colour::Red);
    }
    table
}

/// `relais host list`.
pub fn hosts(hosts: &[HostSuspended], look: Look) -> String {
    if hosts.is_empty() {
        return "no host is suspended\n".to_owned();
    }
    hosts_table(hosts).fit(look)
}

fn hosts_table(hosts: &[HostSuspended]) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["=SUSPENDED", "1=CHANNEL", "GETS", "ENDS", "BY", "&REASON"]);
    for host in hosts {
        let until = Relative { time: Some(host.until), now };
        let channel = host.channel.as_deref().unwrap_or("all");
        let gets = host.rate.as_deref().unwrap_or("nothing");
        table.row([&host.host, &channel, &gets, &until.next(), &host.by, &host.reason]);
        table.mark(0, Colour::Yellow);
    }
    table
}

fn limited(status: &Status) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["=AT ITS LIMIT", "1=CHANNEL", "LIMIT", "GOES ON", "&CHANGE"]);
    for host in &status.limited {
        let until = Relative { time: Some(host.until), now };
        let limit = format!("{} {}", host.limit, host.value);
        table.row([&host.host, &host.channel, &limit, &until.next(), &host.change]);
    }
    table
}

/// `relais status --workers`: each by the name that `relais restart` takes.
pub fn workers(status: &Status, look: Look) -> String {
    let now = Timestamp::now();
    let mut table = Table::new(&["=WORKER", "STATE", ">SESSIONS", ">PEAK", ">SERVED", "SINCE"]);
    for service in &status.services {
        for worker in &service.workers {
            let since = Relative { time: Some(worker.started), now };
            table.row([
                &format!("{}/{}", service.name, worker.id),
                &worker.state.name(),
                &worker.connections,
                &worker.peak,
                &worker.served,
                &since,
            ]);
        }
    }
    table.fit(look)
}

/// `relais channel list`.
pub fn channel_list(status: &Status, look: Look) -> String {
    channels(status).fit(look)
}

/// `relais set` without a value. What an operator changed stands out.
pub fn limits(limits: &Vec<LimitShown>, look: Look) -> String {
    let mut table = Table::new(&["=LIMIT", ">NOW", ">CONFIGURED", ">SAVED"]);
    for limit in limits {
        let shown = |value: &Option<LimitValue>| {
            value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
        };
        let LimitShown { key, value, configured, saved } = limit;
        table.row([key, &shown(value), &shown(configured), &shown(saved)]);
        if value != configured {
            table.mark(1, Colour::Yellow);
        }
    }
    table.fit(look)
}

/// `relais counters`: messages, with recipients and size of those that moved.
pub fn counters(counters: &ChannelCounters, look: Look) -> String {
    let mut table = Table::new(&["CHANNEL", "EVENT", ">MESSAGES", ">RECIPIENTS", ">SIZE"]);
    for (channel, events) in &counters.0 {
        for event in Event::ALL {
            let tally = events.get(&event).copied().unwrap_or_default();
            if tally.messages + tally.recipients + tally.bytes == 0 {
                continue;
            }
            let size = Size(tally.bytes);
            table.row([channel, &event.name(), &tally.messages, &tally.recipients, &size]);
        }
    }
    if table.is_empty() { "nothing has been counted yet\n".to_owned() } else { table.fit(look) }
}
