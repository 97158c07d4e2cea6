//! SIGUSR1: the state of the engine as lines of the log, for when nothing else can be asked.

use std::time::Duration;

use relais_actors::events::Printable;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{admin::Console, api::Status};

/// Writes them. Whatever is not right has a line of its own, and all is bounded.
pub(super) async fn tell(console: &impl Console) {
    let not_ready = console.ready().err();
    let status = match timeout(PATIENCE, console.status()).await {
        Ok(Ok(status)) => status,
        Ok(Err(trouble)) => return warn!(%trouble, "state: the engine does not tell"),
        Err(_) => return warn!(?PATIENCE, "state: the engine does not answer"),
    };
    whole(&status);
    for why in not_ready.iter().flat_map(|why| why.lines()) {
        warn!(why, "state: not ready");
    }
    if let Some(paused) = status.queue.paused {
        warn!(why = paused.words(), "state: no message is handed to a job");
    }
    for service in &status.services {
        info!(
            service = service.name,
            connections = service.connections,
            workers = service.workers.len(),
            accepted = service.accepted,
            refused = service.refused,
            "state: service"
        );
    }
    for pool in &status.pools {
        info!(pool = pool.name, jobs = pool.running, job_limit = pool.job_limit, "state: pool");
    }
    for channel in &status.channels {
        let entries = channel.ready + channel.active + channel.delayed + channel.held;
        if entries == 0 && channel.jobs == 0 && !channel.stopped {
            continue;
        }
        info!(
            channel = channel.name,
            ready = channel.ready,
            active = channel.active,
            delayed = channel.delayed,
            held = channel.held,
            oldest = channel.oldest.map(|oldest| oldest.to_string()),
            jobs = channel.jobs,
            maxjobs = channel.maxjobs,
            threads = channel.threads,
            stopped = channel.stopped,
            "state: channel"
        );
    }
    for trouble in status.troubles.iter().take(MOST_HOSTS) {
        warn!(
            channel = trouble.channel,
            host = %Printable(&trouble.host),
            until = %trouble.until,
            reply = %Printable(&trouble.reply),
            "state: host in trouble"
        );
    }
}

fn whole(status: &Status) {
    info!(
        version = status.version,
        phase = status.phase.name(),
        uptime_seconds = status.uptime_seconds,
        stored = status.queue.stored,
        tracked = status.queue.tracked,
        max_messages = status.queue.max_messages,
        spool_bytes = status.queue.spool_bytes,
        hosts_in_trouble = status.troubles.len(),
        log_lines_lost = status.log_lines_lost,
        "state: engine"
    );
}

/// For the engine's answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Hosts in trouble that get a line each; `relais status` has them all.
const MOST_HOSTS: usize = 50;
