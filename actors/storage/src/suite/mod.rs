//! The contract as tests, for whatever keeps it: the back end of a crate brings a [`Subject`] and calls
//! each row with it.
//!
//! A row begins with storage that is empty. Nothing here knows what the storage is made of: what a disk or
//! a database may do to it is for the tests of its own crate.

mod letters;
mod lives;
mod messages;

use async_trait::async_trait;

use crate::contract::Storage;

pub use self::{
    letters::envelope,
    lives::{entries_live_as_they_are_told, listings_have_an_order_and_go_on, messages_go_on},
    messages::{all_or_none, large_contents_stream, what_is_stored_is_found, words_for_refusals},
};

/// Storage to be tested.
#[async_trait]
pub trait Subject: Send {
    /// Opens it, also when it was open before: that one is gone without a word, as after `kill -9`.
    async fn open(&mut self) -> Storage;
}
