//! Commands that change something in a running engine: entries, channels, limits.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use relais_actors::metrics::QueueState;
use serde_json::Value;

use super::{
    arguments::{Channel, Order, Set},
    exchange::{answer, engine, json, note, operator, say, wait},
    refusal::Refusal,
    source::Source,
};
use crate::{
    admin::client::{Client, ClientError, with_query},
    api::{
        LimitSet, LimitShown, LimitValue, OrderKind, OrderProgress, QueueFilter, QueueOrder,
        SetLimit, Status,
    },
    limits::{self, Saved},
    show::{self, Listing, Look},
};

/// `relais queue hold|release|retry|return|delete`.
pub(super) fn carry_out(
    source: &Source,
    kind: OrderKind,
    order: Order,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let Order { ids, filter, all, dry_run, yes, reason, json: as_json } = order;
    let hint = filter.hint();
    let mut filter = filter.asked();
    check_meant(&ids, &filter, all)?;
    if kind == OrderKind::Release && ids.is_empty() {
        filter.state = filter.state.or(Some(QueueState::Held));
    }
    let (by, reason) = (operator(), reason.unwrap_or_default());
    let (up_to, standing) = (None, None);
    let mut order = QueueOrder { kind, ids, filter, dry_run, by, reason, up_to, standing };
    let client = Client::new(&source.data()?);
    if !yes && !dry_run && asks_first(kind, all) {
        let would = put(&client, &QueueOrder { dry_run: true, ..order.clone() }, as_json)?;
        if would.reached() > 0 && !is_confirmed(kind, &would)? {
            return Err(Refusal::Because("nothing was done".to_owned()));
        }
        // Mail that comes in while the question stands was not asked about.
        order.up_to = would.last;
    }
    let last = put(&client, &order, as_json)?;
    if as_json {
        json(&last, out)?;
    } else {
        let look = Look::of_stdout();
        if kind == OrderKind::Reroute {
            write!(out, "{}", show::rerouted(&last.rerouted, look))?;
        } else if !last.first.is_empty() {
            write!(out, "{}", Listing::new(look).page(&last.first))?;
        }
        let said = show::order(kind, dry_run, &last) + "\n";
        write!(out, "{}", look.fit(&said))?;
    }
    let found = last.reached() + last.idle + last.moved;
    if found == 0 {
        out.flush()?;
        note(hint.as_deref());
    }
    // All of an empty queue is nothing, and rightly so.
    if found == 0 && !all && order.ids.is_empty() {
        let what = match kind {
            OrderKind::Hold => " that is not held already",
            OrderKind::Release => " that is held",
            _ => "",
        };
        return Err(Refusal::Because(format!(
            "nothing in the queue{what} is named by these options"
        )));
    }
    let unknown = last.unknown.iter().map(|id| format!("no message {id} in the queue"));
    let unknown: Vec<_> = unknown.collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::Because(unknown.join("\nrelais: "))) }
}

fn check_meant(ids: &[String], filter: &QueueFilter, all: bool) -> Result<(), Refusal> {
    let limits_nothing = QueueFilter { limit: None, ..filter.clone() } == QueueFilter::default();
    if ids.is_empty() && limits_nothing && !all {
        let what = "say which entries: by queue id, by options such as --host, or --all";
        return Err(Refusal::WrongUse(what.to_owned()));
    }
    if !ids.is_empty() && (all || !limits_nothing) {
        let what = "either queue ids or options that name entries, not both";
        return Err(Refusal::WrongUse(what.to_owned()));
    }
    Ok(())
}

/// Whether to ask first: an order that cannot be taken back, or reaches everything, is asked about
/// where somebody can answer.
fn asks_first(kind: OrderKind, all: bool) -> bool {
    let is_final = matches!(kind, OrderKind::Return | OrderKind::Delete);
    (is_final || all) && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks on standard error, so that standard output holds the answer alone.
fn is_confirmed(kind: OrderKind, would: &OrderProgress) -> Result<bool, Refusal> {
    let mut stderr = io::stderr();
    let question = format!("{} [y/N]", show::question(kind, would));
    // The answer is typed behind it.
    write!(stderr, "{} ", Look::of_stderr().fit(&question).trim_end())?;
    stderr.flush()?;
    let mut line = String::new();
    io::stdin().lock().take(MAX_ANSWER).read_line(&mut line)?;
    Ok(matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Has the engine carry an order out, and watches it; how far it came.
fn put(client: &Client, order: &QueueOrder, as_json: bool) -> Result<OrderProgress, Refusal> {
    let QueueOrder { kind, dry_run, .. } = *order;
    let bar = bar(as_json);
    let mut last = OrderProgress::default();
    let each = |line: &[u8]| {
        last = serde_json::from_slice(line)
            .map_err(|error| ClientError::Unusable(error.to_string()))?;
        // A bar is drawn whenever it is set: the words must fit the numbers.
        bar.set_message(so_far(order, &last));
        bar.set_length(last.of);
        // Entries that were held meanwhile are seen once more among the held.
        bar.set_position(last.seen.min(last.of));
        Ok::<(), Refusal>(())
    };
    let carried_out = wait(async {
        tokio::select! {
            ended = client.order_lines("/api/v1/queue/orders", order, each) => ended,
            _ = tokio::signal::ctrl_c() => Err(Refusal::Because("interrupted".to_owned())),
        }
    })?;
    bar.finish_and_clear();
    match carried_out {
        Err(Refusal::Because(why)) if last.seen > 0 => {
            let so_far = show::order(kind, dry_run, &last);
            Err(Refusal::Because(format!("{why}; so far: {so_far}")))
        }
        carried_out => carried_out.map(|()| last),
    }
}

/// Beside the bar. What is only counted is not done.
fn so_far(order: &QueueOrder, last: &OrderProgress) -> String {
    let what = if order.dry_run { "counted" } else { order.kind.done() };
    format!("{} {what}", last.reached())
}

/// `relais channel ...`.
pub(super) fn channel(
    source: &Source,
    channel: Channel,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    match channel {
        Channel::List { json: false } => {
            answer::<Status>(source, "/api/v1/status", false, show::channel_list, out)
        }
        Channel::List { json: true } => {
            let client = Client::new(&source.data()?);
            let status: Value = wait(client.get("/api/v1/status"))??;
            Ok(json(&status["channels"], out)?)
        }
        Channel::Stop { name, why } => {
            freeze(&engine(source, why.reason.as_deref())?, &name, "stop", out)
        }
        Channel::Start { name, why } => {
            freeze(&engine(source, why.reason.as_deref())?, &name, "start", out)
        }
    }
}

/// `relais set`.
pub(super) fn set(source: &Source, set: Set, out: &mut dyn Write) -> Result<(), Refusal> {
    let Set { key, value, save, json: as_json, why } = set;
    let (Some(key), Some(value)) = (&key, value) else {
        let asked: Vec<_> = key.iter().map(|key| ("key", key)).collect();
        let path = with_query("/api/v1/limits", &asked);
        return answer::<Vec<LimitShown>>(source, &path, as_json, show::limits, out);
    };
    let value = value.parse().map_or(LimitValue::Text(value), LimitValue::Number);
    let order = SetLimit { key: key.clone(), value, save };
    let data = source.data()?;
    let engine = engine(source, why.reason.as_deref())?;
    let set: LimitSet = wait(engine.order("/api/v1/limits", &order))??;
    if as_json {
        return Ok(json(&set, out)?);
    }
    let shown = |value: &Option<LimitValue>| {
        value.as_ref().map_or_else(|| limits::NONE.to_owned(), ToString::to_string)
    };
    let (now, after) = (shown(&set.now), shown(&set.after_restart));
    let until = match (now == after, save) {
        (true, true) => format!("after a restart, too ({})", Saved::new(&data).path().display()),
        (true, false) => "after a restart, too".to_owned(),
        (false, _) => format!("until the engine stops, then {after}"),
    };
    say(&format!("{}: {now}, was {}; {until}", set.key, shown(&set.was)), out)?;
    if save && !set.line.is_empty() {
        say(&format!("for the configuration file:\n  {}", set.line), out)?;
    }
    Ok(())
}

fn freeze(engine: &Client, name: &str, verb: &str, out: &mut dyn Write) -> Result<(), Refusal> {
    // Names hold nothing that a path could take for something else.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-$".contains(c);
    if !name.chars().all(plain) || name.is_empty() {
        return Err(Refusal::WrongUse(format!("{name:?} is not the name of a channel")));
    }
    let path = format!("/api/v1/channels/{}/{verb}", name.replace('$', "%24"));
    let done: Value = wait(engine.order(&path, &()))??;
    let text = match (verb, done["was_stopped"].as_bool().unwrap_or(false)) {
        ("stop", false) if done["delivers"] == false => {
            "stopped, but nothing leaves by it, so that nothing waits; mail that comes in by it is \
             taken as before: where a service listens is set in the configuration file"
        }
        ("stop", false) => {
            "stopped: what leaves by it waits until it is started again; what comes in by it is \
             taken as before"
        }
        ("stop", true) => "was stopped already",
        (_, true) => "started: what leaves by it goes again",
        (_, false) => "was not stopped",
    };
    say(&format!("channel {name} {text}"), out)
}

/// Shown to people only, and only when it takes a moment.
fn bar(hidden: bool) -> ProgressBar {
    if hidden || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(5));
    // The template is ours, and right.
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}, {eta} left");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Octets of an answer.
const MAX_ANSWER: u64 = 256;
