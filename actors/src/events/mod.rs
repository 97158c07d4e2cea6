//! Events, one struct each: `emit` writes the log line *and* moves the numbers, so that the two
//! cannot drift. What becomes of mail is told here; levels and the rest are moved by their owners.
//!
//! Nothing that a peer said reaches a line unescaped or without bound ([`Printable`]). Per
//! message there is one line for each queue entry and action ([`transaction`]); everything that
//! happens more often is `debug`.

mod life;
#[cfg(test)]
pub(crate) mod lines;
mod ordered_by;
mod printable;
mod session;
mod told;
pub mod transaction;

pub use life::{DestinationResumed, DestinationSuspended};
#[cfg(test)]
pub(crate) use ordered_by::DONE;
pub use ordered_by::{NOBODY, OrderedBy, numbered};
pub use printable::{MAX_CHARS, Printable, printable};
pub use session::{
    AuthEnded, ConnectionRefused, HandshakeEnded, SessionEnd, SessionEnded, SessionStarted,
};
pub use told::tell_server_tls;
pub use transaction::{
    EntryDeleted, EntrySettled, HoldChanged, IntoMailboxes, MessageAccepted, MessageDiscarded,
    MessageRerouted, NoticeSent, RecipientsRefused, RecipientsReturned, StoredFor,
};
