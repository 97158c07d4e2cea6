//! The directory: where users, groups and domains are looked up, and what their entries mean.
//!
//! [`Lookup`] is all that the router knows of it. The [`Directory`] actor owns the source; an
//! LDIF file answers at once, and LDAP servers will have their place in [`Source`]. What an entry
//! means ([`evaluate()`]) is decided without any look-up.

mod entry;
mod evaluate;
mod ldif;
mod local;
mod lookup;
mod options;
mod policy;
mod refusal;
mod status;
mod vacation;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use actix::Message;

pub use self::{
    entry::{Domain, Entry, Kind, normalize_dn},
    evaluate::evaluate,
    ldif::LdifError,
    local::{LdifDirectory, OpenError},
    lookup::{Lookup, LookupError},
    options::{Applied, OptionFailure, Request, Target},
    policy::Policy,
    refusal::EntryError,
};
pub(crate) use self::{
    local::{ADDRESSES, NOT_YET},
    options::quote,
    status::VALUES,
};

use crate::actor::{Actor, Ctx, Gone, Handle, Later, Mailbox};

/// Asks for a domain by its name, in lower case.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Arc<Domain>>, LookupError>")]
pub struct FindDomain(pub String);

/// Asks for the users and groups that have an address, in lower case.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Entry>>, LookupError>")]
pub struct FindEntries {
    /// Where to look.
    pub domain: Arc<Domain>,
    /// What to look for.
    pub address: String,
}

/// Asks for an entry by its distinguished name.
#[derive(Debug, Message)]
#[rtype(result = "Result<Option<Arc<Entry>>, LookupError>")]
pub struct FindEntry(pub String);

/// Puts another source in place of the present one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceSource(pub Source);

/// Where entries come from.
#[derive(Clone, Debug, Default)]
pub enum Source {
    /// No directory: nothing is found.
    #[default]
    None,
    /// An LDIF file in memory.
    Ldif(Arc<LdifDirectory>),
}

/// The actor.
#[derive(Debug, Default)]
pub struct Directory {
    source: Source,
    counters: Arc<Counters>,
}

/// The directory as seen by those who ask it.
#[derive(Clone, Debug)]
pub struct DirectoryHandle(pub Mailbox<Directory>);

/// How look-ups came out, for `directory_lookups_total`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Something was found.
    pub found: AtomicU64,
    /// Nothing was found.
    pub missing: AtomicU64,
    /// The directory did not answer.
    pub failed: AtomicU64,
}

impl Source {
    /// Opens what the configuration names.
    pub fn open(config: &relais_config::Config) -> Result<Self, OpenError> {
        use relais_config::Directory as Configured;
        match &config.directory {
            None => Ok(Self::None),
            Some(Configured::Ldif { file: None }) => LdifDirectory::standalone().map(Self::ldif),
            Some(Configured::Ldif { file: Some(file) }) => {
                LdifDirectory::open(&config.path(file)).map(Self::ldif)
            }
            Some(Configured::Ldap(_)) => Err(OpenError::Ldap),
        }
    }

    fn ldif(directory: LdifDirectory) -> Self {
        Self::Ldif(Arc::new(directory))
    }
}

impl Lookup for Source {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        match self {
            Self::None => Ok(None),
            Self::Ldif(directory) => directory.domain(name).await,
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
        }
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        match self {
            Self::None => Ok(None),
            Self::Ldif(directory) => directory.entry(dn).await,
        }
    }
}

impl Directory {
    /// An actor that answers from `source`.
    pub fn new(source: Source, counters: Arc<Counters>) -> Self {
        Self { source, counters }
    }
}

impl Actor for Directory {
    const NAME: &'static str = "directory";
}

// Each question runs in a task of its own, so that a slow server holds up no other question.
impl Handle<FindDomain> for Directory {
    fn handle(
        &mut self,
        FindDomain(name): FindDomain,
        _: &mut Ctx<Self>,
    ) -> Later<Result<Option<Arc<Domain>>, LookupError>> {
        let (source, counters) = (self.source.clone(), Arc::clone(&self.counters));
        Later::new(async move { counters.count(source.domain(&name).await, Option::is_some) })
    }
}

impl Handle<FindEntries> for Directory {
    fn handle(
        &mut self,
        find: FindEntries,
        _: &mut Ctx<Self>,
    ) -> Later<Result<Vec<Arc<Entry>>, LookupError>> {
        let (source, counters) = (self.source.clone(), Arc::clone(&self.counters));
        Later::new(async move {
            let entries = source.entries(&find.domain, &find.address).await;
            counters.count(entries, |entries| !entries.is_empty())
        })
    }
}

impl Handle<FindEntry> for Directory {
    fn handle(
        &mut self,
        FindEntry(dn): FindEntry,
        _: &mut Ctx<Self>,
    ) -> Later<Result<Option<Arc<Entry>>, LookupError>> {
        let (source, counters) = (self.source.clone(), Arc::clone(&self.counters));
        Later::new(async move { counters.count(source.entry(&dn).await, Option::is_some) })
    }
}

impl Handle<ReplaceSource> for Directory {
    fn handle(&mut self, ReplaceSource(source): ReplaceSource, _: &mut Ctx<Self>) {
        self.source = source;
    }
}

impl Lookup for DirectoryHandle {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        self.0.ask(FindDomain(name.to_owned())).await.map_err(gone)?
    }

    async fn entries(
        &self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let find = FindEntries { domain: Arc::clone(domain), address: address.to_owned() };
        self.0.ask(find).await.map_err(gone)?
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        self.0.ask(FindEntry(dn.to_owned())).await.map_err(gone)?
    }
}

impl Counters {
    fn count<T>(
        &self,
        answer: Result<T, LookupError>,
        found: impl Fn(&T) -> bool,
    ) -> Result<T, LookupError> {
        let counter = match &answer {
            Ok(answer) if found(answer) => &self.found,
            Ok(_) => &self.missing,
            Err(_) => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }
}

fn gone(error: Gone) -> LookupError {
    LookupError(error.to_string())
}
