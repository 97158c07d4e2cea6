//! An LDAP directory: how domains, users and groups are found in it.

mod answers;
mod approach;
mod fault;
mod guard;
mod link;
mod messages;
mod place;
mod schema_names;
mod search;
mod servers;
mod vocabulary;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ldap3::{Scope, SearchEntry};
use relais_channels::tls::{CertificateError, towards_servers};
use relais_config::{
    directory::{self, Schema},
    grammar::{table_key, unicode_domain},
    ldap_search::SearchFilter,
    lookup_url::UrlQuery,
};
use tokio::sync::OnceCell;
use tracing::warn;

use self::{
    schema_names::SchemaNames,
    search::{Dn, Extent, LdapFilter, Search, SearchValues},
    servers::Servers,
    vocabulary::Vocabulary,
};
use super::{
    entry::{Domain, Entry, normalize_dn},
    known::ADDRESSES,
    lookup::{LookingUp, LookupError, MOST_FOUND, Remote},
    member_url::{MemberScope, MemberSearch},
};
use crate::metrics::ServerMeters;

/// An LDAP directory. Cheap to clone: all clones are one.
#[derive(Clone, Debug)]
pub struct LdapDirectory(Arc<Tree>);

/// The tree, and how it is searched.
#[derive(Debug)]
struct Tree {
    servers: Servers,
    vocabulary: Vocabulary,
    settings: directory::Ldap,
    /// In lower case.
    default_domain: String,
    user_base: Dn,
    domain_root: Dn,
    /// Read when it is needed first.
    names: OnceCell<SchemaNames>,
}

/// Why an LDAP directory cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum LdapError {
    /// The password's file cannot be read.
    #[error("{}: {source}; a file with the password on its first line is expected", file.display())]
    Password {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The servers' certificates cannot be judged.
    #[error("{0}; a PEM file with the certificates of authorities is expected")]
    Authorities(#[from] CertificateError),
}

impl LdapDirectory {
    /// The directory of the configuration, the domain of those who have no other, and spare attributes;
    /// its files have these paths. Nothing is connected yet.
    pub fn open(
        (settings, default_domain, spare): (&directory::Ldap, &str, &[String]),
        path: impl Fn(&Path) -> PathBuf,
        meters: &ServerMeters,
    ) -> Result<Self, LdapError> {
        let password_file = settings.bind_password_file.as_deref().map(&path);
        if let Some(file) = &password_file {
            std::fs::read(file)
                .map_err(|source| LdapError::Password { file: file.clone(), source })?;
        }
        let uses_tls =
            settings.starttls || settings.servers.iter().any(|url| url.starts_with("ldaps://"));
        let ca = settings.ca.as_deref().map(&path);
        let tls = if uses_tls { Some(towards_servers(ca.as_deref())?) } else { None };
        meters.forget();
        let meter = |url: &str| meters.of(url);
        let servers = Servers::new(settings, password_file.as_deref(), tls.as_ref(), meter);
        let domain_root = match (settings.domain_base.as_str(), settings.schema) {
            ("", Schema::Schema1) => DC_ROOT,
            ("", Schema::Schema2 | Schema::Mail) => &settings.user_base,
            (base, _) => base,
        };
        Ok(Self(Arc::new(Tree {
            servers,
            vocabulary: Vocabulary::of(settings, spare),
            user_base: Dn::known(&settings.user_base),
            domain_root: Dn::known(domain_root),
            settings: settings.clone(),
            default_domain: default_domain.to_ascii_lowercase(),
            names: OnceCell::new(),
        })))
    }
}

impl Remote for LdapDirectory {
    fn domain(&self, name: &str) -> LookingUp<Option<Arc<Domain>>> {
        let (tree, name) = (Arc::clone(&self.0), name.to_owned());
        Box::pin(async move {
            let found = tree.domain(&name).await?;
            match unicode_domain(&name).filter(|_| found.is_none()) {
                Some(written_out) => tree.domain(&written_out).await,
                None => Ok(found),
            }
        })
    }

    fn entries(&self, domain: &Arc<Domain>, address: &str) -> LookingUp<Vec<Arc<Entry>>> {
        let (tree, domain, address) = (Arc::clone(&self.0), Arc::clone(domain), address.to_owned());
        Box::pin(async move {
            let found = tree.entries(&domain, &address).await?;
            let written_out = address.rsplit_once('@').and_then(|(local, domain)| {
                unicode_domain(domain).map(|domain| format!("{local}@{domain}"))
            });
            match written_out.filter(|_| found.is_empty()) {
                Some(address) => tree.entries(&domain, &address).await,
                None => Ok(found),
            }
        })
    }

    fn users(&self, domain: &Arc<Domain>, uid: &str) -> LookingUp<Vec<Arc<Entry>>> {
        let (tree, domain, uid) = (Arc::clone(&self.0), Arc::clone(domain), uid.to_owned());
        Box::pin(async move { tree.users(&domain, &uid).await })
    }

    fn entry(&self, dn: &str) -> LookingUp<Option<Arc<Entry>>> {
        let (tree, dn) = (Arc::clone(&self.0), dn.to_owned());
        Box::pin(async move { tree.entry(&dn).await })
    }

    fn found_by(&self, search: &MemberSearch, among: &[String]) -> LookingUp<Vec<Arc<Entry>>> {
        let (tree, search, among) = (Arc::clone(&self.0), search.clone(), among.to_vec());
        Box::pin(async move { tree.found_by(&search, &among).await })
    }

    fn url(&self, query: &UrlQuery) -> LookingUp<Option<Arc<String>>> {
        let (tree, query) = (Arc::clone(&self.0), query.clone());
        Box::pin(async move { Ok(tree.url(&query).await?.map(Arc::new)) })
    }

    fn url_limits(&self) -> directory::Cache {
        self.0.settings.url_cache.limits()
    }

    fn login(&self, dn: &str, password: &str) -> LookingUp<bool> {
        let (tree, dn, password) = (Arc::clone(&self.0), dn.to_owned(), password.to_owned());
        Box::pin(async move { tree.servers.login(&dn, &password).await })
    }
}

impl Tree {
    /// The domain of this name, or the nearest that it lies below, or one that a user has to himself.
    async fn domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        for name in names_above(name, self.settings.domain_uplevel) {
            if let Some(domain) = self.named_domain(name).await? {
                return Ok(Some(domain));
            }
        }
        let Some(url) = &self.settings.domain_match_url else { return Ok(None) };
        let sought = self.sought(name, "", name, &self.domain_root);
        if self.search(&Search::of(url, &sought)).await?.is_empty() {
            return Ok(None);
        }
        // No entry says anything of the domain: its users are those of the default one.
        let base = normalize_dn(&self.settings.user_base);
        let entry = Arc::new(Entry::new(&self.settings.user_base));
        Ok(Some(Arc::new(Domain { name: self.default_domain.clone(), base, entry })))
    }

    async fn named_domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        match self.settings.schema {
            Schema::Schema1 => self.domain_of_dc_tree(name).await,
            Schema::Schema2 => self.domain_by_its_names(name).await,
            Schema::Mail => self.plain_domain(name).await,
        }
    }

    /// Schema 2: an organization carries the names of its domain.
    async fn domain_by_its_names(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        let filter = match &self.settings.domain_filter {
            Some(filter) => self.domain_filter(filter, name),
            None => LdapFilter::of_class(
                "sunManagedOrganization",
                &["sunPreferredDomain", "associatedDomain"],
                name,
            ),
        };
        let Some(entry) = self.one_below_root(filter, name).await? else { return Ok(None) };
        let canonical = table_key(entry.first("sunpreferreddomain").unwrap_or(name));
        Ok(Some(domain(canonical, entry)))
    }

    /// Schema 1: the labels of a name lead to its entry, which says where the users lie, or to which
    /// other domain it is an alias.
    async fn domain_of_dc_tree(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        let mut at = Dn::in_dc_tree(name, &self.domain_root);
        let mut canonical = name.to_owned();
        for _ in 0..MOST_ALIASES {
            let filter = match &self.settings.domain_filter {
                Some(filter) => self.domain_filter(filter, name),
                None => LdapFilter::of_domains(),
            };
            let search = Search { filter, ..Search::entry(at) };
            let Some(entry) = self.search(&search).await?.pop() else { return Ok(None) };
            if let Some(own) = entry.first("inetcanonicaldomainname") {
                canonical = table_key(own);
            } else if let Some(own) = dc_name(&entry.dn) {
                canonical = table_key(&own);
            }
            if entry.first("inetdomainbasedn").is_some() {
                return Ok(Some(domain(canonical, entry)));
            }
            let Some(alias) = entry.first("aliasedobjectname") else { return Ok(None) };
            at = Dn::known(alias);
        }
        let error = LookupError(format!("aliases of domain {name} go round in a circle"));
        warn!(%error, "mail for a domain waits until its entries are mended");
        Err(error)
    }

    /// A tree without entries of domains.
    async fn plain_domain(&self, name: &str) -> Result<Option<Arc<Domain>>, LookupError> {
        if self.settings.domains.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            let base = normalize_dn(&self.settings.user_base);
            let entry = Arc::new(Entry::new(&self.settings.user_base));
            return Ok(Some(Arc::new(Domain { name: table_key(name), base, entry })));
        }
        let Some(filter) = &self.settings.domain_filter else { return Ok(None) };
        let filter = self.domain_filter(filter, name);
        let Some(entry) = self.one_below_root(filter, name).await? else { return Ok(None) };
        // The entry says that the domain is ours, and nothing of where its users lie.
        let base = entry.first("inetdomainbasedn").unwrap_or(&self.settings.user_base);
        let base = normalize_dn(base);
        Ok(Some(Arc::new(Domain { name: table_key(name), base, entry })))
    }

    async fn one_below_root(
        &self,
        filter: LdapFilter,
        name: &str,
    ) -> Result<Option<Arc<Entry>>, LookupError> {
        let base = self.domain_root.clone();
        let mut found = self.search(&Search::below(base, filter)).await?;
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => {
                let error = LookupError(format!(
                    "domain {name} has several entries: {:?} and {:?}",
                    found[0].dn, found[1].dn
                ));
                warn!(%error, "mail for a domain waits until its entries are mended");
                Err(error)
            }
        }
    }

    /// The entries of an address: the first search that finds any decides.
    async fn entries(
        &self,
        domain: &Domain,
        address: &str,
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let (local, domain_name) = address.rsplit_once('@').unwrap_or((address, &domain.name));
        let domain_base = Dn::known(&domain.base);
        let by_own_name = self.settings.domain_uplevel & BY_OWN_NAME != 0;
        let own = (by_own_name && domain.name != domain_name)
            .then(|| format!("{local}@{}", domain.name))
            // The whole domain's address stays that of the domain which was written.
            .filter(|_| !local.is_empty());
        let mut sought = self.sought(address, local, domain_name, &domain_base);
        sought.own_address = own.as_deref();
        for url in &self.settings.alias_urls {
            let found = self.search(&Search::of(url, &sought)).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    async fn users(&self, domain: &Domain, uid: &str) -> Result<Vec<Arc<Entry>>, LookupError> {
        let address = format!("{uid}@{}", domain.name);
        let domain_base = Dn::known(&domain.base);
        let sought = self.sought(&address, uid, &domain.name, &domain_base);
        let filter = match &self.settings.login_filter {
            Some(filter) => LdapFilter::filled(filter, &sought),
            None => LdapFilter::is(self.vocabulary.theirs("uid"), uid),
        };
        self.search(&Search::below(domain_base.clone(), filter)).await
    }

    async fn entry(&self, dn: &str) -> Result<Option<Arc<Entry>>, LookupError> {
        Ok(self.search(&Search::entry(Dn::known(dn))).await?.pop())
    }

    /// The entries that a search of a list finds.
    async fn found_by(
        &self,
        search: &MemberSearch,
        among: &[String],
    ) -> Result<Vec<Arc<Entry>>, LookupError> {
        let addresses = &self.settings.address_attributes;
        let filter = LdapFilter::of_list(&search.filter, among, addresses);
        // The library takes a filter that it cannot read for a broken connection.
        if ldap3::parse_filter(AsRef::<str>::as_ref(&filter)).is_err() {
            return Err(LookupError(format!("{} is no filter", search.filter)));
        }
        let base = match search.base.trim() {
            "" => self.user_base.clone(),
            base => Dn::known(base),
        };
        let scope = match search.scope {
            MemberScope::Base => Scope::Base,
            MemberScope::One => Scope::OneLevel,
            MemberScope::Subtree => Scope::Subtree,
        };
        let extent = if among.is_empty() { Extent::Whole(MOST_FOUND) } else { Extent::Few };
        let ours = search.attribute.to_ascii_lowercase();
        let asked = [self.vocabulary.theirs(&ours).to_owned()];
        let search = Search { base, scope, filter, base_may_lack: false, extent };
        let found = self.servers.search(&search, &asked).await?;
        let names = self.names().await?;
        let entry = |found| {
            let mut entry = self.vocabulary.entry(found, names);
            // Attributes with addresses that are none of ours are known by one name.
            if entry.all(&ours).is_empty() && self.vocabulary.has_addresses(&ours) {
                for address in entry.all(ADDRESSES[1]).to_vec() {
                    entry.add(&ours, address);
                }
            }
            Arc::new(entry)
        };
        Ok(found.into_iter().map(entry).collect())
    }

    /// The first value of the one entry that a look-up by URL finds.
    async fn url(&self, query: &UrlQuery) -> Result<Option<String>, LookupError> {
        let attributes = std::slice::from_ref(&query.attribute);
        let mut found = self.servers.search(&Search::of_query(query), attributes).await?;
        if found.len() > 1 {
            let names = found.into_iter().map(|entry| SearchEntry::construct(entry).dn);
            let names = names.take(2).collect::<Vec<_>>().join("\" and \"");
            return Err(LookupError(format!(
                "{query} finds several entries where one is wanted: \"{names}\""
            )));
        }
        let values = found.pop().map(|entry| SearchEntry::construct(entry).attrs);
        Ok(values.and_then(|values| values.into_values().flatten().next()))
    }

    async fn search(&self, search: &Search) -> Result<Vec<Arc<Entry>>, LookupError> {
        let found = self.servers.search(search, self.vocabulary.asked()).await?;
        let names = self.names().await?;
        let entry = |found| Arc::new(self.vocabulary.entry(found, names));
        Ok(found.into_iter().map(entry).collect())
    }

    /// Other names of the server's attributes, where the configuration uses names of its own.
    async fn names(&self) -> Result<&SchemaNames, LookupError> {
        let names = self.names.get_or_try_init(|| async {
            if self.vocabulary.is_ours() {
                return Ok(SchemaNames::default());
            }
            let root = self.read("", "subschemaSubentry").await?;
            let Some(subschema) = root.first() else { return Ok(SchemaNames::default()) };
            let types = self.read(subschema, "attributeTypes").await?;
            let classes = self.read("", "objectClass").await?;
            // Active Directory compares everything, and its subschema does not say so.
            if classes.iter().any(|class| class.eq_ignore_ascii_case("OpenLDAProotDSE")) {
                self.warn_of_uncompared(&types);
            }
            Ok(SchemaNames::of(&types))
        });
        names.await
    }

    fn warn_of_uncompared(&self, types: &[String]) {
        let mut searched = self.settings.address_attributes.clone();
        let mut renamed = self.settings.attributes.iter();
        let login = renamed.find(|(ours, _)| ours.eq_ignore_ascii_case("uid"));
        searched.extend(login.map(|(_, theirs)| theirs.clone()));
        for attribute in SchemaNames::uncompared(types, &searched) {
            warn!(
                attribute,
                "the LDAP server's schema has no rule to compare this attribute by: nobody is found \
                 by it"
            );
        }
    }

    /// The values of one attribute of one entry.
    async fn read(&self, dn: &str, attribute: &str) -> Result<Vec<String>, LookupError> {
        let search = Search::entry(Dn::known(dn));
        let found = self.servers.search(&search, &[attribute.to_owned()]).await?;
        let values = found.into_iter().flat_map(|found| SearchEntry::construct(found).attrs);
        Ok(values.flat_map(|(_, values)| values).collect())
    }

    fn domain_filter(&self, filter: &SearchFilter, name: &str) -> LdapFilter {
        LdapFilter::filled(filter, &self.sought(name, "", name, &self.domain_root))
    }

    fn sought<'a>(
        &'a self,
        address: &'a str,
        local: &'a str,
        domain: &'a str,
        domain_base: &'a Dn,
    ) -> SearchValues<'a> {
        SearchValues {
            address,
            own_address: None,
            local,
            domain,
            domain_base,
            user_base: &self.user_base,
            domain_root: &self.domain_root,
            address_attributes: &self.settings.address_attributes,
        }
    }
}

/// A domain whose users lie where its entry says, or below the entry.
fn domain(name: String, entry: Arc<Entry>) -> Arc<Domain> {
    let base = normalize_dn(entry.first("inetdomainbasedn").unwrap_or(&entry.dn));
    Arc::new(Domain { name, base, entry })
}

/// The names by which a domain may be found: its own, and those above it.
fn names_above(name: &str, uplevel: u32) -> impl Iterator<Item = &str> {
    let is_covered = uplevel & COVERS_BELOW != 0 && name.split('.').count() <= MOST_LABELS;
    std::iter::successors(Some(name), move |name: &&str| {
        name.split_once('.').map(|(_, above)| above).filter(|_| is_covered)
    })
}

/// The domain that an entry of a DC tree stands for.
fn dc_name(dn: &str) -> Option<String> {
    let dn = normalize_dn(dn);
    let labels: Vec<_> = dn.split(',').map_while(|part| part.strip_prefix("dc=")).collect();
    (!labels.is_empty()).then(|| labels.join("."))
}

/// The original's root of domains.
const DC_ROOT: &str = "o=internet";
const MOST_ALIASES: usize = 5;
/// Each label of a name may cost a search.
const MOST_LABELS: usize = 10;
// Bits of `domain_uplevel`.
const COVERS_BELOW: u32 = 1;
const BY_OWN_NAME: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_covers_those_below_it_where_that_is_said() {
        let names = |name, uplevel| names_above(name, uplevel).collect::<Vec<_>>();
        assert_eq!(names("host1.siroe.com", 0), ["host1.siroe.com"]);
        assert_eq!(names("host1.siroe.com", 2), ["host1.siroe.com"]);
        for uplevel in [1, 3] {
            assert_eq!(names("host1.siroe.com", uplevel), ["host1.siroe.com", "siroe.com", "com"]);
        }
        assert_eq!(names("a.b.c.d.e.f.g.h.i.j", 1).len(), 10);
        assert_eq!(names("a.b.c.d.e.f.g.h.i.j.k", 1).len(), 1, "a stranger's name costs searches");
    }

    #[test]
    fn a_domain_of_a_dc_tree_has_the_name_that_its_entry_lies_under() {
        assert_eq!(dc_name("DC=sesta, dc=com,o=internet").as_deref(), Some("sesta.com"));
        assert_eq!(dc_name("o=internet"), None);
    }
}
