//! The harness of the end-to-end tests: the real program, real peers, real files.
//!
//! Nothing inside the engine is replaced. An [`Instance`] is a folder with a configuration and a
//! data directory; it can be started, killed and started again. What stands in for the outside
//! world is small and keeps books: [`Sink`] is an LMTP server that counts every message it was
//! given, [`Load`] an SMTP client that knows which messages got their 250.
//!
//! The program under test is `$RELAIS_BIN`; without that variable it is built once, in the
//! release profile, before the first test that needs it. Programs of Debian packages are asked for
//! with [`needs()`], which skips the test when one is missing, and fails it under `CI`.
//!
//! Not guaranteed: ports are picked free, but nothing keeps them free until they are bound.

// A harness reports by panicking; saying so on every function helps nobody.
#![allow(clippy::missing_panics_doc)]

mod aiosmtpd;
mod build;
mod certificates;
mod dkim;
mod dovecot;
mod foreign_filter;
mod foreign_mta;
mod foreign_store;
mod http;
mod imap;
mod instance;
mod ldif;
mod load;
mod machine;
mod mailbox;
mod milter;
mod name_server;
mod needs;
mod notice;
mod odd_names;
mod pigeonhole;
mod ports;
mod process;
mod random;
mod readme;
mod receiver;
mod relay;
mod resolver;
mod samples;
mod settings;
mod sieve_messages;
mod sink;
mod slapd;
mod small_disk;
mod smtp;
mod terminal;
mod tls_world;
mod two_tiers;
mod wait;
mod webhook;

pub use aiosmtpd::Aiosmtpd;
pub use build::program;
pub use certificates::Authority;
pub use dkim::{DKIMPY, DkimKey, OPENDKIM, dkimpy_signs, dkimpy_verifies, opendkim_says};
pub use dovecot::{Dovecot, start_beside_dovecot};
pub use foreign_filter::{EICAR, ForeignFilter, dkim_key};
pub use foreign_mta::{Exim, LmtpPlace, Postfix, open_folder, postfix_services, smtpd, unpacked};
pub use foreign_store::{ForeignStore, distinct_files};
pub use http::{Page, fetch};
pub use imap::Imap;
pub use instance::{Instance, Running, due_after};
pub use ldif::{Ldif, scripts};
pub use load::{Load, message};
pub use machine::Machine;
pub use mailbox::{dot_stuffed, mailbox, maildir_folder, message_ids, strip_added, wire_form};
pub use milter::PythonMilter;
pub use name_server::{NameServer, Signed};
pub use needs::{is_root, needs, needs_root};
pub use notice::{Fields, Notice};
pub use odd_names::{OddAnswer, OddNames};
pub use pigeonhole::{Decided, Pigeonhole};
pub use ports::free_port;
pub use process::{Memory, python, run_with, succeed};
pub use random::Random;
pub use readme::readme_block;
pub use receiver::Receiver;
pub use relay::one_delivered_and_one;
pub use resolver::Resolver;
pub use samples::{Sample, mail_auth_resources, python_samples, rust_samples};
pub use settings::{Settings, example};
pub use sieve_messages::sieve_messages;
pub use sink::Sink;
pub use slapd::Slapd;
pub use small_disk::SmallDisk;
pub use smtp::{Dialogue, Reply};
pub use tls_world::{TlsWorld, WebServer, Zones, came_to, came_to_all, send_required};
pub use two_tiers::TwoTiers;
pub use wait::{eventually, within};
pub use webhook::WebhookReceiver;
