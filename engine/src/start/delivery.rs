//! The floor of delivery: who finds out where mail goes, keeps what waits, decides what runs, and
//! tells senders.

use std::sync::Arc;

use relais_actors::{
    actor::{Ground, Mailbox},
    autoreply::{Answered, Responder},
    channel_table::Channels,
    defragment::{Defragmenter, DefragmenterParts},
    delivery::{
        parts::{JobParts, WorkSource},
        pool::Pool,
        programs::Programs,
        progress::ConnectionProgress,
        throttle::Throttles,
    },
    directory::{self, DirectoryHandle, Source},
    front::authentication::Authenticator,
    job_controller::{
        self, Freeze, HostName, JobController, PoolOutlets, PoolPart, QueueOutlets, SuspendHost,
        Tune,
    },
    metrics::ServerMeters,
    notary::{self, Notary},
    queue::{Queue, QueueParts, SetMaxMessages},
    rerouting::Rerouter,
    router::{self, RouterHandle, Routes},
    sieve::{OwnersTold, SieveRunner},
    timestamp::Timestamp,
    tls_reporter::{TlsReporter, renew_policies},
};
use relais_channels::{
    authenticity::Authenticity,
    client::{Finders, Securities},
    dsn::{TemplateError, Templates},
    tls_policy::{TlsPolicies, WebReports, tidy_policies},
};
use relais_config::{Config, directory::Cache};
use tokio::task::JoinHandle;

use super::{error::StartError, ground::GroundFloor, storage::StorageFloor};
use crate::{
    limits::{LimitNames, Named, Saved},
    state::{
        stopped::Stopped,
        suspended::{KeptOrder, SuspendedHosts},
    },
};

/// The actors that take mail from the spool to the next hop.
#[derive(Clone)]
pub(crate) struct DeliveryFloor {
    pub(crate) router: RouterHandle,
    /// Lets users in.
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) directory: DirectoryHandle,
    pub(crate) queue: Mailbox<Queue>,
    pub(crate) notary: Mailbox<Notary>,
    pub(crate) defragmenter: Mailbox<Defragmenter>,
    pub(crate) controller: Mailbox<JobController>,
    /// By name.
    pub(crate) pools: Vec<(String, Mailbox<Pool>)>,
    pub(crate) progress: ConnectionProgress,
    /// Limits of destinations.
    throttles: Arc<Throttles>,
    pub(crate) rerouter: Rerouter,
    /// Programs that mail may be handed to.
    pub(crate) programs: Arc<Programs>,
    /// TLS and AUTH of each channel's connections.
    pub(crate) securities: Securities,
    /// Keys that sign what leaves.
    pub(crate) authenticity: Authenticity,
    /// Where each channel's connections lead.
    pub(crate) finders: Finders,
    /// Reports how TLS with others went, and renews their policies.
    tls_tasks: Arc<[JoinHandle<()>; 2]>,
    web_reports: Arc<WebReports>,
    /// The senders that users have answered.
    answered: Answered,
}

impl DeliveryFloor {
    /// Starts the actors; jobs run as soon as there is something to deliver.
    pub(super) fn start(ground: &GroundFloor, below: &StorageFloor) -> Result<Self, StartError> {
        let (router, directory) =
            start_router(&ground.config, &ground.actors, &ground.metrics.directory_servers)?;
        let authenticator = Authenticator::new(directory.clone(), &ground.config);
        let queue = start_queue(ground, below);
        let templates = Arc::new(notice_templates(&ground.config)?);
        let sieve = sieve_runner(ground, below, None);
        let parts = notary_parts((ground, below), &router, &sieve, templates);
        let notary = ground.actors.start_vital("notary", Notary::new(parts, queue.clone()));
        let defragmenter = start_defragmenter(ground, below, &queue);
        actix::spawn(below.unfinished.clone().go_on(queue.clone(), below.storage.clone()));
        let rerouter = Rerouter {
            channels: ground.channels.clone(),
            storage: below.storage.clone(),
            router: router.clone(),
            sieve,
            metrics: ground.metrics.clone(),
        };
        let progress = ConnectionProgress::default();
        let programs = Arc::new(Programs::open(&ground.config)?);
        if let Err(error) = programs.tidy() {
            tracing::warn!(%error, "parts of mail that were being converted stay on disk");
        }
        if let Err(error) = tidy_policies(&ground.config.data) {
            tracing::warn!(%error, "old policies of MTA-STS stay on disk");
        }
        let policies = Arc::new(TlsPolicies::of(&ground.config, &ground.tls_reports)?);
        let securities = Securities::load(&ground.config, &policies)?;
        let authenticity = Authenticity::load(&ground.config)?;
        let answered = Answered::open(ground.config.data.join(ANSWERED));
        let responder = responder(ground, below, &rerouter, (&directory, &answered));
        let throttles = Arc::new(Throttles::default());
        let finders = Finders::of(&ground.config)?;
        let own = OwnParts {
            programs: &programs,
            securities: &securities,
            authenticity: &authenticity,
            finders: &finders,
            throttles: &throttles,
        };
        let parts = parts_of_jobs(ground, below, (&queue, &progress, own, responder));
        let (controller, pools) = start_controller(ground, &queue, &parts)?;
        let web_reports = Arc::new(WebReports::open(ground.config.data.join(WEB_REPORTS)));
        let reporter = tls_reporter(ground, below, &router, (&policies, &web_reports));
        let tls_tasks = tls_tasks(reporter);
        Ok(Self {
            tls_tasks,
            web_reports,
            router,
            authenticator: Arc::new(authenticator),
            directory,
            queue,
            notary,
            defragmenter,
            controller,
            pools,
            progress,
            throttles,
            rerouter,
            programs,
            securities,
            authenticity,
            finders,
            answered,
        })
    }
}

impl DeliveryFloor {
    /// Reports TLS as the configuration has it by now, and renews these policies.
    pub(super) fn report_tls(
        &mut self,
        ground: &GroundFloor,
        below: &StorageFloor,
        policies: &Arc<TlsPolicies>,
    ) {
        self.tls_tasks.iter().for_each(JoinHandle::abort);
        let reporter = tls_reporter(ground, below, &self.router, (policies, &self.web_reports));
        self.tls_tasks = tls_tasks(reporter);
    }
}

fn tls_tasks(reporter: TlsReporter) -> Arc<[JoinHandle<()>; 2]> {
    let renewal = renew_policies(reporter.policies.clone(), reporter.metrics.clone());
    Arc::new([actix::spawn(reporter.go_on()), actix::spawn(renewal)])
}

fn tls_reporter(
    ground: &GroundFloor,
    below: &StorageFloor,
    router: &RouterHandle,
    (policies, web_reports): (&Arc<TlsPolicies>, &Arc<WebReports>),
) -> TlsReporter {
    let GroundFloor { config, channels, metrics, tls_reports, .. } = ground;
    let section = config.tls_reports.as_ref();
    let organization = section.and_then(|its| its.organization.as_deref());
    let sender = section.map(|its| its.sender.as_str());
    let contact = section.and_then(|its| its.contact.as_deref()).or(sender);
    TlsReporter {
        host: config.host.as_str().into(),
        organization: organization.unwrap_or(&config.host).into(),
        contact: contact.map_or_else(|| postmaster(config), str::to_owned).into(),
        sender: sender.map(Arc::from),
        reports: Arc::clone(tls_reports),
        web_reports: Arc::clone(web_reports),
        policies: Arc::clone(policies),
        nameservers: config.dns.servers.as_slice().into(),
        channels: channels.clone(),
        storage: below.storage.clone(),
        router: router.clone(),
        ids: below.ids.clone(),
        metrics: metrics.clone(),
    }
}

/// The parts of jobs that start from now on.
pub(super) fn job_parts(
    ground: &GroundFloor,
    below: &StorageFloor,
    delivery: &DeliveryFloor,
) -> JobParts {
    let DeliveryFloor { queue, rerouter, progress, directory, answered, .. } = delivery;
    let responder = responder(ground, below, rerouter, (directory, answered));
    let DeliveryFloor { programs, securities, authenticity, finders, throttles, .. } = delivery;
    let own = OwnParts { programs, securities, authenticity, finders, throttles };
    parts_of_jobs(ground, below, (queue, progress, own, responder))
}

/// Scripts as the configuration says.
pub(super) fn sieve_runner(
    ground: &GroundFloor,
    below: &StorageFloor,
    was: Option<&SieveRunner>,
) -> Arc<SieveRunner> {
    let owners = OwnersTold {
        host: ground.config.host.as_str().into(),
        channels: ground.channels.clone(),
        storage: below.storage.clone(),
        ids: below.ids.clone(),
        metrics: ground.metrics.clone(),
    };
    Arc::new(SieveRunner::new(&ground.config, owners, was))
}

fn responder(
    ground: &GroundFloor,
    below: &StorageFloor,
    rerouter: &Rerouter,
    (directory, answered): (&DirectoryHandle, &Answered),
) -> Responder<DirectoryHandle> {
    let Rerouter { channels, storage, router, sieve, metrics } = rerouter.clone();
    Responder {
        host: ground.config.host.as_str().into(),
        channels,
        storage,
        router,
        directory: directory.clone(),
        ids: below.ids.clone(),
        answered: answered.clone(),
        max_per_hour: ground.config.autoreply.max_per_hour,
        sieve,
        metrics,
    }
}

/// Parts of jobs that are made of files of the configuration, and the limits that they share.
struct OwnParts<'a> {
    programs: &'a Arc<Programs>,
    securities: &'a Securities,
    authenticity: &'a Authenticity,
    finders: &'a Finders,
    throttles: &'a Arc<Throttles>,
}

fn parts_of_jobs(
    ground: &GroundFloor,
    below: &StorageFloor,
    (queue, progress, own, responder): (
        &Mailbox<Queue>,
        &ConnectionProgress,
        OwnParts<'_>,
        Responder<DirectoryHandle>,
    ),
) -> JobParts {
    let rerouter = Rerouter {
        channels: responder.channels.clone(),
        storage: responder.storage.clone(),
        router: responder.router.clone(),
        sieve: Arc::clone(&responder.sieve),
        metrics: responder.metrics.clone(),
    };
    JobParts {
        unix_mailboxes: ground.unix_mailboxes.clone(),
        host: ground.config.host.as_str().into(),
        channels: ground.channels.clone(),
        storage: below.storage.clone(),
        work: WorkSource {
            pull: queue.outlet(),
            settle: queue.outlet(),
            throttled: queue.outlet(),
        },
        rerouter,
        responder,
        securities: own.securities.clone(),
        authenticity: own.authenticity.clone(),
        finders: own.finders.clone(),
        programs: own.programs.clone(),
        placement: ground.placement.clone(),
        ground: ground.actors.clone(),
        metrics: ground.metrics.clone(),
        crowds: Arc::default(),
        lessons: Arc::default(),
        throttles: Arc::clone(own.throttles),
        standing: ground.standing.clone(),
        progress: progress.clone(),
    }
}

/// Starts a pool.
pub(super) fn pool(
    pool: &relais_config::Pool,
    queue: &Mailbox<Queue>,
    parts: &JobParts,
) -> Mailbox<Pool> {
    let its = Pool::new(pool.job_limit.get(), queue.outlet(), parts.clone());
    parts.ground.start_vital(&format!("pool {}", pool.name), its)
}

/// Starts what routes: a router, and the directory that it asks.
pub(crate) fn start_router(
    config: &Config,
    ground: &Ground,
    servers: &ServerMeters,
) -> Result<(RouterHandle, DirectoryHandle), StartError> {
    let routes = Routes::new(config)?;
    let directory = directory::start(Source::open(config, servers)?, ground);
    let limits = match &config.directory {
        Some(relais_config::Directory::Ldap(ldap)) => ldap.cache,
        _ => Cache::default(),
    };
    Ok((router::start(routes, limits, directory.clone(), ground), directory))
}

/// The parts of the notary, with these words.
pub(super) fn notary_parts(
    (ground, below): (&GroundFloor, &StorageFloor),
    router: &RouterHandle,
    sieve: &Arc<SieveRunner>,
    templates: Arc<Templates>,
) -> notary::NotaryParts {
    let GroundFloor { config, channels, metrics, .. } = ground;
    let StorageFloor { storage, ids, .. } = below;
    notary::NotaryParts {
        host: config.host.as_str().into(),
        postmaster: postmaster(config).into(),
        language: config.notary.language.as_str().into(),
        content_return_limit: config.notary.content_return_limit,
        double_bounces: config.notary.double_bounces,
        templates,
        channels: channels.clone(),
        storage: storage.clone(),
        router: router.clone(),
        sieve: Arc::clone(sieve),
        ids: ids.clone(),
        metrics: metrics.clone(),
        progress: config.data.join("spool").join("looked"),
    }
}

fn start_queue(ground: &GroundFloor, below: &StorageFloor) -> Mailbox<Queue> {
    let GroundFloor { config, channels, metrics, .. } = ground;
    // A store without an MTA queues nothing.
    let (max_messages, rebuild_parallel_channels) = config
        .job_controller
        .as_ref()
        .map_or((0, 1), |c| (c.max_messages, c.rebuild_parallel_channels));
    let queue = Queue::new(QueueParts {
        storage: below.storage.clone(),
        channels: channels.clone(),
        intake: below.intake.clone(),
        metrics: metrics.clone(),
        max_messages,
        rebuild_parallel_channels,
    });
    ground.actors.start_vital("queue", queue)
}

fn start_defragmenter(
    ground: &GroundFloor,
    below: &StorageFloor,
    queue: &Mailbox<Queue>,
) -> Mailbox<Defragmenter> {
    let defragmenter = Defragmenter::new(DefragmenterParts {
        storage: below.storage.clone(),
        channels: ground.channels.clone(),
        queue: queue.clone(),
        ids: below.ids.clone(),
        large_message: ground.config.spool.large_message,
        metrics: ground.metrics.clone(),
    });
    ground.actors.start_vital("defragmenter", defragmenter)
}

/// Starts the pools and the job controller: from now on jobs start, as far as operators have not
/// said otherwise.
fn start_controller(
    ground: &GroundFloor,
    queue: &Mailbox<Queue>,
    parts: &JobParts,
) -> Result<(Mailbox<JobController>, Pools), StartError> {
    let GroundFloor { config, channels, metrics, .. } = ground;
    let stopped = Stopped::new(&config.data).load().map_err(StartError::Stopped)?;
    let configured = config.job_controller.iter().flat_map(|controller| &controller.pools);
    let pools: Pools =
        configured.clone().map(|its| (its.name.clone(), pool(its, queue, parts))).collect();
    let all = configured.zip(&pools).map(|(its, (name, mailbox))| PoolPart {
        name: name.clone(),
        job_limit: its.job_limit.get(),
        keeps_last_slot: its.keep_last_slot,
        outlets: PoolOutlets::of(mailbox),
    });
    let controller = JobController::new(job_controller::ControllerParts {
        channels: channels.clone(),
        pools: all.collect(),
        queue: QueueOutlets::of(queue),
        throttles: Arc::clone(&parts.throttles),
        progress: parts.progress.clone(),
        metrics: metrics.clone(),
    });
    let controller = parts.ground.start_vital("job_controller", controller);
    // `Freeze` comes before anything that the queue announces.
    for channel in stopped {
        tracing::info!(channel, "the channel is stopped: `relais channel start` lets it go on");
        controller.tell(Freeze { channel, frozen: true });
    }
    restore_suspended(config, &controller);
    restore_limits(config, channels, queue, &controller);
    Ok((controller, pools))
}

/// Hosts that an operator has suspended stay so, until their time.
fn restore_suspended(config: &Config, controller: &Mailbox<JobController>) {
    let orders = match SuspendedHosts::new(&config.data).load() {
        Ok(orders) => orders,
        Err(error) => {
            return tracing::warn!(%error, "suspended hosts cannot be read: their mail goes");
        }
    };
    let now = Timestamp::now();
    for order in orders.into_iter().filter(|order| order.until > now) {
        let KeptOrder { host, channel, since, until, reason } = order;
        let host = HostName { name: host, channel };
        controller.tell(SuspendHost { host, since, until, reason: reason.into() });
    }
}

/// Limits that an operator saved stand above the configuration file, and are said to.
pub(super) fn restore_limits(
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
    let known = LimitNames { config, channels };
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

/// Pools by name.
type Pools = Vec<(String, Mailbox<Pool>)>;

fn postmaster(config: &Config) -> String {
    let default = || format!("postmaster@{}", config.default_domain);
    config.notary.postmaster.clone().unwrap_or_else(default)
}

/// The words of notices, with those of the operator.
pub(crate) fn notice_templates(config: &Config) -> Result<Templates, TemplateError> {
    let folder = config.notary.templates.as_deref().map(|folder| config.path(folder));
    Templates::load(folder.as_deref())
}

/// Names and `job_limit`.
pub(super) fn pools(config: &Config) -> Vec<(String, usize)> {
    let pools = config.job_controller.iter().flat_map(|controller| &controller.pools);
    pools.map(|pool| (pool.name.clone(), pool.job_limit.get())).collect()
}

/// Of the data directory: reports of TLS on their way to places on the web.
const WEB_REPORTS: &str = "tlsrpt/web";
/// Of the data directory: whom users have answered.
const ANSWERED: &str = "autoreplies";
