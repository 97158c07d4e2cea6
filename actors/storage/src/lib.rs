//! Storage of the queue: the contract between the queue and whatever keeps its messages.
//!
//! Everything that the engine asks of its storage is [`QueueStorage`]; a [`Storage`] is a handle to one
//! that works. The spool on the local disk keeps the contract. Nothing here knows of actors, and nothing
//! from the network arrives here unparsed.
//!
//! The rooms from the top of the house down; a room knows rooms below it only.
//!
//! | room | what it does | knows |
//! | --- | --- | --- |
//! | `suite` | the contract as tests, for the crates that keep it | change, content, contract, envelope, error, scanned, state, stored |
//! | `contract` | the trait, and the handle | change, content, counts, error, gone, pages, place, scanned, state, stored, sums |
//! | `pages` | envelopes and last replies for listings | envelope, error, place |
//! | `content` | the content of messages on their way in | blocking, error |
//! | `change` | changes of the states of entries | octets, place, scanned, state |
//! | `blocking` | work that waits for a disk | error |
//! | `error` | why storage did not do what it was asked | place, stored |
//! | `stored` | a message that is safe | envelope_octets, place, state |
//! | `envelope` | envelopes that borrow from their octets | envelope_octets |
//! | `envelope_octets` | envelopes as octets | octets |
//! | `scanned` | entries as they are listed | place, state |
//! | `counts` | entries of a channel, counted | state |
//! | `sums` | entries summed up by destination | — |
//! | `gone` | recipients that have gone on | — |
//! | `state` | where an entry is in its life | — |
//! | `place` | where a message lies | — |
//! | `octets` | values as octets | — |

mod blocking;
mod change;
mod content;
mod contract;
mod counts;
mod envelope;
mod envelope_octets;
mod error;
mod gone;
mod octets;
mod pages;
mod place;
mod scanned;
mod state;
mod stored;
#[cfg(feature = "suite")]
#[expect(clippy::missing_panics_doc, reason = "a test that fails panics")]
pub mod suite;
mod sums;

pub use self::{
    blocking::blocking,
    change::{Change, RecipientReplies},
    content::{Draft, DraftRoom, MoreContent, NewContent},
    contract::{QueueStorage, Storage},
    counts::Counts,
    envelope::{BorrowedEntry, BorrowedEnvelope, BorrowedRecipient, EncodedEnvelope},
    envelope_octets::{append_envelope, decode_envelope, form_of},
    error::StorageError,
    gone::Gone,
    octets::append_postcard,
    pages::{LastReplies, PageReader, ReadPages, ShowEnvelope},
    place::Place,
    scanned::{Cursor, ScannedEntry},
    state::{Class, EntryState, open_recipients},
    stored::{BadEnvelope, Stored, StoredEntry, check_envelope, entries_of},
    sums::{ARRIVAL_SLOT, HostSum, Sums},
};
