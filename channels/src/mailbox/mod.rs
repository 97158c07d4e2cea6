//! Mailboxes on disk: passive, blocking code.
//!
//! A [`Partition`] is a tree of Maildir++ mailboxes and the [`journal`] that makes deliveries
//! to it durable. It is driven by one thread; what a server session may do beside that thread
//! is in [`spill`].

pub mod journal;
pub mod maildir;
mod name;
mod partition;
mod quota;
mod recovery;
pub mod spill;
mod subscriptions;

pub use name::{MailboxName, NameError};
pub use partition::{
    Body, Delivery, Partition, PartitionError, Rcpt, TRUSTED_FOLDER, WITHOUT_QUOTA,
};
pub use quota::Limit;
