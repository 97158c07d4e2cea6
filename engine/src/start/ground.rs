//! The ground floor: the configuration, the counters, and the threads on which actors live.

use std::{num::NonZeroUsize, sync::Arc, thread::available_parallelism};

use actix::Arbiter;
use relais_actors::{
    actor::{Actor, Ground, Placement, Watch},
    channel_table::Channels,
    delivery::{job::Job, pool::Pool},
    directory::Directory,
    events::tell_server_tls,
    front::{
        descriptors::LargeMessages, dispatcher::Dispatcher, filters::Filters, rates::Rates,
        recent::RecentRecipients, service::Service, session::Session, worker::Worker,
    },
    job_controller::JobController,
    metrics::{Labels, Metrics},
    notary::Notary,
    queue::Queue,
    router::Router,
    standing::StandingOrders,
    store::{Store, UnixMailboxes},
};
use relais_channels::{tls::ServerTls, tls_policy::TlsReports};
use relais_config::Config;
use relais_history::Keeper;

use super::{error::StartError, open_files::descriptors};
use crate::state::{history, recent::RecentFile, standing::StandingFile, tallies::Tallies};

/// The parts that every other floor stands on.
#[derive(Clone)]
pub(crate) struct GroundFloor {
    pub(crate) config: Arc<Config>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) metrics: Arc<Metrics>,
    /// Writes the delivery history.
    pub(crate) history: Arc<Keeper>,
    /// Tells others what happens to mail.
    pub(crate) events: Arc<relais_events::Keeper>,
    pub(crate) certificates: Arc<ServerTls>,
    /// The mail of clients in the last hour.
    pub(crate) rates: Arc<Rates>,
    /// Orders of operators that stand.
    pub(crate) standing: StandingOrders,
    /// Recipients that were taken a moment ago.
    pub(crate) recent: Arc<RecentRecipients>,
    pub(crate) large_messages: LargeMessages,
    /// How TLS with others went.
    pub(crate) tls_reports: Arc<TlsReports>,
    /// Filters that sessions show mail to.
    pub(crate) filters: Filters,
    /// Mailboxes of this machine's accounts.
    pub(crate) unix_mailboxes: Option<UnixMailboxes>,
    pub(crate) placement: Arc<Placement>,
    /// Starts actors; `end` is told which of the vital ones died.
    pub(crate) actors: Ground,
}

/// Threads, and what they keep: ended with the engine.
pub(super) struct Cellar {
    pub(super) tallies: Tallies,
    pub(super) recent: RecentFile,
    pub(super) arbiters: Vec<Arbiter>,
}

impl GroundFloor {
    /// Starts the threads; the second value is what only the end of the engine needs.
    pub(super) fn start(
        config: Arc<Config>,
        end: Box<dyn Fn(&str) + Send>,
    ) -> Result<(Self, Cellar), StartError> {
        let certificates = Arc::new(ServerTls::load(config.tls.as_ref(), &config.data)?);
        let metrics = Arc::new(Metrics::new(&Labels::of(&config, &ACTORS)));
        metrics.certificates.show(&certificates.certificates());
        let history = Keeper::start(&metrics.history.tap, history::settings(&config));
        let history = Arc::new(history.map_err(StartError::History)?);
        let settings = relais_events::Settings::of(&config);
        let events = relais_events::Keeper::start(&metrics.events.tap, settings);
        let events = Arc::new(events.map_err(StartError::Events)?);
        let tallies = Tallies::keep(&config.data, &metrics).map_err(StartError::Tallies)?;
        let most = if config.fills_queue() { config.admin.recent } else { 0 };
        let (recent_file, recent) =
            RecentFile::keep(&config.data, most).map_err(StartError::Recent)?;
        let standing = StandingOrders::default();
        // Before anything is taken or delivered.
        let kept = StandingFile::new(&config.data).load().map_err(StartError::Standing)?;
        standing.replace(kept.orders);
        let channels = Arc::new(Channels::of(&config));
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let (placement, arbiters) = Placement::start(cores);
        let actors = Ground::new(metrics.actors.clone(), end);
        let placement = Arc::new(placement);
        let large_messages = LargeMessages::new(descriptors(&config).large_messages);
        let rates = Arc::default();
        let unix_mailboxes = UnixMailboxes::open(&config)?;
        let folder = config.fills_queue().then(|| config.data.join("tlsrpt"));
        let tls_reports = Arc::new(TlsReports::open(folder));
        let told = Arc::clone(&metrics);
        tls_reports.listen(move |failure| tell_server_tls(failure, &told));
        let filters = Filters::of(&config, &Filters::default(), &metrics);
        filters.show(&metrics);
        let floor = Self {
            config,
            channels,
            metrics,
            history,
            events,
            certificates,
            rates,
            standing,
            recent,
            large_messages,
            tls_reports,
            filters,
            unix_mailboxes,
            placement,
            actors,
        };
        Ok((floor, Cellar { tallies, recent: recent_file, arbiters }))
    }
}

/// All kinds of actors, so that a scrape shows them before the first message.
pub(super) const ACTORS: [&str; 13] = [
    Dispatcher::NAME,
    Service::NAME,
    Worker::NAME,
    Session::NAME,
    Router::NAME,
    Directory::NAME,
    Queue::NAME,
    JobController::NAME,
    Pool::NAME,
    Job::NAME,
    Store::NAME,
    Notary::NAME,
    Watch::NAME,
];
