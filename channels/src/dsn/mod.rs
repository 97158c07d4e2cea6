//! Delivery status notifications (RFC 3461 section 6, RFC 3464): what a sender reads when a
//! message could not be delivered, takes long, or has arrived.
//!
//! Octets in, octets out: a [`Report`] says what became of which recipients, [`Templates`] hold
//! the words, and [`Report::compose`] makes a `multipart/report` of three parts (RFC 6522): the
//! words for people, `message/delivery-status` for programs, and the message or its header.
//!
//! Addresses, replies and the returned message are strangers' words. Whatever they hold, the
//! notice has each header line once, its lines end in CRLF, and its boundary occurs nowhere else.
//! The returned part is the message octet for octet, so the notice holds octets above 127 when
//! the message does ([`Notice::eight_bit`]). But a reader with an address in ASCII gets its headers in
//! ASCII, as a server without SMTPUTF8 does (RFC 6533 section 4): nothing says that his server takes
//! others. And no notice is worse than what a server has to take:
//! of a message with longer lines, and of one that was refused for its content, the header comes
//! back, with what is too long in it cut ([`Omission`]).
//!
//! `mail-builder` writes the header (folding, encoded words, display names), the frame of the
//! parts, and the encoding of the words. The fields for programs are written here: they take
//! octets of any kind, and neither encoded words nor lines without end.

mod compose;
mod fields;
mod languages;
mod report;
mod returned;
mod words;

pub use languages::languages_of;
pub use report::{Kind, Notice, Omission, RecipientReport, Report, Returned};
pub(crate) use returned::quotable;
pub use returned::{header_block, message_id_of};
pub use words::{TemplateError, Templates};
