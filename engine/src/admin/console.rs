//! Questions of the admin endpoint to the engine behind it.

use std::{future::Future, net::IpAddr, sync::Arc};

use relais_actors::metrics::{ChannelCounters, Format};
use relais_channels::{
    mail::{Content, MessageId},
    tls::ServerTls,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::JsonLines;
#[cfg(doc)]
use crate::api::QueuedEntry;
use crate::api::{
    AccessExplained, CertificateShown, ForgetOrder, HistoryLine, HostOrdered, HostResume,
    HostSuspend, HostSuspended, LimitSet, LimitShown, MailboxAnswer, MailboxFilter, MailboxOrder,
    MappingExplained, NewOrder, OrderProgress, OrderShown, OrdersListed, Overview, PartOrder,
    PartsOrdered, QueueFilter, QueueOrder, QueueSummary, QueuedMessage, ReloadOrder, Reloaded,
    RouteExplained, Series, SeriesAsked, SetLimit, StageExplained, Status, TraceAnswer,
    TraceForgotten, TraceQuestion, Why,
};

/// The engine as operators see it. Usable from any thread, and from before the engine has
/// started until after it has stopped: what cannot be answered then is [`Unavailable`].
pub trait Console: Clone + Send + Sync + 'static {
    /// Where a listing goes on. Lives as long as one listing, and is shown to nobody.
    type Cursor: Send + 'static;
    /// The same for an order.
    type OrderCursor: Send + 'static;

    /// Services, pools, channels, queue.
    fn status(&self) -> impl Future<Output = Answer<Status>> + Send;

    /// The engine at a glance: worked out once a second at most, however many ask.
    fn overview(&self) -> impl Future<Output = Answer<Arc<Overview>>> + Send;

    /// The figures of channels in the last hour or day, step by step.
    fn series(&self, asked: SeriesAsked) -> Answer<Series>;

    /// Checks that the channel of a filter is there: configured, or with mail.
    fn check(&self, filter: &QueueFilter) -> Result<(), Nonsense>;

    /// At most `limit` entries that the filter admits, behind `after`. May return fewer, even none,
    /// as long as [`QueuePage::next`] says that there is more: each call does a bounded amount of
    /// work. [`QueueFilter::limit`] is the caller's business. The next page may be looked up ahead:
    /// a `limit` that grows from one page to the next may take effect a page later.
    fn queue_list(
        &self,
        filter: &QueueFilter,
        after: Option<Self::Cursor>,
        limit: usize,
    ) -> impl Future<Output = Answer<QueuePage<Self::Cursor>>> + Send;

    /// One message; `None` when there is no such message.
    fn queue_show(
        &self,
        id: MessageId,
    ) -> impl Future<Output = Answer<Option<QueuedMessage>>> + Send;

    /// The content of one message; `None` when there is no such message.
    fn queue_content(&self, id: MessageId) -> impl Future<Output = Answer<Option<Content>>> + Send;

    /// The sum of all that waits.
    fn queue_summary(&self) -> impl Future<Output = Answer<QueueSummary>> + Send;

    /// Carries out a bounded piece of an order, and says how far it has come in all, and where it
    /// goes on; `None` at its end.
    fn queue_order(
        &self,
        order: &QueueOrder,
        at: Option<Self::OrderCursor>,
    ) -> impl Future<Output = Answer<(OrderProgress, Option<Self::OrderCursor>)>> + Send;

    /// Why each entry of a message does not move; none when there is no such message.
    fn queue_why(&self, id: MessageId) -> impl Future<Output = Answer<Vec<Why>>> + Send;

    /// The history of a message that is in the queue; `None` when there is no such message.
    fn queue_history(
        &self,
        id: MessageId,
    ) -> impl Future<Output = Answer<Option<Vec<HistoryLine>>>> + Send;

    /// Tells what became of messages, as the delivery history has it.
    fn trace(
        &self,
        question: TraceQuestion,
    ) -> impl Future<Output = Answer<Result<TraceAnswer, Nonsense>>> + Send;

    /// Forgets an address in the delivery history.
    fn forget(&self, order: &ForgetOrder) -> impl Future<Output = Answer<TraceForgotten>> + Send;

    /// Stops a channel, or starts it again, restarts of the engine included. Says what it
    /// was before.
    fn freeze_channel(
        &self,
        channel: &str,
        frozen: bool,
    ) -> impl Future<Output = Answer<Result<Frozen, Nonsense>>> + Send;

    /// Suspends a host for a while, restarts of the engine included.
    fn suspend_host(
        &self,
        order: &HostSuspend,
    ) -> impl Future<Output = Answer<Result<HostOrdered, Nonsense>>> + Send;

    /// Lets a host go on.
    fn resume_host(
        &self,
        order: &HostResume,
    ) -> impl Future<Output = Answer<Result<HostOrdered, Nonsense>>> + Send;

    /// Hosts that get nothing, or less, by an order or a reply.
    fn suspended_hosts(&self) -> impl Future<Output = Answer<Vec<HostSuspended>>> + Send;

    /// Orders that stand, and hosts that wait by orders of their own.
    fn standing_orders(&self) -> impl Future<Output = Answer<OrdersListed>> + Send;

    /// Puts an order in force, restarts of the engine included.
    fn add_order(
        &self,
        new: &NewOrder,
    ) -> impl Future<Output = Answer<Result<OrderShown, Nonsense>>> + Send;

    /// Counts the mail that an order would touch now.
    fn preview_order(
        &self,
        new: &NewOrder,
    ) -> impl Future<Output = Answer<Result<OrderProgress, Nonsense>>> + Send;

    /// Ends an order; `None`: there is no such order.
    fn remove_order(
        &self,
        id: u64,
        release: bool,
    ) -> impl Future<Output = Answer<Result<Option<OrderShown>, Nonsense>>> + Send;

    /// Changes a limit until the engine stops, or for good.
    fn set_limit(
        &self,
        order: &SetLimit,
    ) -> impl Future<Output = Answer<Result<LimitSet, Nonsense>>> + Send;

    /// The configuration that the engine runs with, as RON; limits as they were at the start.
    fn configuration(&self) -> String;

    /// The limit of this name as it is now, or all of them.
    fn show_limits(
        &self,
        key: Option<&str>,
    ) -> impl Future<Output = Answer<Result<Vec<LimitShown>, Nonsense>>> + Send;

    /// The certificates that clients are shown.
    fn certificates(&self) -> Answer<Vec<CertificateShown>>;

    /// Certificates and keys as the engine has them in force; nothing before it has any.
    fn server_tls(&self) -> Option<Arc<ServerTls>>;

    /// The counters of every channel.
    fn counters(&self) -> impl Future<Output = Answer<ChannelCounters>> + Send;

    /// How an address would be routed.
    fn explain_route(
        &self,
        question: RouteQuestion,
    ) -> impl Future<Output = Answer<Result<RouteExplained, Nonsense>>> + Send;

    /// The same for many, without the steps; of a question that makes no sense that is the reply.
    fn explain_routes(
        &self,
        questions: Vec<RouteQuestion>,
    ) -> impl Future<Output = Answer<JsonLines>> + Send;

    /// Probes a mapping table.
    fn explain_mapping(
        &self,
        question: MappingQuestion,
    ) -> impl Future<Output = Answer<Result<MappingExplained, Nonsense>>> + Send;

    /// Probes one stage of routing.
    fn probe_stage(
        &self,
        question: StageQuestion,
    ) -> impl Future<Output = Answer<Result<StageExplained, Nonsense>>> + Send;

    /// Asks access tables about a client.
    fn test_access(
        &self,
        question: AccessQuestion,
    ) -> impl Future<Output = Answer<Result<AccessExplained, Nonsense>>> + Send;

    /// Whether the spool is recovered and every service listens; if not, why.
    fn ready(&self) -> Result<(), String>;

    /// Stops, starts or restarts parts of the engine: services, workers, the job controller.
    fn order_parts(
        &self,
        asked: &PartOrder,
    ) -> impl Future<Output = Answer<Result<PartsOrdered, Nonsense>>> + Send;

    /// Lines for the store's mailboxes, in pieces, as somebody takes them.
    fn mailbox_list(
        &self,
        filter: MailboxFilter,
    ) -> impl Future<Output = Answer<mpsc::Receiver<Answer<JsonLines>>>> + Send;

    /// Does what is wanted with one of the store's mailboxes.
    fn mailbox_order(
        &self,
        order: &MailboxOrder,
    ) -> impl Future<Output = Answer<Result<MailboxAnswer, MailboxDenied>>> + Send;

    /// Reads the file again, and puts it in force as a whole or not at all.
    fn reload(&self, order: ReloadOrder) -> impl Future<Output = Answer<Reloaded>> + Send;

    /// Asks the engine to drain and end. Returns at once; asking twice is asking once.
    fn stop(&self);

    /// The page that a scrape reads. Numbers that the engine's actors do not tell in time stay as
    /// they were.
    fn metrics_page(&self, format: Format) -> impl Future<Output = String> + Send;
}

/// An answer, or why there is none.
pub type Answer<T> = Result<T, Unavailable>;

/// The state so far of a channel that is stopped, or started again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Frozen {
    /// It was stopped.
    pub was_stopped: bool,
    /// Something leaves by it.
    pub delivers: bool,
}

/// The engine cannot answer now: it starts, it stops, or a part of it has died.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// The thing asked for is not there, or makes no sense; the client must ask otherwise.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct Nonsense(pub String);

/// Why nothing is done with a mailbox.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MailboxDenied {
    /// The order makes no sense.
    #[error("{0}")]
    Nonsense(String),
    /// There is no such mailbox.
    #[error("{0}")]
    Missing(String),
    /// The new name has a mailbox.
    #[error("{0}")]
    Taken(String),
}

/// A piece of a listing.
#[derive(Clone, Debug)]
pub struct QueuePage<Cursor> {
    /// A line for each [`QueuedEntry`], in the order of the listing.
    pub entries: JsonLines,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}

/// The question of `relais test access`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccessQuestion {
    /// The client.
    pub client: IpAddr,
    /// The service that it connects to; the first SMTP service when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The sender of its MAIL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The recipient of its RCPT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The name that it gives itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hello: String,
    /// It has said STARTTLS.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tls: bool,
    /// The user that it has logged in as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The result of SPF of the sender; not asked for when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf: Option<String>,
    /// The same of the name in HELO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf_helo: Option<String>,
}

/// The question of `relais test rewrite|alias|option|ldap`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StageQuestion {
    /// Which stage.
    pub stage: Stage,
    /// The address, or a URL.
    pub input: String,
    /// The channel the message comes in by; the SMTP service's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The address stands in a header line and not in the envelope.
    #[serde(default, skip_serializing_if = "is_false")]
    pub header: bool,
    /// It is a sender's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub sender: bool,
}

/// A stage of routing that can be probed by itself.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The rewrite rules.
    Rewrite,
    /// Aliases, one level deep.
    Alias,
    /// Delivery options of an entry.
    Option,
    /// Look-ups in the directory.
    Ldap,
}

impl Stage {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Alias => "alias",
            Self::Option => "option",
            Self::Ldap => "ldap",
        }
    }
}

/// The question of `relais mapping`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MappingQuestion {
    /// The table, in any case.
    pub table: String,
    /// The input.
    pub input: String,
    /// Flags that are set before the first entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<String>,
    /// As in [`AccessQuestion`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf: Option<String>,
    /// As in [`AccessQuestion`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf_helo: Option<String>,
}

/// The question of `relais route`.
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own")]
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteQuestion {
    /// The recipient.
    pub address: String,
    /// The sender; nobody in particular when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The channel the message comes in by; the SMTP service's when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The address of the client; a stranger, whom no table lets relay, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// The address stands in a header line and not in the envelope.
    #[serde(default, skip_serializing_if = "is_false")]
    pub header: bool,
    /// The client may send to domains that are not ours, whoever it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub vouched: bool,
    /// The Sieve scripts of users are wanted, too.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scripts: bool,
    /// A script redirects mail there: no client brings it, and it may go to whoever is no channel.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redirected: bool,
    /// As in [`AccessQuestion`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf: Option<String>,
    /// As in [`AccessQuestion`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spf_helo: Option<String>,
}

/// Routes of many addresses, whose steps nobody reads.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoutesQuestion {
    /// Each of them.
    pub questions: Vec<RouteQuestion>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_false(value: &bool) -> bool {
    !*value
}
