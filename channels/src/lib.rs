//! How mail enters and leaves: the vocabulary of mail, SMTP and LMTP as state machines without
//! sockets, the drivers that give them sockets, the mailbox formats, and the notices that tell
//! senders what became of their mail.
//!
//! Passive: nothing here is an actor, nothing here decides when something happens. Where a
//! server has to ask the engine (may this recipient in? is this message safe now?) it asks an
//! [`server::Intake`].
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | `fuzzing` | entrances for fuzzers alone | wire |
//! | [`client`] | hands messages to other hosts | authenticity, dns, mail, mime, program, sasl, tls, tls_policy, wire |
//! | [`program`] | hands messages to programs of this machine | mail |
//! | [`server`] | takes messages from other hosts | mail, sasl, tls, wire |
//! | [`milter`] | asks filters about messages | mail, wire |
//! | [`authenticity`] | signs messages, and checks whose they are | clock, dns, mail |
//! | [`sasl`] | proofs of who a client is | — |
//! | [`tls_policy`] | which TLS a destination is owed | clock, dns, mail, tls |
//! | [`tls`] | certificates, and handshakes with them | clock, dns |
//! | [`dns`] | questions to name servers, and block lists | — |
//! | [`autoreply`] | automatic replies of users who are away | dsn |
//! | [`dsn`] | writes notices to senders | mail, mime |
//! | [`mailbox`] | delivers into the mailboxes of this machine | clock, disk, mail |
//! | [`mbox`] | delivers into UNIX mailboxes, and appends to files | clock, disk, mail |
//! | [`disk`] | the file system, behind a trait so that a test can stop the world | — |
//! | [`mime`] | gives parts of a message another encoding, and headers in ASCII | mail |
//! | [`backoff`] | pauses that double | — |
//! | [`wire`] | octets: lines, dots, replies | mail |
//! | [`mail`] | the nouns, and the only grammar of each | clock |
//! | [`clock`] | the clock on the wall | — |

pub mod authenticity;
pub mod autoreply;
pub mod backoff;
pub mod client;
pub mod clock;
#[cfg(any(test, feature = "memory-disk"))]
pub mod crash_points;
pub mod disk;
pub mod dns;
pub mod dsn;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod mail;
pub mod mailbox;
pub mod mbox;
#[cfg(any(test, feature = "memory-disk"))]
pub mod memory_disk;
pub mod milter;
pub mod mime;
pub mod program;
pub mod sasl;
pub mod server;
pub mod tls;
pub mod tls_policy;
pub mod wire;
