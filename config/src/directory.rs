//! Where users, groups and domains are looked up.

use std::{path::PathBuf, time::Duration};

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
