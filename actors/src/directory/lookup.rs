//! Look-ups that routing needs, whatever the directory is.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use relais_config::{directory::Cache, lookup_url::UrlQuery};

use super::{
    entry::{Domain, Entry},
    member_url::MemberSearch,
    search_log::SearchLog,
};

/// Look-ups that routing needs. Names and addresses are given in lower case.
pub trait Lookup {
    /// The domain of this name, if it is one of ours.
    fn domain(&self, name: &str) -> impl Future<Output = Result<Option<Arc<Domain>>, LookupError>>;

    /// The users and groups of a domain that have this address.
    fn entries(
        &self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> impl Future<Output = Result<Vec<Arc<Entry>>, LookupError>>;

    /// The entry of this distinguished name.
    fn entry(&self, dn: &str) -> impl Future<Output = Result<Option<Arc<Entry>>, LookupError>>;

    /// The entries that a search of a list finds, those with one of these addresses when there are
    /// any; they have what the search asks for, and may have nothing else. Never a part of them: one
    /// more than a list may have is the sign that there are too many.
    fn found_by(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> impl Future<Output = Result<Vec<Arc<Entry>>, LookupError>>;

    /// The value that a look-up by URL finds, if it finds any.
    fn url(&self, query: &UrlQuery) -> impl Future<Output = Result<Option<String>, LookupError>>;

    /// Where searches are told, if they are.
    fn log(&self) -> Option<SearchLog> {
        None
    }
}

/// A directory that is asked over a network. It answers later, or not at all, and has a limit of its
/// own for how long that may take; it is not asked twice at once for the same.
pub trait Remote: fmt::Debug + Send + Sync {
    /// As in [`Lookup`].
    fn domain(&self, name: &str) -> LookingUp<Option<Arc<Domain>>>;

    /// As in [`Lookup`].
    fn entries(&self, domain: &Arc<Domain>, address: &str) -> LookingUp<Vec<Arc<Entry>>>;

    /// The users of a domain that have this login name (`uid`), in lower case.
    fn users(&self, domain: &Arc<Domain>, uid: &str) -> LookingUp<Vec<Arc<Entry>>>;

    /// As in [`Lookup`].
    fn entry(&self, dn: &str) -> LookingUp<Option<Arc<Entry>>>;

    /// As in [`Lookup`].
    fn found_by(&self, search: &MemberSearch, among: &[String]) -> LookingUp<Vec<Arc<Entry>>>;

    /// The value that a look-up by URL finds, if it finds any.
    fn url(&self, query: &UrlQuery) -> LookingUp<Option<Arc<String>>>;

    /// How long results of look-ups by URL are believed.
    fn url_limits(&self) -> Cache;

    /// Whether this is the password of the entry of this name.
    fn login(&self, dn: &str, password: &str) -> LookingUp<bool>;
}

/// A look-up under way.
pub type LookingUp<V> = Pin<Box<dyn Future<Output = Result<V, LookupError>> + Send>>;

/// The directory could not answer: the mail has to wait.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the directory gives no answer: {0}")]
pub struct LookupError(pub String);

/// Entries that a search of a list may find: as many recipients as one address may stand for.
pub(crate) const MOST_FOUND: usize = 50_000;
