//! The console: questions of the admin endpoint, answered by the engine's actors.

mod access;
mod account;
mod control;
mod entries;
pub mod explain;
mod foreseen_tls;
mod gauges;
mod hosts;
mod limiting;
mod limits;
mod mailboxes;
mod message_history;
mod order_keeper;
mod ordered_by;
mod orders;
mod overview;
mod parts;
mod reasons;
mod recorder;
mod reroutes;
mod series;
mod srs;
mod stages;
mod standing;
mod status;
mod steps;
mod summary;
mod survey;
mod sweep;
mod switching;
mod tables;
mod traces;
mod untold;
mod ways;

use std::{
    iter,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, atomic::Ordering},
    time::{Duration, Instant},
};

use relais_actors::{
    front::dispatcher::DescribeDispatcher,
    job_controller::DescribeController,
    metrics::{ChannelCounters, Format},
    queue::DescribeQueue,
    timestamp::Timestamp,
};
use relais_channels::{
    mail::{Content, MessageId},
    tls::ServerTls,
};
use relais_config::Config;
use tokio::{
    io::AsyncReadExt,
    sync::{Notify, mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use self::{
    entries::{
        Depth, ListPosition, Position, describe, entries_of, is_delivered_to_all, joined, lines_of,
        look_up,
    },
    orders::OrderPosition,
    overview::{EngineSeen, Glance},
    parts::{Parts, gone, unavailable},
    standing::OrderKeeper,
};
use crate::{
    admin::{
        JsonLines,
        console::{
            AccessQuestion, Answer, Console, Frozen, MailboxDenied, MappingQuestion, Nonsense,
            QueuePage, RouteQuestion, StageQuestion, Unavailable,
        },
        socket,
    },
    api::{
        AccessExplained, CertificateShown, ForgetOrder, HistoryLine, HistoryTrouble, HostOrdered,
        HostResume, HostSuspend, HostSuspended, LimitSet, LimitShown, MailboxAnswer, MailboxFilter,
        MailboxOrder, MappingExplained, NewOrder, OrderProgress, OrderShown, OrdersListed,
        Overview, PartOrder, PartsOrdered, Phase, QueueFilter, QueueOrder, QueueSummary,
        QueuedMessage, ReloadOrder, Reloaded, RouteExplained, Series, SeriesAsked, SetLimit,
        StageExplained, Status, TraceAnswer, TraceForgotten, TraceQuestion, Why,
    },
    logging::Sink,
    start::{Engine, Floors},
    state::{audit::AuditLog, standing::StandingFile, stopped::Stopped, suspended::SuspendedHosts},
};

/// The engine's console. Made before the engine, so that it can say that it is starting.
#[derive(Clone)]
pub struct EngineConsole(Arc<ConsoleState>);

struct ConsoleState {
    config: RwLock<Arc<Config>>,
    log: Sink,
    data: PathBuf,
    started: (Timestamp, Instant),
    phase: Mutex<Phase>,
    parts: RwLock<Option<Arc<Parts>>>,
    reloads: OnceLock<mpsc::Sender<ReloadAsked>>,
    keeper: Arc<OrderKeeper>,
    stop: Notify,
    glance: Glance,
}

/// Somebody wants the file to be read again, and waits for what comes of it.
pub struct ReloadAsked {
    /// How.
    pub order: ReloadOrder,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Reloaded>,
}

impl EngineConsole {
    /// For an engine that is about to start.
    pub fn new(config: Arc<Config>, log: Sink) -> Self {
        Self(Arc::new(ConsoleState {
            data: config.data.clone(),
            config: RwLock::new(config),
            log,
            started: (Timestamp::now(), Instant::now()),
            phase: Mutex::new(Phase::Starting),
            parts: RwLock::default(),
            reloads: OnceLock::new(),
            keeper: Arc::default(),
            stop: Notify::new(),
            glance: Glance::default(),
        }))
    }

    /// The engine runs, and reloads are carried out by whoever reads what is asked.
    pub fn started(&self, engine: &Engine) -> mpsc::Receiver<ReloadAsked> {
        let parts = Parts::of(&engine.floors, Arc::default());
        *self.0.parts.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(parts));
        let (ask, asked) = mpsc::channel(MOST_RELOADS);
        // An engine starts once in the life of a console.
        let _ = self.0.reloads.set(ask);
        self.enter(Phase::Running);
        actix::spawn(self.clone().record());
        asked
    }

    /// Does what standing orders want, for as long as the engine runs; their ends are written down.
    pub async fn keep_orders(self, audit: AuditLog) {
        let keeper = Arc::clone(&self.0.keeper);
        let file = StandingFile::new(&self.0.data);
        order_keeper::keep(|| self.known_parts(), keeper, file, audit).await;
    }

    /// Another configuration is in force.
    pub fn adopted(&self, floors: &Floors) {
        let mut parts = self.0.parts.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = parts.take() {
            *parts = Some(Arc::new(Parts::of(floors, before.reroutes.clone())));
        }
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = floors.config().clone();
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The engine begins to end.
    pub fn draining(&self) {
        self.enter(Phase::Draining);
    }

    /// Until somebody asks for the end.
    pub async fn stop_asked(&self) {
        self.0.stop.notified().await;
    }

    fn enter(&self, phase: Phase) {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn phase(&self) -> Phase {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self, surveys: bool) -> Answer<Arc<Overview>> {
        let (parts, config) = (self.parts()?, self.config());
        let (phase, uptime) = (self.phase(), self.uptime());
        let seen = EngineSeen { parts: &parts, config: &config, phase, uptime };
        self.0.glance.look(&seen, surveys).await
    }

    /// Counts for as long as the engine runs.
    async fn record(self) {
        let mut ticks = interval(recorder::EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(parts) = self.known_parts() else { continue };
            if self.0.glance.record(&parts) {
                // Nobody reads it; an actor that is gone ends the engine without this.
                let _ = self.look(false).await;
            }
        }
    }

    fn uptime(&self) -> Duration {
        self.0.started.1.elapsed()
    }

    fn parts(&self) -> Answer<Arc<Parts>> {
        self.known_parts().ok_or_else(|| Unavailable("the engine is starting".to_owned()))
    }

    fn known_parts(&self) -> Option<Arc<Parts>> {
        self.0.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Console for EngineConsole {
    type Cursor = ListPosition;
    type OrderCursor = OrderPosition;

    async fn status(&self) -> Answer<Status> {
        let parts = self.parts()?;
        let config = &*self.config();
        let services = parts.dispatcher.ask(DescribeDispatcher).await.map_err(gone)?;
        let queue = parts.queue.ask(DescribeQueue).await.map_err(gone)?;
        let controller = parts.controller.ask(DescribeController).await.map_err(gone)?;
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: config.host.clone(),
            pid: std::process::id(),
            data: self.0.data.display().to_string(),
            phase: self.phase(),
            started: self.0.started.0,
            uptime_seconds: self.uptime().as_secs(),
            not_ready: parts.alarms(),
            admin: iter::once(format!("unix:{}", socket::path(&self.0.data).display()))
                .chain(config.admin.listen.map(|address| {
                    let scheme = if config.admin.tls { "https" } else { "http" };
                    format!("{scheme}://{address}")
                }))
                .collect(),
            services: status::services(&services, config),
            pools: status::pools(&controller),
            channels: status::channels(&parts, &queue, &controller).await,
            job_controller: status::job_controller(&controller),
            queue: status::queue(&parts, &queue),
            troubles: status::troubles(&parts, &controller),
            suspended: hosts::suspended(&parts, &controller),
            orders: standing::shown(&parts.standing),
            limited: hosts::limited(&parts, &controller),
            stressed: status::stressed(&parts, &controller),
            partitions: status::partitions(&parts).await?,
            directory: Some(parts.directory()),
            directory_servers: parts.metrics.directory_servers.status(),
            milters: parts.metrics.milters.status(),
            history: HistoryTrouble::of(&parts.metrics),
            event_file: parts.metrics.events.file_trouble(),
            webhooks: parts.metrics.events.status(),
            log_lines_lost: self.0.log.lost(),
        };
        status.sort();
        Ok(status)
    }

    async fn overview(&self) -> Answer<Arc<Overview>> {
        self.look(true).await
    }

    fn series(&self, asked: SeriesAsked) -> Answer<Series> {
        self.0.glance.series(asked.span)
    }

    fn check(&self, filter: &QueueFilter) -> Result<(), Nonsense> {
        // A name that cannot be checked while the engine starts is checked by the request that
        // follows.
        let (Some(parts), Some(channel)) = (self.known_parts(), &filter.channel) else {
            return Ok(());
        };
        limits::check_channel(&parts, channel)
    }

    async fn queue_list(
        &self,
        filter: &QueueFilter,
        after: Option<ListPosition>,
        limit: usize,
    ) -> Answer<QueuePage<ListPosition>> {
        let parts = self.parts()?;
        let (pages, (found, next)) = match after {
            None => {
                let found = look_up(&parts, Position::first(), filter, limit).await?;
                (parts.storage.page_reader(), found)
            }
            Some(ListPosition { pages, next }) => (pages, joined(next).await??),
        };
        let next = next.map(|at| {
            let (console, filter) = (self.clone(), filter.clone());
            let next = async move { look_up(&*console.parts()?, at, &filter, limit).await };
            ListPosition { pages: pages.clone(), next: tokio::spawn(next) }
        });
        Ok(QueuePage { entries: lines_of(&pages, found, filter).await?, next })
    }

    async fn queue_show(&self, id: MessageId) -> Answer<Option<QueuedMessage>> {
        let parts = self.parts()?;
        let mut found = parts.storage.find(id).await.map_err(unavailable)?;
        found.retain(|entry| !is_delivered_to_all(entry));
        let Some(place) = found.first().map(|entry| entry.place) else { return Ok(None) };
        let (envelope, content) = parts.storage.read(place).await.map_err(unavailable)?;
        let pages = parts.storage.page_reader();
        let described = describe(&parts, &pages, found, None, Depth::Replies).await?;
        Ok(Some(QueuedMessage {
            id: id.to_string(),
            source_channel: envelope.source_channel.to_string(),
            client: envelope.client.to_string(),
            header: header_of(&content).await,
            entries: entries_of(described),
        }))
    }

    async fn queue_content(&self, id: MessageId) -> Answer<Option<Content>> {
        let parts = self.parts()?;
        let mut found = parts.storage.find(id).await.map_err(unavailable)?;
        found.retain(|entry| !is_delivered_to_all(entry));
        let Some(place) = found.first().map(|entry| entry.place) else { return Ok(None) };
        let (_, content) = parts.storage.read(place).await.map_err(unavailable)?;
        Ok(Some(content))
    }

    async fn queue_summary(&self) -> Answer<QueueSummary> {
        summary::of_queue(&*self.parts()?).await
    }

    async fn queue_order(
        &self,
        order: &QueueOrder,
        at: Option<OrderPosition>,
    ) -> Answer<(OrderProgress, Option<OrderPosition>)> {
        orders::go_on(&*self.parts()?, order, at).await
    }

    async fn queue_why(&self, id: MessageId) -> Answer<Vec<Why>> {
        account::why(&*self.parts()?, id).await
    }

    async fn queue_history(&self, id: MessageId) -> Answer<Option<Vec<HistoryLine>>> {
        message_history::history(&*self.parts()?, id).await
    }

    async fn trace(&self, question: TraceQuestion) -> Answer<Result<TraceAnswer, Nonsense>> {
        traces::trace(&*self.parts()?, &self.config(), question).await
    }

    async fn forget(&self, order: &ForgetOrder) -> Answer<TraceForgotten> {
        traces::forget(&*self.parts()?, order).await
    }

    async fn freeze_channel(
        &self,
        channel: &str,
        frozen: bool,
    ) -> Answer<Result<Frozen, Nonsense>> {
        let parts = self.parts()?;
        let was = limits::freeze(&parts, &Stopped::new(&self.0.data), channel, frozen).await?;
        let delivers = parts.delivers(&self.config(), channel);
        Ok(was.map(|was_stopped| Frozen { was_stopped, delivers }))
    }

    async fn suspend_host(&self, order: &HostSuspend) -> Answer<Result<HostOrdered, Nonsense>> {
        let file = SuspendedHosts::new(&self.0.data);
        hosts::suspend(&*self.parts()?, &file, order).await
    }

    async fn resume_host(&self, order: &HostResume) -> Answer<Result<HostOrdered, Nonsense>> {
        let file = SuspendedHosts::new(&self.0.data);
        hosts::resume(&*self.parts()?, &file, order).await
    }

    async fn suspended_hosts(&self) -> Answer<Vec<HostSuspended>> {
        hosts::list(&*self.parts()?).await
    }

    async fn standing_orders(&self) -> Answer<OrdersListed> {
        standing::list(&*self.parts()?).await
    }

    async fn add_order(&self, new: &NewOrder) -> Answer<Result<OrderShown, Nonsense>> {
        let file = StandingFile::new(&self.0.data);
        standing::add(&*self.parts()?, (&self.0.keeper, file), new).await
    }

    async fn preview_order(&self, new: &NewOrder) -> Answer<Result<OrderProgress, Nonsense>> {
        standing::preview(&*self.parts()?, new).await
    }

    async fn remove_order(
        &self,
        id: u64,
        release: bool,
    ) -> Answer<Result<Option<OrderShown>, Nonsense>> {
        let file = StandingFile::new(&self.0.data);
        standing::remove(&*self.parts()?, (&self.0.keeper, file), id, release).await
    }

    async fn set_limit(&self, order: &SetLimit) -> Answer<Result<LimitSet, Nonsense>> {
        limits::set(&*self.parts()?, &self.config(), order).await
    }

    fn configuration(&self) -> String {
        self.config().to_ron()
    }

    async fn show_limits(&self, key: Option<&str>) -> Answer<Result<Vec<LimitShown>, Nonsense>> {
        limits::show(&*self.parts()?, &self.config(), key).await
    }

    fn certificates(&self) -> Answer<Vec<CertificateShown>> {
        let certificates = self.parts()?.certificates.certificates();
        Ok(certificates.iter().map(CertificateShown::of).collect())
    }

    fn server_tls(&self) -> Option<Arc<ServerTls>> {
        self.known_parts().map(|parts| parts.certificates.clone())
    }

    async fn counters(&self) -> Answer<ChannelCounters> {
        let parts = self.parts()?;
        for (channel, counts) in parts.storage.counts() {
            parts.metrics.channel(&channel).stored((&counts).into());
        }
        Ok(parts.metrics.counters())
    }

    async fn explain_route(
        &self,
        question: RouteQuestion,
    ) -> Answer<Result<RouteExplained, Nonsense>> {
        let (parts, config) = (self.parts()?, self.config());
        let asked_of = question.clone();
        let asked =
            explain::explain(&config, &parts.channels, &parts.router, &question, false).await;
        let mut explained = asked.map_err(gone)?;
        if let Ok(explained) = &mut explained {
            explained.asked = format!("the running engine, process {}", std::process::id());
            ordered_by::foresee(&parts.standing, &asked_of, explained.ways_mut());
            ways::look(&parts, explained.ways_mut()).await?;
        }
        Ok(explained)
    }

    async fn explain_routes(&self, questions: Vec<RouteQuestion>) -> Answer<JsonLines> {
        let (parts, config) = (self.parts()?, self.config());
        let asked =
            explain::explain_many(&config, &parts.channels, &parts.router, &questions).await;
        let mut lines = JsonLines::with_capacity(questions.len());
        for explained in asked.map_err(gone)? {
            lines.add(&explained).map_err(|error| Unavailable(error.to_string()))?;
        }
        Ok(lines)
    }

    async fn test_access(
        &self,
        question: AccessQuestion,
    ) -> Answer<Result<AccessExplained, Nonsense>> {
        let (parts, config) = (self.parts()?, self.config());
        let asked = access::test_access(&config, &parts.router, &question).await;
        let mut explained = asked.map_err(gone)?;
        if let Ok(explained) = &mut explained {
            explained.asked = format!("the running engine, process {}", std::process::id());
        }
        Ok(explained)
    }

    async fn probe_stage(
        &self,
        question: StageQuestion,
    ) -> Answer<Result<StageExplained, Nonsense>> {
        let (parts, config) = (self.parts()?, self.config());
        let explained = stages::probe_stage(&config, &parts.router, &question).await;
        Ok(explained.map(|explained| StageExplained {
            asked: format!("the running engine, process {}", std::process::id()),
            ..explained
        }))
    }

    async fn explain_mapping(
        &self,
        question: MappingQuestion,
    ) -> Answer<Result<MappingExplained, Nonsense>> {
        let explained = tables::explain_mapping(&self.parts()?.router, &question).await;
        Ok(explained.map(|explained| MappingExplained {
            asked: format!("the running engine, process {}", std::process::id()),
            ..explained
        }))
    }

    fn ready(&self) -> Result<(), String> {
        match self.phase() {
            Phase::Running => {}
            phase => return Err(format!("the engine is {}", phase.name())),
        }
        let reasons = self.known_parts().map(|parts| parts.alarms()).unwrap_or_default();
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }

    async fn order_parts(&self, asked: &PartOrder) -> Answer<Result<PartsOrdered, Nonsense>> {
        control::order(&*self.parts()?, &self.config(), asked).await
    }

    async fn mailbox_list(
        &self,
        filter: MailboxFilter,
    ) -> Answer<mpsc::Receiver<Answer<JsonLines>>> {
        mailboxes::list(&*self.parts()?, filter).await
    }

    async fn mailbox_order(
        &self,
        order: &MailboxOrder,
    ) -> Answer<Result<MailboxAnswer, MailboxDenied>> {
        mailboxes::order(&*self.parts()?, &self.config(), order).await
    }

    async fn reload(&self, order: ReloadOrder) -> Answer<Reloaded> {
        let starting = || Unavailable("the engine is starting".to_owned());
        let reloads = self.0.reloads.get().ok_or_else(starting)?;
        let (answer, answered) = oneshot::channel();
        let busy = |_| Unavailable("reloads are under way already".to_owned());
        reloads.try_send(ReloadAsked { order, answer }).map_err(busy)?;
        answered.await.map_err(|_| Unavailable("the engine is ending".to_owned()))
    }

    fn stop(&self) {
        self.0.stop.notify_one();
    }

    async fn metrics_page(&self, format: Format) -> String {
        let Some(parts) = self.known_parts() else {
            return "# EOF\n".to_owned();
        };
        parts.metrics.log_lines_lost.inner().store(self.0.log.lost(), Ordering::Relaxed);
        gauges::update(&parts, &self.config()).await;
        parts.metrics.page(format)
    }
}

/// The header's lines, as far as they fit a page.
async fn header_of(content: &Content) -> Vec<String> {
    let octets = match content {
        Content::Whole(octets) => octets.slice(..octets.len().min(HEADER_SHOWN)),
        Content::File { path, .. } => {
            let mut head = Vec::new();
            // A file that cannot be read is told of by the request that wants all of it.
            if let Ok(file) = tokio::fs::File::open(path).await {
                let _ = file.take(HEADER_SHOWN as u64).read_to_end(&mut head).await;
            }
            head.into()
        }
    };
    let text = String::from_utf8_lossy(&octets).into_owned();
    text.split("\r\n").take_while(|line| !line.is_empty()).map(str::to_owned).collect()
}

const HEADER_SHOWN: usize = 16 << 10;
/// Reloads that wait for the one that is carried out.
const MOST_RELOADS: usize = 8;
