//! A directory held in memory, read from LDIF. It answers at once and never fails.

use std::{collections::HashMap, fs, path::Path, sync::Arc};

use relais_config::{
    grammar::{folded, table_key},
    ldap_search::SearchScope,
    lookup_url::UrlQuery,
};

use super::{
    entry::{Domain, Entry, is_below, normalize_dn},
    filter::EntryFilter,
    known::ADDRESSES,
    ldap::LdapError,
    ldif::{self, LdifError},
    lookup::{LookingUp, Lookup, LookupError, MOST_FOUND},
    member_url::{MemberScope, MemberSearch},
};

/// The entries of one LDIF file.
#[derive(Clone, Debug, Default)]
pub struct LdifDirectory {
    /// By every name a domain has, in lower case.
    domains: HashMap<String, Arc<Domain>>,
    /// By every address, in lower case.
    addresses: HashMap<String, Vec<Arc<Named>>>,
    /// By every login name, in lower case.
    uids: HashMap<String, Vec<Arc<Named>>>,
    /// By normalized distinguished name.
    names: HashMap<String, Arc<Entry>>,
}

/// An entry and its normalized name.
#[derive(Debug)]
struct Named {
    dn: String,
    entry: Arc<Entry>,
}

/// Why an LDIF file cannot serve as directory.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not LDIF.
    #[error("{file}: {source}")]
    Malformed {
        /// The file.
        file: String,
        /// Where and what.
        source: LdifError,
    },
    /// Two organizations claim one domain, or two entries have one name.
    #[error("{file}: {name:?} stands for two entries: {first:?} and {second:?}")]
    Twice {
        /// The file.
        file: String,
        /// The domain or the distinguished name.
        name: String,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// LDAP servers cannot be asked.
    #[error("{0}")]
    Ldap(#[from] LdapError),
}

impl LdifDirectory {
    /// The built-in directory: alice, bob and the list team at relais.example.
    pub fn standalone() -> Result<Self, OpenError> {
        Self::parse("standalone.ldif", STANDALONE)
    }

    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(source) => Err(OpenError::Unreadable { file, source }),
        }
    }

    /// Parses `text`; `file` only serves to say where a mistake is.
    pub fn parse(file: &str, text: &str) -> Result<Self, OpenError> {
        let malformed = |source| OpenError::Malformed { file: file.to_owned(), source };
        let mut directory = Self::default();
        let entries = ldif::parse(text).map_err(malformed)?;
        for entry in entries {
            directory.add(file, &Arc::new(entry))?;
        }
        Ok(directory)
    }

    fn add(&mut self, file: &str, entry: &Arc<Entry>) -> Result<(), OpenError> {
        let twice = |name: &str, first: &Entry| OpenError::Twice {
            file: file.to_owned(),
            name: name.to_owned(),
            first: first.dn.clone(),
            second: entry.dn.clone(),
        };
        let dn = normalize_dn(&entry.dn);
        if let Some(domain) = organization(entry, &dn) {
            for name in domain_names(entry) {
                let other = self.domains.insert(name.clone(), Arc::clone(&domain));
                if let Some(other) = other.filter(|other| !Arc::ptr_eq(&other.entry, entry)) {
                    return Err(twice(&name, &other.entry));
                }
            }
        }
        let named = Arc::new(Named { dn: dn.clone(), entry: Arc::clone(entry) });
        let addresses = ADDRESSES.iter().flat_map(|name| entry.all(name));
        index(&mut self.addresses, addresses.map(|its| table_key(its)), &named);
        index(&mut self.uids, entry.all("uid").iter().map(|its| folded(its)), &named);
        match self.names.insert(dn, Arc::clone(entry)) {
            Some(other) => Err(twice(&entry.dn, &other)),
            None => Ok(()),
        }
    }
}

impl LdifDirectory {
    /// Every entry, by its normalized name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.names.iter().map(|(dn, entry)| (dn.as_str(), &**entry))
    }

    pub(super) fn find_domain(&self, name: &str) -> Option<Arc<Domain>> {
        self.domains.get(name).cloned()
    }

    pub(super) fn find_entries(&self, domain: &Domain, address: &str) -> Vec<Arc<Entry>> {
        below(domain, self.addresses.get(address))
    }

    pub(super) fn find_users(&self, domain: &Domain, uid: &str) -> Vec<Arc<Entry>> {
        below(domain, self.uids.get(&folded(uid)))
    }

    /// The value that a look-up by URL finds.
    pub(super) fn find_url(&self, query: &UrlQuery) -> Result<Option<String>, LookupError> {
        let base = normalize_dn(&query.base);
        let filter = EntryFilter::parse(&query.filter).ok();
        let Some(filter) = filter.filter(|filter| !filter.is_extended()) else {
            return Err(LookupError(format!(
                "{query}: an LDIF file cannot be asked by this filter"
            )));
        };
        let is_in_scope = |dn: &str| match query.scope {
            SearchScope::Base => dn == base,
            SearchScope::Subtree => is_below(dn, &base),
            SearchScope::One => parent(dn) == Some(base.as_str()),
        };
        let mut found = self.all().filter(|(dn, entry)| is_in_scope(dn) && filter.passes(entry));
        let Some((first, entry)) = found.next() else { return Ok(None) };
        match found.next() {
            Some((second, _)) => Err(LookupError(format!(
                "{query} finds several entries where one is wanted: {first:?} and {second:?}"
            ))),
            None => Ok(entry.first(&query.attribute.to_ascii_lowercase()).map(str::to_owned)),
        }
    }

    /// The same beside others' work: every entry is looked at.
    pub(super) fn in_its_time(
        self: &Arc<Self>,
        query: &UrlQuery,
    ) -> LookingUp<Option<Arc<String>>> {
        let (directory, query) = (Arc::clone(self), query.clone());
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || directory.find_url(&query)).await;
            Ok(found.map_err(|error| LookupError(error.to_string()))??.map(Arc::new))
        })
    }

    /// The same for the members of a list.
    pub(super) fn find_members_in_time(
        self: &Arc<Self>,
        search: &MemberSearch,
        among: &[String],
    ) -> LookingUp<Vec<Arc<Entry>>> {
        let (directory, search, among) = (Arc::clone(self), search.clone(), among.to_vec());
        Box::pin(async move {
            let found = move || directory.find_members(&search, &among);
            let found = tokio::task::spawn_blocking(found).await;
            found.unwrap_or_else(|error| Err(LookupError(error.to_string())))
        })
    }

    pub(super) fn find_entry(&self, dn: &str) -> Option<Arc<Entry>> {
        self.names.get(&normalize_dn(dn)).cloned()
    }

    /// The entries that a search of a list finds, in the order of their names.
    pub(super) fn find_members(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        if search.tried.is_extended() {
            let filter = &search.filter;
            return Err(LookupError(format!("a file cannot be searched by {filter}")));
        }
        let base = normalize_dn(&search.base);
        let base = if search.base.trim().is_empty() { "" } else { &base };
        let is_place = search.scope != MemberScope::Base;
        if is_place && !base.is_empty() && !self.names.contains_key(base) {
            return Err(LookupError(format!("there is no {base} to search in")));
        }
        let has_one = |entry: &Entry| {
            let mut own = ADDRESSES.iter().flat_map(|name| entry.all(name));
            among.is_empty() || own.any(|own| among.contains(&table_key(own)))
        };
        let is_there = |dn: &str| match search.scope {
            _ if base.is_empty() => search.scope == MemberScope::Subtree,
            MemberScope::Base => dn == base,
            MemberScope::One => parent(dn) == Some(base),
            MemberScope::Subtree => is_below(dn, base),
        };
        let all = self.names.iter().filter(|(dn, _)| is_there(dn));
        let found = all.filter(|(_, entry)| search.tried.passes(entry) && has_one(entry));
        let mut found: Vec<_> = found.take(MOST_FOUND + 1).collect();
        found.sort_unstable_by_key(|(dn, _)| *dn);
        Ok(found.into_iter().map(|(_, entry)| Arc::clone(entry)).collect())
    }
}

impl Lookup for LdifDirectory {
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        Ok(self.find_domain(name))
    }

    async fn entries(
        &self,
        domain: &Arc<Domain>,
        address: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        Ok(self.find_entries(domain, address))
    }

    async fn url(&self, query: &UrlQuery) -> Result<Option<String>, LookupError> {
        self.find_url(query)
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        Ok(self.find_entry(dn))
    }

    async fn found_by(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        self.find_members(search, among)
    }
}

/// Files an entry under each of these keys.
fn index(
    entries: &mut HashMap<String, Vec<Arc<Named>>>,
    values: impl Iterator<Item = String>,
    named: &Arc<Named>,
) {
    for value in values {
        let entries = entries.entry(value).or_default();
        if !entries.iter().any(|other| Arc::ptr_eq(other, named)) {
            entries.push(Arc::clone(named));
        }
    }
}

/// The name that a normalized name lies right below.
fn parent(dn: &str) -> Option<&str> {
    let mut is_escaped = false;
    let comma = dn.find(|c| {
        let ends = c == ',' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    Some(&dn[comma? + 1..])
}

/// The entries of a domain among these.
fn below(domain: &Domain, entries: Option<&Vec<Arc<Named>>>) -> Vec<Arc<Entry>> {
    let ours = |named: &&Arc<Named>| is_below(&named.dn, &domain.base);
    let entries = entries.into_iter().flatten().filter(ours);
    entries.map(|named| Arc::clone(&named.entry)).collect()
}

/// The domain that an organization's entry stands for (Schema 2).
fn organization(entry: &Arc<Entry>, dn: &str) -> Option<Arc<Domain>> {
    if !entry.has_class("sunManagedOrganization") {
        return None;
    }
    let name = table_key(entry.first("sunpreferreddomain")?);
    let base = entry.first("inetdomainbasedn").map_or_else(|| dn.to_owned(), normalize_dn);
    Some(Arc::new(Domain { name, base, entry: Arc::clone(entry) }))
}

fn domain_names(entry: &Entry) -> Vec<String> {
    let names = ["sunpreferreddomain", "associateddomain"];
    names.iter().flat_map(|name| entry.all(name)).map(|name| table_key(name)).collect()
}

const STANDALONE: &str = include_str!("standalone.ldif");

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_built_in_directory_knows_its_users() {
        let directory = LdifDirectory::standalone().unwrap();
        let domain = directory.domain("relais.example").await.unwrap().expect("the domain");
        let rows = [
            ("alice@relais.example", Some("alice")),
            ("alice.smith@relais.example", Some("alice")),
            ("postmaster@relais.example", Some("alice")),
            ("bob@relais.example", Some("bob")),
            ("eve@relais.example", None),
        ];
        for (address, uid) in rows {
            let entries = directory.entries(&domain, address).await.unwrap();
            let found = entries.first().and_then(|entry| entry.first("uid"));
            assert_eq!(found, uid, "{address}");
        }
        let team = directory.entry("CN=team, ou=groups,o=relais.example,dc=example").await;
        assert_eq!(team.unwrap().unwrap().all("mgrprfc822mailmember").len(), 2);
        assert!(directory.domain("other.example").await.unwrap().is_none());
    }

    #[test]
    fn one_name_for_two_entries_is_refused() {
        let domain = "objectClass: sunManagedOrganization\nsunPreferredDomain: X.example\n";
        let text = format!("dn: o=a\n{domain}\ndn: o=b\n{domain}");
        let error = LdifDirectory::parse("f", &text).map(|_| ()).unwrap_err();
        let want = r#"f: "x.example" stands for two entries: "o=a" and "o=b""#;
        assert_eq!(error.to_string(), want);
        let error = LdifDirectory::parse("f", "dn: o=a\n\ndn: O = A\n").map(|_| ()).unwrap_err();
        assert!(matches!(error, OpenError::Twice { .. }), "{error}");
    }
}
