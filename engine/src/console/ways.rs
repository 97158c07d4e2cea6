//! The limits within which mail goes a way, and whether it would go there now.

use std::time::Duration;

use relais_actors::{
    channel_table::Channels, ids::Destination, job_controller::ExplainDestination,
    queue::backoff::series,
};
use relais_channels::mail::Priority;
use relais_config::Config;

use super::{
    entries::after,
    parts::{Parts, gone},
};
use crate::{
    admin::Answer,
    api::{RouteLimits, RouteResult},
};

/// The limits as the configuration has them; `None`: there is no such channel.
pub(super) fn configured(
    config: &Config,
    channels: &Channels,
    channel: &str,
) -> Option<RouteLimits> {
    let channel = channels.channel(channels.find(channel)?);
    let pools = config.job_controller.iter().flat_map(|controller| &controller.pools);
    let pool = pools.into_iter().find(|pool| pool.name == channel.pool);
    Some(RouteLimits {
        pool: channel.pool.clone(),
        job_limit: pool.map_or(0, |pool| pool.job_limit.get()),
        maxjobs: channel.maxjobs.get(),
        threaddepth: channel.threaddepth.get(),
        max_client_threads: channel.max_client_threads.get(),
        backoff: series(channel, Priority::Normal).iter().map(Duration::as_secs).collect(),
        ..RouteLimits::default()
    })
}

/// The same as they are in the running engine, and how the destinations stand.
pub(super) async fn look(parts: &Parts, results: &mut [RouteResult]) -> Answer<()> {
    for result in results {
        let Some(limits) = &mut result.limits else { continue };
        let Some(channel) = parts.channels.find(&result.channel) else { continue };
        let destination = Destination { channel, host: result.host.as_str().into() };
        let explained = parts.controller.ask(ExplainDestination(destination)).await;
        let explained = explained.map_err(gone)?;
        limits.job_limit = explained.job_limit;
        limits.maxjobs = explained.maxjobs;
        limits.threaddepth = explained.threaddepth;
        limits.max_client_threads = explained.max_client_threads;
        limits.host_limit = explained.host_limit;
        limits.jobs = Some(explained.channel_jobs);
        limits.pool_jobs = Some(explained.pool_jobs);
        limits.connections = Some(explained.standing.connections);
        limits.waiting = Some(explained.standing.ready);
        limits.stopped = Some(explained.frozen || explained.halted);
        if let Some(suspension) = &explained.standing.suspension {
            limits.suspended_until = Some(after(suspension.until));
            limits.last_reply = Some(suspension.reply.to_string());
        }
    }
    Ok(())
}
