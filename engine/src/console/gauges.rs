//! Gauges that are taken anew at each scrape, from the same answers that `relais status` is made
//! of.

use std::{collections::HashMap, time::Duration};

use relais_actors::{
    front::{
        dispatcher::DescribeDispatcher, service::ServiceDescription, worker_life::WorkerDescription,
    },
    ids::{ChannelId, Destination},
    job_controller::{ControllerDescription, DescribeController},
    metrics::{StandingTotals, WorkerState, level},
    queue::{Denial, DescribeQueue},
    standing::StandingKind,
};
use relais_config::Config;
use relais_storage::Counts;
use tokio::time::timeout;

use super::{
    parts::Parts,
    summary::{is_unserved, lost},
};

/// Orders that stand.
fn standing(parts: &Parts) {
    let index = parts.standing.index();
    for kind in StandingKind::ALL {
        let of_kind = index.all().iter().filter(|its| its.order.kind == kind);
        let (messages, recipients) = parts.standing.totals(kind);
        let totals = StandingTotals { orders: of_kind.count() as u64, messages, recipients };
        parts.metrics.standing.show(kind.name(), totals);
    }
}

/// Sets them. An actor that does not answer in time leaves its gauges as they were.
pub(super) async fn update(parts: &Parts, config: &Config) {
    let metrics = &parts.metrics;
    // Of the causes why the engine is not ready.
    let _ = parts.alarms();
    metrics.directory.counted(parts.directory());
    let counts = parts.storage.counts();
    metrics.queue.stored.set(level(counts.values().map(Counts::total).sum::<u64>()));
    for (channel, counts) in &counts {
        metrics.channel(channel).stored(counts.into());
    }
    let lost: Vec<_> = lost(parts, &counts).filter_map(|name| counts.get_key_value(name)).collect();
    metrics.queue.lost.set(level(lost.iter().map(|(_, counts)| counts.total()).sum::<u64>()));
    let unserved = lost.iter().filter(|(name, _)| is_unserved(parts, name));
    let waiting = unserved.map(|(_, counts)| counts.untried + counts.tried);
    metrics.queue.unserved.set(level(waiting.sum::<u64>()));
    metrics.spool.bytes.set(level(parts.storage.bytes()));
    let (free, min_free) = parts.storage.free_room();
    if let Some(free) = free {
        metrics.spool.free.set(level(free));
    }
    metrics.spool.min_free.set(level(min_free));
    standing(parts);
    metrics.spool.refusing.set(i64::from(parts.storage.refuses().is_some()));
    let (services, queue, controller) = tokio::join!(
        timeout(PATIENCE, parts.dispatcher.ask(DescribeDispatcher)),
        timeout(PATIENCE, parts.queue.ask(DescribeQueue)),
        timeout(PATIENCE, parts.controller.ask(DescribeController)),
    );
    if let Ok(Ok(services)) = services {
        workers(parts, config, &services);
    }
    if let Ok(Ok(queue)) = queue {
        metrics.queue.pause(queue.paused);
    }
    if let Ok(Ok(controller)) = controller {
        work(parts, &controller);
    }
}

fn workers(parts: &Parts, config: &Config, described: &[ServiceDescription]) {
    for service in &config.dispatcher.services {
        let Some(meter) = parts.metrics.service(&service.name) else { continue };
        let described = described.iter().find(|described| described.name == service.name);
        let workers = described.map_or(&[][..], |described| &described.workers);
        for state in WorkerState::ALL {
            let in_state = |worker: &&WorkerDescription| worker.state == state;
            meter.workers(state).set(level(workers.iter().filter(in_state).count()));
        }
    }
}

fn work(parts: &Parts, described: &ControllerDescription) {
    let mut suspended: HashMap<ChannelId, usize> = HashMap::new();
    for host in &described.suspended {
        *suspended.entry(host.destination.channel).or_default() += 1;
    }
    for jobs in &described.channels {
        let name = &parts.channels.channel(jobs.channel).name;
        let meter = parts.metrics.channel(name);
        meter.work.jobs.set(level(jobs.jobs));
        meter.work.job_limit.set(level(jobs.maxjobs));
        meter.work.connections.set(level(jobs.connections));
        meter.work.connection_limit.set(level(jobs.connection_limit));
        let hosts = suspended.get(&jobs.channel).copied().unwrap_or_default();
        meter.work.hosts_suspended.set(level(hosts));
        let of_channel = |to: &Destination| to.channel == jobs.channel;
        let by_order = described
            .suspended_hosts
            .iter()
            .filter(|its| its.host.channel.as_ref().is_none_or(|channel| channel == name));
        let by_reply = described
            .by_replies
            .iter()
            .filter(|(to, limit)| of_channel(to) && matches!(limit, Denial::Stopped(_)));
        meter.work.hosts_stopped.set(level(by_order.count() + by_reply.count()));
        let limited = described.limited.iter().filter(|(to, _)| of_channel(to));
        meter.work.hosts_limited.set(level(limited.count()));
    }
    for (pool, limit, running) in &described.pools {
        if let Some(meter) = parts.metrics.pool(pool) {
            meter.jobs.set(level(*running));
            meter.job_limit.set(level(*limit));
        }
    }
}

/// For the answer of an actor that is busy.
const PATIENCE: Duration = Duration::from_secs(2);
