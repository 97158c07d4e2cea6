//! Questions to name servers.
//!
//! Names are asked for as they are: no search list, no file of hosts. Answers are remembered as long
//! as they say, within bounds. Each question in flight takes sockets, so only so many are, and those that
//! nobody answers hold up no others for long.
//!
//! What is told apart is what becomes of mail: a name that does not exist, one that exists without
//! such records, and a question that nobody could answer now. Only the first two are final.

mod answer;
mod block_list;
mod client_name;
mod dnssec;
mod hosts;
mod questions;
mod servers;
mod special;
mod tlsa;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    lookup::Lookup,
    net::NetError,
    proto::rr::{Name, RData, RecordType},
};
use tokio::{sync::SemaphorePermit, time::timeout};

pub use answer::{Addresses, MailExchanger, NoAnswer, Records, Unanswered};
pub use block_list::reversed;
pub use client_name::ClientName;
pub use dnssec::{Exchangers, SecureDns, SecureHost};
pub use hosts::Hosts;
use questions::{GivenUp, InFlight};
use servers::NameServers;
pub use special::special;
pub use tlsa::Tlsa;

/// The way to name servers, shared by all who ask the same ones.
#[derive(Debug)]
pub struct Dns {
    servers: NameServers,
    questions: InFlight,
}

impl Dns {
    /// The way to these servers, or those of the system when there are none: one for the whole
    /// process, with one memory.
    pub fn shared(servers: &[SocketAddr]) -> Result<Arc<Self>, Unanswered> {
        let mut all = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.get_or_insert_default();
        all.retain(|_, dns| dns.strong_count() > 0);
        if let Some(dns) = all.get(servers).and_then(Weak::upgrade) {
            return Ok(dns);
        }
        let dns = Arc::new(Self::new(servers)?);
        all.insert(servers.into(), Arc::downgrade(&dns));
        Ok(dns)
    }

    fn new(servers: &[SocketAddr]) -> Result<Self, Unanswered> {
        let servers = NameServers::new(servers, None)?;
        Ok(Self { servers, questions: InFlight::default() })
    }

    /// The mail exchangers of a domain, the best first. A domain without any is an error.
    pub async fn mx(&self, domain: &str) -> Result<Records<MailExchanger>, NoAnswer> {
        let found = self.look_up(domain, RecordType::MX).await?;
        let exchanger = |data: &RData| match data {
            RData::MX(mx) => {
                let host = undotted(&mx.exchange);
                Some(MailExchanger { preference: mx.preference, host })
            }
            _ => None,
        };
        // Servers turn the order about: the best may stand at the end of a long list.
        let mut records: Vec<_> =
            found.answers().iter().filter_map(|its| exchanger(&its.data)).collect();
        records.sort_by_key(|its| its.preference);
        records.truncate(MOST_ANSWERS);
        Ok(Records { records, secure: false })
    }

    /// The addresses of a host, of both families. That it has none is final only when both
    /// questions were answered so.
    pub async fn addresses(&self, host: &str) -> Result<Addresses, NoAnswer> {
        let (v4, v6) =
            tokio::join!(self.look_up(host, RecordType::A), self.look_up(host, RecordType::AAAA));
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let canonical = v4.as_ref().or(v6.as_ref()).ok().and_then(|found| alias_of(found, host));
        let of_family = |found: Result<Lookup, NoAnswer>| found.map(|its| answer(&its, address));
        let (v4, v6) = (of_family(v4), of_family(v6));
        match Addresses::of(v4, v6, canonical) {
            Err(none) if none.is_final() => Err(self.unless_alias_leads_nowhere(host, none).await),
            found => found,
        }
    }

    /// The IPv4 addresses of a name; none when name servers say so.
    pub async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>, Unanswered> {
        let address = |data: &RData| match data {
            RData::A(address) => Some(address.0),
            _ => None,
        };
        match self.look_up(name, RecordType::A).await {
            Ok(found) => Ok(answer(&found, address).records),
            Err(NoAnswer::NoSuchName | NoAnswer::NoRecords) => Ok(Vec::new()),
            Err(none) => Err(Unanswered(none.to_string())),
        }
    }

    /// The texts of a name; none when name servers say so.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, NoAnswer> {
        match self.look_up(name, RecordType::TXT).await {
            Ok(found) => Ok(answer(&found, text_of).records),
            Err(NoAnswer::NoSuchName | NoAnswer::NoRecords) => Ok(Vec::new()),
            Err(none) => Err(none),
        }
    }

    /// The first text of a name, if it has one.
    pub async fn text(&self, name: &str) -> Option<String> {
        self.texts(name).await.ok()?.into_iter().next()
    }

    /// The resolver itself, for checks that ask one question after the other; and the right to one in
    /// flight.
    pub(crate) async fn lend(&self) -> Option<(TokioResolver, SemaphorePermit<'_>)> {
        let right = self.questions.lend().await?;
        Some((self.servers.resolver(), right))
    }

    /// An error is never an answer without records.
    async fn look_up(&self, name: &str, records: RecordType) -> Result<Lookup, NoAnswer> {
        let name = absolute(name)?;
        let asked =
            async { self.servers.resolver().lookup(name, records).await.map_err(no_answer) };
        match timeout(LIMIT, self.questions.ask(asked)).await.unwrap_or(Err(GivenUp)) {
            Ok(Ok(found)) if found.answers().iter().any(|its| its.record_type() == records) => {
                Ok(found)
            }
            // Aliases alone.
            Ok(Ok(_)) => Err(NoAnswer::NoRecords),
            Ok(Err(none)) => Err(none),
            Err(GivenUp) => Err(NoAnswer::Passing("name servers do not answer in time".to_owned())),
        }
    }

    /// Aliases in a circle, or too many in a row, read as "no records": a slip of somebody who will
    /// mend it, and no reason to return mail.
    async fn unless_alias_leads_nowhere(&self, host: &str, none: NoAnswer) -> NoAnswer {
        let mut seen = vec![host.trim_end_matches('.').to_ascii_lowercase()];
        while seen.len() <= MOST_ALIASES {
            let found = self.look_up(&seen[seen.len() - 1], RecordType::CNAME).await;
            let target = |found: &Lookup| answer(found, alias).records.into_iter().next();
            let Some(target) = found.ok().as_ref().and_then(target) else { return none };
            if seen.contains(&target) {
                return NoAnswer::Passing(format!("{host} is an alias of itself"));
            }
            seen.push(target);
        }
        NoAnswer::Passing(format!("{host} is an alias of more than {MOST_ALIASES} others"))
    }
}

/// The records of one kind, within bounds.
fn answer<T>(found: &Lookup, record: impl Fn(&RData) -> Option<T>) -> Records<T> {
    let records = found.answers().iter().filter_map(|its| record(&its.data));
    Records { records: records.take(MOST_ANSWERS).collect(), secure: false }
}

fn text_of(data: &RData) -> Option<String> {
    match data {
        RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
        _ => None,
    }
}

fn alias(data: &RData) -> Option<String> {
    match data {
        RData::CNAME(target) => Some(undotted(target)),
        _ => None,
    }
}

/// The name that a host is an alias of, directly or by others.
fn alias_of(found: &Lookup, host: &str) -> Option<String> {
    let last = answer(found, alias).records.pop()?;
    (!last.eq_ignore_ascii_case(host)).then_some(last)
}

/// The name with its final dot, so that no search list is tried.
fn absolute(name: &str) -> Result<Name, NoAnswer> {
    let mut name = Name::from_ascii(name).map_err(|_| NoAnswer::NotAName)?;
    name.set_fqdn(true);
    if name.iter().any(|label| label.len() > LONGEST_LABEL) || name.len() > LONGEST_NAME {
        return Err(NoAnswer::NotAName);
    }
    Ok(name)
}

/// In lower case, without its final dot; empty for the root.
fn undotted(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

fn no_answer(error: NetError) -> NoAnswer {
    match error {
        error if error.is_nx_domain() => NoAnswer::NoSuchName,
        error if error.is_no_records_found() => NoAnswer::NoRecords,
        NetError::NoConnections => NoAnswer::Passing("no name server can be reached".to_owned()),
        error => passing(&error),
    }
}

fn passing(error: &dyn std::fmt::Display) -> NoAnswer {
    NoAnswer::Passing(error.to_string())
}

/// By their servers.
type ByServers = HashMap<Box<[SocketAddr]>, Weak<Dns>>;

static SHARED: Mutex<Option<ByServers>> = Mutex::new(None);

/// For one question, waiting for its turn among them.
const LIMIT: Duration = Duration::from_secs(8);
/// Records of an answer that are looked at.
const MOST_ANSWERS: usize = 100;
/// Names that an alias may lead over.
const MOST_ALIASES: usize = 8;
/// RFC 1035 section 2.3.4.
const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_asked_for_are_told() {
        let long_label = format!("{}.test", "a".repeat(64));
        let long_name = ["a".repeat(60).as_str(); 5].join(".");
        for name in ["a.test", "a.test.", "_x.test", "xn--tda.test", "a"] {
            assert!(absolute(name).is_ok_and(|its| its.is_fqdn()), "{name}");
        }
        for name in ["a..test", &long_label, &long_name] {
            assert_eq!(absolute(name).unwrap_err(), NoAnswer::NotAName, "{name}");
        }
    }

    #[test]
    fn who_asks_the_same_servers_shares_the_way() {
        let servers = |port| [SocketAddr::from(([127, 0, 0, 1], port))];
        let first = Dns::shared(&servers(1)).unwrap();
        assert!(Arc::ptr_eq(&first, &Dns::shared(&servers(1)).unwrap()));
        assert!(!Arc::ptr_eq(&first, &Dns::shared(&servers(2)).unwrap()));
    }
}
