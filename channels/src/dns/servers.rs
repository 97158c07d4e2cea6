//! The name servers, configured or of the system.
//!
//! Those of the system are read again when `/etc/resolv.conf` changes: machines move between
//! networks, and this process stays.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ServerOrderingStrategy,
    },
    net::runtime::TokioRuntimeProvider,
    system_conf::read_system_conf,
};

use super::Unanswered;

/// The resolver that is kept, with its memory.
pub(super) struct NameServers {
    /// None: the system's.
    configured: bool,
    kept: Mutex<KeptResolver>,
}

struct KeptResolver {
    resolver: TokioResolver,
    /// Of the system's file, when it was read.
    changed: Option<SystemTime>,
    looked: Instant,
}

impl NameServers {
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, Unanswered> {
        let configured = !servers.is_empty();
        let changed = if configured { None } else { system_changed() };
        let servers = if configured { servers.iter().map(server).collect() } else { of_system() };
        let kept = KeptResolver { resolver: resolver(servers)?, changed, looked: Instant::now() };
        Ok(Self { configured, kept: Mutex::new(kept) })
    }

    pub(super) fn resolver(&self) -> TokioResolver {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.configured && kept.looked.elapsed() >= LOOKED_AFTER {
            kept.looked = Instant::now();
            let changed = system_changed();
            if changed != kept.changed
                && let Ok(other) = resolver(of_system())
            {
                tracing::info!("{SYSTEM} has changed: its name servers are asked from now on");
                *kept = KeptResolver { resolver: other, changed, looked: Instant::now() };
            }
        }
        kept.resolver.clone()
    }
}

impl fmt::Debug for NameServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NameServers").field("configured", &self.configured).finish_non_exhaustive()
    }
}

fn resolver(servers: Vec<NameServerConfig>) -> Result<TokioResolver, Unanswered> {
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.cache_size = REMEMBERED;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::QueryStatistics;
    options.positive_max_ttl = Some(LONGEST);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE);
    builder.build().map_err(|error| Unanswered(error.to_string()))
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    let at_port = |connection: &mut ConnectionConfig| connection.port = address.port();
    config.connections.iter_mut().for_each(at_port);
    config
}

/// Without a file, or one that names none, the one of this machine, as everywhere (resolv.conf(5)).
fn of_system() -> Vec<NameServerConfig> {
    let read = read_system_conf().map(|(config, _)| config.name_servers().to_vec());
    let named = read.unwrap_or_default();
    if named.is_empty() {
        return vec![NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    }
    named
}

fn system_changed() -> Option<SystemTime> {
    fs::metadata(SYSTEM).and_then(|its| its.modified()).ok()
}

const SYSTEM: &str = "/etc/resolv.conf";
const LOOKED_AFTER: Duration = Duration::from_secs(5);
/// Of one server; each is asked twice at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// Answers that are remembered, and how long at most.
const REMEMBERED: u64 = 20_000;
const LONGEST: Duration = Duration::from_secs(3_600);
/// Of answers without records: a domain that has just been made is not refused for long.
const LONGEST_NEGATIVE: Duration = Duration::from_secs(15 * 60);
