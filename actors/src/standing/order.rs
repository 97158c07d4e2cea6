//! A standing order: what is to become of which mail, from when until when, and why.

use std::fmt;

use relais_channels::mail::Recipient;
use relais_config::rate::Rate;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::pattern::{AddressPattern, NamePattern};
use crate::{channel_table::behind, timestamp::Timestamp};

/// An order of an operator that is in force for what waits and for what comes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct StandingOrder {
    /// Its number: no other order ever has it.
    pub id: u64,
    /// The fate of the mail.
    pub kind: StandingKind,
    /// Which mail.
    #[serde(flatten)]
    pub criteria: OrderCriteria,
    /// Of [`StandingKind::Reroute`]: where to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<RerouteTarget>,
    /// Of [`StandingKind::Slow`]: messages in a time, `10/1m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<OrderRate>,
    /// Of [`StandingKind::Hold`]: its mail is released when it ends.
    #[serde(default)]
    pub release: bool,
    /// When it was given.
    pub since: Timestamp,
    /// When it ends; without it, when an operator removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// An operator ended it before its time.
    #[serde(default)]
    pub removed: bool,
    /// Why, in the operator's words.
    pub reason: String,
    /// The operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// The kinds of standing orders. Of several orders for the same mail the kind that comes first here counts,
/// and of one kind the oldest.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StandingKind {
    /// It is held.
    Hold,
    /// It waits until the order ends; its senders are warned and told by its age.
    Suspend,
    /// It is refused at the door where that can be told there, else returned to its sender.
    Return,
    /// It goes elsewhere.
    Reroute,
    /// It goes, so many messages in a time.
    Slow,
}

/// Which mail: all that is said has to be so. At least one thing is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OrderCriteria {
    /// From this sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AddressPattern>,
    /// With such a recipient that is still open; the others of its entry come with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressPattern>,
    /// Going to this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<NamePattern>,
    /// Leaving by this channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<NamePattern>,
}

/// Where an order has mail go instead: an address is routed, and stands alone; else a channel, a host,
/// or both.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RerouteTarget {
    /// By this channel; the same when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// To this host; the same when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// To this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A rate, as text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrderRate(pub Rate);

/// Some recipients that leave together, as orders see them.
#[derive(Clone, Copy, Debug)]
pub struct MailSeen<'a> {
    /// Without angle brackets; empty for the null sender.
    pub sender: &'a str,
    /// The channel that they leave by.
    pub channel: &'a str,
    /// The host that they go to.
    pub host: &'a str,
    /// The recipients of the entry.
    pub recipients: &'a [Recipient],
    /// The recipients that count, a bit each.
    pub open: u64,
}

impl MailSeen<'_> {
    /// The recipients that count.
    fn open(&self) -> impl Iterator<Item = &Recipient> {
        let is_open = |(index, _): &(usize, &Recipient)| {
            u32::try_from(*index)
                .is_ok_and(|index| self.open.checked_shr(index).unwrap_or(0) & 1 == 1)
        };
        self.recipients.iter().enumerate().filter(is_open).map(|(_, to)| to)
    }

    /// The addresses that its recipients go by.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.open().flat_map(|to| {
            let member = (to.member() != &*to.original).then(|| to.member());
            [Some(&*to.original), member].into_iter().flatten()
        })
    }
}

impl OrderCriteria {
    /// Whether some recipients that leave together are meant.
    pub fn admit(&self, mail: &MailSeen<'_>) -> bool {
        let Self { from, to, host, channel } = self;
        let is_host = |host: &NamePattern| {
            let later = behind(mail.host).is_some_and(|(_, behind)| host.names_host(behind));
            host.names_host(mail.host) || later
        };
        from.as_ref().is_none_or(|from| from.names(mail.sender))
            && channel.as_ref().is_none_or(|channel| channel.names(mail.channel))
            && host.as_ref().is_none_or(is_host)
            && to.as_ref().is_none_or(|to| mail.names().any(|name| to.names(name)))
    }

    /// Whether nothing is said: it would be all mail.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl StandingKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Hold, Self::Suspend, Self::Return, Self::Reroute, Self::Slow];

    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Suspend => "suspend",
            Self::Return => "return",
            Self::Reroute => "reroute",
            Self::Slow => "slow",
        }
    }

    /// Whether it has something done with mail; the others only keep mail from leaving.
    pub const fn acts(self) -> bool {
        match self {
            Self::Hold | Self::Return | Self::Reroute => true,
            Self::Suspend | Self::Slow => false,
        }
    }
}

impl StandingOrder {
    /// The order in a few words: `order 7 of alice`. An order is told by them from all others.
    pub fn name(&self) -> String {
        if self.by.is_empty() {
            format!("order {}", self.id)
        } else {
            format!("order {} of {}", self.id, self.by)
        }
    }

    /// The same with its reason and its end.
    pub fn words(&self) -> String {
        let until = self.until.map(|until| format!(" until {until}")).unwrap_or_default();
        format!("{}{until}: {}", self.name(), self.reason)
    }

    /// Whether an entry is out of its reach: a notice cannot be returned, and what goes elsewhere already is
    /// there: its recipients have the new address, or it goes by the channel to the host, through others or not.
    pub(super) fn spares(&self, mail: &MailSeen<'_>) -> bool {
        match self.kind {
            StandingKind::Return => mail.sender.is_empty(),
            StandingKind::Reroute => {
                let Some(target) = &self.target else { return true };
                let is_there = |wanted: &Option<String>, is: &str| {
                    wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(is))
                };
                if let Some(address) = &target.address {
                    return mail.open().all(|to| to.member().eq_ignore_ascii_case(address));
                }
                [Some((mail.channel, mail.host)), behind(mail.host)].into_iter().flatten().any(
                    |(channel, host)| {
                        is_there(&target.channel, channel) && is_there(&target.host, host)
                    },
                )
            }
            StandingKind::Hold | StandingKind::Suspend | StandingKind::Slow => false,
        }
    }

    /// Whether it has ended by this time.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// As operators type them.
impl fmt::Display for OrderCriteria {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, host, channel } = self;
        let from = from.as_ref().map(|its| format!("from {its}"));
        let to = to.as_ref().map(|its| format!("to {its}"));
        let host = host.as_ref().map(|its| format!("host {its}"));
        let channel = channel.as_ref().map(|its| format!("channel {its}"));
        let all: Vec<_> = [from, to, host, channel].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

impl fmt::Display for RerouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, host, address } = self;
        let channel = channel.as_ref().map(|its| format!("channel {its}"));
        let host = host.as_ref().map(|its| format!("host {its}"));
        let all: Vec<_> = [channel, host, address.clone()].into_iter().flatten().collect();
        f.write_str(&all.join(", "))
    }
}

impl Serialize for OrderRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OrderRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(de::Error::custom)
    }
}
