//! Where users, groups and domains are looked up.

use std::{path::PathBuf, time::Duration};

use crate::file::{
    collections::{List, Maybe},
    document::Document,
    form::{Kind, Nested, Section, print_section, read_into},
    kinds::{Choice, Count, PATIENCE, Path, Text, WAIT},
    names::LDAP_SERVER,
    notation::{Notation, SectionNotation},
    pieces,
    reader::{Node, Reader, suggest},
    source::shorten,
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
    Ldap(Ldap),
}

section! {
    /// An LDAP directory, reached by any of several replicas. It is not there yet: the engine does
    /// not start with it.
    pub struct Ldap {
        /// Servers, tried in order.
        servers: Vec<String> = Vec::new(), List(LDAP_SERVER),
            example(r#"["ldap://localhost:389"]"#);
        /// DN to bind as; empty is anonymous.
        bind_dn: String = String::new(), Text;
        /// File that holds the password, alone on its first line.
        bind_password_file: Option<PathBuf> = None, Maybe(Path);
        /// Root of users, groups and organizations.
        user_base: String = String::new(), Text, example(r#""dc=example,dc=org""#);
        /// How domains are found.
        schema: Schema = Schema::default(), Choice;
        /// For each operation.
        timeout: Duration = Duration::from_secs(10), PATIENCE;
        /// Connections held at once.
        max_connections: usize = 8, Count(1..=1_000), unit("connections");
        /// Answers remembered.
        cache: Cache = Cache::default(), Nested::new();
    }
}

choice! {
    /// How domains are found in the tree.
    pub enum Schema = Schema2 {
        /// A separate DC tree.
        Schema1,
        /// Organization entries carry their domain.
        Schema2,
    }
}

section! {
    /// Bounds of the look-up cache.
    pub struct Cache {
        /// Answers remembered at most.
        entries: usize = 100_000, Count(0..=100_000_000), unit("answers");
        /// How long an answer is believed.
        ttl: Duration = Duration::from_secs(600), WAIT;
        /// How long "no such entry" is believed.
        negative_ttl: Duration = Duration::from_secs(60), WAIT;
    }
}

impl Copy for Cache {}

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
            Directory::Ldif { file } => ("Ldif", print_section(&LdifFile { file: file.clone() })),
            Directory::Ldap(ldap) => ("Ldap", print_section(ldap)),
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
