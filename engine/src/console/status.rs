//! The parts of `relais status`, each made of what an actor says of itself.

use relais_actors::{
    front::{control::ServiceState, service::ServiceDescription},
    ids::ChannelId,
    job_controller::{ControllerDescription, Relieved, Suspended},
    queue::QueueDescription,
    store::{DescribeStore, PartitionStatus},
    timestamp::{Timestamp, now_ms},
};
use relais_config::{Config, Service};
use relais_storage::Counts;

use super::{
    entries::after,
    parts::{Parts, gone},
    summary::{is_unserved, lost, oldest},
};
use crate::{
    admin::Answer,
    api::{
        ChannelStatus, DestinationTrouble, Partition, PoolStatus, QueueStatus, ServiceStatus,
        StressedStore, WorkerStatus,
    },
};

/// Every channel: those of the configuration in file order, then those that it has lost.
pub(super) async fn channels(
    parts: &Parts,
    queue: &QueueDescription,
    controller: &ControllerDescription,
) -> Vec<ChannelStatus> {
    let counts = parts.storage.counts();
    let mut channels = Vec::new();
    for (id, channel) in parts.channels.iter() {
        let counts = counts.get(&channel.name).copied().unwrap_or_default();
        let program = format!("{:?}", channel.program).to_lowercase();
        let served = served((parts, queue, controller), id, &counts).await;
        channels.push(ChannelStatus { program, ..served });
    }
    for name in lost(parts, &counts) {
        let Some(counts) = counts.get(name).filter(|counts| counts.total() > 0) else {
            continue;
        };
        let program = "lost".to_owned();
        channels.push(match parts.channels.find(name) {
            Some(id) if !is_unserved(parts, name) => {
                let served = served((parts, queue, controller), id, counts).await;
                ChannelStatus { program, ..served }
            }
            _ => ChannelStatus {
                name: name.to_owned(),
                program,
                unserved: true,
                ready: counts.untried,
                delayed: counts.tried,
                held: counts.held,
                oldest: oldest(&parts.storage, name, counts.total()).await,
                ..ChannelStatus::default()
            },
        });
    }
    channels
}

/// A channel that jobs deliver from, but for its program.
async fn served(
    (parts, queue, controller): (&Parts, &QueueDescription, &ControllerDescription),
    id: ChannelId,
    counts: &Counts,
) -> ChannelStatus {
    let channel = parts.channels.channel(id);
    let tally = queue.channels.get(&id).copied().unwrap_or_default();
    let jobs = controller.channels.iter().find(|jobs| jobs.channel == id);
    let waiting = tally.waiting(counts);
    ChannelStatus {
        name: channel.name.clone(),
        pool: channel.pool.clone(),
        maxjobs: jobs.map_or(channel.maxjobs.get(), |jobs| jobs.maxjobs),
        jobs: jobs.map_or(0, |jobs| jobs.jobs),
        threads: jobs.map_or(0, |jobs| jobs.connections),
        stopped: jobs.is_some_and(|jobs| jobs.frozen),
        ready: waiting.ready,
        active: waiting.active,
        delayed: waiting.delayed,
        held: counts.held,
        oldest: oldest(&parts.storage, &channel.name, counts.total()).await,
        ..ChannelStatus::default()
    }
}

/// The services of the configuration, those that are off included.
pub(super) fn services(descriptions: &[ServiceDescription], config: &Config) -> Vec<ServiceStatus> {
    let off = |name: &str| ServiceDescription {
        name: name.to_owned(),
        state: ServiceState::Off,
        ..ServiceDescription::default()
    };
    let status = |service: &Service| {
        let described = descriptions.iter().find(|described| described.name == service.name);
        service_status(service, described.cloned().unwrap_or_else(|| off(&service.name)))
    };
    config.dispatcher.services.iter().map(status).collect()
}

/// Whether anything leaves.
pub(super) fn job_controller(controller: &ControllerDescription) -> ServiceState {
    if controller.halted { ServiceState::Stopped } else { ServiceState::Running }
}

/// The pools, with what runs in each.
pub(super) fn pools(controller: &ControllerDescription) -> Vec<PoolStatus> {
    let pools = controller.pools.iter().cloned();
    pools.map(|(name, job_limit, running)| PoolStatus { name, job_limit, running }).collect()
}

/// The queue, in memory and on the disk.
pub(super) fn queue(parts: &Parts, queue: &QueueDescription) -> QueueStatus {
    QueueStatus {
        tracked: queue.tracked as u64,
        stored: parts.storage.stored(),
        max_messages: queue.max_messages as u64,
        spool_bytes: parts.storage.bytes(),
        paused: queue.paused,
        refusing: parts.storage.refuses(),
    }
}

/// Destinations that rest, or are being probed.
pub(super) fn troubles(
    parts: &Parts,
    controller: &ControllerDescription,
) -> Vec<DestinationTrouble> {
    let trouble = |suspended: &Suspended| DestinationTrouble {
        channel: parts.channels.channel(suspended.destination.channel).name.clone(),
        host: suspended.destination.host.to_string(),
        until: after(suspended.suspension.until),
        reply: suspended.suspension.reply.to_string(),
    };
    controller.suspended.iter().map(trouble).collect()
}

/// Stores of ours that say they are slow.
pub(super) fn stressed(parts: &Parts, controller: &ControllerDescription) -> Vec<StressedStore> {
    let stressed = |relieved: &Relieved| StressedStore {
        channel: parts.channels.channel(relieved.destination.channel).name.clone(),
        host: relieved.destination.host.to_string(),
        connections: relieved.relief.limit,
        until: after(relieved.relief.until),
    };
    controller.relieved.iter().map(stressed).collect()
}

/// The partitions of our own store.
pub(super) async fn partitions(parts: &Parts) -> Answer<Vec<Partition>> {
    let Some(store) = &parts.store else { return Ok(Vec::new()) };
    let described = store.ask(DescribeStore).await.map_err(gone)?;
    let partition = |its: PartitionStatus| Partition {
        name: its.name,
        path: its.path.display().to_string(),
        away: its.away,
        free: its.free,
        stressed: its.stressed,
    };
    Ok(described.into_iter().map(partition).collect())
}

fn service_status(service: &Service, description: ServiceDescription) -> ServiceStatus {
    let workers = description.workers.into_iter().map(|worker| WorkerStatus {
        id: u64::from(worker.id.0),
        state: worker.state,
        arbiter: worker.arbiter,
        connections: worker.connections,
        peak: worker.peak,
        served: worker.served,
        started: Timestamp(now_ms().saturating_sub(worker.age.as_millis() as u64)),
    });
    let workers: Vec<_> = workers.collect();
    ServiceStatus {
        name: description.name,
        program: format!("{:?}", service.program).to_lowercase(),
        channel: service.channel.clone(),
        state: description.state,
        listen: description.places,
        connections: workers.iter().map(|worker| worker.connections as u64).sum(),
        accepted: description.accepted,
        refused: description.refused,
        workers,
    }
}
