//! A console without an engine, for tests.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use relais_actors::{
    front::control::ServiceState,
    metrics::{ChannelCounters, Event, Format, Labels, Metrics, QueueState, Volume, WorkerState},
    timestamp::Timestamp,
};
use relais_channels::{
    mail::{Content, MessageId},
    tls::ServerTls,
};

use tokio::sync::mpsc;

use super::{
    AccessQuestion, Answer, Console, Frozen, JsonLines, MailboxDenied, MappingQuestion, Nonsense,
    QueuePage, RouteQuestion, StageQuestion, Unavailable, fake_overview,
};
use crate::api::{
    AccessExplained, CertificateShown, ChannelStatus, ChannelSummary, ForgetOrder, GuardedText,
    HistoryLine, HostOrdered, HostResume, HostSummary, HostSuspend, HostSuspended, LimitSet,
    LimitShown, LimitValue, MailboxAnswer, MailboxFilter, MailboxListed, MailboxOrder,
    MappingExplained, NewOrder, OrderProgress, OrderShown, OrdersListed, Overview, PartOrder,
    PartsOrdered, Phase, PoolStatus, QueueFilter, QueueOrder, QueueStatus, QueueSummary,
    QueuedEntry, QueuedMessage, QueuedRecipient, ReloadOrder, Reloaded, RouteExplained,
    RouteResult, RouteStep, Series, SeriesAsked, ServiceStatus, SetLimit, StageExplained, Status,
    TraceAnswer, TraceForgotten, TraceQuestion, Why, WorkerStatus,
};

/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Fake(pub(crate) Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    /// Entries in the queue, with ids from 0.
    pub(crate) entries: AtomicU64,
    /// The entry at which listing fails; 0 for none.
    pub(crate) break_at: AtomicU64,
    pub(crate) largest_page: AtomicUsize,
    pub(crate) stops: AtomicU64,
    /// Entries with which something was done.
    pub(crate) ordered: AtomicU64,
    pub(crate) not_ready: Mutex<Option<String>>,
}

pub(crate) fn entry(n: u64) -> QueuedEntry {
    QueuedEntry {
        id: MessageId(n).to_string(),
        channel: "tcp_lmtpcs".to_owned(),
        host: "store1.example".to_owned(),
        sender: "ann@example.org".to_owned(),
        size: 4096,
        received: Timestamp(1_788_133_501_123),
        state: QueueState::Ready,
        attempts: 0,
        due: None,
        priority: "normal".to_owned(),
        ordered: None,
        recipients: vec![QueuedRecipient {
            address: "alice".to_owned(),
            member: None,
            state: QueueState::Ready.into(),
            last_reply: None,
            quota: None,
        }],
    }
}

impl Console for Fake {
    type Cursor = u64;
    type OrderCursor = u64;

    async fn status(&self) -> Answer<Status> {
        let now = Timestamp(1_788_133_501_123);
        Ok(Status {
            version: "0.1.0".to_owned(),
            host: "localhost".to_owned(),
            pid: 7,
            data: "relais-data".to_owned(),
            phase: Phase::Running,
            started: now,
            uptime_seconds: 60,
            not_ready: vec![],
            admin: vec!["unix:relais-data/admin.sock".to_owned()],
            services: vec![running_service(now)],
            job_controller: ServiceState::Running,
            pools: vec![PoolStatus { name: "SMTP_POOL".to_owned(), job_limit: 10, running: 1 }],
            channels: vec![ChannelStatus {
                name: "tcp_lmtpcs".to_owned(),
                program: "lmtp".to_owned(),
                pool: "SMTP_POOL".to_owned(),
                maxjobs: 7,
                jobs: 1,
                threads: 1,
                stopped: false,
                unserved: false,
                ready: 2,
                active: 1,
                delayed: 0,
                held: 0,
                oldest: None,
            }],
            queue: QueueStatus {
                tracked: 3,
                stored: 3,
                max_messages: 100,
                spool_bytes: 1 << 20,
                paused: None,
                refusing: None,
            },
            troubles: vec![],
            orders: vec![],
            suspended: vec![],
            limited: vec![],
            stressed: vec![],
            partitions: vec![],
            directory: None,
            directory_servers: Vec::new(),
            event_file: None,
            webhooks: Vec::new(),
            milters: Vec::new(),
            history: None,
            log_lines_lost: 0,
        })
    }

    async fn overview(&self) -> Answer<Arc<Overview>> {
        Ok(Arc::new(fake_overview::overview()))
    }

    fn series(&self, asked: SeriesAsked) -> Answer<Series> {
        Ok(Series {
            span: asked.span,
            step_seconds: 10,
            end: Timestamp(1_788_133_501_123),
            since: Timestamp(1_788_133_441_123),
            channels: Vec::new(),
            queue: vec![3; 360],
            held: vec![0; 360],
        })
    }

    fn check(&self, filter: &QueueFilter) -> Result<(), Nonsense> {
        let known = filter.names_channel("tcp_lmtpcs");
        if known { Ok(()) } else { Err(Nonsense("there is no channel of this name".to_owned())) }
    }

    async fn queue_list(
        &self,
        filter: &QueueFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Answer<QueuePage<u64>> {
        let (first, all) = (after.unwrap_or(0), self.0.entries.load(Relaxed));
        let end = all.min(first + limit as u64);
        let break_at = self.0.break_at.load(Relaxed);
        if break_at > 0 && end > break_at {
            return Err(Unavailable("the queue has died".to_owned()));
        }
        self.0.largest_page.fetch_max((first..end).count(), Relaxed);
        let mut entries = JsonLines::default();
        for entry in (first..end).map(entry).filter(|e| filter.admits(e, Timestamp::now())) {
            entries.add(&entry).map_err(|error| Unavailable(error.to_string()))?;
        }
        Ok(QueuePage { entries, next: (end < all).then_some(end) })
    }

    async fn queue_show(&self, id: MessageId) -> Answer<Option<QueuedMessage>> {
        Ok((id == MessageId(1)).then(|| QueuedMessage {
            id: id.to_string(),
            source_channel: "tcp_local".to_owned(),
            client: "a.example [192.0.2.1]".to_owned(),
            header: vec!["Subject: hello".to_owned()],
            entries: vec![entry(1)],
        }))
    }

    async fn queue_content(&self, id: MessageId) -> Answer<Option<Content>> {
        let content = || Content::Whole("Subject: hello\r\n\r\nIt works.\r\n".into());
        Ok((id == MessageId(1)).then(content))
    }

    async fn queue_summary(&self) -> Answer<QueueSummary> {
        let (channel, host) = ("tcp_lmtpcs".to_owned(), "store1.example".to_owned());
        Ok(QueueSummary {
            channels: vec![ChannelSummary {
                channel: channel.clone(),
                messages: 3,
                ..Default::default()
            }],
            hosts: vec![HostSummary { channel, host, messages: 3, oldest: None }],
        })
    }

    async fn queue_order(
        &self,
        order: &QueueOrder,
        at: Option<u64>,
    ) -> Answer<(OrderProgress, Option<u64>)> {
        let (first, of) = (at.unwrap_or(0), self.0.entries.load(Relaxed));
        let seen = of.min(first + 100);
        if !order.dry_run {
            self.0.ordered.fetch_add(seen - first, Relaxed);
        }
        let ended = seen == of;
        let progress = OrderProgress { seen, of, done: seen, ended, ..OrderProgress::default() };
        Ok((progress, (!ended).then_some(seen)))
    }

    async fn queue_why(&self, id: MessageId) -> Answer<Vec<Why>> {
        let why = || Why {
            channel: "tcp_lmtpcs".to_owned(),
            host: "store1.example".to_owned(),
            waits_for: "suspended".to_owned(),
            limit: None,
            since: None,
            order: None,
            text: GuardedText::of_engine("store1.example could not be talked to."),
        };
        Ok((id == MessageId(1)).then(why).into_iter().collect())
    }

    async fn queue_history(&self, id: MessageId) -> Answer<Option<Vec<HistoryLine>>> {
        Ok((id == MessageId(1)).then(Vec::new))
    }

    async fn trace(&self, question: TraceQuestion) -> Answer<Result<TraceAnswer, Nonsense>> {
        let unknown = || Nonsense("nothing is named".to_owned());
        Ok((!question.name.is_empty()).then(TraceAnswer::default).ok_or_else(unknown))
    }

    async fn forget(&self, _: &ForgetOrder) -> Answer<TraceForgotten> {
        Ok(TraceForgotten { records: 1, shortened: 0 })
    }

    async fn freeze_channel(&self, channel: &str, _: bool) -> Answer<Result<Frozen, Nonsense>> {
        let unknown = || Nonsense(format!("there is no channel {channel:?}"));
        Ok((channel == "tcp_lmtpcs")
            .then_some(Frozen { was_stopped: false, delivers: true })
            .ok_or_else(unknown))
    }

    async fn suspend_host(&self, order: &HostSuspend) -> Answer<Result<HostOrdered, Nonsense>> {
        let HostSuspend { host, channel, .. } = order.clone();
        Ok(order
            .check()
            .map(|()| HostOrdered {
                host,
                channel,
                until: None,
                was_suspended: false,
                goes_on: Vec::new(),
            })
            .map_err(|error| Nonsense(error.to_string())))
    }

    async fn resume_host(&self, order: &HostResume) -> Answer<Result<HostOrdered, Nonsense>> {
        let HostResume { host, channel } = order.clone();
        Ok(Ok(HostOrdered { host, channel, until: None, was_suspended: true, goes_on: Vec::new() }))
    }

    async fn suspended_hosts(&self) -> Answer<Vec<HostSuspended>> {
        Ok(Vec::new())
    }

    async fn standing_orders(&self) -> Answer<OrdersListed> {
        Ok(OrdersListed::default())
    }

    async fn add_order(&self, _: &NewOrder) -> Answer<Result<OrderShown, Nonsense>> {
        Ok(Err(Nonsense("none is taken".to_owned())))
    }

    async fn preview_order(&self, _: &NewOrder) -> Answer<Result<OrderProgress, Nonsense>> {
        Ok(Ok(OrderProgress { done: 3, ended: true, ..OrderProgress::default() }))
    }

    async fn remove_order(&self, _: u64, _: bool) -> Answer<Result<Option<OrderShown>, Nonsense>> {
        Ok(Ok(None))
    }

    async fn reload(&self, _: ReloadOrder) -> Answer<Reloaded> {
        Ok(Reloaded::default())
    }

    async fn order_parts(&self, asked: &PartOrder) -> Answer<Result<PartsOrdered, Nonsense>> {
        Ok(match asked.part.as_deref() {
            None => Ok(PartsOrdered::default()),
            Some(part) => Err(Nonsense(format!("there is no service {part:?}"))),
        })
    }

    async fn set_limit(&self, order: &SetLimit) -> Answer<Result<LimitSet, Nonsense>> {
        let line = format!("job_controller: (max_messages: {}, ...),", order.value);
        let (was, now) = (Some(LimitValue::Number(1)), Some(order.value.clone()));
        Ok(Ok(LimitSet { key: order.key.clone(), was: was.clone(), now, after_restart: was, line }))
    }

    fn configuration(&self) -> String {
        relais_config::STANDALONE.to_owned()
    }

    async fn show_limits(&self, key: Option<&str>) -> Answer<Result<Vec<LimitShown>, Nonsense>> {
        let key = key.unwrap_or("max_messages").to_owned();
        let value = Some(LimitValue::Number(1));
        Ok(Ok(vec![LimitShown { key, value: value.clone(), configured: value, saved: None }]))
    }

    fn certificates(&self) -> Answer<Vec<CertificateShown>> {
        Ok(Vec::new())
    }

    fn server_tls(&self) -> Option<Arc<ServerTls>> {
        None
    }

    async fn counters(&self) -> Answer<ChannelCounters> {
        let tally = Volume { messages: 1, recipients: 2, bytes: 4096 };
        let events = BTreeMap::from(Event::ALL.map(|event| (event, tally)));
        Ok(ChannelCounters(BTreeMap::from([("tcp_local".to_owned(), events)])))
    }

    async fn explain_route(
        &self,
        question: RouteQuestion,
    ) -> Answer<Result<RouteExplained, Nonsense>> {
        Ok(Ok(explain(&question)))
    }

    async fn mailbox_list(
        &self,
        filter: MailboxFilter,
    ) -> Answer<mpsc::Receiver<Answer<JsonLines>>> {
        let (to, pieces) = mpsc::channel(2);
        let mut lines = JsonLines::default();
        let mailbox = format!("alice@{}", filter.domain.unwrap_or("relais.example".to_owned()));
        let line = MailboxListed { mailbox, path: "store/x".to_owned() };
        lines.add(&line).map_err(|error| Unavailable(error.to_string()))?;
        let _ = to.try_send(Ok(lines));
        Ok(pieces)
    }

    async fn mailbox_order(
        &self,
        order: &MailboxOrder,
    ) -> Answer<Result<MailboxAnswer, MailboxDenied>> {
        if order.mailbox == "nobody" {
            return Ok(Err(MailboxDenied::Missing(
                "there is no mailbox nobody@relais.example".to_owned(),
            )));
        }
        let mailbox = format!("{}@relais.example", order.mailbox);
        Ok(Ok(MailboxAnswer { mailbox, changed: true, ..MailboxAnswer::default() }))
    }

    async fn explain_routes(&self, questions: Vec<RouteQuestion>) -> Answer<JsonLines> {
        let mut lines = JsonLines::default();
        for question in &questions {
            lines.add(&explain(question)).map_err(|error| Unavailable(error.to_string()))?;
        }
        Ok(lines)
    }

    async fn test_access(
        &self,
        question: AccessQuestion,
    ) -> Answer<Result<AccessExplained, Nonsense>> {
        Ok(Ok(AccessExplained {
            client: question.client,
            service: "SMTP".to_owned(),
            accepted: true,
            reply: "220 relais.example".to_owned(),
            table: None,
            entry: None,
            text: None,
            steps: Vec::new(),
            asked: String::new(),
        }))
    }

    async fn probe_stage(
        &self,
        StageQuestion { stage, input, .. }: StageQuestion,
    ) -> Answer<Result<StageExplained, Nonsense>> {
        let stage = stage.name().to_owned();
        Ok(Ok(StageExplained { stage, input, ..StageExplained::default() }))
    }

    async fn explain_mapping(
        &self,
        question: MappingQuestion,
    ) -> Answer<Result<MappingExplained, Nonsense>> {
        let MappingQuestion { table, input, .. } = question;
        Ok(Ok(MappingExplained { table, input, ..MappingExplained::default() }))
    }

    fn ready(&self) -> Result<(), String> {
        self.0.not_ready.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn stop(&self) {
        self.0.stops.fetch_add(1, Relaxed);
    }

    async fn metrics_page(&self, format: Format) -> String {
        Metrics::new(&Labels::default()).page(format)
    }
}

/// Everybody at `relais.example` is known.
pub(crate) fn explain(question: &RouteQuestion) -> RouteExplained {
    let input = question.address.clone();
    let Some(user) = input.strip_suffix("@relais.example") else {
        let reply = "550 5.7.1 relaying denied".to_owned();
        return RouteExplained { input, reply, ..RouteExplained::default() };
    };
    let result = RouteResult {
        address: user.to_owned(),
        channel: "tcp_lmtpcs".to_owned(),
        tag: "lmtpcs-daemon".to_owned(),
        next_hop: "localhost:2225".to_owned(),
        ..RouteResult::default()
    };
    let step = RouteStep {
        step: "rule".to_owned(),
        detail: "$* matched".to_owned(),
        ..RouteStep::default()
    };
    RouteExplained {
        accepted: true,
        reply: "250 2.1.5 Ok".to_owned(),
        results: vec![result],
        steps: vec![step],
        input,
        ..RouteExplained::default()
    }
}

fn running_service(started: Timestamp) -> ServiceStatus {
    ServiceStatus {
        name: "SMTP".to_owned(),
        program: "smtp".to_owned(),
        channel: "tcp_local".to_owned(),
        state: ServiceState::Running,
        listen: vec!["127.0.0.1:2525".to_owned()],
        connections: 3,
        accepted: 10,
        refused: 1,
        workers: vec![WorkerStatus {
            id: 1,
            state: WorkerState::Active,
            arbiter: 0,
            connections: 3,
            peak: 5,
            served: 10,
            started,
        }],
    }
}
