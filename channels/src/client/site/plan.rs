//! Decisions about the answers of name servers, without asking anybody: the order of servers, where
//! the list ends because it leads back to us, and which addresses are left alone.

use std::{net::SocketAddr, sync::Arc};

use super::{LeftOut, NoSite, Server, guard::special};
use crate::dns::{Addresses, NoAnswer};

/// A host of a site, and what its addresses were found to be.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) name: Arc<str>,
    pub(super) preference: u16,
    pub(super) found: Result<Addresses, NoAnswer>,
}

/// Facts of this machine, and what the channel allows.
pub(super) struct Rules<'a> {
    pub(super) port: u16,
    pub(super) is_own_name: &'a dyn Fn(&str) -> bool,
    pub(super) is_own_place: &'a dyn Fn(SocketAddr) -> bool,
    /// Addresses of no server of the Internet are left out.
    pub(super) guarded: bool,
    /// A number below the given one, by chance.
    pub(super) chance: &'a mut dyn FnMut(usize) -> usize,
}

/// The servers of a site.
#[derive(Debug)]
pub(super) struct SitePlan {
    pub(super) servers: Vec<Server>,
    pub(super) left_out: Vec<LeftOut>,
}

/// The servers of these hosts in the order in which they are asked, or why there are none.
pub(super) fn plan(mut hosts: Vec<Host>, mut rules: Rules<'_>) -> Result<SitePlan, NoSite> {
    let mut left_out = Vec::new();
    let best = hosts.iter().map(|host| host.preference).min().unwrap_or_default();
    let ours = hosts.iter().filter(|host| is_ours(host, &rules)).map(|host| host.preference).min();
    if let Some(ours) = ours {
        let (kept, behind) = hosts.into_iter().partition(|host| host.preference < ours);
        hosts = kept;
        let why = "this machine is in the list, and no further back than it";
        let leave = |host: Host| LeftOut { who: host.name.to_string(), why: why.to_owned() };
        left_out.extend(Vec::into_iter(behind).map(leave));
    }
    shuffle(&mut hosts, rules.chance);
    hosts.sort_by_key(|host| host.preference);
    let (mut servers, mut passing, mut guarded) = (Vec::new(), None, None);
    for host in hosts {
        let Host { name, preference, found } = host;
        let addresses = match found {
            Ok(addresses) => addresses,
            Err(none) => {
                left_out.push(LeftOut { who: name.to_string(), why: none.to_string() });
                if !none.is_final() {
                    passing.get_or_insert(NoSite::Unanswered { name, why: none.to_string() });
                }
                continue;
            }
        };
        let canonical: Option<Arc<str>> = addresses.canonical.map(Into::into);
        for ip in in_turns(addresses.records, &mut rules) {
            if let Some(kind) = special(ip).filter(|_| rules.guarded) {
                let who = format!("{name}[{ip}]");
                guarded.get_or_insert_with(|| format!("{who}, {kind}"));
                left_out
                    .push(LeftOut { who, why: format!("{kind}, which private_addresses allows") });
                continue;
            }
            let (host, address) = (Arc::clone(&name), SocketAddr::new(ip, rules.port));
            let (secure, canonical) = (addresses.secure, canonical.clone());
            servers.push(Server { host, preference, address, secure, canonical });
        }
    }
    servers.truncate(MOST_SERVERS);
    if !servers.is_empty() {
        return Ok(SitePlan { servers, left_out });
    }
    Err(match (passing, ours, guarded) {
        (Some(passing), ..) => passing,
        (None, Some(ours), _) if ours == best => NoSite::Loop,
        (None, Some(_), _) => NoSite::NoBetter,
        (None, None, Some(place)) => NoSite::Guarded { place },
        (None, None, None) => NoSite::NoAddress,
    })
}

fn is_ours(host: &Host, rules: &Rules<'_>) -> bool {
    let has_place = |addresses: &Addresses| {
        addresses.records.iter().any(|ip| (rules.is_own_place)(SocketAddr::new(*ip, rules.port)))
    };
    (rules.is_own_name)(&host.name) || host.found.as_ref().is_ok_and(has_place)
}

/// The addresses of one host: by chance, but both families take turns, so that a path that leads
/// nowhere holds nothing up for long; IPv6 first (RFC 8305 section 4).
fn in_turns(mut addresses: Vec<std::net::IpAddr>, rules: &mut Rules<'_>) -> Vec<std::net::IpAddr> {
    addresses.sort_unstable();
    addresses.dedup();
    shuffle(&mut addresses, rules.chance);
    let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(std::net::IpAddr::is_ipv6);
    let mut turns = Vec::with_capacity(v4.len() + v6.len());
    let (mut v4, mut v6) = (v4.into_iter(), v6.into_iter());
    loop {
        let before = turns.len();
        turns.extend(v6.next());
        turns.extend(v4.next());
        if turns.len() == before || turns.len() >= MOST_ADDRESSES {
            turns.truncate(MOST_ADDRESSES);
            return turns;
        }
    }
}

fn shuffle<T>(all: &mut [T], chance: &mut dyn FnMut(usize) -> usize) {
    for last in (1..all.len()).rev() {
        all.swap(last, chance(last + 1));
    }
}

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 8;
/// Addresses of one site that are tried.
const MOST_SERVERS: usize = 20;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// `10 mx1=10.0.0.1,::1`, `10 mx1=nx`, `10 mx1=nodata`, `10 mx1=servfail`.
    fn hosts(text: &str) -> Vec<Host> {
        let host = |text: &str| {
            let (preference, rest) = text.trim().split_once(' ').expect("a preference");
            let (name, found) = rest.split_once('=').expect("addresses");
            let found = match found {
                "nx" => Err(NoAnswer::NoSuchName),
                "nodata" => Err(NoAnswer::NoRecords),
                "servfail" => Err(NoAnswer::Passing("servfail".into())),
                found => Ok(Addresses {
                    records: found.split(',').map(|ip| ip.parse().expect("an address")).collect(),
                    secure: false,
                    canonical: None,
                }),
            };
            Host { name: name.into(), preference: preference.parse().unwrap(), found }
        };
        text.split(';').filter(|text| !text.is_empty()).map(host).collect()
    }

    fn planned(text: &str, guarded: bool) -> Result<SitePlan, NoSite> {
        // 1.1.1.1 and relay.test are ours; chance leaves everything where it is.
        let rules = Rules {
            port: 25,
            is_own_name: &|name| name == "relay.test",
            is_own_place: &|place| place == "1.1.1.1:25".parse().unwrap(),
            guarded,
            chance: &mut |below| below - 1,
        };
        plan(hosts(text), rules)
    }

    fn shown(planned: Result<SitePlan, NoSite>) -> String {
        let server = |its: &Server| format!("{}[{}]", its.host, its.address.ip());
        match planned {
            Ok(plan) => plan.servers.iter().map(server).collect::<Vec<_>>().join(" "),
            Err(none) => {
                format!("{none:?}").split([' ', '{']).next().unwrap_or_default().to_owned()
            }
        }
    }

    #[test]
    fn servers_in_their_order_and_where_the_list_ends() {
        // hosts, guarded, servers
        let rows = [
            (
                "20 b=10.0.0.2;10 a=10.0.0.1;30 c=10.0.0.3",
                false,
                "a[10.0.0.1] b[10.0.0.2] c[10.0.0.3]",
            ),
            ("10 a=10.0.0.1,10.0.0.2,::2,10.0.0.1", false, "a[::2] a[10.0.0.1] a[10.0.0.2]"),
            ("10 a=nx;20 b=10.0.0.2", false, "b[10.0.0.2]"),
            ("10 a=servfail;20 b=10.0.0.2", false, "b[10.0.0.2]"),
            // Ourselves, by name and by address: all that is no better goes.
            (
                "10 a=10.0.0.1;20 relay.test=10.0.0.2;20 c=10.0.0.3;30 d=10.0.0.4",
                false,
                "a[10.0.0.1]",
            ),
            ("10 a=10.0.0.1;20 b=10.0.0.9,1.1.1.1;30 d=10.0.0.4", false, "a[10.0.0.1]"),
            ("10 relay.test=nx;20 c=10.0.0.3", false, "Loop"),
            ("10 b=1.1.1.1;10 c=10.0.0.3", false, "Loop"),
            ("5 a=nx;10 relay.test=1.1.1.1", false, "NoBetter"),
            ("5 a=servfail;10 relay.test=1.1.1.1", false, "Unanswered"),
            // Nobody there, for now or for good.
            ("10 a=nx;20 b=nodata", false, "NoAddress"),
            ("10 a=nx;20 b=servfail", false, "Unanswered"),
            ("", false, "NoAddress"),
            // Where strangers have no business to send us.
            ("10 a=10.0.0.1,8.8.8.8;20 b=127.0.0.1", true, "a[8.8.8.8]"),
            ("10 a=10.0.0.1;20 b=8.8.8.8", true, "b[8.8.8.8]"),
            ("10 a=10.0.0.1;20 b=127.0.0.1", true, "Guarded"),
            ("10 a=10.0.0.1;20 b=servfail", true, "Unanswered"),
            ("10 a=10.0.0.1;20 b=nx", true, "Guarded"),
        ];
        for (text, guarded, want) in rows {
            assert_eq!(shown(planned(text, guarded)), want, "{text}");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let addresses: Vec<_> = (1..=50).map(|n| format!("10.0.0.{n}")).collect();
        let one = format!("10 a={}", addresses.join(","));
        assert_eq!(planned(&one, false).unwrap().servers.len(), MOST_ADDRESSES);
        let many: Vec<_> = (1..=50).map(|n| format!("10 h{n}=10.0.0.{n}")).collect();
        assert_eq!(planned(&many.join(";"), false).unwrap().servers.len(), MOST_SERVERS);
    }

    #[test]
    fn what_is_left_out_is_told() {
        let plan = planned("5 a=10.0.0.1,8.8.8.8;7 b=nx;10 relay.test=nx;20 c=8.8.4.4", true);
        let told = |its: &LeftOut| format!("{}: {}", its.who, its.why);
        let told: Vec<_> = plan.unwrap().left_out.iter().map(told).collect();
        let ours = "this machine is in the list, and no further back than it";
        let want = [
            format!("relay.test: {ours}"),
            format!("c: {ours}"),
            "a[10.0.0.1]: a private address, which private_addresses allows".to_owned(),
            "b: there is no such name".to_owned(),
        ];
        assert_eq!(told, want);
    }

    #[test]
    fn equals_share_the_load() {
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        let mut seed = 1_u64;
        let mut chance = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for _ in 0..3_000 {
            let rules = Rules {
                port: 25,
                is_own_name: &|_| false,
                is_own_place: &|_| false,
                guarded: false,
                chance: &mut chance,
            };
            let list = "10 a=10.0.0.1;10 b=10.0.0.2;10 c=10.0.0.3,10.0.0.4;20 d=10.0.0.5";
            let plan = plan(hosts(list), rules).unwrap();
            assert_eq!(*plan.servers.last().unwrap().host, *"d");
            *first.entry(plan.servers[0].host.to_string()).or_default() += 1;
        }
        assert!(first.len() == 3 && first.values().all(|n| (850..1_150).contains(n)), "{first:?}");
    }
}
