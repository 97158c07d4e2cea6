//! A dead host comes back: how soon its mail flows, how fast, and whether it stops on the way.

use std::{
    thread,
    time::{Duration, Instant},
};

use relais_benches::Sink;

use crate::{
    engine::{Engine, Site},
    report::{Budget, Report},
};

/// How mail arrived during a while.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    messages: usize,
    time: Duration,
    cpu: Duration,
    /// The longest time without an arrival.
    gap: Duration,
    /// When that began, after the first arrival.
    gap_at: Duration,
}

impl Rate {
    /// Messages a second.
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.time.as_secs_f64().max(1e-3)
    }

    /// CPU microseconds for each.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages.max(1) as f64
    }
}

/// Revives the first dead host, for which so many messages are ready, and compares with the full
/// speed.
pub(crate) fn measure(
    site: &Site,
    engine: &Engine,
    (ready, full): (usize, Rate),
    report: &mut Report,
) {
    let dead = &site.dead[0];
    let counts = || site.instance.metric("relais_queue_scans_total");
    let (scans, suspended) = (counts(), suspended_for(site, &dead.channel));
    let start = Instant::now();
    let host = Sink::on(dead.port);
    assert!(relais_tests::within(PATIENCE, || host.arrived() > 0), "the revived host gets nothing");
    report.note(
        "a host revived to its first message",
        &format!(
            "{:.2} s, with {:.2} s of its suspension left",
            start.elapsed().as_secs_f64(),
            suspended.as_secs_f64()
        ),
    );
    let rate = follow(&host, engine, ready - ready / 50, WATCHED);
    let seconds = rate.time.as_secs_f64();
    report.note(
        "delivery to it",
        &format!(
            "{} in {seconds:.1} s: {:.0}/s, {:.0} us CPU each, {:.0} scans",
            rate.messages,
            rate.rate(),
            rate.cost(),
            counts() - scans
        ),
    );
    let of_full = rate.rate() / full.rate() * 100.0;
    report.enter("of the full speed", of_full, Budget::Above(90.0, "%"));
    report.enter(
        "CPU each, of that alone",
        rate.cost() / full.cost() * 100.0,
        Budget::Below(110.0, "%"),
    );
    let gap = rate.gap.as_secs_f64();
    report.enter("the longest gap", gap, Budget::Below(1.0, "s"));
    report.note("that gap began", &format!("{:.1} s after the first", rate.gap_at.as_secs_f64()));
}

/// Watches a host from its first message until it has `messages`, or the time is over.
pub(crate) fn follow(host: &Sink, engine: &Engine, messages: usize, limit: Duration) -> Rate {
    assert!(relais_tests::within(PATIENCE, || host.arrived() > 0), "nothing arrives");
    let (cpu, first, start) = (engine.cpu(), host.arrived(), Instant::now());
    let (mut seen, mut at) = (first, start);
    let (mut gap, mut gap_at) = (Duration::ZERO, Duration::ZERO);
    while seen < messages && start.elapsed() < limit {
        thread::sleep(Duration::from_millis(1));
        let arrived = host.arrived();
        if arrived > seen {
            if at.elapsed() > gap {
                (gap, gap_at) = (at.elapsed(), at - start);
            }
            (seen, at) = (arrived, Instant::now());
        }
    }
    let cpu = engine.cpu().saturating_sub(cpu);
    Rate { messages: seen - first, time: at - start, cpu, gap, gap_at }
}

/// How long a channel's host is left alone from now on.
fn suspended_for(site: &Site, channel: &str) -> Duration {
    let status = site.instance.json("status", &[]);
    let troubles = status[0]["troubles"].as_array().cloned().unwrap_or_default();
    let its = troubles.iter().find(|trouble| trouble["channel"] == channel);
    let until = its.and_then(|its| its["until"].as_str()).map(str::to_owned);
    let Some(until) = until else { return Duration::ZERO };
    // Both are times of the day, in the same zone and, but at midnight, of the same day.
    let clock = |text: &str| -> Option<f64> {
        let mut parts = text.split('T').nth(1)?.trim_end_matches('Z').split(':');
        let mut next = || parts.next()?.parse::<f64>().ok();
        Some(next()? * 3_600.0 + next()? * 60.0 + next()?)
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs_f64() % 86_400.0;
    Duration::from_secs_f64(clock(&until).map_or(0.0, |until| (until - now).max(0.0)))
}

/// How long a revived host is watched.
const WATCHED: Duration = Duration::from_secs(60);
/// The longest suspension, and a little more.
const PATIENCE: Duration = Duration::from_secs(330);
