//! Questions to name servers.
//!
//! Names are asked for as they are: no search list, no file of hosts. Answers are remembered as long
//! as they say, within bounds. Each question in flight takes a socket, so only so many are.

mod block_list;
mod dnssec;
mod tlsa;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData},
};
use tokio::sync::Semaphore;

pub use block_list::reversed;
pub use dnssec::{Exchangers, SecureDns, SecureHost};
pub use tlsa::Tlsa;

/// The way to name servers.
pub struct Dns {
    resolver: TokioResolver,
    sockets: Semaphore,
}

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unanswered(String);

impl Dns {
    /// Asks these servers, or those of the system when there are none.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, Unanswered> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(unanswered)?
        } else {
            let config =
                ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.attempts = 1;
        options.cache_size = REMEMBERED;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_max_ttl = Some(LONGEST);
        options.negative_max_ttl = Some(LONGEST);
        let resolver = builder.build().map_err(unanswered)?;
        Ok(Self { resolver, sockets: Semaphore::new(AT_ONCE) })
    }

    /// The IPv4 addresses of a name; none when name servers say so.
    pub async fn ipv4(&self, name: &str) -> Result<Vec<Ipv4Addr>, Unanswered> {
        let _socket = self.sockets.acquire().await.map_err(unanswered)?;
        match self.resolver.ipv4_lookup(absolute(name)?).await {
            Ok(found) => {
                let address = |data: &RData| match data {
                    RData::A(address) => Some(address.0),
                    _ => None,
                };
                let answers = found.answers().iter().take(MOST_ANSWERS);
                Ok(answers.filter_map(|record| address(&record.data)).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// The texts of a name; none when name servers say so.
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, Unanswered> {
        let _socket = self.sockets.acquire().await.map_err(unanswered)?;
        match self.resolver.txt_lookup(absolute(name)?).await {
            Ok(found) => {
                let text = |data: &RData| match data {
                    RData::TXT(text) => {
                        Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned())
                    }
                    _ => None,
                };
                let answers = found.answers().iter().take(MOST_ANSWERS);
                Ok(answers.filter_map(|record| text(&record.data)).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(unanswered(error)),
        }
    }

    /// The first text of a name, if it has one.
    pub async fn text(&self, name: &str) -> Option<String> {
        let _socket = self.sockets.acquire().await.ok()?;
        let found = self.resolver.txt_lookup(absolute(name).ok()?).await.ok()?;
        found.answers().iter().take(MOST_ANSWERS).find_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        })
    }
}

/// The name with its final dot, so that no search list is tried.
fn absolute(name: &str) -> Result<Name, Unanswered> {
    let mut name = Name::from_ascii(name).map_err(unanswered)?;
    name.set_fqdn(true);
    Ok(name)
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let mut config = NameServerConfig::udp_and_tcp(address.ip());
    let at_port = |connection: &mut ConnectionConfig| connection.port = address.port();
    config.connections.iter_mut().for_each(at_port);
    config
}

fn unanswered(error: impl std::fmt::Display) -> Unanswered {
    Unanswered(error.to_string())
}

/// Of one server; each is asked twice at most.
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers that are remembered, and how long at most.
const REMEMBERED: u64 = 10_000;
const LONGEST: Duration = Duration::from_secs(3_600);
/// Questions in flight.
const AT_ONCE: usize = 200;
/// Records of an answer that are looked at.
const MOST_ANSWERS: usize = 32;
