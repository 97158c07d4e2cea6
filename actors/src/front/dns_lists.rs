//! DNS block lists of a service: whether one of them lists a client.
//!
//! Mail is never kept waiting by a list: what has no answer in time lists nobody, and a list that gave
//! none is left alone for a while.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;
use relais_channels::dns::{Dns, Unanswered, reversed};
use relais_config::dispatcher::Clients;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

/// The lists of one service.
#[derive(Clone)]
pub struct DnsLists {
    dns: Arc<Dns>,
    lists: Arc<[List]>,
    limit: Duration,
    /// Clients that were looked up a moment ago, and the line for those that are listed.
    recent: Arc<Cache<IpAddr, (Instant, Option<String>)>>,
}

/// One list.
struct List {
    domain: String,
    /// The list gave no answer, and is not asked before this.
    silent_until: Mutex<Option<Instant>>,
}

/// The answer of one list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ListAnswer {
    /// It does not list the client.
    Clear,
    /// It does; with what it says of it.
    Listed(Option<String>),
    /// It gave no answer, for this reason.
    None(String),
}

impl DnsLists {
    /// The lists that clients of a service are looked up in, by these name servers; nothing when
    /// there are none.
    pub fn of(clients: &Clients, servers: &[SocketAddr]) -> Result<Option<Self>, Unanswered> {
        let list =
            |domain: &String| List { domain: domain.clone(), silent_until: Mutex::default() };
        let lists: Arc<[List]> = clients.dns_verify_domain.iter().map(list).collect();
        if lists.is_empty() {
            return Ok(None);
        }
        let dns = Dns::shared(servers)?;
        let recent = Arc::new(Cache::new(REMEMBERED));
        Ok(Some(Self { dns, lists, limit: clients.dns_verify_time, recent }))
    }

    /// The answer for a client that was looked up a moment ago; an error is the line for one that is
    /// listed.
    pub(super) fn remembered(&self, client: IpAddr) -> Option<Result<(), String>> {
        let (until, refusal) = self.recent.get(&client)?;
        (Instant::now() < until).then(|| refusal.map_or(Ok(()), Err))
    }

    /// The line for a client that a list has.
    pub(super) async fn refusal(self, client: IpAddr) -> Option<String> {
        let answers = self.ask(client).await;
        let is_whole = !answers.iter().any(|(_, answer)| matches!(answer, ListAnswer::None(_)));
        let listed = |(list, answer)| match answer {
            ListAnswer::Listed(reason) => Some((list, reason)),
            _ => None,
        };
        let found = answers.into_iter().find_map(listed);
        let refusal = found.map(|(list, reason)| refusal_line(client, &list, reason.as_deref()));
        if is_whole || refusal.is_some() {
            self.recent.insert(client, (Instant::now() + MOMENT, refusal.clone()));
        }
        refusal
    }

    /// The answer of each list.
    pub async fn ask(&self, client: IpAddr) -> Vec<(String, ListAnswer)> {
        let deadline = Instant::now() + self.limit;
        let begin = |list: &List| {
            if list.is_silent() {
                return None;
            }
            let (dns, name) = (Arc::clone(&self.dns), reversed(client, &list.domain));
            Some(tokio::spawn(async move { look_up(&dns, &name).await }))
        };
        let asked: Vec<_> = self.lists.iter().map(begin).collect();
        let mut answers = Vec::new();
        for (list, task) in self.lists.iter().zip(asked) {
            let answer = match task {
                Some(task) => list.heard(self.answer_by(deadline, task).await),
                None => ListAnswer::None("it gave no answer a moment ago".to_owned()),
            };
            answers.push((list.domain.clone(), answer));
        }
        answers
    }

    /// The answer of a list, if it comes by then.
    async fn answer_by(&self, deadline: Instant, mut task: JoinHandle<ListAnswer>) -> ListAnswer {
        if let Ok(answer) = timeout_at(deadline, &mut task).await {
            return answer.unwrap_or_else(|gone| ListAnswer::None(gone.to_string()));
        }
        task.abort();
        ListAnswer::None(format!("none within {:?}", self.limit))
    }
}

impl List {
    fn is_silent(&self) -> bool {
        let until = self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// Notes whether the list answers, and says so when that changes.
    fn heard(&self, answer: ListAnswer) -> ListAnswer {
        let list = &self.domain;
        let mut until = self.silent_until.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            ListAnswer::None(why) => {
                if until.is_none() {
                    warn!(list, why, "a DNS block list gives no answer: mail passes");
                }
                *until = Some(Instant::now() + SILENCE);
            }
            _ if until.take().is_some() => info!(list, "the DNS block list answers again"),
            _ => {}
        }
        answer
    }
}

impl fmt::Display for ListAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("not listed"),
            Self::Listed(None) => f.write_str("listed"),
            Self::Listed(Some(reason)) => write!(f, "listed: {reason}"),
            Self::None(why) => write!(f, "no answer: {why}"),
        }
    }
}

async fn look_up(dns: &Dns, name: &str) -> ListAnswer {
    match dns.ipv4(name).await {
        Err(error) => ListAnswer::None(error.to_string()),
        Ok(codes) if codes.is_empty() => ListAnswer::Clear,
        Ok(codes) if codes.iter().copied().any(is_listed) => {
            ListAnswer::Listed(dns.text(name).await)
        }
        // A list that refuses to answer us, or a domain that is no list any more.
        Ok(codes) => ListAnswer::None(format!("its code is {}", codes[0])),
    }
}

/// Codes are in 127.0.0.0/8 (RFC 5782 section 2.1); those in 127.255.255.0/24 say that the question was
/// refused.
fn is_listed(code: Ipv4Addr) -> bool {
    code.is_loopback() && code.octets()[..3] != [127, 255, 255]
}

/// Printable, on one line, and no longer than a line may be.
pub fn refusal_line(client: IpAddr, list: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    let printable = |c: char| if (' '..='~').contains(&c) { c } else { '?' };
    let text = format!("554 5.7.1 [{client}] is listed by {list}{reason}");
    text.chars().take(MAX_LINE).map(printable).collect()
}

/// Clients that are remembered, and how long.
const REMEMBERED: usize = 10_000;
const MOMENT: Duration = Duration::from_secs(60);
/// A list that gave no answer is not asked for so long.
const SILENCE: Duration = Duration::from_secs(30);
/// Octets of a reply without its CRLF (RFC 5321 section 4.5.3.1.5).
const MAX_LINE: usize = 510;
