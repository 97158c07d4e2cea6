//! Several LDAP servers with the same entries: the first that answers is asked.
//!
//! A server that does not answer is left alone until a task of its own has found that it does again:
//! no look-up waits for a server that is known to be away, and with all of them away each look-up
//! fails at once.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ldap3::ResultEntry;
use relais_channels::backoff::Backoff;
use relais_config::directory;
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    fault::{Fault, INVALID_CREDENTIALS},
    link::{Link, OK, OpenLink, ServerTarget},
    place::ServerPlace,
    search::Search,
};
use crate::{
    directory::{
        lookup::LookupError,
        search_log::{self, Searched},
    },
    metrics::{OperationResult, ServerMeter},
};

/// The servers, in the order of the file.
#[derive(Debug)]
pub(super) struct Servers {
    servers: Vec<Arc<Server>>,
    /// Of each look-up.
    limit: Duration,
}

/// One server.
#[derive(Debug)]
struct Server {
    target: ServerTarget,
    links: Vec<Link>,
    /// Connections on which users log in, kept for the next.
    logins: Mutex<Vec<OpenLink>>,
    most_logins: usize,
    /// Since when it does not answer; the meter has the reason.
    away: Mutex<Option<Instant>>,
    /// Somebody is finding out whether it answers.
    suspected: AtomicBool,
    /// When a fault of its answers was told last.
    told: Mutex<Option<Instant>>,
    meter: ServerMeter,
}

impl Servers {
    /// The servers of the configuration. Nothing is connected before it is needed.
    pub(super) fn new(
        ldap: &directory::Ldap,
        password_file: Option<&Path>,
        tls: Option<&Arc<ClientConfig>>,
        meter: impl Fn(&str) -> ServerMeter,
    ) -> Self {
        let servers = ldap.servers.iter().map(|url| {
            let target = ServerTarget {
                url: url.clone(),
                place: ServerPlace::of(url, ldap.starttls),
                tls: tls.cloned(),
                bind_dn: ldap.bind_dn.clone(),
                password_file: password_file.map(Path::to_owned),
                max_answer: ldap.max_answer,
            };
            Arc::new(Server {
                target,
                links: (0..ldap.max_connections).map(|_| Link::new()).collect(),
                logins: Mutex::default(),
                most_logins: ldap.max_connections,
                away: Mutex::default(),
                suspected: AtomicBool::new(false),
                told: Mutex::default(),
                meter: meter(url),
            })
        });
        Self { servers: servers.collect(), limit: ldap.timeout }
    }

    /// The entries that a search finds.
    pub(super) async fn search(
        &self,
        search: &Search,
        attributes: &[String],
    ) -> Result<Vec<ResultEntry>, LookupError> {
        self.ask(|server, limit| async move { server.search(search, attributes, limit).await })
            .await
    }

    /// Whether this is the password of the entry of this name: the server says so.
    pub(super) async fn login(&self, dn: &str, password: &str) -> Result<bool, LookupError> {
        // An empty name or password is nobody's login, and servers say yes to it.
        if dn.is_empty() || password.is_empty() {
            return Ok(false);
        }
        self.ask(|server, limit| async move { server.login(dn, password, limit).await }).await
    }

    /// Asks the first server that answers, the next when it cannot.
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Server>, Duration) -> F) -> Result<T, LookupError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let asked = timeout(self.limit, async {
            let (present, share) = self.present()?;
            let mut last = None;
            for server in present {
                match ask(Arc::clone(server), share).await {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => last = Some(said_by(server, &fault)),
                }
            }
            Err(last.unwrap_or_else(|| LookupError("there is no server".to_owned())))
        });
        asked.await.unwrap_or_else(|_| Err(self.silent()))
    }

    /// The servers that answer, and how long each may take: one that is silent leaves time for the
    /// next.
    fn present(&self) -> Result<(Vec<&Arc<Server>>, Duration), LookupError> {
        let mut present: Vec<_> = self.servers.iter().filter(|its| its.away().is_none()).collect();
        // One that was silent a moment ago is asked last.
        present.sort_by_key(|server| server.suspected.load(Ordering::Relaxed));
        let Some(count) = u32::try_from(present.len()).ok().filter(|count| *count > 0) else {
            let away = self.servers.iter().filter_map(|server| {
                let why = server.meter.why_away()?;
                Some(format!("{}: {why}", server.target.url))
            });
            let all: Vec<_> = away.collect();
            return Err(LookupError(format!("no server is there: {}", all.join("; "))));
        };
        // A server's share ends before the whole does: conclusions are drawn from its silence.
        Ok((present, self.limit * 49 / 50 / count))
    }

    fn silent(&self) -> LookupError {
        LookupError(format!("no answer in {}", humantime::format_duration(self.limit)))
    }
}

impl Server {
    async fn search(
        self: &Arc<Self>,
        search: &Search,
        attributes: &[String],
        limit: Duration,
    ) -> Result<Vec<ResultEntry>, Fault> {
        let begun = Instant::now();
        // The first of those with the most room: a quiet engine uses one connection.
        let link = self.links.iter().rev().max_by_key(|link| link.room());
        let Some(link) = link else { return Err(Fault::Connection("none is allowed".to_owned())) };
        let searched = link.search(&self.target, search, attributes, limit).await;
        self.note(searched.as_ref().err(), begun);
        search_log::keep(|| Searched {
            server: self.target.url.clone(),
            search: search.to_string(),
            outcome: searched.as_ref().map(Vec::len).map_err(ToString::to_string),
            took: begun.elapsed(),
        });
        searched
    }

    async fn login(
        self: &Arc<Self>,
        dn: &str,
        password: &str,
        limit: Duration,
    ) -> Result<bool, Fault> {
        let begun = Instant::now();
        let asked = timeout(limit, self.bind(dn, password)).await;
        let asked = asked.unwrap_or(Err(Fault::Silent(limit)));
        self.note(asked.as_ref().err(), begun);
        asked
    }

    /// Binds on a connection that carries nothing else: a bind changes who all others on it are.
    async fn bind(&self, dn: &str, password: &str) -> Result<bool, Fault> {
        let kept = self.logins().pop().filter(|link| !link.talk.is_closed());
        let mut link = match kept {
            Some(link) => link,
            None => self.target.connect().await?,
        };
        let (code, text) = link.talk.bind(dn, password).await?;
        let mut logins = self.logins();
        if logins.len() < self.most_logins {
            logins.push(link);
        }
        match code {
            OK => Ok(true),
            INVALID_CREDENTIALS => Ok(false),
            code => Err(Fault::Refused { code, text }),
        }
    }

    /// Counts an operation, and draws conclusions from one that failed.
    fn note(self: &Arc<Self>, fault: Option<&Fault>, begun: Instant) {
        let result = match fault {
            None => OperationResult::Answered,
            Some(Fault::Silent(_)) => OperationResult::Silent,
            Some(Fault::Refused { .. } | Fault::Referral(_) | Fault::NoBase(_)) => {
                OperationResult::Refused
            }
            Some(Fault::Connection(_) | Fault::Login { .. }) => OperationResult::Failed,
        };
        self.meter.count(result, begun.elapsed());
        match fault {
            Some(Fault::Silent(_)) => self.suspect(),
            Some(fault @ (Fault::Connection(_) | Fault::Login { .. })) => self.leave(fault),
            // Another server may say what this one does not want to.
            Some(fault @ (Fault::Refused { .. } | Fault::Referral(_) | Fault::NoBase(_))) => {
                self.tell(fault);
            }
            None => {}
        }
    }

    /// Tells of a fault that comes with each search once in a while.
    fn tell(&self, fault: &Fault) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
            *told = Some(Instant::now());
            warn!(server = self.target.url, %fault, "an LDAP server does not say what was asked");
        }
    }

    /// One slow search is no silent server: whether it answers anything at all decides.
    fn suspect(self: &Arc<Self>) {
        if self.suspected.swap(true, Ordering::Relaxed) {
            return;
        }
        let server = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(link) = server.links.first()
                && let Err(fault) = link.answers(&server.target, PROBE).await
            {
                server.leave(&fault);
            }
            server.suspected.store(false, Ordering::Relaxed);
        });
    }

    /// Asks it nothing more until it answers again.
    fn leave(self: &Arc<Self>, fault: &Fault) {
        {
            let mut away = self.away();
            if away.is_some() {
                return;
            }
            *away = Some(Instant::now());
        }
        self.meter.set_away(Some(fault.to_string()));
        warn!(server = self.target.url, %fault, "an LDAP server does not answer: it is left alone");
        tokio::spawn(return_of(Arc::downgrade(self)));
    }

    /// It answers again.
    fn welcome(&self) {
        let Some(since) = self.away().take() else { return };
        self.meter.set_away(None);
        info!(
            server = self.target.url,
            away_seconds = since.elapsed().as_secs(),
            "an LDAP server answers again"
        );
    }

    fn away(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logins(&self) -> MutexGuard<'_, Vec<OpenLink>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a server answers again; ends with the configuration that names it.
async fn return_of(server: Weak<Server>) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    if let Some(server) = server.upgrade() {
        server.logins().clear();
        for link in &server.links {
            link.close().await;
        }
    }
    loop {
        // Engines that were cut off together need not come back together.
        let pause = backoff.fail();
        sleep(pause / 2 + pause.mul_f64(rand_fraction() / 2.0)).await;
        let Some(server) = server.upgrade() else { return };
        let Some(link) = server.links.first() else { return };
        match link.answers(&server.target, PROBE).await {
            Ok(()) => return server.welcome(),
            Err(fault) => {
                link.close().await;
                server.meter.set_away(Some(fault.to_string()));
            }
        }
    }
}

/// Between 0 and 1.
fn rand_fraction() -> f64 {
    let mut octets = [0; 4];
    // Without random octets the pauses are the shortest.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut octets);
    f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX)
}

fn said_by(server: &Server, fault: &Fault) -> LookupError {
    LookupError(format!("{}: {fault}", server.target.url))
}

const TOLD_EVERY: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    /// Servers say that all is well to an empty password, and to an empty name: they are not asked.
    #[tokio::test]
    async fn an_empty_password_is_nobodys() {
        let servers = Servers { servers: Vec::new(), limit: Duration::from_secs(1) };
        for (dn, password) in [("uid=jdoe", ""), ("", "secret"), ("", "")] {
            assert_eq!(servers.login(dn, password).await, Ok(false), "{dn:?} {password:?}");
        }
        assert!(servers.login("uid=jdoe", "secret").await.is_err(), "a server would be asked");
    }
}
