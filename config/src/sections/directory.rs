//! Where users, groups and domains are looked up.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    file::{
        collections::{List, Maybe, Table},
        document::Document,
        form::{Kind, Nested, Section, print_section, read_into},
        kinds::{Choice, Count, Flag, PATIENCE, Path, Size, Text, WAIT},
        names::{ATTRIBUTE, CLASSES, DOMAIN, LDAP_SERVER},
        notation::{Notation, SectionNotation},
        pieces,
        reader::{Node, Reader, suggest},
        source::shorten,
    },
    language::{
        kinds::{Filter, Search},
        ldap_search::{SearchFilter, SearchUrl},
    },
};

/// The directory.
#[derive(Clone, Debug, PartialEq)]
pub enum Directory {
    /// An LDIF file with the entries and attributes an LDAP server would give.
    Ldif {
        /// `None` is the built-in one: alice, bob and the list team, all at relais.example.
        file: Option<PathBuf>,
    },
    /// LDAP servers.
    Ldap(Box<Ldap>),
}

section! {
    /// An LDAP directory, reached by any of several replicas.
    pub struct Ldap {
        /// Servers, tried in order. The first that answers is asked until it does not.
        servers: Vec<String> = Vec::new(), List(LDAP_SERVER),
            example(r#"["ldap://localhost:389"]"#), queue;
        /// TLS before anything else is said, on servers of `ldap://`.
        starttls: bool = false, Flag, queue;
        /// Certificates (PEM) that those of the servers are verified by; without it, those that
        /// the system trusts.
        ca: Option<PathBuf> = None, Maybe(Path), queue;
        /// DN to bind as; empty is anonymous.
        bind_dn: String = String::new(), Text, queue;
        /// File that holds the password, alone on its first line. It is read at each connection.
        bind_password_file: Option<PathBuf> = None, Maybe(Path), queue;
        /// Root of users, groups and organizations.
        user_base: String = String::new(), Text, example(r#""dc=example,dc=org""#), queue;
        /// How domains are found.
        schema: Schema = Schema::default(), Choice, queue;
        /// Root of the DC tree for `Schema1` (`o=internet` when empty), of organizations for
        /// `Schema2` (`user_base` when empty).
        domain_base: String = String::new(), Text, queue;
        /// Which entry is that of the domain `$D`. Without it, what the schema says:
        /// `sunPreferredDomain` and `associatedDomain` for `Schema2`, the object classes of a
        /// domain for `Schema1`, and `domains` alone for `Mail`.
        domain_filter: Option<SearchFilter> = None, Maybe(Filter), queue;
        /// Domains that are ours with the schema `Mail`; their users lie below `user_base`.
        domains: Vec<String> = Vec::new(), List(DOMAIN), queue;
        /// As in the original, a sum: with 1 a domain is ours, too, when one that it lies below is, up
        /// to ten labels; with 2 an address counts as found, too, when an entry has it with the domain's own
        /// name (that of the domain above, or `sunPreferredDomain` for an `associatedDomain`).
        domain_uplevel: u32 = 0, Count(0..=3), queue;
        /// Which user has the domain `$D` to himself: a domain of that kind is ours, too, though it has
        /// no entry. `ldap:///$B??sub?(msgVanityDomain=$D)` here goes with
        /// `ldap:///$B??sub?(&(msgVanityDomain=$D)$R)` in `alias_urls`.
        domain_match_url: Option<SearchUrl> = None, Maybe(Search), queue;
        /// How the entries of an address are found: the first search that finds any decides. `$V`
        /// is where the domain's users lie, `$B` is `user_base`, `$R` any of `address_attributes`,
        /// `$A` the address, `$U` and `$D` its parts.
        alias_urls: Vec<SearchUrl> = default_searches(), List(Search), queue;
        /// Attributes that hold addresses, as the directory calls them.
        address_attributes: Vec<String> = texts(&["mail", "mailAlternateAddress", "mailEquivalentAddress"]),
            List(ATTRIBUTE), queue;
        /// Which user has the login name `$U`; without it, the one whose `uid` it is.
        login_filter: Option<SearchFilter> = None, Maybe(Filter), queue;
        /// Object classes of which a user has one; `a+b` asks for both.
        user_classes: Vec<String> = texts(&["inetMailUser"]), List(CLASSES), queue;
        /// Object classes of which a group has one.
        group_classes: Vec<String> = texts(&["inetMailGroup"]), List(CLASSES), queue;
        /// The directory's names of attributes that relais knows by others:
        /// `{"uid": "sAMAccountName"}`.
        attributes: BTreeMap<String, String> = BTreeMap::new(), Table(ATTRIBUTE), queue;
        /// For each look-up, from the first server asked to the last answer.
        timeout: Duration = Duration::from_secs(10), PATIENCE, queue;
        /// Connections to a server held at once.
        max_connections: usize = 8, Count(1..=1_000), unit("connections"), queue;
        /// Octets of an answer at most: of all the entries of one search together, which for a large
        /// group are its members. A server that sends more, or more than 1000 entries and references, or
        /// four answers of this length at once on one connection, loses the connection and is left
        /// alone for a while.
        max_answer: u64 = 4 << 20, Size(64 << 10..=1 << 30), queue;
        /// Answers remembered.
        cache: Cache = Cache::default(), Nested::new(), queue;
        /// Results of look-ups by URL (`$]ldap:///...[`) remembered.
        url_cache: UrlCache = UrlCache::default(), Nested::new(), queue;
    }
}

choice! {
    /// How domains are found in the tree.
    pub enum Schema = Schema2 {
        /// A separate DC tree.
        Schema1,
        /// Organization entries carry their domain.
        Schema2,
        /// No entries of domains: those of `domains`, and those that `domain_filter` finds.
        Mail,
    }
}

fn default_searches() -> Vec<SearchUrl> {
    SearchUrl::parse("ldap:///$V?*?sub?$R").into_iter().collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

section! {
    /// Bounds of the look-up cache.
    pub struct Cache {
        /// Answers remembered at most.
        entries: usize = 100_000, Count(0..=100_000_000), unit("answers"), queue;
        /// How long an answer is believed.
        ttl: Duration = Duration::from_secs(600), WAIT, queue;
        /// How long "no such entry" is believed.
        negative_ttl: Duration = Duration::from_secs(60), WAIT, queue;
    }
}

impl Copy for Cache {}

section! {
    /// Bounds of the cache of look-ups by URL.
    pub struct UrlCache {
        /// Results remembered at most.
        entries: usize = 10_000, Count(0..=100_000_000), unit("results"), queue;
        /// How long a result is believed.
        ttl: Duration = Duration::from_secs(600), WAIT, queue;
        /// How long "nothing" is believed.
        negative_ttl: Duration = Duration::from_secs(60), WAIT, queue;
    }
}

impl UrlCache {
    /// The same, as any cache has them.
    pub fn limits(&self) -> Cache {
        let Self { entries, ttl, negative_ttl } = *self;
        Cache { entries, ttl, negative_ttl }
    }
}

section! {
    /// An LDIF file with the entries and attributes an LDAP server would give.
    pub struct LdifFile {
        /// The file. Without it, the built-in directory: alice, bob and the list team, all at
        /// relais.example.
        file: Option<PathBuf> = None, Maybe(Path), queue;
    }
}

/// `Ldif(...)` or `Ldap(...)`.
pub(crate) struct AnyDirectory;

impl Kind<Directory> for AnyDirectory {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Directory> {
        let (name, text) = pieces::variant(node.text).unwrap_or((node.text, ""));
        let fields = Node { text: if text.is_empty() { "()" } else { text }, ..node.clone() };
        match name {
            "Ldif" if text.trim_start_matches(['(', ' ', '\n']).starts_with('"') => {
                let file = text.trim_matches(['(', ')', ' ', '\n']);
                reader.unfit(node, &format!("Ldif(file: {}) is expected", shorten(file)));
                None
            }
            "Ldif" => {
                let mut ldif = LdifFile::blank();
                read_into(&fields, reader, &mut ldif)?;
                Some(Directory::Ldif { file: ldif.file })
            }
            // A bare `Ldap` lacks fields; the complaint belongs to its name.
            "Ldap" if !text.is_empty() => {
                let mut ldap = Ldap::blank();
                read_into(&fields, reader, &mut ldap)?;
                Some(Directory::Ldap(Box::new(ldap)))
            }
            file if file.starts_with('"') => {
                reader.unfit(node, &format!("Ldif(file: {}) is expected", shorten(file)));
                None
            }
            wrong => {
                let expected = suggest(
                    wrong,
                    &["Ldif", "Ldap"],
                    "one of these is expected, with fields in parentheses:",
                );
                reader.unfit(node, &expected);
                None
            }
        }
    }

    fn print(&self, value: &Directory) -> Document {
        let (name, fields) = match value {
            Directory::Ldif { file } => ("Ldif", print_section(&LdifFile { file: file.clone() })),
            Directory::Ldap(ldap) => ("Ldap", print_section(&**ldap)),
        };
        Document::Variant(name, Box::new(fields))
    }

    fn notation(&self) -> Notation {
        let parts = vec![
            SectionNotation::of::<LdifFile>(Some("Ldif")),
            SectionNotation::of::<Ldap>(Some("Ldap")),
        ];
        Notation { parts, ..Notation::of("Ldif(...) or Ldap(...)") }
    }
}
