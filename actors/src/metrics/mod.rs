//! Every number the engine shows, registered once and counted by plain handles.
//!
//! [`Metrics::new`] makes all families and resolves every label from the configuration, so that
//! counting costs an atomic add and a scrape shows zeros before the first message. No label ever
//! holds an address, a domain, a peer's host or a queue id. Events move most of these numbers; see
//! [`crate::events`].
//!
//! Names, types and labels are a contract with dashboards; a test below holds them fast.

mod autoreplies;
mod by_name;
mod certificates;
mod channel;
mod conversions;
mod counters;
mod defragment;
mod delivery;
mod directory_servers;
mod events;
mod exposition;
mod families;
mod history;
mod level;
mod milters;
mod notices;
mod process;
mod service;
mod sieve;
mod standing;
mod tally;
mod tls;

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode_registry},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use relais_config::Config;

pub use autoreplies::{AutoreplyMeter, AutoreplyResult};
pub use certificates::CertificateMeter;
pub use channel::{ChannelMeter, ChunkResult, Class, QueueState, RuleAction, WorkMeter};
pub use conversions::{ConversionMeter, ConversionResult};
pub use counters::{ChannelCounters, Event, Volume};
pub use defragment::DefragmentMeter;
pub use delivery::{
    DirectoryMeter, DirectoryStatus, LookUp, Pause, PoolMeter, QueueMeter, SpoolMeter, StoreMeter,
};
pub use directory_servers::{OperationResult, ServerMeter, ServerMeters, ServerStatus};
pub use events::EventsMeter;
pub use exposition::Format;
pub use families::{MetricFamily, MetricKind};
pub use history::HistoryMeter;
pub use level::level;
pub use milters::{MilterMeter, MilterMeters, MilterResult, MilterStatus};
pub use notices::{NoticeMeter, NoticeResult};
pub use service::{AuthResult, ConnectionResult, HandshakeResult, ServiceMeter, WorkerState};
pub use sieve::{SieveMeter, SieveResult};
pub use standing::{StandingMeter, StandingTotals};
pub use tls::{RenewalResult, ReportResult, TlsMeter};

use self::{by_name::ByName, process::ProcessMeter};
use crate::{actor::Meters, readiness::Readiness};

/// All metrics of one engine. Made once at start-up and shared in an [`Arc`].
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    process: ProcessMeter,
    /// Meters of all actors.
    pub actors: Meters,
    services: ByName<Arc<ServiceMeter>>,
    channels: ByName<Arc<ChannelMeter>>,
    unknown_channel: Arc<ChannelMeter>,
    pools: ByName<PoolMeter>,
    /// Why mail is not taken, or not delivered into the store.
    pub readiness: Readiness,
    /// Stores of ours that are slow, as the job controller has it.
    pub stressed_destinations: Gauge,
    /// The queue as a whole.
    pub queue: QueueMeter,
    /// The spool.
    pub spool: SpoolMeter,
    /// The store, where the configuration has one.
    pub store: Option<StoreMeter>,
    /// When certificates expire.
    pub certificates: CertificateMeter,
    /// Look-ups in the directory.
    pub directory: DirectoryMeter,
    /// Servers of an LDAP directory.
    pub directory_servers: ServerMeters,
    /// Filters.
    pub milters: MilterMeters,
    /// Notices to senders.
    pub notices: NoticeMeter,
    /// Parts of mail that are converted.
    pub conversion: ConversionMeter,
    /// Automatic replies of users who are away.
    pub autoreplies: AutoreplyMeter,
    /// Standing orders.
    pub standing: StandingMeter,
    /// Runs of Sieve scripts.
    pub sieve_runs: SieveMeter,
    /// Messages that come in pieces.
    pub defragment: DefragmentMeter,
    /// Policies of TLS that are renewed, and reports of it.
    pub tls: TlsMeter,
    /// The delivery history.
    pub history: HistoryMeter,
    /// Events for others.
    pub events: EventsMeter,
    /// Log lines thrown away because nobody took them.
    pub log_lines_lost: Counter,
}

/// The values that labels may take.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Kinds of actors, so that a scrape shows them before the first message.
    pub actors: Vec<&'static str>,
    /// Names of services.
    pub services: Vec<String>,
    /// Names of channels.
    pub channels: Vec<String>,
    /// Pools and their `job_limit`.
    pub pools: Vec<(String, usize)>,
    /// Queue entries held in memory at most.
    pub max_messages: usize,
    /// Whether there is a store.
    pub store: bool,
}

impl Metrics {
    /// Registers every metric for the given labels.
    pub fn new(labels: &Labels) -> Self {
        let mut registry = Registry::with_prefix("relais");
        build_info(&mut registry);
        let log_lines_lost = Counter::default();
        let help = "Log lines thrown away because nobody took them: look at what reads the log";
        registry.register("log_lines_lost", help, log_lines_lost.clone());
        let channel = channel::ChannelFamilies::register(&mut registry);
        let metrics = Self {
            actors: Meters::register(&mut registry, &labels.actors),
            services: service::meters(&mut registry),
            channels: ByName::new(move |name| channel.meter(name)),
            unknown_channel: channel::ChannelFamilies::unregistered(),
            pools: delivery::pools(&mut registry),
            readiness: Readiness::registered(&mut registry),
            queue: QueueMeter::register(&mut registry, labels.max_messages),
            spool: SpoolMeter::register(&mut registry),
            store: labels.store.then(|| StoreMeter::register(&mut registry)),
            certificates: CertificateMeter::register(&mut registry),
            directory: DirectoryMeter::register(&mut registry),
            directory_servers: ServerMeters::register(&mut registry),
            milters: MilterMeters::register(&mut registry),
            notices: NoticeMeter::register(&mut registry),
            conversion: ConversionMeter::register(&mut registry),
            autoreplies: AutoreplyMeter::register(&mut registry),
            standing: StandingMeter::register(&mut registry),
            sieve_runs: SieveMeter::register(&mut registry),
            defragment: DefragmentMeter::register(&mut registry),
            tls: TlsMeter::register(&mut registry),
            history: HistoryMeter::register(&mut registry),
            events: EventsMeter::register(&mut registry),
            log_lines_lost,
            stressed_destinations: {
                let stressed = Gauge::default();
                let help =
                    "Stores of ours that said they are slow, and get fewer connections for a while";
                registry.register("stressed_destinations", help, stressed.clone());
                stressed
            },
            process: ProcessMeter::register(&mut registry),
            registry,
        };
        metrics.add(labels);
        metrics
    }

    /// Makes meters for the services, channels and pools of another configuration that the one
    /// before it had not.
    pub fn add(&self, labels: &Labels) {
        self.services.add(&labels.services);
        self.channels.add(&labels.channels);
        self.pools.add(labels.pools.iter().map(|(name, _)| name));
        for (name, limit) in &labels.pools {
            if let Some(meter) = self.pools.get(name) {
                meter.job_limit.set(level(*limit));
            }
        }
    }

    /// The meter of a channel. Mail in the spool may name a channel that the configuration has
    /// lost since: all of these share one meter that no scrape shows.
    pub fn channel(&self, name: &str) -> Arc<ChannelMeter> {
        self.channels.get(name).unwrap_or_else(|| Arc::clone(&self.unknown_channel))
    }

    /// The meters of all channels of the configuration.
    pub fn channels(&self) -> impl Iterator<Item = Arc<ChannelMeter>> {
        self.channels.all().into_values()
    }

    /// The meter of a service of the configuration.
    pub fn service(&self, name: &str) -> Option<Arc<ServiceMeter>> {
        self.services.get(name)
    }

    /// The meter of a pool of the configuration.
    pub fn pool(&self, name: &str) -> Option<PoolMeter> {
        self.pools.get(name)
    }

    /// The counters that `relais counters` shows.
    pub fn counters(&self) -> ChannelCounters {
        ChannelCounters(
            self.channels.all().into_iter().map(|(name, its)| (name, its.tallies())).collect(),
        )
    }

    /// Goes on from the counters of an earlier engine; those of channels that are not there any
    /// more are left out.
    pub fn resume(&self, earlier: &ChannelCounters) {
        for (channel, events) in &earlier.0 {
            let Some(meter) = self.channels.get(channel) else { continue };
            // The spool tells what is stored.
            for (event, tally) in events.iter().filter(|(event, _)| **event != Event::Stored) {
                meter.resume(*event, *tally);
            }
        }
    }

    /// Every family that an engine may show, whatever its configuration names.
    pub fn families() -> Vec<MetricFamily> {
        families::families(&Self::with_a_sample_of_each().page(Format::Text))
    }

    /// Has each family show a sample, since the library leaves out those without.
    fn with_a_sample_of_each() -> Self {
        const NAME: &str = "any";
        let names = || vec![NAME.to_owned()];
        let metrics = Self::new(&Labels {
            actors: vec![NAME],
            services: names(),
            channels: names(),
            pools: vec![(NAME.to_owned(), 1)],
            max_messages: 1,
            store: true,
        });
        metrics.actors.of(NAME).count::<Self>();
        metrics.certificates.show_file(NAME, 0);
        metrics.defragment.announce(NAME);
        metrics.directory_servers.of(NAME);
        metrics.events.show(NAME);
        metrics.milters.of(NAME);
        metrics.standing.show(NAME, StandingTotals::default());
        metrics
    }

    /// The page that a scrape reads.
    pub fn page(&self, format: Format) -> String {
        self.process.update();
        self.history.update();
        self.events.update();
        let mut page = String::with_capacity(64 << 10);
        // Writing to a string cannot fail, and no metric of ours refuses to be encoded.
        let _ = encode_registry(&mut page, &self.registry);
        exposition::written(&page, format)
    }
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct BuildLabels {
    version: &'static str,
}

/// One series that is always 1, and whose label says what runs.
fn build_info(registry: &mut Registry) {
    let family = Family::<BuildLabels, Gauge>::default();
    registry.register("build_info", "The program that runs; always 1", family.clone());
    family.get_or_create_owned(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
}

impl Labels {
    /// The names in this configuration, and these kinds of actors.
    pub fn of(config: &Config, actors: &[&'static str]) -> Self {
        let controller = config.job_controller.as_ref();
        Self {
            actors: actors.to_vec(),
            services: config.dispatcher.services.iter().map(|s| s.name.clone()).collect(),
            channels: config.channels.iter().map(|c| c.name.clone()).collect(),
            pools: controller
                .map(|c| c.pools.iter().map(|p| (p.name.clone(), p.job_limit.get())).collect())
                .unwrap_or_default(),
            max_messages: controller.map_or(0, |c| c.max_messages),
            store: config.store.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Settle;

    fn metrics() -> Metrics {
        Metrics::new(&Labels {
            actors: vec!["dispatcher", "job_controller", "queue", "watch"],
            services: vec!["SMTP".to_owned()],
            channels: vec!["tcp_local".to_owned(), "tcp_lmtpcs".to_owned()],
            pools: vec![("SMTP_POOL".to_owned(), 10)],
            max_messages: 100_000,
            store: true,
        })
    }

    #[test]
    fn a_scrape_shows_every_metric_before_the_first_message() {
        let metrics = metrics();
        metrics.actors.of("queue").declare::<Settle>();
        let page = metrics.page(Format::OpenMetrics);
        for line in [
            r#"relais_actor_messages_total{actor="queue",message="Settle"} 0"#,
            r#"relais_actor_busy_seconds_total{actor="job_controller"} 0.0"#,
            r#"relais_actor_mailbox_depth{actor="dispatcher"} 0"#,
            r#"relais_actor_restarts_total{actor="watch",cause="panic"} 0"#,
            concat!(r#"relais_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
            r#"relais_not_ready{cause="room"} 0"#,
            r#"relais_dispatcher_workers{service="SMTP",state="active"} 0"#,
            r#"relais_dispatcher_connections{service="SMTP"} 0"#,
            r#"relais_dispatcher_connections_total{service="SMTP",result="accepted"} 0"#,
            r#"relais_tls_handshakes_total{service="SMTP",result="full"} 0"#,
            r#"relais_channel_messages_total{channel="tcp_local",event="submitted"} 0"#,
            r#"relais_channel_queue_messages{channel="tcp_lmtpcs",state="held"} 0"#,
            r#"relais_channel_oldest_seconds{channel="tcp_lmtpcs"} 0"#,
            r#"relais_pool_jobs{pool="SMTP_POOL"} 0"#,
            r#"relais_pool_job_limit{pool="SMTP_POOL"} 10"#,
            r#"relais_job_waiting{channel="tcp_lmtpcs"} 0"#,
            "relais_queue_tracked 0",
            "relais_queue_stored 0",
            "relais_queue_lost 0",
            "relais_queue_max_messages 100000",
            "relais_queue_scans_total 0",
            "relais_spool_commit_seconds_count 0",
            "relais_spool_batch_messages_count 0",
            "relais_spool_bytes 0",
            "relais_spool_free_bytes 0",
            "relais_spool_refusing 0",
            "relais_store_free_bytes 0",
            "relais_store_refusing 0",
            r#"relais_queue_paused{why="disk"} 0"#,
            r#"relais_channel_stored_messages{channel="tcp_local"} 0"#,
            r#"relais_channel_jobs{channel="tcp_lmtpcs"} 0"#,
            r#"relais_channel_threads{channel="tcp_lmtpcs"} 0"#,
            r#"relais_channel_hosts_suspended{channel="tcp_lmtpcs"} 0"#,
            r#"relais_hosts_suspended{channel="tcp_lmtpcs"} 0"#,
            r#"relais_hosts_limited{channel="tcp_lmtpcs"} 0"#,
            r#"relais_reply_rules_total{channel="tcp_lmtpcs",action="slow_down"} 0"#,
            r#"relais_client_chunks_total{channel="tcp_lmtpcs",result="taken"} 0"#,
            r#"relais_folders_refused_total{channel="tcp_lmtpcs"} 0"#,
            r#"relais_notices_total{result="written"} 0"#,
            r#"relais_sts_renewals_total{result="lapsed"} 0"#,
            r#"relais_tls_web_reports_total{result="put_off"} 0"#,
            "relais_log_lines_lost_total 0",
            r#"relais_delivery_seconds_count{channel="tcp_lmtpcs"} 0"#,
            r#"relais_delivery_results_total{channel="tcp_lmtpcs",class="delivered"} 0"#,
            r#"relais_tls_client_handshakes_total{channel="tcp_lmtpcs",result="resumed"} 0"#,
            r#"relais_directory_lookups_total{result="found"} 0"#,
            "relais_directory_cache_hits_total 0",
        ] {
            assert!(page.lines().any(|l| l == line), "{line} is missing from:\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn a_scrape_names_each_family_once_and_says_what_it_is() {
        let page = metrics().page(Format::OpenMetrics);
        let mut types: Vec<_> = page.lines().filter(|l| l.starts_with("# TYPE ")).collect();
        let all = types.len();
        types.sort_by_key(|l| l.split(' ').nth(2));
        types.dedup_by_key(|l| l.split(' ').nth(2).map(str::to_owned));
        assert_eq!(types.len(), all, "{types:#?}");
        assert_eq!(page.lines().filter(|l| l.starts_with("# HELP ")).count(), all);
    }

    #[test]
    fn what_is_stored_is_what_the_spool_says() {
        let metrics = metrics();
        let channel = metrics.channel("tcp_lmtpcs");
        channel.received(2, 100);
        channel.received(1, 50);
        channel.settled(Class::Delivered, 2, 100);
        channel.stored(Volume { messages: 2, recipients: 2, bytes: 60 });
        channel.settled(Class::Deferred, 1, 50);
        let tallies = channel.tallies();
        let show = |event| {
            let tally = tallies[&event];
            (tally.messages, tally.recipients, tally.bytes)
        };
        assert_eq!(show(Event::Received), (2, 3, 150));
        assert_eq!(show(Event::Stored), (2, 2, 60));
        assert_eq!(show(Event::Delivered), (1, 2, 100));
        assert_eq!(show(Event::Attempted), (1, 1, 50));
        assert_eq!(show(Event::Failed), (0, 0, 0));
        let page = metrics.page(Format::Text);
        assert!(page.contains("relais_channel_stored_messages{channel=\"tcp_lmtpcs\"} 2\n"));
        assert!(page.contains("relais_channel_stored_bytes{channel=\"tcp_lmtpcs\"} 60\n"));
        let counter = "relais_channel_messages_total{channel=\"tcp_lmtpcs\",event=\"stored\"} 2\n";
        assert!(page.contains(counter), "one of the seven by name, and it says the same");
    }

    #[test]
    fn a_channel_that_the_configuration_lost_makes_no_label() {
        let metrics = metrics();
        metrics.channel("gone").received(1, 1);
        assert!(!metrics.page(Format::Text).contains("gone"));
        assert_eq!(metrics.counters().0.len(), 2);
    }

    /// How many are registered, only the library's own view of the registry tells.
    #[test]
    fn families_are_all_that_are_registered_with_their_labels() {
        let families = Metrics::families();
        let registered = format!("{:?}", metrics().registry).matches("Descriptor {").count();
        assert_eq!(families.len(), registered, "a family shows no sample: {families:#?}");
        for (name, kind, labels) in [
            ("relais_actor_messages_total", MetricKind::Counter, "actor,message"),
            ("relais_delivery_seconds", MetricKind::Histogram, "channel"),
            ("relais_dispatcher_connections_total", MetricKind::Counter, "service,result"),
            ("relais_queue_stored", MetricKind::Gauge, ""),
            ("relais_spool_commit_seconds", MetricKind::Histogram, ""),
            ("relais_tls_certificate_expires_timestamp_seconds", MetricKind::Gauge, "file"),
        ] {
            let family = families.iter().find(|its| its.name == name).expect(name);
            assert_eq!((family.kind, &*family.labels.join(",")), (kind, labels), "{name}");
            assert!(!family.help.is_empty(), "{name}");
        }
    }
}
