//! Events: what happens to mail, told to others, as lines of a file and as posts to webhooks.
//!
//! # Promises
//!
//! - Whoever tells something never waits ([`Tap`]): what finds no room is counted and lost.
//! - A webhook gets each event at least once, in the order in which they were told, until its bounds of disk or
//!   age are reached. After a crash of the process alone at most the last 100 ms are missing, after a power
//!   cut the last second.
//! - An event keeps its id when it is posted again.
//! - A server decides nothing but whether it took a batch: its answer is bounded in octets and in time, and
//!   leads nowhere else.
//!
//! # On disk
//!
//! | file | holds |
//! | --- | --- |
//! | `events.file` | a line of JSON for each event |
//! | `DATA/events/NAME/N.events` | lines that the webhook of this name has not taken, in segments |
//! | `DATA/events/NAME/taken` | how far it has taken them: a segment, and octets of it |
//!
//! # Threads
//!
//! One thread writes: those that tell append to a buffer, which it empties ten times a second. Another one
//! posts, a task for each webhook; it reads what the first has written.

mod backlog;
mod batch;
mod event;
mod figures;
mod file;
mod hook;
mod hooks;
mod hourly;
mod otlp;
mod post;
mod settings;
mod signature;
mod tap;
#[cfg(test)]
mod tests;
mod writer;

pub use event::{Event, EventRecipient, EventReply};
pub use figures::{Figures, FileTrouble, HookFigures, Loss, PostResult, WebhookStatus};
pub use settings::{FileSettings, Format, HookSettings, Settings};
pub use signature::{SecretError, read_secrets, read_token};
pub use tap::Tap;
pub use writer::Keeper;
