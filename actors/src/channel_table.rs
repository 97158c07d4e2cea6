//! The channels of the configuration, numbered once so that actors pass two octets about, and what
//! follows from a channel's settings: its next hop for a host, which mail is routed again, what
//! its senders are told, and the times that operators change while it runs.

mod conversions;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use relais_channels::{
    client::ChosenBy,
    mail::{Entry, Envelope, Fragments, NextHops, Priority},
};
use relais_config::{
    Channel, Config,
    channel::{Copies, MAX_ADDRSPERFILE, Program},
    grammar::ascii_domain,
};

pub use self::conversions::{Conversions, NewCharset, behind};
use crate::ids::ChannelId;

/// Every channel, by number and by name. Made once for a configuration, shared by all.
#[derive(Debug)]
pub struct Channels {
    list: Vec<Channel>,
    names: Vec<Arc<str>>,
    by_name: HashMap<String, ChannelId>,
    live: Vec<Arc<[LiveTime; LiveTimes::ALL.len()]>>,
    /// The channels of the configuration, in file order; the others were in one before it.
    order: Vec<ChannelId>,
    conversions: Arc<Conversions>,
}

/// A place in the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WaitingPlace {
    /// The name of the channel.
    pub channel: Arc<str>,
    /// The host.
    pub host: Arc<str>,
}

/// A time that operators may change while the engine runs, in milliseconds.
#[derive(Debug)]
struct LiveTime(AtomicU64);

/// Which times these are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LiveTimes {
    /// `idle_time`: how long a connection without work is kept.
    IdleTime,
    /// `max_life_time`: after this a job ends, and another one begins where it is wanted.
    MaxLifeTime,
}

impl LiveTimes {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::IdleTime, Self::MaxLifeTime];

    /// The field of the configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleTime => "idle_time",
            Self::MaxLifeTime => "max_life_time",
        }
    }

    /// The time that the configuration gives.
    pub fn configured(self, channel: &Channel) -> Duration {
        match self {
            Self::IdleTime => channel.idle_time,
            Self::MaxLifeTime => channel.max_life_time,
        }
    }
}

impl Channels {
    /// The channels of `config`.
    pub fn of(config: &Config) -> Self {
        let conversions = Arc::new(Conversions::of(config));
        Self { conversions, ..config.channels.clone().into() }
    }

    /// By name, as the spool has it.
    pub fn find(&self, name: &str) -> Option<ChannelId> {
        self.by_name.get(name).copied()
    }

    /// Its configuration.
    pub fn channel(&self, id: ChannelId) -> &Channel {
        &self.list[usize::from(id.0)]
    }

    /// Its name, as everybody may share it.
    pub fn name(&self, id: ChannelId) -> &Arc<str> {
        &self.names[usize::from(id.0)]
    }

    /// A time as it is now.
    pub fn time(&self, id: ChannelId, which: LiveTimes) -> Duration {
        Duration::from_millis(self.live[usize::from(id.0)][which as usize].0.load(Relaxed))
    }

    /// Changes a time until the engine stops; returns the old one.
    pub fn set_time(&self, id: ChannelId, which: LiveTimes, time: Duration) -> Duration {
        let time = millis(time);
        let old = self.live[usize::from(id.0)][which as usize].0.swap(time, Relaxed);
        Duration::from_millis(old)
    }

    /// All of the configuration, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.order.iter().map(|id| (*id, self.channel(*id)))
    }

    /// All by number, those of configurations before this one included.
    pub fn by_number(&self) -> impl Iterator<Item = (ChannelId, &Channel)> {
        self.list.iter().enumerate().map(|(i, channel)| (ChannelId(i as u16), channel))
    }

    /// The channels of another configuration in place of these. A name keeps its number, so that
    /// what runs goes on; a channel that is not there any more keeps its settings, for what is still
    /// on its way to it. A time that an operator changed stays so, unless the file changes it, too.
    #[must_use]
    pub fn replaced_by(&self, config: &Config) -> Self {
        let (mut list, mut live) = (self.list.clone(), self.live.clone());
        let mut order = Vec::with_capacity(config.channels.len());
        for channel in &config.channels {
            let Some(id) = self.find(&channel.name) else {
                order.push(ChannelId(list.len() as u16));
                list.push(channel.clone());
                live.push(live_times(channel));
                continue;
            };
            order.push(id);
            let was = std::mem::replace(&mut list[usize::from(id.0)], channel.clone());
            for which in LiveTimes::ALL {
                let time = which.configured(channel);
                if which.configured(&was) != time {
                    live[usize::from(id.0)][which as usize].0.store(millis(time), Relaxed);
                }
            }
        }
        let conversions = Arc::new(Conversions::of(config));
        Self { conversions, ..Self::made(list, live, order) }
    }

    /// The table of conversions.
    pub fn conversions(&self) -> &Conversions {
        &self.conversions
    }

    /// The place where mail for a channel and a host waits first, if parts of it are looked at on the way.
    pub fn conversion_for(&self, source: &str, channel: &str, host: &str) -> Option<WaitingPlace> {
        if self.conversions.is_empty() {
            return None;
        }
        let find = |name: &str| self.find(name).map(|id| self.channel(id));
        let out = find(channel)?;
        // Notices of our own may hold what their message was returned for.
        let is_own = find(source).is_none_or(|its| its.program == Program::Process);
        if is_own {
            return None;
        }
        let own = self.conversions.on_the_way(source, out)?;
        Some(WaitingPlace { channel: Arc::clone(own), host: conversions::before(channel, host) })
    }

    /// The place where such mail waits, behind nothing or before a conversion.
    pub fn place_for(&self, source: &str, channel: &Arc<str>, host: &Arc<str>) -> WaitingPlace {
        let itself = || WaitingPlace { channel: Arc::clone(channel), host: Arc::clone(host) };
        self.conversion_for(source, channel, host).unwrap_or_else(itself)
    }

    /// The channel and the host that an entry leaves by, behind a conversion if it waits for one.
    pub fn way_out<'e>(&self, channel: &'e str, host: &'e str) -> (&'e str, &'e str) {
        let id = self.find(channel);
        let converts = id.is_some_and(|id| self.channel(id).program == Program::Conversion);
        let behind = if converts { behind(host) } else { None };
        behind.unwrap_or((channel, host))
    }

    /// By name, if the configuration in force has it.
    pub fn configured(&self, name: &str) -> Option<ChannelId> {
        self.find(name).filter(|id| self.order.contains(id))
    }

    /// Channels that `other` has not, or has otherwise.
    pub fn changed_in(&self, other: &Self) -> HashSet<ChannelId> {
        let differs = |(id, channel): &(ChannelId, &Channel)| {
            !other.order.contains(id) || other.channel(*id) != *channel
        };
        self.iter().filter(differs).map(|(id, _)| id).collect()
    }

    /// Whether any channel gathers pieces of messages.
    pub fn gathers(&self) -> bool {
        self.list.iter().any(gathers)
    }

    /// The channel that has pieces of messages wait which are in an entry of this channel and host, if
    /// any has: the one that they leave by. Conversions on the way there look at the whole.
    pub fn gathering_for(&self, channel: &str, host: &str) -> Option<&Channel> {
        let (out, _) = self.way_out(channel, host);
        self.find(out).map(|id| self.channel(id)).filter(|out| gathers(out))
    }

    /// Has the entries of a piece of a message wait for the other pieces, where their channel gathers
    /// these, and the time for that is not over. `now`: milliseconds since 1970.
    pub fn gather(&self, envelope: &mut Envelope, now: u64) {
        let Some(fragments) = &mut envelope.fragments else { return };
        let received = envelope.received;
        let waits = |entry: &Entry| {
            let gathering = self.gathering_for(&entry.channel, &entry.host);
            gathering.is_some_and(|channel| {
                received.saturating_add(millis(channel.defragment_for)) > now
            })
        };
        match Arc::make_mut(fragments) {
            Fragments::Piece { waits: own, .. } => {
                let numbered = (0..).zip(&envelope.entries);
                *own =
                    numbered.filter(|(_, entry)| waits(entry)).map(|(number, _)| number).collect();
            }
            Fragments::Whole { .. } => envelope.fragments = None,
        }
    }

    fn made(
        list: Vec<Channel>,
        live: Vec<Arc<[LiveTime; LiveTimes::ALL.len()]>>,
        order: Vec<ChannelId>,
    ) -> Self {
        let number = |(i, channel): (usize, &Channel)| (channel.name.clone(), ChannelId(i as u16));
        let by_name = list.iter().enumerate().map(number).collect();
        let names = list.iter().map(|channel| channel.name.as_str().into()).collect();
        Self { list, names, by_name, live, order, conversions: Arc::default() }
    }
}

fn live_times(channel: &Channel) -> Arc<[LiveTime; LiveTimes::ALL.len()]> {
    Arc::new(LiveTimes::ALL.map(|which| LiveTime(millis(which.configured(channel)).into())))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whether pieces of messages that leave by this channel are put together first. Where mail is routed
/// again or converted the channel that it comes to says so.
fn gathers(channel: &Channel) -> bool {
    channel.defragment && !reroutes(channel) && channel.program != Program::Conversion
}

/// Whether jobs of this channel run its mail through the router again.
pub fn reroutes(channel: &Channel) -> bool {
    matches!(channel.program, Program::Process | Program::Reprocess | Program::Hold)
}

/// Recipients of one message and host that leave together though they are in several entries. None
/// where an entry is meant to be an operation by itself.
pub fn joined_recipients(channel: &Channel) -> usize {
    let connects = matches!(channel.program, Program::Lmtp | Program::Smtp);
    let divides = channel.copies == Copies::Single || channel.addrsperfile < MAX_ADDRSPERFILE;
    if connects && !divides { channel.most_recipients() } else { 0 }
}

/// How urgent a message of `size` octets is for a channel: what the sender asked for, lowered step
/// by step as far as the channel's block limits say.
pub fn lowered(channel: &Channel, mut priority: Priority, size: u64) -> Priority {
    let over = |limit: Option<u64>| limit.is_some_and(|limit| size > limit);
    if priority == Priority::Urgent && over(channel.urgentblocklimit) {
        priority = priority.lowered();
    }
    if priority == Priority::Normal && over(channel.normalblocklimit) {
        priority = priority.lowered();
    }
    if priority == Priority::Nonurgent && over(channel.nonurgentblocklimit) {
        priority = priority.lowered();
    }
    priority
}

/// The ages at which a channel says something about messages of this priority: specific, else
/// `notices`, else the original's (sun-mta-engine 3.7).
pub fn notices(channel: &Channel, priority: Priority) -> &[Duration] {
    let specific = match priority {
        Priority::Urgent => &channel.urgentnotices,
        Priority::Normal => &channel.normalnotices,
        Priority::Nonurgent | Priority::SecondClass => &channel.nonurgentnotices,
    };
    let given = specific.as_deref().or(channel.notices.as_deref());
    given.filter(|ages| !ages.is_empty()).unwrap_or(&DEFAULT)
}

/// Where a channel connects for the destination `host`, its last resort behind all others; `None` when
/// the name is no host.
pub fn next_hops(channel: &Channel, host: &str) -> Option<NextHops> {
    let text = channel.fixed_hosts().unwrap_or(host);
    let hops: NextHops = text.parse().ok()?;
    let last = channel.lastresort.as_deref().and_then(|text| text.parse().ok());
    Some(match last {
        Some(last) => hops.and_then(&last),
        None => hops,
    })
}

/// The one who chose the first next hop of mail to these addresses: the sender, where the channel
/// goes by the host and that is the domain of all of them.
pub fn chosen_by<'a>(
    channel: &Channel,
    host: &str,
    mut addresses: impl Iterator<Item = &'a str>,
) -> ChosenBy {
    let is_host = |domain: &str| {
        domain.eq_ignore_ascii_case(host)
            || !domain.is_ascii() && ascii_domain(domain).is_some_and(|its| its == host)
    };
    let is_at_host =
        |address: &str| address.rsplit_once('@').is_some_and(|(_, domain)| is_host(domain));
    if channel.fixed_hosts().is_none() && addresses.all(is_at_host) {
        ChosenBy::Recipient
    } else {
        ChosenBy::Configuration
    }
}

impl From<Vec<Channel>> for Channels {
    fn from(list: Vec<Channel>) -> Self {
        let live = list.iter().map(live_times).collect();
        let order = (0..list.len()).map(|i| ChannelId(i as u16)).collect();
        Self::made(list, live, order)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT: [Duration; 4] =
    [DAY.saturating_mul(3), DAY.saturating_mul(6), DAY.saturating_mul(9), DAY.saturating_mul(12)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_senders_choice_where_it_is_the_domain_of_the_recipient() {
        let plain = Channel::new("c", "c-daemon", Program::Smtp);
        let daemon = Channel { daemon: Some("hub.test".into()), ..plain.clone() };
        let multigate = Channel { multigate: true, ..daemon.clone() };
        // channel, host, recipient, chosen by the recipient
        let rows: [(_, _, &str, _); 10] = [
            (&plain, "a.test", "u@a.test", true),
            (&plain, "a.test", "u@a.test v@b.test", false),
            (&plain, "a.test", "u@A.Test", true),
            (&plain, "xn--tda.test", "u@ü.test", true),
            (&plain, "[192.0.2.1]", "u@[192.0.2.1]", true),
            (&plain, "hub.test", "u@a.test", false),
            (&plain, "a.test", "u", false),
            (&daemon, "a.test", "u@a.test", false),
            (&multigate, "a.test", "u@a.test", true),
            (&multigate, "store.test", "u@a.test", false),
        ];
        for (channel, host, address, of_recipient) in rows {
            let its = chosen_by(channel, host, address.split(' '));
            assert_eq!(its == ChosenBy::Recipient, of_recipient, "{host} {address}");
        }
    }

    #[test]
    fn the_last_resort_is_behind_all_others() {
        let channel = Channel {
            daemon: Some("a, b".into()),
            lastresort: Some("c:2525".into()),
            ..Channel::new("c", "c-daemon", Program::Smtp)
        };
        assert_eq!(next_hops(&channel, "x.test").unwrap().to_string(), "a, b, c:2525");
        let alone = Channel { lastresort: None, ..channel };
        assert_eq!(next_hops(&alone, "x.test").unwrap().to_string(), "a, b");
    }

    #[test]
    fn a_priority_has_its_own_ages_when_the_channel_gives_them() {
        let day = |n: u32| vec![DAY * n];
        let mut channel = Channel::new("c", "c-daemon", Program::Lmtp);
        assert_eq!(notices(&channel, Priority::Urgent), DEFAULT);
        channel.notices = Some(day(2));
        channel.nonurgentnotices = Some(day(9));
        for (priority, want) in [
            (Priority::Urgent, 2),
            (Priority::Normal, 2),
            (Priority::Nonurgent, 9),
            (Priority::SecondClass, 9),
        ] {
            assert_eq!(notices(&channel, priority), day(want), "{priority:?}");
        }
    }

    #[test]
    fn another_configuration_keeps_numbers_and_what_is_still_on_its_way() {
        let (config, _) = Config::parse("f", relais_config::STANDALONE).unwrap();
        let was = Channels::of(&config);
        let gone = was.find("tcp_lmtpcs").unwrap();
        was.set_time(was.find("hold").unwrap(), LiveTimes::IdleTime, DAY);
        let mut other = config.clone();
        other.channels.retain(|channel| channel.name != "tcp_lmtpcs");
        let mut new = Channel::new("new", "new-daemon", Program::Lmtp);
        new.idle_time = DAY * 2;
        other.channels.insert(0, new);
        other.channels.iter_mut().find(|its| its.name == "process").unwrap().maxjobs =
            3.try_into().unwrap();
        let now = was.replaced_by(&other);
        for (id, channel) in was.iter() {
            assert_eq!(now.find(&channel.name), Some(id), "{}", channel.name);
        }
        assert_eq!(now.channel(gone).name, "tcp_lmtpcs");
        assert_eq!((now.configured("tcp_lmtpcs"), now.find("tcp_lmtpcs")), (None, Some(gone)));
        let names: Vec<_> = now.iter().map(|(_, channel)| channel.name.as_str()).collect();
        let wanted: Vec<_> = other.channels.iter().map(|its| its.name.as_str()).collect();
        assert_eq!(names, wanted, "in file order");
        let time = |name: &str| now.time(now.find(name).unwrap(), LiveTimes::IdleTime);
        assert_eq!((time("hold"), time("new")), (DAY, DAY * 2), "an operator's stays");
        let changed = was.changed_in(&now);
        assert_eq!(changed, [gone, was.find("process").unwrap()].into());
        // It comes back.
        let again = now.replaced_by(&config);
        assert_eq!(again.configured("tcp_lmtpcs"), Some(gone));
    }
}
