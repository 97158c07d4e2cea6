//! What operators write: one RON file, its defaults, its checks, and its rules and templates parsed.
//!
//! Reads nothing but that file, and knows nothing of sockets, queues or actors. Four complete files
//! lie in `examples/`; the one that is built in is [`STANDALONE`].
//!
//! The file is [RON](https://docs.rs/ron): sections in parentheses, maps in braces, lists in
//! brackets, comments behind `//`. An optional field is given as it is, without `Some`. Times are
//! `"10m"` or `"PT10M"`, sizes `"10MiB"` or a number of octets, relative paths lie below `data`.
//! What [`Config::parse`] accepts may still ask for what is not there yet: that is a [`Warning`].
//!
//! ```
//! use relais_config::Config;
//!
//! let text = r#"(
//!     host: "store.example.org",
//!     data: "/var/lib/relais",
//!     default_domain: "example.org",
//!     dispatcher: (
//!         max_procs: 4, // of each service that does not say otherwise
//!         services: {"LMTP": (program: Lmtp, channel: "in", ports: [24])},
//!     ),
//!     channels: [(name: "in", tag: "in-daemon", program: Lmtp)],
//!     store: (path: "store", autocreate: Inbox),
//! )"#;
//! let (config, warnings) = Config::parse("relais.ron", text).unwrap();
//! assert_eq!(config.dispatcher.services[0].limits.max_procs, 4);
//! assert!(warnings.is_empty());
//!
//! let mistakes = Config::parse("relais.ron", &text.replace("\"in\", ports", "\"out\", ports"));
//! let said = mistakes.unwrap_err().to_string();
//! assert!(said.contains("no channel is called \"out\"; there are: in"), "{said}");
//! ```

mod check;
mod file;
pub mod grammar;
mod language;
mod load;
mod sections;
mod show;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

pub use file::{mistake, reader::suggest, units};
pub use language::{delivery_option, mapping, rewrite, template};
pub use load::{Reading, check};
pub use mistake::{Mistake, Mistakes, Places, Report, Told, Warning};
pub use sections::{
    admin::{self, Admin},
    channel::{self, Channel},
    directory::{self, Directory},
    dispatcher::{self, Dispatcher, Service},
    job_controller::{self, JobController, Pool},
    notary::{self, Notary},
    spool::{self, Spool},
    store::{self, Native, Store},
    tls,
};
pub use show::Shown;

pub use self::{delivery_option::DeliveryOption, mapping::MappingTable, rewrite::RewriteRule};
use check::{consistency, not_yet as in_force};
use file::{document, form as section, kinds, names, not_ron, pieces, reader, source};
use sections::channel_fields;

/// The whole file, checked, every default filled in.
#[derive(Clone, Debug)]
pub struct Config {
    /// Official host name: banners, `Received:`, DSNs.
    pub host: String,
    /// Spool, queue index, store and admin socket lie below this folder; a relative one lies beside
    /// the file, or in the working folder where there is none.
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
    /// How notices to senders are written.
    pub notary: Notary,
    /// A message with more `Received:` lines than this goes in a circle and is held; default 50.
    pub max_received_lines: usize,
    /// The same for the lines that we wrote ourselves; default 10.
    pub max_local_received_lines: usize,
    /// How messages are kept safe while they wait.
    pub spool: Spool,
    /// The operator's endpoint.
    pub admin: Admin,
    /// How long clients and next hops may delay the end of the engine; 0 to 10 minutes, default 8
    /// seconds.
    pub max_shutdown: Duration,
}

/// The embedded default: one machine, both tiers in one process.
pub const STANDALONE: &str = include_str!("../examples/standalone.ron");
