//! The vocabulary of mail: what travels, who it is from and for, and what became of it.

mod address;
mod content;
mod delivered_as;
mod dialect;
mod envelope;
mod first_text;
mod fragments;
mod header_addresses;
mod header_scan;
mod inner_headers;
mod lines;
mod message_id;
mod notify;
mod outcome;
mod priority;
mod recipient_set;
mod reply;
mod trip;
pub mod unitext;
mod xquota;
pub mod xtext;

pub use address::{Address, AddressError, MAX_PATH, ReversePath, written_local};
pub use content::Content;
pub use dialect::Dialect;
pub use envelope::{Entry, Envelope, ErrorsTo, Origin, PostCheck, Recipient, Rerouted, TlsWish};
pub use first_text::FirstText;
pub use fragments::{Fragment, Fragments};
pub use header_addresses::{
    AddressSide, HeaderAddress, has_field, header_addresses, is_signed, replaced, without_fields,
};
pub(crate) use header_addresses::{comment_end, quoted_end};
pub use header_scan::{
    HeaderGap, HeaderScan, HeaderScanner, first_value, message_id, peer_id, star_received,
};
pub(crate) use header_scan::{fields, has_name, named};
pub(crate) use inner_headers::{ContentType, Multipart};
pub use inner_headers::{InnerHeaders, Passing};
pub(crate) use lines::{LineAssembly, LinePiece, MAX_DEPTH, delimited};
pub use message_id::{MessageId, MessageIds};
pub use notify::{Notify, OriginalRecipient, Return};
pub use outcome::{Attempt, Outcome, Outcomes, Peer, SiteTrouble};
pub use priority::Priority;
pub use recipient_set::RecipientSet;
pub use relais_config::grammar::{NextHop, NextHopError, NextHops, is_domain, literal};
pub use reply::{Enhanced, Reply, STRESSED};
pub use trip::{Timings, Trip};
pub use xquota::XQuota;
