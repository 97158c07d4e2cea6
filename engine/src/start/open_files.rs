//! Open files: how the configuration divides them.

use relais_actors::front::descriptors::Descriptors;
use relais_config::Config;

/// Raises the limit of open files, and says how many connections each service may have; tells when
/// that is less than the configuration allows.
pub(super) fn shares(config: &Config) -> Vec<usize> {
    let descriptors = descriptors(config);
    let services = config.dispatcher.enabled();
    let wanted: Vec<_> = services.map(|service| service.limits.connections()).collect();
    let shares = descriptors.shares(&wanted);
    let wanted = wanted.into_iter().fold(0, usize::saturating_add);
    let connections = shares.iter().sum::<usize>();
    if connections < wanted {
        tracing::warn!(
            limit = descriptors.limit,
            connections,
            wanted,
            "the limit of open files allows fewer connections than the services do: those beyond \
             will wait; raise it (LimitNOFILE=, ulimit -n)"
        );
    }
    shares
}

/// The open files of the process, its limit raised as far as it goes.
pub(super) fn descriptors(config: &Config) -> Descriptors {
    Descriptors::raise(reserved(config))
}

/// Open files that are no connections from outside: the disk's, the operators', and for each thread
/// of a job a connection and a message.
fn reserved(config: &Config) -> usize {
    let threads = config.channels.iter().map(|channel| channel.max_client_threads.get()).max();
    let pools = config.job_controller.iter().flat_map(|controller| &controller.pools);
    let jobs = pools.map(|pool| pool.job_limit.get()).sum::<usize>();
    ENGINE_FILES.saturating_add(jobs.saturating_mul(threads.unwrap_or(0)).saturating_mul(2))
}

/// Spool, index, store, log, threads and the admin endpoint, generously.
const ENGINE_FILES: usize = 256;
