//! How mail enters and leaves: the vocabulary of mail, SMTP and LMTP as state machines without
//! sockets, the drivers that give them sockets, the mailbox formats, and the notices that tell
//! senders what became of their mail.
//!
//! Passive: nothing here is an actor, nothing here decides when something happens. Where a
//! server has to ask the engine (may this recipient in? is this message safe now?) it asks an
//! [`server::Intake`].

pub mod client;
pub mod disk;
pub mod dsn;
pub mod mail;
pub mod mailbox;
#[cfg(any(test, feature = "memory-disk"))]
pub mod memory_disk;
pub mod server;
pub mod wire;
