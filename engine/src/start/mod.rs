//! Which actors there are, on which thread each lives, and who knows whom. The one place that
//! decides it.

pub(crate) mod obstacles;

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use actix::Arbiter;
use relais_actors::{
    actor::{Ground, Mailbox, Placement},
    channel_table::Channels,
    delivery::{
        parts::{JobParts, WorkSource},
        pool::Pool,
        progress::ConnectionProgress,
    },
    directory::{self, OpenError, Source},
    front::descriptors::Descriptors,
    front::dispatcher::{Bound, Dispatcher},
    front::listening::{ListenError, Listening},
    front::session::{Behind, SessionParts},
    front::to_queue::{HoldLimits, QueueSide},
    front::to_store::StoreSide,
    job_controller::{self, Freeze, JobController, PoolOutlets, PoolPart, QueueOutlets, Tune},
    metrics::{Labels, Metrics},
    notary::{self, Notary},
    queue::{Intake, Parts, Queue, SetMaxMessages},
    rerouting::Rerouter,
    router::{self, RouterHandle, Routes, RoutesError},
    spool::{RealDisk, Recovered, Spool, SpoolError, SpoolEvents},
    store::{Deliveries, Store},
};
use relais_channels::{
    dsn::{TemplateError, Templates},
    mail::MessageIds,
    mailbox::PartitionError,
    server::{Dialect, Limits, Setup},
};
use relais_config::{
    self as config, Channel, Config, channel, directory::Cache, dispatcher::Program,
};

use crate::{
    limits::{Named, Names, Saved},
    state::{
        order_book::{OrderBook, Unfinished},
        rerouting::Intents,
        stopped::Stopped,
        tallies::Tallies,
    },
};

/// An engine whose actors run. Lives on the system's own thread.
pub struct Engine {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// Its channels.
    pub channels: Arc<Channels>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where messages are kept.
    pub spool: Spool,
    /// Routes of recipients.
    pub router: RouterHandle,
    /// Services.
    pub dispatcher: Mailbox<Dispatcher>,
    /// Restarts what died.
    pub ground: Ground,
    /// What waits.
    pub queue: Mailbox<Queue>,
    /// What senders are told.
    pub notary: Mailbox<Notary>,
    /// What runs.
    pub controller: Mailbox<JobController>,
    /// What the threads of jobs wait for.
    pub progress: ConnectionProgress,
    /// Mailboxes.
    pub store: Option<Mailbox<Store>>,
    /// The counters over restarts.
    pub tallies: Tallies,
    /// Threads to end and to join, in this order.
    pub arbiters: Vec<Arbiter>,
    /// Orders that were answered and are not carried out yet.
    pub orders: Arc<OrderBook>,
    /// Routes again what waits.
    pub rerouter: Rerouter,
    /// Where each service listens: its name and its places.
    pub listening: Vec<(String, Vec<String>)>,
}

/// Why the engine does not start. The administrator must act.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The spool cannot be opened.
    #[error("the spool in {}: {source}", .dir.display())]
    Spool {
        /// Its folder.
        dir: PathBuf,
        /// Why.
        source: SpoolError,
    },
    /// Rules, tables or the directory cannot be used.
    #[error(transparent)]
    Routes(#[from] RoutesError),
    /// The directory cannot be read.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// It cannot be told which channels are stopped.
    #[error("cannot read the list of stopped channels, `stopped` in the data directory: {0}")]
    Stopped(std::io::Error),
    /// What was being routed again when the engine ended cannot be told from what was not.
    #[error("cannot find out how far messages were routed again: {0}")]
    Rerouting(SpoolError),
    /// Orders of before the last end cannot be carried out.
    #[error("cannot carry out what was ordered before the last end: {0}")]
    Orders(SpoolError),
    /// There is no thread for the counters.
    #[error("cannot start the thread that keeps the counters: {0}")]
    Tallies(std::io::Error),
    /// The texts of notices cannot be used.
    #[error("notary.templates: {0}")]
    Templates(#[from] TemplateError),
    /// The mailboxes cannot be used.
    #[error(transparent)]
    Store(#[from] PartitionError),
    /// The configuration asks for what this release cannot do.
    #[error("service {service} speaks LMTP, but there is no store section to deliver into")]
    NoStore {
        /// Its name.
        service: String,
    },
}

impl Engine {
    /// Starts everything. Sockets are bound first, so that the commonest mistake is told before
    /// anything else happens; they are accepted from last, when the queue is ready for it.
    pub fn start(config: Arc<Config>, end: Box<dyn Fn(&str) + Send>) -> Result<Self, StartError> {
        let shares = shares(&config);
        let bound = bind(&config)?;
        let metrics = Arc::new(Metrics::new(&Labels::of(&config)));
        let tallies = Tallies::keep(&config.data, &metrics).map_err(StartError::Tallies)?;
        let channels = Arc::new(Channels::of(&config));
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let (placement, arbiters) = Placement::start(cores);
        let placement = Arc::new(placement);
        let ground = Ground::new(metrics.actors.clone(), end);

        let intake = Intake::default();
        let (spool, recovered) = open_spool(&config, &metrics, intake.clone())?;
        let ids = Arc::new(MessageIds::after(recovered.last_id, recovered.generation));
        tell_of_lost_channels(&channels, &recovered);
        let router = start_router(&config, &ground)?;
        let (orders, unfinished) = conclude(&config, &spool, &metrics)?;
        let queue = start_queue(&config, &channels, &metrics, &spool, intake, &ground);
        let parts = notary_parts(&config, &channels, &metrics, &spool, &router, &ids)?;
        let notary = ground.start_vital("notary", Notary::new(parts, queue.clone()));
        actix::spawn(unfinished.go_on(queue.clone(), spool.clone()));
        let progress = ConnectionProgress::default();
        let rerouter = rerouter(&channels, &spool, &router, &metrics);
        let parts = JobParts {
            host: config.host.as_str().into(),
            channels: channels.clone(),
            spool: spool.clone(),
            work: WorkSource { pull: queue.outlet(), settle: queue.outlet() },
            rerouter: rerouter.clone(),
            placement: placement.clone(),
            ground: ground.clone(),
            metrics: metrics.clone(),
            progress: progress.clone(),
        };
        let controller = start_controller(&config, &channels, &metrics, &queue, &parts)?;

        let store = open_store(&config, &metrics)?;
        let deliveries = store.as_ref().map(Store::deliveries);
        let queue_side = |channel: &str| QueueSide {
            host: config.host.as_str().into(),
            default_domain: config.default_domain.as_str().into(),
            source_channel: channel.into(),
            router: router.clone(),
            spool: spool.clone(),
            ids: ids.clone(),
            channels: channels.clone(),
            large_message: config.spool.large_message,
            hold: hold_limits(&config, channel),
            metrics: metrics.clone(),
        };
        let mut services = Vec::new();
        let mut listening = Vec::new();
        for ((service, sockets), connections) in bound.into_iter().zip(shares) {
            let places = sockets.iter().map(Listening::place).collect();
            listening.push((service.name.clone(), places));
            let behind = match (service.program, &deliveries) {
                (Program::Smtp, _) => Behind::Queue(queue_side(&service.channel)),
                (Program::Lmtp, Some(deliveries)) => {
                    Behind::Store(store_side(&config, &service.channel, deliveries, &ids, &metrics))
                }
                _ => return Err(StartError::NoStore { service: service.name }),
            };
            let session = SessionParts {
                service: service.name.as_str().into(),
                setup: Arc::new(setup(&config, &service)),
                behind,
                metrics: metrics.clone(),
            };
            services.push(Bound { service, listening: sockets, session, connections });
        }
        let (access, starter) = (router.cache.clone(), ground.clone());
        let dispatcher = Dispatcher::new(services, access, placement, starter, metrics.clone());
        let dispatcher = ground.start(dispatcher);
        let store = store.map(|store| ground.start(store));
        Ok(Self {
            config,
            channels,
            metrics,
            spool,
            router,
            dispatcher,
            ground,
            queue,
            notary,
            controller,
            progress,
            store,
            tallies,
            arbiters,
            orders,
            rerouter,
            listening,
        })
    }
}

fn rerouter(
    channels: &Arc<Channels>,
    spool: &Spool,
    router: &RouterHandle,
    metrics: &Arc<Metrics>,
) -> Rerouter {
    Rerouter {
        channels: channels.clone(),
        spool: spool.clone(),
        router: router.clone(),
        metrics: metrics.clone(),
    }
}

/// Carries out what the last end broke off. Nothing may be delivered before.
fn conclude(
    config: &Config,
    spool: &Spool,
    metrics: &Metrics,
) -> Result<(Arc<OrderBook>, Unfinished), StartError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|_| StartError::Orders(SpoolError::Closed))?;
        runtime.block_on(async {
            Intents::new(&config.data).conclude(spool).await.map_err(StartError::Rerouting)?;
            let orders = OrderBook::new(&config.data);
            let unfinished = orders.conclude(spool, metrics).await.map_err(StartError::Orders)?;
            Ok((Arc::new(orders), unfinished))
        })
    };
    // This thread has a runtime of its own, which must not wait inside itself.
    let ended = |_| Err(StartError::Orders(SpoolError::Closed));
    thread::scope(|threads| threads.spawn(work).join().unwrap_or_else(ended))
}

fn bind(config: &Config) -> Result<Vec<(relais_config::Service, Vec<Listening>)>, ListenError> {
    let services = config.dispatcher.services.iter();
    services.map(|service| Ok((service.clone(), Listening::bind(service, &config.data)?))).collect()
}

/// Open files that are no connections from outside: the disk's, the operators', and for each thread
/// of a job a connection and a message.
fn reserved(config: &Config) -> usize {
    let threads = config.channels.iter().map(|channel| channel.max_client_threads.get()).max();
    let jobs = pools(config).iter().map(|(_, limit)| limit).sum::<usize>();
    ENGINE_FILES.saturating_add(jobs.saturating_mul(threads.unwrap_or(0)).saturating_mul(2))
}

/// Raises the limit of open files, and says how many connections each service may have; tells when
/// that is less than the configuration allows.
fn shares(config: &Config) -> Vec<usize> {
    let descriptors = Descriptors::raise(reserved(config));
    let services = config.dispatcher.services.iter();
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

fn setup(config: &Config, service: &relais_config::Service) -> Setup {
    let dialect = match service.program {
        Program::Smtp => Dialect::Smtp,
        Program::Lmtp | Program::LmtpNative => Dialect::Lmtp,
    };
    let channel = config.channels.iter().find(|channel| channel.name == service.channel);
    // The configuration was checked: a service's channel is there.
    let limits = channel.map_or_else(
        || Limits::of(&Channel::new(&service.channel, &service.channel, channel::Program::Smtp)),
        Limits::of,
    );
    Setup { dialect, host: config.host.clone(), limits }
}

/// Mail may wait for channels that the configuration does not have any more.
fn tell_of_lost_channels(channels: &Channels, recovered: &Recovered) {
    for (channel, counts) in &recovered.entries {
        if channels.find(channel).is_none() && counts.total() > 0 {
            let messages = counts.total();
            tracing::warn!(channel, messages, "there is no such channel any more: its mail stays");
        }
    }
}

/// Opens the spool and starts its threads; what they commit goes to `intake`.
fn open_spool(
    config: &Config,
    metrics: &Arc<Metrics>,
    intake: Intake,
) -> Result<(Spool, Recovered), StartError> {
    let dir = config.data.join("spool");
    let error = |source| StartError::Spool { dir: dir.clone(), source };
    // Where no mail comes into the queue none is refused for want of room.
    let min_free = if config.fills_queue() { config.spool.min_free } else { 0 };
    let settings = config::Spool { min_free, ..config.spool.clone() };
    let (opened, recovered) = Spool::open(&dir, &settings, Arc::new(RealDisk)).map_err(error)?;
    let opened = opened.observed_by(Arc::new(SpoolMeters(metrics.clone())));
    let spool = opened.start(move |batch| intake.committed(batch)).map_err(error)?;
    Ok((spool, recovered))
}

/// Starts what routes: a router, and the directory that it asks.
pub(crate) fn start_router(config: &Config, ground: &Ground) -> Result<RouterHandle, StartError> {
    let routes = Routes::new(config)?;
    let directory = directory::start(Source::open(config)?, ground);
    let limits = match &config.directory {
        Some(relais_config::Directory::Ldap(ldap)) => ldap.cache,
        _ => Cache::default(),
    };
    Ok(router::start(routes, limits, directory, ground))
}

fn open_store(config: &Config, metrics: &Metrics) -> Result<Option<Store>, StartError> {
    let Some(store) = &config.store else { return Ok(None) };
    let path = config.path(&store.path);
    // What is remembered of it holds wherever the engine is started from.
    let path = std::path::absolute(&path).unwrap_or(path);
    let absolute = config::Store { path, ..store.clone() };
    let known = config.data.join(KNOWN_STORES);
    Ok(Some(Store::open(&absolute, &config.host, &known, metrics)?))
}

fn notary_parts(
    config: &Config,
    channels: &Arc<Channels>,
    metrics: &Arc<Metrics>,
    spool: &Spool,
    router: &RouterHandle,
    ids: &Arc<MessageIds>,
) -> Result<notary::Parts, StartError> {
    Ok(notary::Parts {
        host: config.host.as_str().into(),
        postmaster: postmaster(config).into(),
        language: config.notary.language.as_str().into(),
        content_return_limit: config.notary.content_return_limit,
        double_bounces: config.notary.double_bounces,
        templates: Arc::new(notice_templates(config)?),
        channels: channels.clone(),
        spool: spool.clone(),
        router: router.clone(),
        ids: ids.clone(),
        metrics: metrics.clone(),
        looked: config.data.join("spool").join("looked"),
    })
}

fn postmaster(config: &Config) -> String {
    let default = || format!("postmaster@{}", config.default_domain);
    config.notary.postmaster.clone().unwrap_or_else(default)
}

/// The words of notices, with those of the operator.
pub(crate) fn notice_templates(config: &Config) -> Result<Templates, TemplateError> {
    let folder = config.notary.templates.as_deref().map(|folder| config.path(folder));
    Templates::load(folder.as_deref())
}

/// Starts the pools and the job controller: from now on jobs start, as far as operators have not
/// said otherwise.
fn start_controller(
    config: &Config,
    channels: &Arc<Channels>,
    metrics: &Arc<Metrics>,
    queue: &Mailbox<Queue>,
    parts: &JobParts,
) -> Result<Mailbox<JobController>, StartError> {
    let stopped = Stopped::new(&config.data).load().map_err(StartError::Stopped)?;
    let pools = config.job_controller.iter().flat_map(|controller| &controller.pools);
    let pools = pools.map(|pool| {
        let (name, job_limit) = (pool.name.clone(), pool.job_limit.get());
        let its = Pool::new(job_limit, queue.outlet(), parts.clone());
        let outlets = PoolOutlets::of(&parts.ground.start_vital(&format!("pool {name}"), its));
        PoolPart { name, job_limit, keeps_last_slot: pool.keep_last_slot, outlets }
    });
    let controller = JobController::new(job_controller::Parts {
        channels: channels.clone(),
        pools: pools.collect(),
        queue: QueueOutlets::of(queue),
        metrics: metrics.clone(),
    });
    let controller = parts.ground.start_vital("job_controller", controller);
    // These come before anything that the queue announces.
    for channel in stopped {
        tracing::info!(channel, "the channel is stopped: `relais channel start` lets it go on");
        controller.tell(Freeze { channel, frozen: true });
    }
    restore_limits(config, channels, queue, &controller);
    Ok(controller)
}

/// Limits that an operator saved stand above the configuration file, and are said to.
fn restore_limits(
    config: &Config,
    channels: &Channels,
    queue: &Mailbox<Queue>,
    controller: &Mailbox<JobController>,
) {
    let saved = Saved::new(&config.data);
    let path = saved.path().display().to_string();
    let all = match saved.load() {
        Ok(all) => all,
        Err(error) => {
            return tracing::warn!(path, %error, "saved limits cannot be read: the configuration's hold");
        }
    };
    let known = Names { config, channels };
    for (key, value) in all {
        let read = known.find(&key).and_then(|named| Ok((named.read(&value)?, named)));
        match read {
            Ok((Some(number), named)) => {
                if let Some(why) = known.idle(&named) {
                    tracing::warn!(key, %value, path, why, "a saved limit does nothing");
                }
                tracing::info!(key, %value, path, "a saved limit stands above the configuration");
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                match named {
                    Named::MaxMessages => queue.tell(SetMaxMessages(number)),
                    Named::Tuned(limit) => controller.tell(Tune { limit, value: Some(number) }),
                }
            }
            Ok((None, _)) => {}
            Err(error) => tracing::warn!(key, %value, path, %error, "a saved limit does nothing"),
        }
    }
}

fn hold_limits(config: &Config, channel: &str) -> HoldLimits {
    let channel = config.channels.iter().find(|its| its.name == channel);
    HoldLimits {
        received_lines: config.max_received_lines,
        received_here_lines: config.max_local_received_lines,
        recipients: channel.and_then(|channel| channel.holdlimit),
    }
}

fn store_side(
    config: &Config,
    channel: &str,
    deliveries: &Deliveries,
    ids: &Arc<MessageIds>,
    metrics: &Arc<Metrics>,
) -> StoreSide {
    let source_channel = channel.into();
    let channel = config.channels.iter().find(|its| its.name == channel);
    StoreSide {
        host: config.host.as_str().into(),
        source_channel,
        deliveries: deliveries.clone(),
        default_domain: config.default_domain.as_str().into(),
        flag_transfer: channel.is_some_and(|channel| channel.flagtransfer),
        trace: channel.is_some_and(Channel::traces),
        ids: ids.clone(),
        metrics: metrics.clone(),
    }
}

/// Names and `job_limit`.
fn pools(config: &Config) -> Vec<(String, usize)> {
    let pools = config.job_controller.iter().flat_map(|controller| &controller.pools);
    pools.map(|pool| (pool.name.clone(), pool.job_limit.get())).collect()
}

fn start_queue(
    config: &Config,
    channels: &Arc<Channels>,
    metrics: &Arc<Metrics>,
    spool: &Spool,
    intake: Intake,
    ground: &Ground,
) -> Mailbox<Queue> {
    // A store without an MTA queues nothing.
    let (max_messages, rebuild_parallel_channels) = config
        .job_controller
        .as_ref()
        .map_or((0, 1), |c| (c.max_messages, c.rebuild_parallel_channels));
    let queue = Queue::new(Parts {
        spool: spool.clone(),
        channels: channels.clone(),
        intake,
        metrics: metrics.clone(),
        max_messages,
        rebuild_parallel_channels,
    });
    ground.start_vital("queue", queue)
}

/// Spool, index, store, log, threads and the admin endpoint, generously.
const ENGINE_FILES: usize = 256;
/// In the data directory: the partitions that have been there.
pub(crate) const KNOWN_STORES: &str = "stores";

impl SpoolEvents for SpoolMeters {
    fn committed(&self, messages: usize, _octets: u64, took: Duration) {
        self.0.spool.committed(messages, took);
    }
}

/// Moves the spool's numbers.
struct SpoolMeters(Arc<Metrics>);
