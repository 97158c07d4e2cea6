//! The directory: where users, groups and domains are looked up, and what their entries mean.
//!
//! The router looks up by [`Lookup`], and has [`evaluate()`] say what an entry means. The
//! [`Directory`] actor owns the source and what it remembers of it. A source in memory answers at
//! once. A [`Remote`] one answers later or not at all: it is asked once however many want to know,
//! a slow answer holds up no other, and what it said is believed for a while. Evaluation itself
//! looks nothing up.
//!
//! An actor and no plain value: answers, look-ups under way and the source change together
//! ([`Adopt`]) and by one hand, so that none of them needs a lock; and what a directory costs
//! is seen at the metrics endpoint.

mod allowance;
mod autoreply;
mod cache;
mod entry;
mod evaluate;
mod filter;
mod known;
mod ldap;
mod ldif;
mod list_headers;
mod local;
mod lookup;
mod member_url;
mod options;
mod password;
mod policy;
mod poster_list;
mod posting;
mod refusal;
mod search_log;
mod sieve_scripts;
mod status;
#[cfg(test)]
mod tests;
mod vacation;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use actix::Message;
use relais_config::{
    self as config,
    directory::{Cache as Limits, UrlCache},
    lookup_url::UrlQuery,
};
use tokio::{sync::oneshot, task::JoinError};

use self::cache::{Asked, Findings, LookupCache};
pub use self::{
    allowance::{Allowance, IgnoredValue},
    autoreply::AutoreplyTexts,
    entry::{Domain, Entry, Kind, normalize_dn},
    evaluate::evaluate,
    ldap::{LdapDirectory, LdapError},
    ldif::LdifError,
    list_headers::{FieldEdit, ListHeaders, field_name},
    local::{LdifDirectory, OpenError},
    lookup::{LookingUp, Lookup, LookupError, Remote},
    member_url::{MemberSearch, MemberUrl},
    options::{Applied, OptionFailure, Request, Target},
    password::{GivenPassword, ListPassword, PasswordError, StoredPassword},
    policy::Policy,
    poster_list::{PosterList, PostingCondition, PostingConditions, PostingTest},
    posting::{DomainPattern, PostingRules},
    refusal::EntryError,
    search_log::{SearchLog, Searched},
    sieve_scripts::{ScriptFiles, SieveScripts},
    status::may_log_in,
};
pub(crate) use self::{
    autoreply::ignored_reply_values,
    known::ADDRESSES,
    list_headers::{is_lists_own, list_line},
    lookup::MOST_FOUND,
    options::{fill, quote},
    poster_list::spelled,
    posting::posting_words,
    sieve_scripts::{addresses_of, ignored_scripts},
    status::VALUES,
    vacation::ignored_dates,
};
use crate::{
    actor::{Actor, Adopt, Answer, Ctx, Gone, Ground, Handle, Later, Mailbox},
    metrics::ServerMeters,
};

/// Asks for a domain by its name, in lower case.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Arc<Domain>>, LookupError>")]
pub struct FindDomain {
    /// Its name.
    pub name: String,
    /// Where searches are told: then what is remembered does not count.
    pub log: Option<SearchLog>,
}

/// Asks for the users and groups that have an address, in lower case.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Entry>>, LookupError>")]
pub struct FindEntries {
    /// Where to look.
    pub domain: Arc<Domain>,
    /// The address to look for.
    pub address: String,
    /// As in [`FindDomain`].
    pub log: Option<SearchLog>,
}

/// Asks for the users that have a login name (`uid`), in lower case.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Entry>>, LookupError>")]
pub struct FindUsers {
    /// Where to look.
    pub domain: Arc<Domain>,
    /// The name to look for.
    pub uid: String,
}

/// Asks for an entry by its distinguished name.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Arc<Entry>>, LookupError>")]
pub struct FindEntry {
    /// The name.
    pub dn: String,
    /// As in [`FindDomain`].
    pub log: Option<SearchLog>,
}

/// Asks for the entries that a search of a list finds.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Entry>>, LookupError>")]
pub struct FindMembers {
    /// The search.
    pub search: MemberSearch,
    /// Addresses in lower case: entries with one of them are wanted; all, when there are none.
    pub among: Vec<String>,
    /// As in [`FindDomain`].
    pub log: Option<SearchLog>,
}

/// Asks for the value that a look-up by URL finds.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Arc<String>>, LookupError>")]
pub struct FindUrl {
    /// The look-up.
    pub query: UrlQuery,
    /// As in [`FindDomain`].
    pub log: Option<SearchLog>,
}

/// Asks whether this is the password of a user. Nothing: the source does not log users in, and the
/// entry holds the password.
#[derive(Message)]
#[rtype(result = "Result<Option<bool>, LookupError>")]
pub struct LogIn {
    /// The user's entry.
    pub dn: String,
    /// The password.
    pub password: String,
}

/// Where entries come from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// No directory: nothing is found.
    #[default]
    None,
    /// An LDIF file in memory.
    Ldif(Arc<LdifDirectory>),
    /// A directory that is asked over a network, and how long it is believed.
    Remote(Arc<dyn Remote>, Limits),
}

/// The actor.
#[derive(Debug)]
pub struct Directory {
    source: Source,
    counts: Arc<LookupCounts>,
    /// By name.
    domains: LookupCache<String, Option<Arc<Domain>>>,
    /// By the base of a domain, and address.
    addresses: LookupCache<(String, String), Vec<Arc<Entry>>>,
    /// By the base of a domain, and login name.
    uids: LookupCache<(String, String), Vec<Arc<Entry>>>,
    /// By distinguished name.
    names: LookupCache<String, Option<Arc<Entry>>>,
    /// By the look-up.
    urls: LookupCache<UrlQuery, Option<Arc<String>>>,
}

/// The directory as seen by those who ask it.
#[derive(Clone, Debug)]
pub struct DirectoryHandle {
    /// How look-ups came out.
    pub counts: Arc<LookupCounts>,
    mailbox: Mailbox<Directory>,
    log: Option<SearchLog>,
}

/// How look-ups came out, for `directory_lookups_total`. What is remembered is not looked up.
#[derive(Debug, Default)]
pub struct LookupCounts {
    /// Something was found.
    pub found: AtomicU64,
    /// Nothing was found.
    pub missing: AtomicU64,
    /// The directory did not answer.
    pub failed: AtomicU64,
}

impl Source {
    /// Opens what the configuration names. A server is not asked before somebody is looked up.
    pub fn open(config: &config::Config, meters: &ServerMeters) -> Result<Self, OpenError> {
        use config::Directory as Configured;
        match &config.directory {
            None => Ok(Self::None),
            Some(Configured::Ldif { file: None }) => LdifDirectory::standalone().map(Self::ldif),
            Some(Configured::Ldif { file: Some(file) }) => {
                LdifDirectory::open(&config.path(file)).map(Self::ldif)
            }
            Some(Configured::Ldap(ldap)) => {
                let directory = LdapDirectory::open(
                    (ldap, &config.default_domain, &config.spare_attributes),
                    |file| config.path(file),
                    meters,
                )?;
                Ok(Self::Remote(Arc::new(directory), ldap.cache))
            }
        }
    }

    fn ldif(directory: LdifDirectory) -> Self {
        Self::Ldif(Arc::new(directory))
    }

    fn limits(&self) -> Limits {
        match self {
            Self::None | Self::Ldif(_) => Limits::default(),
            Self::Remote(_, limits) => *limits,
        }
    }

    fn url_limits(&self) -> Limits {
        match self {
            Self::None | Self::Ldif(_) => UrlCache::default().limits(),
            Self::Remote(directory, _) => directory.url_limits(),
        }
    }
}

impl Lookup for Source {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        match self {
            Self::None => Ok(None),
            Self::Ldif(directory) => directory.domain(name).await,
            Self::Remote(directory, _) => directory.domain(name).await,
        }
    }

    async fn entries(
        &self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Ldif(directory) => directory.entries(domain, address).await,
            Self::Remote(directory, _) => directory.entries(domain, address).await,
        }
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        match self {
            Self::None => Ok(None),
            Self::Ldif(directory) => directory.entry(dn).await,
            Self::Remote(directory, _) => directory.entry(dn).await,
        }
    }

    async fn found_by(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Ldif(directory) => directory.found_by(search, among).await,
            Self::Remote(directory, _) => directory.found_by(search, among).await,
        }
    }

    async fn url(&self, query: &UrlQuery) -> Result<Option<String>, LookupError> {
        match self {
            Self::None => Ok(None),
            Self::Ldif(directory) => directory.url(query).await,
            Self::Remote(directory, _) => Ok(directory.url(query).await?.map(Arc::unwrap_or_clone)),
        }
    }
}

/// Starts the directory, which answers from `source`.
pub fn start(source: Source, ground: &Ground) -> DirectoryHandle {
    let counts = Arc::<LookupCounts>::default();
    let mailbox = ground.start_vital("directory", Directory::new(source, Arc::clone(&counts)));
    DirectoryHandle { counts, mailbox, log: None }
}

impl Directory {
    fn new(source: Source, counts: Arc<LookupCounts>) -> Self {
        let (limits, of_urls) = (source.limits(), source.url_limits());
        Self {
            source,
            counts,
            domains: LookupCache::new(limits),
            addresses: LookupCache::new(limits),
            uids: LookupCache::new(limits),
            names: LookupCache::new(limits),
            urls: LookupCache::new(of_urls),
        }
    }

    /// The answer of a source in memory.
    fn at_once<V: Findings>(&self, answer: V) -> Answer<Result<V, LookupError>> {
        let said = Ok(answer);
        self.counts.count(&said);
        Answer::Now(said)
    }

    /// The answer of a remote source: what is remembered, or what it will say.
    fn in_time<K, V>(
        &mut self,
        cache: fn(&mut Self) -> &mut LookupCache<K, V>,
        (key, log): (K, Option<SearchLog>),
        look_up: impl FnOnce(&K) -> LookingUp<V>,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<V, LookupError>>
    where
        K: Clone + Eq + std::hash::Hash + 'static,
        V: Findings + Send + 'static,
    {
        if let Some(log) = log {
            let looking_up = tokio::spawn(log.over(look_up(&key)));
            return Later::new(async move { looked_up(looking_up.await) }).into();
        }
        let outcome = match cache(self).ask(&key, Instant::now()) {
            Asked::Known(answer) => return Answer::Now(Ok(answer)),
            Asked::UnderWay(outcome) => outcome,
            Asked::First(id, outcome) => {
                // A task of its own: a bug in a source fails this look-up and not the actor.
                let looking_up = tokio::spawn(look_up(&key));
                ctx.when(looking_up, move |directory, said, _| {
                    let said = looked_up(said);
                    directory.counts.count(&said);
                    cache(directory).settle(id, key, &said, Instant::now());
                });
                outcome
            }
        };
        Later::new(async move { outcome.await.unwrap_or_else(|_| Err(ended())) }).into()
    }
}

impl Actor for Directory {
    const NAME: &'static str = "directory";
}

impl Handle<FindDomain> for Directory {
    fn handle(
        &mut self,
        FindDomain { name, log }: FindDomain,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Option<Arc<Domain>>, LookupError>> {
        match self.source.clone() {
            Source::None => self.at_once(None),
            Source::Ldif(directory) => self.at_once(directory.find_domain(&name)),
            Source::Remote(directory, _) => {
                let look_up = |name: &String| directory.domain(name);
                self.in_time(|its| &mut its.domains, (name, log), look_up, ctx)
            }
        }
    }
}

impl Handle<FindEntries> for Directory {
    fn handle(
        &mut self,
        FindEntries { domain, address, log }: FindEntries,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Vec<Arc<Entry>>, LookupError>> {
        match self.source.clone() {
            Source::None => self.at_once(Vec::new()),
            Source::Ldif(directory) => self.at_once(directory.find_entries(&domain, &address)),
            Source::Remote(directory, _) => {
                let key = (domain.base.clone(), address);
                let look_up = |(_, address): &(_, String)| directory.entries(&domain, address);
                self.in_time(|its| &mut its.addresses, (key, log), look_up, ctx)
            }
        }
    }
}

impl Handle<FindUsers> for Directory {
    fn handle(
        &mut self,
        FindUsers { domain, uid }: FindUsers,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Vec<Arc<Entry>>, LookupError>> {
        match self.source.clone() {
            Source::None => self.at_once(Vec::new()),
            Source::Ldif(directory) => self.at_once(directory.find_users(&domain, &uid)),
            Source::Remote(directory, _) => {
                let key = (domain.base.clone(), uid);
                let look_up = |(_, uid): &(_, String)| directory.users(&domain, uid);
                self.in_time(|its| &mut its.uids, (key, None), look_up, ctx)
            }
        }
    }
}

impl Handle<FindEntry> for Directory {
    fn handle(
        &mut self,
        FindEntry { dn, log }: FindEntry,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Option<Arc<Entry>>, LookupError>> {
        match self.source.clone() {
            Source::None => self.at_once(None),
            Source::Ldif(directory) => self.at_once(directory.find_entry(&dn)),
            Source::Remote(directory, _) => {
                let look_up = |dn: &String| directory.entry(dn);
                self.in_time(|its| &mut its.names, (dn, log), look_up, ctx)
            }
        }
    }
}

// Nothing is remembered: what a list came to is, as a whole, by whoever routes.
impl Handle<FindMembers> for Directory {
    fn handle(
        &mut self,
        FindMembers { search, among, log }: FindMembers,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Vec<Arc<Entry>>, LookupError>> {
        let looking_up = match self.source.clone() {
            Source::None => return self.at_once(Vec::new()),
            Source::Ldif(directory) => directory.find_members_in_time(&search, &among),
            Source::Remote(directory, _) => directory.found_by(&search, &among),
        };
        let looking_up = match log {
            Some(log) => tokio::spawn(log.over(looking_up)),
            None => tokio::spawn(looking_up),
        };
        let (tell, outcome) = oneshot::channel();
        ctx.when(looking_up, move |directory, said, _| {
            let said = looked_up(said);
            directory.counts.count(&said);
            // The asker may have gone away meanwhile.
            let _ = tell.send(said);
        });
        Later::new(async move { outcome.await.unwrap_or_else(|_| Err(ended())) }).into()
    }
}

// A file in memory has no index for whatever a filter asks for: its results are remembered, too.
impl Handle<FindUrl> for Directory {
    fn handle(
        &mut self,
        FindUrl { query, log }: FindUrl,
        ctx: &mut Ctx<Self>,
    ) -> Answer<Result<Option<Arc<String>>, LookupError>> {
        match self.source.clone() {
            Source::None => self.at_once(None),
            Source::Ldif(directory) => {
                let look_up = |query: &UrlQuery| directory.in_its_time(query);
                self.in_time(|its| &mut its.urls, (query, log), look_up, ctx)
            }
            Source::Remote(directory, _) => {
                let look_up = |query: &UrlQuery| directory.url(query);
                self.in_time(|its| &mut its.urls, (query, log), look_up, ctx)
            }
        }
    }
}

// Passwords are not remembered.
impl Handle<LogIn> for Directory {
    fn handle(
        &mut self,
        LogIn { dn, password }: LogIn,
        _: &mut Ctx<Self>,
    ) -> Answer<Result<Option<bool>, LookupError>> {
        let Source::Remote(directory, _) = &self.source else { return Answer::Now(Ok(None)) };
        let login = directory.login(&dn, &password);
        Later::new(async move { login.await.map(Some) }).into()
    }
}

/// The answers of the source before are forgotten.
impl Handle<Adopt<Source>> for Directory {
    fn handle(&mut self, Adopt(source): Adopt<Source>, _: &mut Ctx<Self>) {
        let limits = source.limits();
        self.domains.forget(limits);
        self.addresses.forget(limits);
        self.uids.forget(limits);
        self.names.forget(limits);
        self.urls.forget(source.url_limits());
        self.source = source;
    }
}

impl DirectoryHandle {
    /// A handle whose look-ups are told, search by search.
    #[must_use]
    pub fn told(&self) -> Self {
        Self { log: Some(SearchLog::default()), ..self.clone() }
    }

    /// Puts another source in place of the present one.
    pub async fn adopt(&self, source: Source) -> Result<(), Gone> {
        self.mailbox.ask(Adopt(source)).await
    }

    /// Whether this is the password of a user; nothing when the user's entry holds it.
    pub async fn log_in(&self, dn: &str, password: &str) -> Result<Option<bool>, LookupError> {
        let login = LogIn { dn: dn.to_owned(), password: password.to_owned() };
        self.mailbox.ask(login).await.map_err(gone)?
    }

    /// The users of a domain that have this login name.
    pub async fn users(
        &self,
        domain: &Arc<Domain>,
        uid: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let find = FindUsers { domain: Arc::clone(domain), uid: uid.to_owned() };
        self.mailbox.ask(find).await.map_err(gone)?
    }
}

impl Lookup for DirectoryHandle {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        let find = FindDomain { name: name.to_owned(), log: self.log.clone() };
        self.mailbox.ask(find).await.map_err(gone)?
    }

    async fn entries(
        &self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let (domain, address) = (Arc::clone(domain), address.to_owned());
        let find = FindEntries { domain, address, log: self.log.clone() };
        self.mailbox.ask(find).await.map_err(gone)?
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        let find = FindEntry { dn: dn.to_owned(), log: self.log.clone() };
        self.mailbox.ask(find).await.map_err(gone)?
    }

    async fn found_by(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let log = self.log.clone();
        let find = FindMembers { search: search.clone(), among: among.to_vec(), log };
        self.mailbox.ask(find).await.map_err(gone)?
    }

    async fn url(&self, query: &UrlQuery) -> Result<Option<String>, LookupError> {
        let find = FindUrl { query: query.clone(), log: self.log.clone() };
        let found = self.mailbox.ask(find).await.map_err(gone)??;
        Ok(found.map(Arc::unwrap_or_clone))
    }

    fn log(&self) -> Option<SearchLog> {
        self.log.clone()
    }
}

impl LookupCounts {
    fn count<V: Findings>(&self, said: &Result<V, LookupError>) {
        let counter = match said {
            Ok(answer) if answer.is_something() => &self.found,
            Ok(_) => &self.missing,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The answer of a task; a bug in a source fails its look-up.
fn looked_up<V>(said: Result<Result<V, LookupError>, JoinError>) -> Result<V, LookupError> {
    said.unwrap_or_else(|died| Err(LookupError(died.to_string())))
}

fn ended() -> LookupError {
    LookupError("the directory ended".to_owned())
}

fn gone(error: Gone) -> LookupError {
    LookupError(error.to_string())
}
