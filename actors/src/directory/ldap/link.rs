//! Connections to one LDAP server: opened when they are needed, shared by many searches, opened
//! again when they have ended.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, ResultEntry, Scope, SearchOptions, StdStream,
};
use rustls::ClientConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    sync::{Mutex, Semaphore},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use super::search::Search;

/// How a server is reached, and as whom.
#[derive(Debug)]
pub(super) struct ServerTarget {
    /// As in the file.
    pub(super) url: String,
    /// Host and port; nothing for a UNIX socket.
    pub(super) place: Option<String>,
    pub(super) starttls: bool,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) bind_dn: String,
    pub(super) password_file: Option<PathBuf>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    open: Mutex<Option<OpenLink>>,
    /// Searches under way.
    room: Semaphore,
}

/// An open connection. The library reads on as long as its server sends, whoever waits for it, and has
/// no limit for one answer: dropping this ends it.
#[derive(Debug)]
pub(super) struct OpenLink {
    pub(super) ldap: Ldap,
    reading: AbortHandle,
}

/// Why an operation came to nothing.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Fault {
    /// There is no connection, or it ended.
    #[error("{0}")]
    Connection(String),
    /// It did not answer in time.
    #[error("no answer in {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// It does not let us in.
    #[error("login as {dn:?}: {why}")]
    Login {
        /// The account.
        dn: String,
        /// The server's words; or those about the password's file.
        why: String,
    },
    /// It answers that it cannot.
    #[error("{}{}{text}", meaning(*code), if text.is_empty() { "" } else { ": " })]
    Refused {
        /// RFC 4511 appendix A.
        code: u32,
        /// Its diagnostic message.
        text: String,
    },
    /// Nothing is there to search in, or we may not see it.
    #[error("there is no {0:?}, or it may not be read: look at user_base and domain_base")]
    NoBase(String),
    /// It says that others know.
    #[error("it refers to {0}, and referrals are not followed: ask that server, or move user_base")]
    Referral(String),
}

impl Link {
    pub(super) fn new() -> Self {
        Self { open: Mutex::new(None), room: Semaphore::new(PENDING) }
    }

    /// How many more searches it takes.
    pub(super) fn room(&self) -> usize {
        self.room.available_permits()
    }

    /// Searches; a server that says nothing is waited for so long.
    pub(super) async fn search(
        &self,
        target: &ServerTarget,
        search: &Search,
        attributes: &[String],
        limit: Duration,
    ) -> Result<Vec<ResultEntry>, Fault> {
        let until = Instant::now() + limit;
        let silent = |_| Fault::Silent(limit);
        let room = timeout_at(until, self.room.acquire()).await.map_err(silent)?;
        let _permit = room.map_err(|error| Fault::Connection(error.to_string()))?;
        let mut ldap = timeout_at(until, self.open(target)).await.map_err(silent)??;
        let searched = timeout_at(until, found(&mut ldap, search, attributes, limit)).await;
        if searched.is_err() {
            // The library does not tell the server; an answer that comes later is thrown away.
            let id = ldap.last_id();
            let _ = timeout(GOODBYE, ldap.abandon(id)).await;
        }
        searched.map_err(silent)?
    }

    /// Whether the server answers at all, on the connection that there is.
    pub(super) async fn answers(
        &self,
        target: &ServerTarget,
        limit: Duration,
    ) -> Result<(), Fault> {
        let asked = timeout(limit, async {
            let mut ldap = self.open(target).await?;
            ldap.search("", Scope::Base, "(objectClass=*)", ["1.1"])
                .await
                .map_err(|error| fault(&error))?;
            Ok(())
        });
        asked.await.unwrap_or(Err(Fault::Silent(limit)))
    }

    /// The next search opens another connection. Searches under way end with an error.
    pub(super) async fn close(&self) {
        if let Some(mut link) = self.open.lock().await.take() {
            // Whether the server hears of it is all the same.
            let _ = timeout(GOODBYE, link.ldap.unbind()).await;
        }
    }

    /// The first who comes connects, the others wait for it.
    async fn open(&self, target: &ServerTarget) -> Result<Ldap, Fault> {
        let mut held = self.open.lock().await;
        if let Some(link) = &mut *held
            && !link.ldap.is_closed()
        {
            return Ok(link.ldap.clone());
        }
        let mut link = target.connect().await?;
        if !target.bind_dn.is_empty() {
            let password = target.password().await?;
            let said = link
                .ldap
                .simple_bind(&target.bind_dn, &password)
                .await
                .map_err(|error| fault(&error))?;
            if said.rc != 0 {
                return Err(target.login(&format!("{} {}", meaning(said.rc), said.text)));
            }
        }
        Ok(held.insert(link).ldap.clone())
    }
}

impl ServerTarget {
    /// A new connection, as nobody yet.
    pub(super) async fn connect(&self) -> Result<OpenLink, Fault> {
        let mut settings = LdapConnSettings::new().set_starttls(self.starttls);
        if let Some(tls) = &self.tls {
            settings = settings.set_config(Arc::clone(tls));
        }
        if let Some(place) = &self.place {
            settings = settings.set_std_stream(StdStream::Tcp(connected(place).await?));
        }
        let (connection, ldap) = LdapConnAsync::with_settings(settings, &self.url)
            .await
            .map_err(|error| fault(&error))?;
        let url = self.url.clone();
        let reading = tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                debug!(server = url, %error, "a connection to an LDAP server ended");
            }
        });
        Ok(OpenLink { ldap, reading: reading.abort_handle() })
    }

    /// The password of the day: it may be changed while the engine runs.
    async fn password(&self) -> Result<String, Fault> {
        let Some(file) = &self.password_file else { return Ok(String::new()) };
        let unusable = |why: &str| self.login(&format!("{}: {why}", file.display()));
        let read = tokio::fs::read_to_string(file).await;
        let text = read.map_err(|error| unusable(&error.to_string()))?;
        let password = text.lines().next().unwrap_or_default();
        // Some servers take an empty password for nobody's, and say that all is well.
        if password.is_empty() {
            return Err(unusable("the first line is empty"));
        }
        Ok(password.to_owned())
    }

    fn login(&self, why: &str) -> Fault {
        Fault::Login { dn: self.bind_dn.clone(), why: why.trim_end().to_owned() }
    }
}

impl Drop for OpenLink {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// A result code in words (RFC 4511 appendix A).
fn meaning(code: u32) -> String {
    let words = match code {
        3 => "it took too long (timeLimitExceeded)",
        SIZE_LIMIT_EXCEEDED => "it found more than it may tell (sizeLimitExceeded)",
        8 => "it wants a stronger login (strongerAuthRequired)",
        11 => "beyond a limit of the server (adminLimitExceeded)",
        13 => "it wants TLS (confidentialityRequired)",
        INVALID_CREDENTIALS => "the name or the password is wrong (invalidCredentials)",
        50 => "it does not allow that (insufficientAccessRights)",
        51 => "busy",
        52 => "unavailable",
        53 => "it does not want to (unwillingToPerform)",
        code => return format!("result code {code}"),
    };
    words.to_owned()
}

/// The library sets no keepalive: a firewall that forgets a quiet connection would be found out by
/// a search that nobody answers.
async fn connected(place: &str) -> Result<std::net::TcpStream, Fault> {
    let failed = |error: io::Error| Fault::Connection(error.to_string());
    let stream = TcpStream::connect(place).await.map_err(failed)?;
    let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(QUIET / 4);
    SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    stream.into_std().map_err(failed)
}

async fn found(
    ldap: &mut Ldap,
    search: &Search,
    attributes: &[String],
    limit: Duration,
) -> Result<Vec<ResultEntry>, Fault> {
    let most = i32::try_from(search.most).unwrap_or(i32::MAX);
    // The server need not work longer than anybody waits; the limit that holds is ours.
    let seconds = limit.as_secs().clamp(1, 3_600) as i32;
    ldap.with_search_options(SearchOptions::new().sizelimit(most).timelimit(seconds));
    let asked = ldap.search(search.base.as_ref(), search.scope, search.filter.as_ref(), attributes);
    let searched = asked.await.map_err(|error| fault(&error))?;
    let (entries, said) = (searched.0, searched.1);
    match said.rc {
        // More entries than were asked for: whoever counts them finds more than one.
        OK => Ok(entries),
        SIZE_LIMIT_EXCEEDED if search.is_few() || entries.len() >= search.most => Ok(entries),
        // A name that was asked for need not be there; a place to search in has to be.
        NO_SUCH_OBJECT if search.scope == Scope::Base => Ok(Vec::new()),
        NO_SUCH_OBJECT => Err(Fault::NoBase(search.base.as_ref().to_owned())),
        REFERRAL => Err(Fault::Referral(said.refs.join(", "))),
        code => Err(Fault::Refused { code, text: said.text }),
    }
}

pub(super) fn fault(error: &LdapError) -> Fault {
    Fault::Connection(error.to_string())
}

/// slapd ends the connection of whoever has more than 100 requests waiting there (`OpenLDAP` 2.5,
/// `conn_max_pending`).
const PENDING: usize = 64;
const QUIET: Duration = Duration::from_secs(60);
const GOODBYE: Duration = Duration::from_secs(1);
// RFC 4511 appendix A.1.
pub(super) const OK: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;
/// The password is wrong.
pub(super) const INVALID_CREDENTIALS: u32 = 49;
