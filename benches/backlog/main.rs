//! relais with a very long queue: what a million messages for dead hosts cost everybody else.
//!
//! The queue is built in the spool itself, most of an hour old: messages for four channels whose
//! hosts are dead, a quarter of them tried before. Then the engine starts on it, and the clock with it.
//! Mail for a fifth channel, whose host lives, is what must not notice; the same engine with an
//! empty queue is measured in the same run, and stands still meanwhile.
//!
//!     cargo run --release -p relais-benches --bin backlog
//!     cargo run --release -p relais-benches --bin backlog -- --messages 50000
//!
//! Wants Postfix for its `smtp-source` and `smtp-sink`; as root it installs what is missing.

mod built;
mod engine;
mod report;
mod revival;
mod tools;

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use relais_benches::{Load, Measured, Sink, Source, packages};

use crate::{
    engine::{Engine, Site},
    report::{Budget, Report},
    revival::Rate,
};

/// Measures relais with a long queue.
#[derive(Debug, Parser)]
struct Options {
    /// Messages in the queue, for four dead hosts together.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Messages of the load beside it, in each round.
    #[arg(long, default_value_t = 20_000)]
    load: usize,
    /// Rounds of the load, alternating with an engine whose queue is empty.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds that the engine runs before its memory is looked at.
    #[arg(long, default_value_t = 60)]
    settle: u64,
    /// Seconds that one command of an operator may take before it is broken off.
    #[arg(long, default_value_t = 120)]
    patience: u64,
    /// Only builds the queue and its configuration, in this folder, and leaves them there.
    #[arg(long)]
    build: Option<std::path::PathBuf>,
}

fn main() {
    let options = Options::parse();
    packages::install(false);
    let sink = Sink::start();
    if let Some(folder) = &options.build {
        let site = Site::at(folder, sink.port);
        built::build(&site, &site.dead, options.messages, true);
        return site.keep();
    }
    let mut report = Report::new(&format!("{} messages in the queue", options.messages));
    let full_speed = full_speed(&options, &sink, &mut report);

    let site = Site::new(sink.port);
    let built = built::build(&site, &site.dead, options.messages, true);
    let built_in = format!("{:.0} s, {} MiB", secs(built.time), built.octets >> 20);
    report.note("building the queue", &built_in);

    let engine = started(&site, &sink, &mut report);
    settled(&options, &engine, &mut report);
    beside(&options, &engine, &sink, &mut report);
    tools::measure(&site, &engine, Duration::from_secs(options.patience), &mut report);
    stopped(engine, &mut report);

    one_alive(&site, &mut report);
    let engine = Engine::start(&site);
    thread::sleep(RESTED);
    revival::measure(&site, &engine, (built.ready, full_speed), &mut report);
    stopped(engine, &mut report);
    report.print();
}

/// How fast mail of the same kind goes when nothing else waits.
fn full_speed(options: &Options, sink: &Sink, report: &mut Report) -> Rate {
    let site = Site::new(sink.port);
    let messages = options.messages.min(ALONE);
    built::build(&site, &site.dead[..1], messages, false);
    let host = Sink::on(site.dead[0].port);
    let engine = Engine::start(&site);
    let rate = revival::follow(&host, &engine, messages, PATIENCE);
    report.note(
        &format!("draining {messages} messages that are alone"),
        &format!("{:.0}/s, {:.0} us CPU each", rate.rate(), rate.cost()),
    );
    rate
}

/// From the start of the process to its readiness, and to the delivery of a fresh message.
fn started(site: &Site, sink: &Sink, report: &mut Report) -> Engine {
    let before = sink.arrived();
    let engine = Engine::start(site);
    report.enter("start to /readyz", secs(engine.started_in), Budget::Below(2.0, "s"));
    engine.submit();
    assert!(relais_tests::within(PATIENCE, || sink.arrived() > before), "nothing is delivered");
    let first = secs(engine.since.elapsed());
    report.enter("start to the delivery of fresh mail", first, Budget::Below(2.0, "s"));
    engine
}

/// Memory, and what the queue costs by merely being there.
fn settled(options: &Options, engine: &Engine, report: &mut Report) {
    // The scan at the start is over by then; one that goes every two minutes may fall into it.
    thread::sleep(Duration::from_secs(options.settle / 2).saturating_sub(engine.since.elapsed()));
    let (before, start) = (engine.cpu(), Instant::now());
    thread::sleep(Duration::from_secs(options.settle).saturating_sub(engine.since.elapsed()));
    let share = engine.cpu().saturating_sub(before).as_secs_f64() / secs(start.elapsed()).max(1e-3);
    let memory = engine.running.memory();
    let what = format!("resident after {} s", options.settle);
    report.enter(&what, mebibytes(memory.resident), Budget::Below(200.0, "MiB"));
    report.enter("the most so far", mebibytes(memory.peak), Budget::Below(200.0, "MiB"));
    report.note("CPU with nothing to do", &format!("{:.1} % of a core", share * 100.0));
}

/// New mail, beside the queue and without it.
fn beside(options: &Options, engine: &Engine, sink: &Sink, report: &mut Report) {
    let idle = Site::new(sink.port);
    let idle = Engine::start(&idle);
    let source = Source {
        lmtp: false,
        keep: true,
        size: 4_096,
        sessions: 20,
        recipients: 1,
        numbered: false,
    };
    let load = Load { source, messages: options.load };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        for (measured, other, rounds) in [(engine, &idle, &mut with), (&idle, engine, &mut without)]
        {
            other.pause();
            rounds.push(load.into_queue(measured, sink));
            other.resume();
        }
    }
    let [rate, bare_rate] = [&with, &without].map(|rounds| median(rounds, Measured::rate));
    let [cost, bare_cost] = [&with, &without].map(|rounds| median(rounds, Measured::cost));
    report.note(
        "new mail accepted, empty queue",
        &format!("{bare_rate:.0}/s, {bare_cost:.0} us CPU"),
    );
    report.note("new mail accepted, this queue", &format!("{rate:.0}/s, {cost:.0} us CPU"));
    report.enter(
        "accept rate beside the queue",
        rate / bare_rate * 100.0,
        Budget::Above(90.0, "%"),
    );
    report.enter("CPU for each message", cost / bare_cost * 100.0, Budget::Below(110.0, "%"));
}

fn stopped(engine: Engine, report: &mut Report) {
    report.note("clean stop", &format!("{:.2} s", secs(engine.stop())));
}

/// Start with a host that is back.
fn one_alive(site: &Site, report: &mut Report) {
    let host = Sink::on(site.dead[1].port);
    let engine = Engine::start(site);
    report.note("restart to /readyz", &format!("{:.2} s", secs(engine.started_in)));
    assert!(relais_tests::within(PATIENCE, || host.arrived() > 0), "nothing is delivered");
    let first = secs(engine.since.elapsed());
    report.enter("start to the first delivery out of the queue", first, Budget::Below(2.0, "s"));
    stopped(engine, report);
}

fn median(rounds: &[Measured], value: fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn secs(time: Duration) -> f64 {
    time.as_secs_f64()
}

fn mebibytes(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}

/// The mail that is drained alone to tell the full speed.
const ALONE: usize = 100_000;
/// With all hosts dead, before one of them is revived.
const RESTED: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(600);
