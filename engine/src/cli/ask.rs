//! Commands that ask a running engine.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    ops::ControlFlow,
    thread,
    time::{Duration, Instant},
};

use relais_actors::metrics::ChannelCounters;
use relais_channels::mail::MessageId;

use super::{
    arguments::{Because, List, Queue},
    exchange::{answer, engine, note, say, wait},
    orders,
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::{Client, ClientError, with_query},
    api::{HistoryLine, OrderKind, QueueSummary, QueuedEntry, QueuedMessage, Status, Text, Why},
    show::{self, ContentView, Listing, Look},
    state::lock,
};

/// `relais status`.
pub(super) fn status(
    source: &Source,
    json: bool,
    all: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let whole: fn(&Status, Look) -> String = |status, look| show::status(status, look, None);
    let screen: fn(&Status, Look) -> String =
        |status, look| show::status(status, look, Look::height_of_stdout());
    answer::<Status>(source, "/api/v1/status", json, if all { whole } else { screen }, out)
}

/// `relais status --workers`.
pub(super) fn workers(source: &Source, out: &mut dyn Write) -> Result<(), Refusal> {
    answer::<Status>(source, "/api/v1/status", false, show::workers, out)
}

/// `relais counters`.
pub(super) fn counters(source: &Source, json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    answer::<ChannelCounters>(source, "/api/v1/counters", json, show::counters, out)
}

/// `relais queue ...`.
pub(super) fn queue(source: &Source, queue: Queue, out: &mut dyn Write) -> Result<(), Refusal> {
    match queue {
        Queue::List(list) => queue_list(source, list, out),
        Queue::Show { id, content: true, head, .. } => content(source, &id, head, out),
        Queue::Show { id, json, .. } => {
            let path = message_path(&id, "")?;
            answer::<QueuedMessage>(source, &path, json, show::message, out)
        }
        Queue::Why { id, json } => {
            let path = message_path(&id, "/why")?;
            answer::<Vec<Why>>(source, &path, json, |why, _| show::why(why), out)
        }
        Queue::History { id, json } => {
            let path = message_path(&id, "/history")?;
            answer::<Vec<HistoryLine>>(source, &path, json, show::history, out)
        }
        Queue::Hold(order) => orders::carry_out(source, OrderKind::Hold, order, out),
        Queue::Release(order) => orders::carry_out(source, OrderKind::Release, order, out),
        Queue::Retry(order) => orders::carry_out(source, OrderKind::Retry, order, out),
        Queue::Return(order) => orders::carry_out(source, OrderKind::Return, order, out),
        Queue::Delete(order) => orders::carry_out(source, OrderKind::Delete, order, out),
        Queue::Reroute(order) => orders::carry_out(source, OrderKind::Reroute, order, out),
        Queue::Summary { json } => {
            let path = "/api/v1/queue/summary";
            answer::<QueueSummary>(source, path, json, show::summary, out)
        }
    }
}

/// `relais stop`. Returns as soon as the engine knows, for it may take a while to drain; or when it
/// has ended.
pub(super) fn stop(
    source: &Source,
    to_the_end: bool,
    why: &Because,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let data = source.data()?;
    let began = Instant::now();
    let holder = lock::holder(&data);
    wait(engine(source, why.reason.as_deref())?.post("/api/v1/stop"))??;
    say(&format!("the engine on {} drains and ends", data.display()), out)?;
    if !to_the_end {
        return Ok(());
    }
    out.flush()?;
    // A service manager may start the next engine as soon as this one has ended.
    while holder.is_some() && lock::holder(&data) == holder {
        if began.elapsed() > lock::LONGEST_END {
            let seconds = lock::LONGEST_END.as_secs();
            let why =
                format!("it has not ended within {seconds} s; its log says what it waits for");
            return Err(Refusal::Because(why));
        }
        thread::sleep(LOOK_EVERY);
    }
    writeln!(out, "it has ended after {:.1} s", began.elapsed().as_secs_f64())?;
    if lock::is_taken(&data) {
        note(Some("another engine runs there by now: something has started it again"));
    }
    Ok(())
}

/// The path of a message: an argument that is no id at all must not become another path.
pub(super) fn message_path(id: &str, what: &str) -> Result<String, Refusal> {
    let id: MessageId = id.parse().map_err(|error| Refusal::WrongUse(format!("{error}")))?;
    Ok(format!("/api/v1/queue/{id}{what}"))
}

/// `relais queue show ID --content`.
fn content(
    source: &Source,
    id: &str,
    head: Option<u64>,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let path = message_path(id, "/content")?;
    let client = Client::new(&source.data()?);
    let mut view = ContentView::new(io::stdout().is_terminal(), head);
    let each = |octets: &[u8]| {
        out.write_all(&view.take(octets))?;
        let more = if view.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        Ok::<_, Refusal>(more)
    };
    wait(client.octets(&path, each))??;
    Ok(out.write_all(&view.finish())?)
}

fn queue_list(source: &Source, list: List, out: &mut dyn Write) -> Result<(), Refusal> {
    let List { filter, json } = list;
    let hint = filter.hint();
    let path = with_query("/api/v1/queue", &filter.asked());
    let client = Client::new(&source.data()?);
    if json {
        let each = |line: &[u8]| {
            out.write_all(line)?;
            Ok::<(), Refusal>(out.write_all(b"\n")?)
        };
        return wait(client.lines(&path, each))?;
    }
    // Columns are as wide as they need to be among the entries that are printed together, so
    // that a listing of any length takes no memory to speak of.
    let mut listing = Listing::new(Look::of_stdout());
    let (mut page, mut lines, mut count) = (Vec::new(), 0, 0u64);
    let each = |line: &[u8]| {
        page.extend_from_slice(line);
        page.push(b'\n');
        (lines, count) = (lines + 1, count + 1);
        if lines == PAGE {
            print(&mut listing, &page, out)?;
            page.clear();
            lines = 0;
        }
        Ok::<(), Refusal>(())
    };
    wait(client.lines(&path, each))??;
    print(&mut listing, &page, out)?;
    let entries = if count == 1 { "entry" } else { "entries" };
    writeln!(out, "{count} {entries}")?;
    if count == 0 {
        out.flush()?;
        note(hint.as_deref());
    }
    Ok(())
}

/// Prints entries, a line of JSON each.
fn print(listing: &mut Listing, lines: &[u8], out: &mut dyn Write) -> Result<(), Refusal> {
    if lines.is_empty() {
        return Ok(());
    }
    let unusable = |error: &dyn Display| ClientError::Unusable(error.to_string());
    let lines = str::from_utf8(lines).map_err(|error| unusable(&error))?;
    let entries = serde_json::Deserializer::from_str(lines).into_iter::<QueuedEntry<Text<'_>>>();
    let entries = entries.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    Ok(out.write_all(listing.page(&entries).as_bytes())?)
}

/// For the end of an engine.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Entries that share their columns' widths.
const PAGE: usize = 500;
