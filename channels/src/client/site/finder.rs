//! Finds the servers of a next hop, as the settings of its channel say.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher, RandomState},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use relais_config::{
    Channel, Config,
    channel::{Mx, Program},
};
use tokio::time::timeout;

use super::{
    ChosenBy, Laggards, NoSite, Site,
    own::Ourselves,
    plan::{Host, Rules, plan},
};
use crate::dns::{Addresses, Dns, Hosts, MailExchanger, NoAnswer, Records, Unanswered};

/// The way from names to servers, of one channel.
#[derive(Debug)]
pub struct Finder {
    mx: Mx,
    is_smtp: bool,
    private_addresses: bool,
    dns: Arc<Dns>,
    own: Arc<Ourselves>,
    /// Of each family, where our connections come from.
    pub(in crate::client) sources: Vec<IpAddr>,
    pub(in crate::client) laggards: Laggards,
}

/// The hosts of a name.
struct Found {
    by_mx: bool,
    secure: bool,
    hosts: Vec<Host>,
}

/// The finders of all channels.
#[derive(Clone, Debug)]
pub struct Finders {
    by_name: Arc<HashMap<Box<str>, Arc<Finder>>>,
    plain: Arc<Finder>,
}

impl Finders {
    /// As configured.
    pub fn of(config: &Config) -> Result<Self, Unanswered> {
        let own = Arc::new(Ourselves::of(config));
        let mut by_name = HashMap::new();
        for channel in &config.channels {
            if matches!(channel.program, Program::Lmtp | Program::Smtp) {
                let finder = Finder::of(channel, &config.dns.servers, Arc::clone(&own))?;
                by_name.insert(channel.name.as_str().into(), Arc::new(finder));
            }
        }
        Ok(Self { by_name: Arc::new(by_name), plain: Arc::new(Finder::plain()?) })
    }

    /// The finder of the channel of this name.
    pub fn of_channel(&self, channel: &str) -> Arc<Finder> {
        Arc::clone(self.by_name.get(channel).unwrap_or(&self.plain))
    }
}

impl Finder {
    /// As its channel says.
    fn of(
        channel: &Channel,
        servers: &[SocketAddr],
        own: Arc<Ourselves>,
    ) -> Result<Self, Unanswered> {
        let servers = if channel.nameservers.is_empty() { servers } else { &channel.nameservers };
        Ok(Self {
            mx: channel.mx,
            is_smtp: channel.program == Program::Smtp,
            private_addresses: channel.private_addresses,
            dns: Dns::shared(servers)?,
            own,
            sources: channel.interface_address.clone(),
            laggards: Laggards::default(),
        })
    }

    /// Of a channel that says nothing: the addresses of hosts, from the system's name servers.
    pub(in crate::client) fn plain() -> Result<Self, Unanswered> {
        Ok(Self {
            mx: Mx::NoMx,
            is_smtp: false,
            private_addresses: true,
            dns: Dns::shared(&[])?,
            own: Arc::default(),
            sources: Vec::new(),
            laggards: Laggards::default(),
        })
    }

    /// The servers of a host or domain, in the order in which they are asked.
    pub async fn find(
        &self,
        name: &str,
        port: u16,
        chosen_by: ChosenBy,
        limit: Duration,
    ) -> Result<Site, NoSite> {
        let found = timeout(limit, self.found(name, port, chosen_by)).await;
        let mut site = found.map_err(|_| NoSite::late(name))??;
        site.servers = self.laggards.last(site.servers);
        Ok(site)
    }

    async fn found(&self, name: &str, port: u16, chosen_by: ChosenBy) -> Result<Site, NoSite> {
        let by_us = chosen_by == ChosenBy::Configuration || self.mx == Mx::NoDns;
        if by_us {
            let records = Hosts::of_system().addresses(name).map_err(NoSite::NoHosts)?;
            if !records.is_empty() {
                let found = Ok(Addresses { records, secure: false, canonical: None });
                return self.site((name, port), Found::alone(name, found), false, false);
            }
        }
        if self.mx == Mx::NoDns {
            return Err(NoSite::NotInHosts);
        }
        let (guarded, finds_us) = (!by_us && !self.private_addresses, !by_us);
        if self.uses_mx(port) {
            match self.dns.mx(name).await {
                Ok(Records { records, secure }) => {
                    if records.iter().all(|its| its.host.is_empty()) {
                        return Err(NoSite::NullMx);
                    }
                    let found = Found { by_mx: true, secure, hosts: self.hosts(records).await };
                    return self.site((name, port), found, guarded, self.is_smtp);
                }
                // Its addresses stand for them (RFC 5321 section 5.1), never after a fault that passes.
                Err(NoAnswer::NoRecords | NoAnswer::NoSuchName) => {}
                Err(none) => return Err(NoSite::of(name, none)),
            }
        }
        let found = self.dns.addresses(name).await.map_err(|none| NoSite::of(name, none))?;
        self.site((name, port), Found::alone(name, Ok(found)), guarded, finds_us)
    }

    /// By default MX records tell who takes mail on the port of mail, and nothing of other ports.
    fn uses_mx(&self, port: u16) -> bool {
        match self.mx {
            Mx::Default => self.is_smtp && port == MAIL,
            Mx::Mx => true,
            Mx::NoMx | Mx::NoDns => false,
        }
    }

    /// The addresses of mail exchangers; of the best ones, where there are many.
    async fn hosts(&self, mut exchangers: Vec<MailExchanger>) -> Vec<Host> {
        exchangers.sort_by_key(|its| its.preference);
        exchangers.dedup_by(|one, other| one == other);
        exchangers.truncate(MOST_HOSTS);
        let addresses =
            exchangers.into_iter().map(|MailExchanger { preference, host }| async move {
                let found = match refusal(&host) {
                    Some(none) => Err(none),
                    None => self.dns.addresses(&host).await,
                };
                Host { name: host.into(), preference, found }
            });
        join_all(addresses).await
    }

    /// A list that leads back to us ends there where `finds_us`: a host that the configuration names
    /// is what it is, this machine on another port included.
    fn site(
        &self,
        (name, port): (&str, u16),
        found: Found,
        guarded: bool,
        finds_us: bool,
    ) -> Result<Site, NoSite> {
        let rules = Rules {
            port,
            is_own_name: &|host| finds_us && self.own.is_name(host),
            is_own_place: &|place| finds_us && self.own.is_place(place),
            guarded,
            chance: &mut by_chance,
        };
        let Found { by_mx, secure, hosts } = found;
        let plan = plan(hosts, rules)?;
        let (servers, left_out) = (plan.servers, plan.left_out);
        Ok(Site { name: name.into(), by_mx, secure, servers, left_out })
    }
}

impl Found {
    fn alone(name: &str, found: Result<Addresses, NoAnswer>) -> Self {
        let host = Host { name: name.into(), preference: 0, found };
        Self { by_mx: false, secure: false, hosts: vec![host] }
    }
}

/// Why a mail exchanger is not looked up: an address is no name (RFC 5321 section 5.1), and what is
/// no host name would only confuse those who read of it.
fn refusal(host: &str) -> Option<NoAnswer> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
    let is_host = !host.is_empty() && host.bytes().all(plain) && host.parse::<IpAddr>().is_err();
    (!is_host).then_some(NoAnswer::NotAName)
}

/// Nothing secret hangs on it.
fn by_chance(below: usize) -> usize {
    let number = RandomState::new().build_hasher().finish();
    usize::try_from(number % below.max(1) as u64).unwrap_or_default()
}

const MAIL: u16 = 25;
/// Hosts of one site that are looked up.
const MOST_HOSTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_exchangers_that_are_no_hosts_are_not_looked_up() {
        for host in ["mx.test", "mx_1.test", "1.test", "a"] {
            assert_eq!(refusal(host), None, "{host}");
        }
        for host in ["", "192.0.2.1", "::1", "mx\\032.test", "a b", "*.test"] {
            assert_eq!(refusal(host), Some(NoAnswer::NotAName), "{host}");
        }
    }

    #[test]
    fn mx_records_are_asked_for_where_they_mean_something() {
        let finder = |mx, is_smtp| Finder { mx, is_smtp, ..Finder::plain().unwrap() };
        // setting, SMTP, port, whether
        let rows = [
            (Mx::Default, true, 25, true),
            (Mx::Default, true, 587, false),
            (Mx::Default, false, 25, false),
            (Mx::Mx, true, 587, true),
            (Mx::Mx, false, 24, true),
            (Mx::NoMx, true, 25, false),
            (Mx::NoDns, true, 25, false),
        ];
        for (mx, is_smtp, port, want) in rows {
            assert_eq!(finder(mx, is_smtp).uses_mx(port), want, "{mx:?} {is_smtp} {port}");
        }
    }

    #[tokio::test]
    async fn the_name_of_this_host_has_an_address() {
        let limit = Duration::from_secs(10);
        let finder = Finder::plain().unwrap();
        let found = finder.find("localhost", 2525, ChosenBy::Configuration, limit).await;
        let servers = found.unwrap().servers;
        let is_it = |at: SocketAddr| at.ip().is_loopback() && at.port() == 2525;
        assert!(servers.iter().all(|its| is_it(its.address)), "{servers:?}");
    }
}
