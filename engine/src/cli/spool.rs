//! `relais spool ...`: the files that messages are kept in, looked at and mended without an engine.

use std::{
    io::{IsTerminal, Write, stderr},
    path::Path,
    sync::Arc,
};

use indicatif::{ProgressBar, ProgressStyle};
use relais_spool::{CheckReport, MessageCounts, RealDisk, Recovered, Spool as Files};
use relais_storage::{Counts, StorageError};
use serde_json::json;

use super::{arguments::Spool, exchange, refusal::Refusal, source::Source};
use crate::{
    show::{Look, Size},
    state::lock::Lock,
};

/// `relais spool ...`.
pub(super) fn spool(source: &Source, spool: &Spool, out: &mut dyn Write) -> Result<(), Refusal> {
    match spool {
        Spool::Check { json } => check(source, *json, out),
        Spool::Rebuild { json } => rebuild(source, *json, out),
    }
}

fn check(source: &Source, json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let dir = source.data()?.join(SPOOL);
    there(&dir)?;
    let bar = bar("reading");
    let inspected = relais_spool::check(&dir, &mut |done, all| show(&bar, done, all));
    bar.finish_and_clear();
    let found = inspected.map_err(|error| refusal_of(&error))?;
    if json {
        exchange::json(&found, out)?;
    } else {
        fitted(out, |page| print(&dir, &found, page))?;
    }
    if found.is_damaged() { Err(Refusal::No) } else { Ok(()) }
}

/// Output that is fitted to the width of the terminal.
fn fitted(
    out: &mut dyn Write,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut page = Vec::new();
    write(&mut page)?;
    let page = String::from_utf8_lossy(&page);
    Ok(out.write_all(Look::of_stdout().fit(&page).as_bytes())?)
}

fn print(dir: &Path, found: &CheckReport, out: &mut dyn Write) -> Result<(), Refusal> {
    let CheckReport { segments, bytes, tail, damage, blobs, quarantine, .. } = found;
    for damage in damage {
        let id = damage.id.as_ref().map(|id| format!(", message {id}")).unwrap_or_default();
        let what = if damage.acknowledged { "damaged" } else { "remains of a crash" };
        let (file, offset, length) = (&damage.file, damage.offset, Size(damage.length));
        writeln!(out, "{what}: {file}, offset {offset}, {length}{id}")?;
    }
    for file in &found.lost {
        writeln!(out, "missing: the segment {file}, and the mail in it")?;
    }
    for id in &blobs.missing {
        writeln!(out, "missing: the content of message {id}")?;
    }
    for file in quarantine {
        writeln!(out, "in quarantine: {}, {}", file.name, Size(file.bytes))?;
    }
    let MessageCounts { alive, held, done } = found.messages;
    let size = Size(*bytes);
    writeln!(out, "{}: {segments} segments of {size}", dir.display())?;
    writeln!(out, "messages: {alive} alive, {held} held, {done} done and not yet removed")?;
    let (files, left_over) = (blobs.files, blobs.left_over);
    writeln!(out, "large messages: {files} files, {left_over} of them needed by no message")?;
    writeln!(out, "ends of segments: {} not used, or half written at a crash", Size(*tail))?;
    let verdict = match (found.damaged, found.missing()) {
        (0, 0) => "no damage".to_owned(),
        (damaged, missing) => format!("{damaged} damaged, {missing} missing"),
    };
    Ok(writeln!(out, "{verdict}")?)
}

fn rebuild(source: &Source, json: bool, out: &mut dyn Write) -> Result<(), Refusal> {
    let (config, _) = source.load()?;
    let dir = config.data.join(SPOOL);
    there(&dir)?;
    let _lock = Lock::acquire(&config.data).map_err(|error| Refusal::Because(error.to_string()))?;
    let bar = bar("rebuilding");
    let disk = Arc::new(RealDisk);
    let made = Files::rebuild(&dir, &config.spool, disk, &mut |done, all| show(&bar, done, all));
    bar.finish_and_clear();
    let found = made.map_err(|error| refusal_of(&error))?;
    if json { as_json(&found, out) } else { fitted(out, |page| tell(&dir, &found, page)) }
}

fn as_json(found: &Recovered, out: &mut dyn Write) -> Result<(), Refusal> {
    let damage = found.quarantined.iter().map(|found| {
        json!({
            "copy": found.copy.display().to_string(),
            "segment": found.segment,
            "offset": found.offset,
            "length": found.length,
            "id": found.id.map(|id| id.to_string()),
            "acknowledged": found.acknowledged,
        })
    });
    let answer = json!({
        "entries": found.entries,
        "damage": damage.collect::<Vec<_>>(),
        "lost": found.lost,
        "missing": found.missing.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "cut": found.cut,
        "replayed": found.replayed,
        "seconds": found.took.as_secs_f64(),
    });
    Ok(exchange::json(&answer, out)?)
}

fn tell(dir: &Path, found: &Recovered, out: &mut dyn Write) -> Result<(), Refusal> {
    for damage in &found.quarantined {
        let what = if damage.acknowledged { "damaged" } else { "remains of a crash" };
        let id = damage.id.map(|id| format!(", message {id}")).unwrap_or_default();
        writeln!(out, "{what}{id}: kept as {}", damage.copy.display())?;
    }
    for file in &found.lost {
        writeln!(out, "missing: the segment {file}, and the mail in it")?;
    }
    for id in &found.missing {
        writeln!(out, "missing: the content of message {id}")?;
    }
    for (channel, counts) in &found.entries {
        let Counts { untried, tried, held, owing, .. } = counts;
        write!(out, "{channel}: {untried} untried, {tried} tried, {held} held")?;
        if *owing > 0 {
            write!(out, ", {owing} delivered with a notice to write")?;
        }
        writeln!(out)?;
    }
    let entries: u64 = found.entries.values().map(Counts::total).sum();
    let (records, took) = (found.replayed, found.took.as_secs_f64());
    let dir = dir.display();
    Ok(writeln!(
        out,
        "{dir}: index of {entries} entries made from {records} records in {took:.1} s"
    )?)
}

fn there(dir: &Path) -> Result<(), Refusal> {
    if dir.is_dir() {
        return Ok(());
    }
    let why = "no engine has run there yet, or --data is another";
    Err(Refusal::Because(format!("there is no spool in {}: {why}", dir.display())))
}

/// A bar where somebody can see it.
fn bar(what: &'static str) -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(BAR);
    ProgressBar::new(0)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what)
}

fn show(bar: &ProgressBar, done: u64, all: u64) {
    bar.set_length(all);
    bar.set_position(done);
}

fn refusal_of(error: &StorageError) -> Refusal {
    Refusal::Because(error.to_string())
}

/// Below the data directory.
const SPOOL: &str = "spool";
const BAR: &str = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {eta}";
