//! The side behind an SMTP session whose mail comes in by one channel: what the engine does with it.

use std::sync::Arc;

use relais_channels::{
    authenticity::Srs,
    dns::Dns,
    mail::{MessageIds, is_domain},
};
use relais_config::{Channel, channel::Switch};
use relais_storage::Storage;

use super::{
    authentication::Authenticator, descriptors::LargeMessages, filters::FilterList,
    origin::OriginPolicy, rates::RateLimits, recent::RecentRecipients,
};
use crate::{
    channel_table::Channels, metrics::Metrics, router::RouterHandle, sieve::SieveRunner,
    standing::StandingOrders,
};

/// The parts of the engine that an SMTP session needs.
#[derive(Clone)]
pub struct QueueSide {
    /// The service.
    pub service: Arc<str>,
    /// Our official name.
    pub host: Arc<str>,
    /// The domain of senders that clients we vouch for give without one.
    pub default_domain: Arc<str>,
    /// The channel mail comes in by.
    pub source_channel: Arc<str>,
    /// Where recipients go.
    pub router: RouterHandle,
    /// Where messages are kept.
    pub storage: Storage,
    /// Queue ids.
    pub ids: Arc<MessageIds>,
    /// How recipients are divided into entries.
    pub channels: Arc<Channels>,
    /// Messages above this go to a file of their own.
    pub large_message: u64,
    /// How many of those may come in at once.
    pub large_messages: LargeMessages,
    /// Limits beyond which mail is held instead of delivered.
    pub hold: HoldLimits,
    /// Limits of what one may send in an hour.
    pub rates: RateLimits,
    /// Lets users in.
    pub authenticator: Arc<Authenticator>,
    /// Mail comes from users, who may lack a header line or two.
    pub submission: Option<AuthorPolicy>,
    /// Checks of the origin of mail that strangers bring.
    pub origin: Option<OriginPolicy>,
    /// Results under our name that mail brings are ours, and stay.
    pub keeps_results: bool,
    /// Takes back the addresses that senders of forwarded mail were given.
    pub srs: Option<Arc<Srs>>,
    /// The domain of addresses in headers that have none.
    pub default_host: DefaultHost,
    /// Octets above 127 in `Received` lines become `*`.
    pub asterisks: bool,
    /// Name servers that know the names of clients.
    pub dns: Option<Arc<Dns>>,
    /// Sieve scripts that its mail meets.
    pub sieve: Arc<SieveRunner>,
    /// Filters that its mail meets.
    pub filters: FilterList,
    /// Other channels that its sessions go on in.
    pub switches: ChannelSwitches,
    /// Orders of operators that stand.
    pub standing: StandingOrders,
    /// Where recipients that are taken are told of.
    pub recent: Arc<RecentRecipients>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A message with more of any of these is held for an operator to look at.
#[derive(Clone, Copy, Debug)]
pub struct HoldLimits {
    /// `Received:` lines.
    pub received_lines: usize,
    /// Of those, the ones that we wrote.
    pub received_here_lines: usize,
    /// Recipients, lists expanded; `None` is no limit.
    pub recipients: Option<usize>,
}

/// The domain that addresses without one get.
#[derive(Clone, Debug, Default)]
pub struct DefaultHost {
    /// The name that the client calls itself by, if it is a domain's.
    pub(super) remote: bool,
    /// This one, failing that.
    pub(super) named: Option<Arc<str>>,
}

impl DefaultHost {
    /// The domain of addresses that have none, in mail of a client that calls itself so.
    pub(super) fn of(&self, hello: &str) -> Option<Arc<str>> {
        let is_name = !hello.starts_with('[') && hello.contains('.') && is_domain(hello);
        match self {
            Self { remote: true, .. } if is_name => Some(hello.to_ascii_lowercase().into()),
            Self { named, .. } => named.clone(),
        }
    }

    /// As the channel's settings have it.
    pub fn new(channel: &Channel) -> Self {
        let named = channel.defaulthost.as_deref().map(Arc::from);
        Self { remote: channel.remotehost, named }
    }
}

/// How mail of users is taken.
#[derive(Clone, Copy, Debug)]
pub struct AuthorPolicy {
    /// The sender and `From:` must be addresses of the user.
    pub sender_must_match: bool,
}

/// Where sessions of a channel go on in another.
#[derive(Clone, Debug, Default)]
pub struct ChannelSwitches {
    /// The address of the client decides. Only the service's own channel is asked.
    pub(super) by_client: bool,
    pub(super) after_tls: Option<Arc<str>>,
    pub(super) after_auth: Option<Arc<str>>,
}

impl ChannelSwitches {
    /// As the channel's settings have it.
    pub fn of(channel: &Channel) -> Self {
        let name = |name: &Option<String>| name.as_deref().map(Arc::from);
        Self {
            by_client: channel.switchchannel == Switch::Switch,
            after_tls: name(&channel.tlsswitchchannel),
            after_auth: name(&channel.saslswitchchannel),
        }
    }
}
