//! The configuration that operators write: one RON file, its defaults, its checks, and its rules
//! and templates parsed.
//!
//! Reads nothing but that file, and knows nothing of sockets, queues or actors. Four complete files
//! lie in `examples/`; the one that is built in is [`STANDALONE`].
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | `load` | reads a file, its sections and their checks | check, file, sections |
//! | `show` | prints a configuration, and the reference page | check, file, sections |
//! | `check` | what holds between sections, and what is not there yet | file, grammar, language, sections |
//! | `sections` | a table of settings for each section of the file | file, grammar, language |
//! | `language` | rewrite rules, mappings, templates, delivery options, LDAP searches | file, grammar |
//! | `file` | text to typed values, with every mistake at its place | grammar |
//! | `grammar` | domains, networks and next hops | — |
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

pub use file::{mistake, reader::suggest, units};
pub use language::{
    alias_list, argument, delivery_option, facts, ldap_search, lookup_url, mapping, rate,
    reply_pattern, rewrite, template, text_table, user_file,
};
pub use load::{Reading, check};
pub use mistake::{Mistake, Mistakes, Places, Report, Told, Warning};
pub use sections::{
    admin::{self, Admin},
    authentication::{self, Authentication},
    channel::{self, Channel},
    config::Config,
    conversions::{self, ConversionAction, ConversionEntry},
    destinations::{self, Destinations},
    directory::{self, Directory},
    dispatcher::{self, Dispatcher, Service},
    dkim::{self, Dkim, DkimKey},
    dns::{self, Dns},
    entries::TableOrFile,
    events::{self, Collector, EventKind, Events, TRACES, Webhook},
    history::History,
    job_controller::{self, JobController, Pool},
    milters::{self, ListedMilter},
    notary::{self, Notary},
    programs::ListedProgram,
    reversal::{Forwarding, Reversal},
    settings::LiveSetting,
    spool::{self, Spool},
    srs::{self, Srs},
    store::{self, Native, NativeFiles, Store},
    tls,
    verify::{self, Verify},
};
pub use show::{Shown, reference, reference_of};

pub use self::{delivery_option::DeliveryOption, mapping::MappingTable, rewrite::RewriteRule};
/// The embedded default: one machine, both tiers in one process.
pub const STANDALONE: &str = include_str!("../examples/standalone.ron");
