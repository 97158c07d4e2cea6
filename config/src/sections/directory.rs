//! Where users, groups and domains are looked up.

use std::{path::PathBuf, time::Duration};

use crate::file::{
    collections::{List, Maybe},
    document::Document,
    form::{Form, Kind, Nested, Section, print_section, read_into},
    kinds::{Choice, Count, PATIENCE, Path, Text, WAIT},
    names::LDAP_SERVER,
    reader::{Node, Reader, suggest},
    source::shorten,
};

/// The directory.
#[derive(Clone, Debug)]
pub enum Directory {
    /// An LDIF file with the entries and attributes an LDAP server would give.
    Ldif {
        /// `None` is the built-in one: alice, bob and the list team, all at relais.example.
        file: Option<PathBuf>,
    },
    /// LDAP servers.
    Ldap(Ldap),
}

/// An LDAP directory, reached by any of several replicas.
#[derive(Clone, Debug)]
pub struct Ldap {
    /// `ldap://host:port`, tried in order.
    pub servers: Vec<String>,
    /// DN to bind as; empty is anonymous.
    pub bind_dn: String,
    /// File that holds the password, alone on its first line.
    pub bind_password_file: Option<PathBuf>,
    /// Root of users, groups and organizations.
    pub user_base: String,
    /// How domains are found.
    pub schema: Schema,
    /// For each operation.
    pub timeout: Duration,
    /// Connections held at once.
    pub max_connections: usize,
    /// Answers remembered.
    pub cache: Cache,
}

/// How domains are found in the tree.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Schema {
    /// A separate DC tree.
    Schema1,
    /// Organization entries carry their domain.
    #[default]
    Schema2,
}

/// Bounds of the look-up cache.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    /// Answers remembered at most; default 100,000.
    pub entries: usize,
    /// How long an answer is believed; default 10 minutes.
    pub ttl: Duration,
    /// How long "no such entry" is believed; default 1 minute.
    pub negative_ttl: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: 100_000,
            ttl: Duration::from_secs(600),
            negative_ttl: Duration::from_secs(60),
        }
    }
}

impl Ldap {
    /// No server yet, and every default.
    pub(crate) fn blank() -> Self {
        Self {
            servers: Vec::new(),
            bind_dn: String::new(),
            bind_password_file: None,
            user_base: String::new(),
            schema: Schema::default(),
            timeout: Duration::from_secs(10),
            max_connections: 8,
            cache: Cache::default(),
        }
    }
}

impl Section for Ldap {
    fn fields(&mut self, form: &mut impl Form) {
        form.required(
            "servers",
            r#"["ldap://localhost:389"]"#,
            List(LDAP_SERVER),
            &mut self.servers,
        );
        form.field("bind_dn", Text, &mut self.bind_dn);
        form.field("bind_password_file", Maybe(Path), &mut self.bind_password_file);
        form.required("user_base", r#""dc=example,dc=org""#, Text, &mut self.user_base);
        form.field("schema", Choice(SCHEMA), &mut self.schema);
        form.field("timeout", PATIENCE, &mut self.timeout);
        form.field("max_connections", Count(1..=1_000), &mut self.max_connections);
        form.field("cache", Nested(Cache::default), &mut self.cache);
    }
}

impl Section for Cache {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("entries", Count(0..=100_000_000), &mut self.entries);
        form.field("ttl", WAIT, &mut self.ttl);
        form.field("negative_ttl", WAIT, &mut self.negative_ttl);
    }
}

/// `Ldif(...)` or `Ldap(...)`.
pub(crate) struct AnyDirectory;

#[derive(Clone, Default)]
struct Ldif {
    file: Option<PathBuf>,
}

impl Section for Ldif {
    fn fields(&mut self, form: &mut impl Form) {
        form.field("file", Maybe(Path), &mut self.file);
    }
}

impl Kind<Directory> for AnyDirectory {
    fn read<'a>(&self, node: &Node<'a>, reader: &mut Reader<'a>) -> Option<Directory> {
        let (name, text) = crate::file::pieces::variant(node.text).unwrap_or((node.text, ""));
        let fields = Node { text: if text.is_empty() { "()" } else { text }, ..node.clone() };
        match name {
            "Ldif" if text.trim_start_matches(['(', ' ', '\n']).starts_with('"') => {
                let file = text.trim_matches(['(', ')', ' ', '\n']);
                reader.unfit(node, &format!("Ldif(file: {}) is expected", shorten(file)));
                None
            }
            "Ldif" => {
                let mut ldif = Ldif::default();
                read_into(&fields, reader, &mut ldif)?;
                Some(Directory::Ldif { file: ldif.file })
            }
            // A bare `Ldap` lacks fields; the complaint belongs to its name.
            "Ldap" if !text.is_empty() => {
                let mut ldap = Ldap::blank();
                read_into(&fields, reader, &mut ldap)?;
                Some(Directory::Ldap(ldap))
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
            Directory::Ldif { file } => ("Ldif", print_section(&Ldif { file: file.clone() })),
            Directory::Ldap(ldap) => ("Ldap", print_section(ldap)),
        };
        Document::Variant(name, Box::new(fields))
    }
}

const SCHEMA: &[(&str, Schema)] = &[("Schema1", Schema::Schema1), ("Schema2", Schema::Schema2)];
