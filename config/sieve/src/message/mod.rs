//! A message as the tests see it, parsed once for all its recipients.

mod address;
mod body;
mod coding;
mod date;
mod field;
mod parsed;
mod words;

pub(crate) use address::{Mailbox, mailboxes, split_address};
pub(crate) use date::{Moment, parse_date};
pub(crate) use field::Field;
pub use parsed::Message;
