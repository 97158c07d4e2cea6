//! What operators write: one RON file, its defaults, its checks, and its rules and templates parsed.
//!
//! Reads nothing but that file, and knows nothing of sockets, queues or actors.

pub mod admin;
pub mod channel;
pub mod delivery_option;
pub mod directory;
pub mod dispatcher;
pub mod job_controller;
pub mod mapping;
pub mod rewrite;
pub mod spool;
pub mod store;
pub mod tls;
pub mod units;

use std::{collections::BTreeMap, path::PathBuf};

pub use admin::Admin;
pub use channel::Channel;
pub use delivery_option::DeliveryOption;
pub use directory::Directory;
pub use dispatcher::{Dispatcher, Service};
pub use job_controller::{JobController, Pool};
pub use mapping::MappingTable;
pub use rewrite::RewriteRule;
pub use spool::Spool;
pub use store::{Native, Store};

/// The whole file, checked, every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Official host name: banners, `Received:`, DSNs.
    pub host: String,
    /// Spool, queue index, store and admin socket lie below this folder.
    pub data: PathBuf,
    /// The domain whose users are stored without `@domain`.
    pub default_domain: String,
    /// Listening services and how many workers serve them.
    pub dispatcher: Dispatcher,
    /// Certificate and key for every service that offers TLS.
    pub tls: Option<tls::Tls>,
    /// Mapping tables by name: `PORT_ACCESS`, `INTERNAL_IP`, ...
    pub mappings: BTreeMap<String, MappingTable>,
    /// The general database: `$(key)` in rewrite rules, `${key}` in mappings.
    pub general: BTreeMap<String, String>,
    /// Rewrite rules in file order.
    pub rewrite_rules: Vec<RewriteRule>,
    /// Channels in file order, `channel_defaults` merged in.
    pub channels: Vec<Channel>,
    /// Pools and limits of delivery; absent on a store without an MTA.
    pub job_controller: Option<JobController>,
    /// Where users, groups and domains are looked up.
    pub directory: Option<Directory>,
    /// `DELIVERY_OPTIONS` in order; the first is the default of users, the second of groups.
    pub delivery_options: Vec<DeliveryOption>,
    /// Postfix transport(5): pattern to `transport:nexthop`.
    pub transport: BTreeMap<String, String>,
    /// Postfix virtual(5).
    pub virtual_alias: BTreeMap<String, Vec<String>>,
    /// Alias file: name to addresses, commands or files.
    pub aliases: BTreeMap<String, Vec<String>>,
    /// Our mailboxes; absent on a relay that keeps none.
    pub store: Option<Store>,
    /// UNIX mailboxes of this machine.
    pub native: Option<Native>,
    /// How messages are kept safe while they wait.
    pub spool: Spool,
    /// The operator's endpoint.
    pub admin: Admin,
}
