//! Commands that change something in a running engine: entries, channels, limits.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use relais_actors::status::{
    LimitSet, OrderAction, OrderProgress, QueueFilter, QueueOrder, SetLimit, Status,
};
use serde_json::Value;

use super::{
    Refusal,
    arguments::{Channel, Order},
    ask::{answer, json, wait},
    configuration::{self, Source},
};
use crate::{
    admin::client::{Client, ClientError},
    show,
};

/// `relais queue hold|release|retry|return|delete`.
pub(super) fn carry_out(
    source: &Source,
    action: OrderAction,
    order: Order,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let Order { ids, filter, all, dry_run, json: as_json } = order;
    let hint = filter.hint();
    let mut filter = filter.asked();
    let limits_nothing = QueueFilter { limit: None, ..filter.clone() } == QueueFilter::default();
    if ids.is_empty() && limits_nothing && !all {
        let what = "say which entries: by queue id, by options such as --host, or --all";
        return Err(Refusal::WrongUse(what.to_owned()));
    }
    if !ids.is_empty() && (all || !limits_nothing) {
        let what = "either queue ids or options that name entries, not both";
        return Err(Refusal::WrongUse(what.to_owned()));
    }
    if action == OrderAction::Release {
        filter.state = filter.state.or(Some(relais_actors::status::EntryState::Held));
    }
    let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_default();
    let order = QueueOrder { action, ids, filter, dry_run, by };
    let client = Client::new(&configuration::data(source)?);
    let bar = bar(as_json);
    let mut last = OrderProgress::default();
    let each = |line: &[u8]| {
        last = serde_json::from_slice(line)
            .map_err(|error| ClientError::Unusable(error.to_string()))?;
        // What was held meanwhile is seen once more among the held.
        bar.set_length(last.of);
        bar.set_position(last.seen.min(last.of));
        bar.set_message(format!("{} {}", last.done, action.done()));
        Ok::<(), Refusal>(())
    };
    let carried_out = wait(async {
        tokio::select! {
            ended = client.order_lines("/api/v1/queue/orders", &order, each) => ended,
            _ = tokio::signal::ctrl_c() => Err(Refusal::Because("interrupted".to_owned())),
        }
    })?;
    bar.finish_and_clear();
    if let Err(Refusal::Because(why)) = &carried_out
        && last.seen > 0
    {
        let so_far = show::order(action, dry_run, &last);
        return Err(Refusal::Because(format!("{why}; so far: {so_far}")));
    }
    carried_out?;
    if as_json {
        json(&last, out)?;
    } else {
        writeln!(out, "{}", show::order(action, dry_run, &last))?;
    }
    if last.done + last.later + last.idle == 0 {
        note(hint.as_deref());
    }
    let unknown = last.unknown.iter().map(|id| format!("no message {id} in the queue"));
    let unknown: Vec<_> = unknown.collect();
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::Because(unknown.join("\nrelais: "))) }
}

/// Something worth knowing that is no part of the answer.
pub(super) fn note(text: Option<&str>) {
    if let Some(text) = text {
        // Where standard error is closed nobody reads it.
        let _ = writeln!(io::stderr(), "relais: {text}");
    }
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
            let client = Client::new(&configuration::data(source)?);
            let status: Value = wait(client.get("/api/v1/status"))??;
            Ok(json(&status["channels"], out)?)
        }
        Channel::Stop { name } => freeze(source, &name, "stop", out),
        Channel::Start { name } => freeze(source, &name, "start", out),
    }
}

/// `relais set`.
pub(super) fn set(
    source: &Source,
    (key, value): (String, u64),
    save: bool,
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), Refusal> {
    let client = Client::new(&configuration::data(source)?);
    let set: LimitSet = wait(client.order("/api/v1/limits", &SetLimit { key, value }))??;
    if as_json {
        return Ok(json(&set, out)?);
    }
    writeln!(out, "{}: {}, was {}; until the engine stops", set.key, set.now, set.was)?;
    if save {
        writeln!(out, "for the configuration file:\n  {}", set.line)?;
    }
    Ok(())
}

fn freeze(source: &Source, name: &str, verb: &str, out: &mut dyn Write) -> Result<(), Refusal> {
    // Names hold nothing that a path could take for something else.
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-$".contains(c);
    if !name.chars().all(plain) || name.is_empty() {
        return Err(Refusal::WrongUse(format!("{name:?} is not the name of a channel")));
    }
    let client = Client::new(&configuration::data(source)?);
    let path = format!("/api/v1/channels/{}/{verb}", name.replace('$', "%24"));
    let done: Value = wait(client.order(&path, &()))??;
    let text = match (verb, done["was_stopped"].as_bool().unwrap_or(false)) {
        ("stop", false) => "stopped: its mail waits until it is started again",
        ("stop", true) => "was stopped already",
        (_, true) => "started: its mail goes again",
        (_, false) => "was not stopped",
    };
    Ok(writeln!(out, "channel {name} {text}")?)
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
