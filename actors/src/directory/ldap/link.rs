//! Connections to one LDAP server: opened when they are needed, shared by many searches, opened
//! again when they have ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, ResultEntry, Scope, SearchOptions,
    SearchResult, StdStream,
    asn1::{PL, StructureTag},
    controls::{Control, ControlType, PagedResults},
};
use rustls::ClientConfig;
use tokio::{
    sync::{Mutex, Semaphore},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::debug;

use super::{
    approach::approach,
    fault::{Fault, meaning},
    guard::{LinkEnd, LinkGuard},
    place::ServerPlace,
    search::{Extent, Search},
};

/// How a server is reached, and as whom.
#[derive(Debug)]
pub(super) struct ServerTarget {
    /// As in the file.
    pub(super) url: String,
    pub(super) place: ServerPlace,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) bind_dn: String,
    pub(super) password_file: Option<PathBuf>,
    /// Octets of one answer at most.
    pub(super) max_answer: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    open: Mutex<Option<OpenLink>>,
    /// Searches under way.
    room: Semaphore,
}

/// An open connection. Dropping this ends it.
#[derive(Debug)]
pub(super) struct OpenLink {
    pub(super) talk: Talk,
    reading: AbortHandle,
    _guard: LinkGuard,
}

/// The library's side of a connection. Cheap to clone: all clones share it.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    ldap: Ldap,
    ended: LinkEnd,
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
        let mut talk = timeout_at(until, self.open(target)).await.map_err(silent)??;
        let searched = timeout_at(until, caught(talk.found(search, attributes, limit))).await;
        if searched.is_err() {
            // The library does not tell the server; an answer that comes later is thrown away.
            let id = talk.ldap.last_id();
            let _ = timeout(GOODBYE, talk.ldap.abandon(id)).await;
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
            let mut talk = self.open(target).await?;
            let root = talk.ldap.search("", Scope::Base, "(objectClass=*)", ["1.1"]);
            caught(async { Ok(root.await) }).await?.map_err(|error| talk.fault(&error))?;
            Ok(())
        });
        asked.await.unwrap_or(Err(Fault::Silent(limit)))
    }

    /// The next search opens another connection. Searches under way end with an error.
    pub(super) async fn close(&self) {
        if let Some(mut link) = self.open.lock().await.take() {
            // Whether the server hears of it is all the same.
            let _ = timeout(GOODBYE, link.talk.ldap.unbind()).await;
        }
    }

    /// The first who comes connects, the others wait for it.
    async fn open(&self, target: &ServerTarget) -> Result<Talk, Fault> {
        let mut held = self.open.lock().await;
        if let Some(link) = &mut *held
            && !link.talk.is_closed()
        {
            return Ok(link.talk.clone());
        }
        let mut link = target.connect().await?;
        if !target.bind_dn.is_empty() {
            let password = target.password().await?;
            let (code, text) = link.talk.bind(&target.bind_dn, &password).await?;
            if code != OK {
                return Err(target.login(&format!("{} {text}", meaning(code))));
            }
        }
        Ok(held.insert(link).talk.clone())
    }
}

impl Talk {
    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.ldap.clone().is_closed()
    }

    /// The server's word on a name and a password.
    pub(super) async fn bind(&mut self, dn: &str, password: &str) -> Result<(u32, String), Fault> {
        let said = caught(async { Ok(self.ldap.simple_bind(dn, password).await) }).await?;
        let said = said.map_err(|error| self.fault(&error))?;
        Ok((said.rc, said.text))
    }

    async fn found(
        &mut self,
        search: &Search,
        attributes: &[String],
        limit: Duration,
    ) -> Result<Vec<ResultEntry>, Fault> {
        // The server need not work longer than anybody waits; the limit that holds is ours.
        let seconds = limit.as_secs().clamp(1, 3_600) as i32;
        let options = || SearchOptions::new().timelimit(seconds);
        let (base, filter) = (search.base.as_ref(), search.filter.as_ref());
        let (mut found, mut octets, mut cookie) = (Vec::new(), 0, Vec::new());
        loop {
            let ldap = match search.extent {
                Extent::Few => self.ldap.with_search_options(options().sizelimit(MOST_ENTRIES)),
                Extent::Whole(_) => {
                    let page = PagedResults { size: PAGE, cookie };
                    self.ldap.with_search_options(options()).with_controls(page)
                }
            };
            let searched = ldap.search(base, search.scope, filter, attributes).await;
            let SearchResult(entries, said) = searched.map_err(|error| self.fault(&error))?;
            match (said.rc, search.extent) {
                // More entries than were asked for: whoever counts them finds more than one.
                (OK, _) | (SIZE_LIMIT_EXCEEDED, Extent::Few) => {}
                // A name that was asked for need not be there; a place to search in has to be.
                (NO_SUCH_OBJECT, _) if search.scope == Scope::Base || search.base_may_lack => {
                    return Ok(Vec::new());
                }
                (NO_SUCH_OBJECT, _) => return Err(Fault::NoBase(base.to_owned())),
                (REFERRAL, _) => return Err(Fault::Referral(said.refs.join(", "))),
                (code, _) => return Err(Fault::Refused { code, text: said.text }),
            }
            let Extent::Whole(most) = search.extent else { return Ok(entries) };
            octets += entries.iter().map(|entry| size_of_tag(&entry.0)).sum::<usize>();
            found.extend(entries);
            cookie = next_page(&said.ctrls);
            if octets > MOST_OCTETS {
                let text = format!("its answers have more than {MOST_OCTETS} octets");
                return Err(Fault::Refused { code: OK, text });
            }
            if cookie.is_empty() || found.len() > most {
                return Ok(found);
            }
        }
    }

    /// Why an operation failed: the guard knows more than the library.
    fn fault(&self, error: &LdapError) -> Fault {
        Fault::Connection(self.ended.why().unwrap_or_else(|| error.to_string()))
    }
}

impl ServerTarget {
    /// A new connection, as nobody yet.
    pub(super) async fn connect(&self) -> Result<OpenLink, Fault> {
        let (guard, socket) = approach(&self.place, self.tls.as_ref(), self.max_answer).await?;
        let ended = guard.ended();
        let settings = LdapConnSettings::new().set_std_stream(StdStream::Unix(socket));
        let (connection, ldap) = LdapConnAsync::with_settings(settings, "ldapi:///")
            .await
            .map_err(|error| Fault::Connection(error.to_string()))?;
        let url = self.url.clone();
        let reading = tokio::spawn(async move {
            if let Err(error) = connection.drive().await {
                debug!(server = url, %error, "a connection to an LDAP server ended");
            }
        });
        let reading = reading.abort_handle();
        Ok(OpenLink { talk: Talk { ldap, ended }, reading, _guard: guard })
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

/// The library panics on some answers that are none: that ends one operation.
async fn caught<T>(operation: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut operation = pin!(operation);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| operation.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            Poll::Ready(Err(Fault::Connection("its answer cannot be read".to_owned())))
        })
    })
    .await
}

/// The cookie of the page behind a search's answer; empty: it was the last one.
fn next_page(controls: &[Control]) -> Vec<u8> {
    let is_page = |control: &&Control| matches!(control.0, Some(ControlType::PagedResults));
    let page = controls.iter().find(is_page).map(|control| control.1.parse::<PagedResults>());
    page.map(|page| page.cookie).unwrap_or_default()
}

/// Octets of what a server told.
fn size_of_tag(tag: &StructureTag) -> usize {
    match &tag.payload {
        PL::P(octets) => octets.len(),
        PL::C(inner) => inner.iter().map(size_of_tag).sum(),
    }
}

/// slapd ends the connection of whoever has more than 100 requests waiting there (`OpenLDAP` 2.5,
/// `conn_max_pending`).
const PENDING: usize = 64;
/// Two are too many of one address; a few more are told of in the log.
const MOST_ENTRIES: i32 = 10;
/// Entries at once of a list's search. Active Directory tells 1,000 at most.
const PAGE: i32 = 500;
/// Octets that a list's search may find, in all its pages.
const MOST_OCTETS: usize = 16 << 20;
const GOODBYE: Duration = Duration::from_secs(1);
// RFC 4511 appendix A.1.
pub(super) const OK: u32 = 0;
const SIZE_LIMIT_EXCEEDED: u32 = 4;
const REFERRAL: u32 = 10;
const NO_SUCH_OBJECT: u32 = 32;
