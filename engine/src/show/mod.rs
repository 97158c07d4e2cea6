//! Status, queue, counters and routes as text for people; what scripts read is JSON.

mod table;
mod units;

use std::fmt::Write;

use relais_actors::{
    events::Printable,
    status::{
        Counters, EntryState, Event, HistoryLine, OrderAction, OrderProgress, Phase, QueueSummary,
        QueuedEntry, QueuedMessage, RecipientReply, RouteExplained, ServiceStatus, Status,
        Timestamp, Why, WorkerState,
    },
};

pub use table::Table;
pub use units::{Relative, Size, Span};

// Writing to a string cannot fail; the results are dropped for that reason in this file.

/// `GET /`. A queue that is too long to be added up for a page has no sums.
pub fn overview(status: &Status, queue: Option<&QueueSummary>, not_ready: Option<&str>) -> String {
    let mut page = self::status(status);
    if let Some(why) = not_ready {
        let _ = writeln!(page, "\nnot ready: {}", Printable(why));
    }
    if let Some(queue) = queue.filter(|queue| !queue.channels.is_empty()) {
        let _ = write!(page, "\n{}", summary(queue));
    }
    page + concat!(
        "\nMore: /metrics  /healthz  /readyz  /api/v1/status  /api/v1/queue  ",
        "/api/v1/queue/summary\n      /api/v1/queue/ID  /api/v1/counters  ",
        "/api/v1/route?address=ADDRESS\n",
    )
}

/// `relais status`.
pub fn status(status: &Status) -> String {
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
    if let Some(refusing) = &queue.refusing {
        let _ = writeln!(page, "new mail is refused now: {}", Printable(refusing));
    }
    if let Some(paused) = queue.paused {
        let _ = writeln!(page, "no message is handed to a job now: {}", paused.words());
    }
    if let Some(directory) = &status.directory {
        let _ = writeln!(
            page,
            "directory: {} found, {} missing, {} failed, {} from memory",
            directory.found, directory.missing, directory.failed, directory.cache_hits
        );
    }
    if status.log_lines_lost > 0 {
        let _ = writeln!(page, "log: {} lines lost", status.log_lines_lost);
    }
    let _ = writeln!(page, "admin: {}", status.admin.join(", "));
    for table in [services(&status.services), pools(status), channels(status), troubles(status)] {
        if !table.is_empty() {
            let _ = write!(page, "\n{table}");
        }
    }
    page
}

fn services(services: &[ServiceStatus]) -> Table {
    let mut table = Table::new(&[
        "SERVICE",
        "CHANNEL",
        "LISTENS ON",
        ">SESSIONS",
        ">WORKERS",
        ">TAKEN",
        ">REFUSED",
    ]);
    for service in services {
        let workers = service.workers.iter();
        let active = workers.filter(|worker| worker.state != WorkerState::Draining).count();
        let workers = match service.workers.len() - active {
            0 => active.to_string(),
            draining => format!("{active}+{draining} ending"),
        };
        table.row([
            &service.name,
            &service.channel,
            &service.listen.join(", "),
            &service.connections,
            &workers,
            &service.accepted,
            &service.refused,
        ]);
    }
    table
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
        "CHANNEL", "PROGRAM", "POOL", ">JOBS", ">THREADS", ">READY", ">ACTIVE", ">DELAYED",
        ">HELD", "OLDEST",
    ];
    let mut table = Table::new(&titles);
    for channel in &status.channels {
        table.row([
            &channel.name,
            &channel.program,
            &channel.pool,
            &if channel.stopped {
                "stopped".to_owned()
            } else {
                format!("{}/{}", channel.jobs, channel.maxjobs)
            },
            &channel.threads,
            &channel.ready,
            &channel.active,
            &channel.delayed,
            &channel.held,
            &Relative { time: channel.oldest, now },
        ]);
    }
    table
}

fn troubles(status: &Status) -> Table {
    let now = Timestamp::now();
    let mut table = Table::new(&["IN TROUBLE", "CHANNEL", "TRIED AGAIN", "LAST REPLY"]);
    for trouble in &status.troubles {
        let until = Relative { time: Some(trouble.until), now };
        table.row([&trouble.host, &trouble.channel, &until, &trouble.reply]);
    }
    table
}

/// A page of `relais queue list`, with its heading.
pub fn entries(entries: &[QueuedEntry]) -> String {
    let now = Timestamp::now();
    let titles = ["ID", "STATE", ">SIZE", "AGE", ">TRIES", "NEXT", "CHANNEL", "HOST", "FROM", "TO"];
    let mut table = Table::new(&titles);
    for entry in entries {
        let mut open = entry.open();
        let to = match (open.next(), open.count()) {
            (None, _) => String::new(),
            (Some(only), 0) => only.address.clone(),
            (Some(first), more) => format!("{} and {more} more", first.address),
        };
        table.row([
            &entry.id,
            &state_of(entry),
            &Size(entry.size),
            &Span(entry.received.until(now)),
            &entry.attempts,
            &Relative { time: entry.due, now },
            &entry.channel,
            &entry.host,
            &format_args!("<{}>", entry.sender),
            &to,
        ]);
    }
    table.to_string()
}

/// With what an operator ordered meanwhile.
fn state_of(entry: &QueuedEntry) -> String {
    let state = entry.state.name();
    entry.ordered.map_or_else(|| state.to_owned(), |to| format!("{state}, to be {}", to.done()))
}

/// `relais queue show`.
pub fn message(message: &QueuedMessage) -> String {
    let now = Timestamp::now();
    let mut page = String::new();
    let QueuedMessage { id, source_channel, client, header, entries } = message;
    let _ = writeln!(page, "message {}", Printable(id));
    if let Some(first) = entries.first() {
        let received = Relative { time: Some(first.received), now };
        let _ = writeln!(page, "from    <{}>", Printable(&first.sender));
        let _ = writeln!(page, "size    {}", Size(first.size));
        let _ = writeln!(page, "came    {} ({received})", first.received);
    }
    let _ = writeln!(page, "by      {} from {}", Printable(source_channel), Printable(client));
    for entry in entries {
        let attempts = if entry.attempts == 1 { "attempt" } else { "attempts" };
        let due = entry.due.map(|due| format!(", next {}", Relative { time: Some(due), now }));
        let _ = writeln!(
            page,
            "\nby {} to {}: {}, {} {attempts}{}",
            Printable(&entry.channel),
            Printable(&entry.host),
            entry.state.name(),
            entry.attempts,
            due.unwrap_or_default()
        );
        if let Some(ordered) = entry.ordered {
            let _ = writeln!(page, "to be {} as soon as its job gives it back", ordered.done());
        }
        let mut table = Table::new(&["RECIPIENT", "STATE", "LAST REPLY"]);
        for recipient in &entry.recipients {
            let reply = recipient.last_reply.as_deref().unwrap_or("-");
            table.row([&recipient.address, &recipient.state.name(), &reply]);
        }
        let _ = write!(page, "{table}");
    }
    if !header.is_empty() {
        page.push('\n');
    }
    for line in header {
        let _ = writeln!(page, "  {}", Printable(line.replace('\t', "    ")));
    }
    page
}

/// `relais queue summary`.
pub fn summary(summary: &QueueSummary) -> String {
    let now = Timestamp::now();
    if summary.channels.is_empty() {
        return "the queue is empty\n".to_owned();
    }
    let titles = [
        "CHANNEL",
        ">MESSAGES",
        ">RECIPIENTS",
        ">SIZE",
        ">READY",
        ">ACTIVE",
        ">DELAYED",
        ">HELD",
        "OLDEST",
    ];
    let mut channels = Table::new(&titles);
    for channel in &summary.channels {
        channels.row([
            &channel.channel,
            &channel.messages,
            &channel.recipients,
            &Size(channel.bytes),
            &channel.ready,
            &channel.active,
            &channel.delayed,
            &channel.held,
            &Relative { time: channel.oldest, now },
        ]);
    }
    let mut hosts = Table::new(&["HOST", "CHANNEL", ">MESSAGES", "OLDEST"]);
    for host in &summary.hosts {
        let oldest = Relative { time: host.oldest, now };
        hosts.row([&host.host, &host.channel, &host.messages, &oldest]);
    }
    if hosts.is_empty() { channels.to_string() } else { format!("{channels}\n{hosts}") }
}

/// `relais channel list`.
pub fn channel_list(status: &Status) -> String {
    channels(status).to_string()
}

/// What came of an order, in a sentence.
pub fn order(action: OrderAction, dry_run: bool, progress: &OrderProgress) -> String {
    let OrderProgress { done, later, idle, undelivered, moved, .. } = progress;
    let entries =
        |count: u64| if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") };
    let mut text = if dry_run {
        format!("{} would be {}", entries(*done), action.done().trim_start_matches("to be "))
    } else {
        format!("{} {}", entries(*done), action.done())
    };
    for (count, what) in [
        (later, "in the hands of a job, as soon as back"),
        (idle, "left as they are"),
        (moved, "gone or changed meanwhile"),
    ] {
        if *count > 0 {
            let _ = write!(text, "; {count} {what}");
        }
    }
    if *undelivered > 0 {
        let why = "in channels that no job delivers or that the configuration has lost";
        let _ = write!(text, "; {undelivered} of those left are {why}");
    }
    text
}

/// `relais queue why`.
pub fn why(why: &Vec<Why>) -> String {
    let mut page = String::new();
    for Why { channel, host, text, .. } in why {
        if why.len() > 1 {
            let _ = writeln!(page, "by {} to {}:", Printable(channel), Printable(host));
        }
        let _ = writeln!(page, "{}", Printable(text));
    }
    page
}

/// `relais queue history`.
pub fn history(lines: &Vec<HistoryLine>) -> String {
    let titles = ["TIME", "CHANNEL", "HOST", "STATE", ">TRIES", "NEXT", "WHAT"];
    let mut table = Table::new(&titles);
    for line in lines {
        let state = line.state.map_or("done", EntryState::name);
        let due = line.due.map_or_else(|| "-".to_owned(), |due| due.to_string());
        let mut what: Vec<String> = line.reason.clone().into_iter().collect();
        let said = |reply: &RecipientReply| format!("<{}> {}", reply.address, reply.reply);
        what.extend(line.replies.iter().map(said));
        let first = what.first().cloned().unwrap_or_default();
        table.row([&line.at, &line.channel, &line.host, &state, &line.attempts, &due, &first]);
        for more in what.iter().skip(1) {
            table.row([&"", &"", &"", &"", &"", &"", more]);
        }
    }
    table.to_string()
}

/// `relais counters`: messages, with recipients and size of those that moved.
pub fn counters(counters: &Counters) -> String {
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
    if table.is_empty() { "nothing has been counted yet\n".to_owned() } else { table.to_string() }
}

/// `relais route`: the steps, then what came of them.
pub fn route(route: &RouteExplained) -> String {
    let mut page = String::new();
    let widest = route.steps.iter().map(|step| step.step.chars().count()).max().unwrap_or(0);
    for step in &route.steps {
        let (name, detail) = (Printable(&step.step).to_string(), Printable(&step.detail));
        let _ = writeln!(page, "{name:widest$}  {detail}");
    }
    if !route.steps.is_empty() {
        page.push('\n');
    }
    let verdict = if route.accepted { "accepted" } else { "refused" };
    let _ = writeln!(page, "<{}> {verdict}: {}", Printable(&route.input), Printable(&route.reply));
    let mut table = Table::new(&["ADDRESS", "CHANNEL", "TAG", "NEXT HOP"]);
    for result in &route.results {
        table.row([&result.address, &result.channel, &result.tag, &result.next_hop]);
    }
    if !table.is_empty() {
        let _ = write!(page, "{table}");
    }
    page
}

#[cfg(test)]
mod tests {
    use relais_actors::status::{QueuedRecipient, RecipientState};

    use super::*;
    use crate::admin::fake::entry;

    #[test]
    fn a_listing_names_recipients_that_are_open() {
        use RecipientState::{Active, Delivered, Failed};
        // recipients, what stands under TO
        let rows: [(&[RecipientState], &str); 4] = [
            (&[Active], " r0\n"),
            (&[Delivered, Active], " r1\n"),
            (&[Failed, Active, Delivered, Active, Active], " r1 and 2 more\n"),
            (&[Delivered], "<ann@example.org>\n"),
        ];
        for (states, want) in rows {
            let recipient = |(n, state): (usize, &RecipientState)| QueuedRecipient {
                address: format!("r{n}"),
                state: *state,
                last_reply: None,
            };
            let recipients = states.iter().enumerate().map(recipient).collect();
            let text = entries(&[QueuedEntry { recipients, ..entry(1) }]);
            assert!(text.ends_with(want), "{states:?}: {text}");
        }
    }

    #[test]
    fn a_message_and_its_header_are_told_in_good_english() {
        let entry = QueuedEntry { attempts: 1, ..entry(1) };
        let page = message(&QueuedMessage {
            id: entry.id.clone(),
            source_channel: "tcp_local".to_owned(),
            client: "a.example".to_owned(),
            header: vec!["Received: from a".to_owned(), "\tby b".to_owned()],
            entries: vec![entry],
        });
        assert!(page.contains(": ready, 1 attempt\n"), "{page}");
        assert!(page.ends_with("  Received: from a\n      by b\n"), "{page}");
    }

    #[test]
    fn an_order_says_what_came_of_it() {
        let left = OrderProgress { later: 1, idle: 3, undelivered: 3, ..OrderProgress::default() };
        let rest = "; 1 in the hands of a job, as soon as back; 3 left as they are; 3 of those left \
                    are in channels that no job delivers or that the configuration has lost";
        let rows = [
            (OrderAction::Retry, true, "2 entries would be tried now"),
            (OrderAction::Hold, true, "2 entries would be held"),
            (OrderAction::Retry, false, "2 entries to be tried now"),
        ];
        for (action, dry_run, want) in rows {
            let done = OrderProgress { done: 2, ..OrderProgress::default() };
            assert_eq!(order(action, dry_run, &done), want);
            let some = OrderProgress { done: 2, ..left.clone() };
            assert_eq!(order(action, dry_run, &some), format!("{want}{rest}"));
        }
    }
}
